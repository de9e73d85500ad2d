"""The notebooks become pages, executed against the demo while the site is built: no key, no network."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import PACE_VARIABLE
from deepseek_magic.engine.hosts.endpoints import DEMO_VARIABLE

PACE: Final = 0.05
COPIES: Final = "notebooks"


def setup(app: Any) -> dict[str, Any]:
    """Sphinx's entry point. The server starts before the first page is read."""
    copy_notebooks(Path(app.srcdir).parent / "notebooks", Path(app.srcdir) / COPIES)
    app.connect("builder-inited", start)
    app.connect("html-page-context", lead_to_original)
    return {"parallel_read_safe": False}


def copy_notebooks(originals: Path, copies: Path) -> None:
    """Put the originals where Sphinx finds them, each with its tape; an unchanged one keeps its time."""
    for original in (*originals.rglob("*.ipynb"), *originals.rglob("*.tape")):
        copy = copies / original.relative_to(originals)
        if ".ipynb_checkpoints" in original.parts or (copy.exists() and copy.read_bytes() == original.read_bytes()):
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(original, copy)


def lead_to_original(_app: Any, page: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
    """Let "show source" and "suggest edit" of a copy lead to the notebook that it is of, which is beside ``docs``."""
    if page.startswith(f"{COPIES}/"):
        context["doc_path"] = ""


def start(app: Any) -> None:
    """Start the demo for as long as the build runs, and point the kernels at it."""
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
