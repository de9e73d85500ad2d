"""The notebooks become pages, executed against the demo while the site is built: no key, no network.

The Chinese site has the Chinese notebooks in the places of the English ones, so a page that names one names its own.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import PACE_VARIABLE
from deepseek_magic.engine.hosts.endpoints import DEMO_VARIABLE
from deepseek_magic.notebook.frontend import LANGUAGE_VARIABLE
from deepseek_magic.text.language import of_locales, use

PACE: Final = 0.05
COPIES: Final = "notebooks"
CHINESE: Final = "zh"


def setup(app: Any) -> dict[str, Any]:
    """Sphinx's entry point. The server starts before the first page is read."""
    language = of_locales([app.config.language])
    use(language)  # of the generated tables
    os.environ[LANGUAGE_VARIABLE] = language  # of the kernels
    app.connect("builder-inited", start)
    app.connect("html-page-context", lead_to_original)
    return {"parallel_read_safe": False}


def originals(folder: Path, language: str) -> Mapping[str, Path]:
    """The notebooks of a language and their tapes, by name. In the place of a Chinese one that is missing is the English one."""
    found = {path.name: path for kind in ("*.ipynb", "*.tape") for path in sorted(folder.glob(kind))}
    if language == CHINESE:
        found |= {name: folder / CHINESE / name for name in found if (folder / CHINESE / name).exists()}
    return found


def lay_out(notebooks: Mapping[str, Path], copies: Path) -> None:
    """Put the originals where Sphinx finds them, and nothing else there; an unchanged one keeps its time."""
    shutil.rmtree(copies / CHINESE, ignore_errors=True)  # where they were before the sites were two
    for left in copies.glob("*"):
        if left.is_file() and left.name not in notebooks:
            left.unlink()
    for name, original in notebooks.items():
        copy = copies / name
        if not copy.exists() or copy.read_bytes() != original.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(original, copy)


def lead_to_original(app: Any, page: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
    """Let "show source" and "suggest edit" of a copy lead to the notebook that it is of, which is beside ``docs``."""
    if page.startswith(f"{COPIES}/"):
        root = Path(app.srcdir).parent
        found = originals(root / COPIES, of_locales([app.config.language]))[f"{Path(page).name}.ipynb"]
        repository = app.config.html_theme_options["repository_url"]
        branch = app.config.html_theme_options["repository_branch"]
        original = found.relative_to(root).as_posix()
        # The theme wants the name of its own field in the address.
        context["edit_page_url_template"] = f"{repository}/edit/{branch}/{original}{{# file_name #}}"
        context["edit_page_provider_name"] = "GitHub"


def start(app: Any) -> None:
    """Start the demo for as long as the build runs, and point the kernels at it."""
    if app.builder.format != "html":
        return  # nothing is executed, and a build that is under way beside this one keeps its notebooks
    root = Path(app.srcdir).parent
    lay_out(originals(root / COPIES, of_locales([app.config.language])), Path(app.srcdir) / COPIES)
    server = DemoServer(pace=PACE).start()
    home = tempfile.mkdtemp(prefix="deepseek-magic-docs-")
    os.environ.update(
        DEEPSEEK_BASE_URL=server.base_url, DEEPSEEK_API_KEY="sk-demo-needs-no-key", DEEPSEEK_MAGIC_HOME=home
    )
    os.environ[PACE_VARIABLE] = str(PACE)
    os.environ[DEMO_VARIABLE] = server.base_url

    def stop(*_: Any) -> None:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)

    app.connect("build-finished", stop)
