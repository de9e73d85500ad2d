"""Record the animated picture of the README: a real JupyterLab, a real browser, an answer that survives a cut.

    .venv/bin/python docs/record.py             # writes docs/_static/streaming.webp
    .venv/bin/python docs/record.py --zh        # the same in Chinese, streaming.zh_CN.webp

Needs the extra ``browser``, Pillow and Chromium.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import nbformat
from PIL import Image
from playwright.sync_api import sync_playwright

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from deepseek_magic.demo.server import DemoServer  # noqa: E402  the checkout's own
from deepseek_magic.notebook.frontend import LANGUAGE_VARIABLE  # noqa: E402
from tests.browser.conftest import CHROMIUM, CHROMIUM_FLAGS, Lab, clean_environment  # noqa: E402

TARGET: Final = ROOT / "docs" / "_static" / "streaming.webp"
SIZE: Final = {"width": 900, "height": 860}
FRAME_S: Final = 0.14
LAST_FRAME_S: Final = 4.0
PROMPT: Final = "Compare three planets in a table,\nand write the primes below {limit} as code."
PROMPT_ZH: Final = "用表格比较三颗行星，\n再用代码写出 {limit} 以内的素数。"


def cells(language: str) -> tuple[str, ...]:
    """The notebook's. The question is there from the first frame on: nobody waits for an empty cell to be typed into."""
    prompt, ends = (PROMPT_ZH, "'次请求'") if language == "zh" else (PROMPT, "'requests'")
    return (
        "%load_ext deepseek_magic\nlimit = 30",
        f"%%deepseek -o answer\n{prompt}",
        f"print(answer.outcome, '-', answer.attempts, {ends})",
    )


FAULT: Final = "cut at=content after=70 times=1"
BARE: Final = """
.jp-SideBar, .jp-Notebook-footer, .jp-cell-toolbar, .jp-InputCollapser, .jp-OutputCollapser { display: none !important; }
.jp-Notebook { padding: 8px !important; }
"""
PAPER: Final = ".jp-WindowedPanel-outer"


@contextlib.contextmanager
def notebook_in_lab(
    sources: Sequence[str], demo: DemoServer, environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[tuple[Any, Lab, Path]]:
    """Playwright, and a JupyterLab that asks ``demo``, with a notebook of these cells and its path."""
    with tempfile.TemporaryDirectory() as folder:
        root, home = Path(folder, "notebooks"), Path(folder, "home")
        root.mkdir()
        home.mkdir()
        path = root / "picture.ipynb"
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
        settings = {"DEEPSEEK_BASE_URL": demo.base_url, "DEEPSEEK_API_KEY": "sk-test-1234"}
        lab = Lab(root, home, {**clean_environment(home), **settings, **environment})
        try:
            with sync_playwright() as playwright:
                yield playwright, lab, path
        finally:
            lab.stop()


def main(language: str) -> None:
    """Record, assemble, write."""
    target = TARGET if language == "en" else TARGET.with_suffix(".zh_CN.webp")
    spoken = {LANGUAGE_VARIABLE: language}
    with DemoServer(pace=0.55, fault=FAULT) as demo, notebook_in_lab(cells(language), demo, spoken) as opened:
        frames = record(*opened)
    shown = [Image.open(io.BytesIO(png)).convert("RGB") for png in frames]
    times = [round(1000 * FRAME_S)] * (len(shown) - 1) + [round(1000 * LAST_FRAME_S)]
    shown[0].save(target, save_all=True, append_images=shown[1:], duration=times, loop=0, quality=60, method=6)
    print(f"{target}: {len(shown)} frames, {target.stat().st_size / 1024:.0f} KiB")


def record(playwright: Any, lab: Lab, path: Path) -> list[bytes]:
    """The frames, as PNG files."""
    browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_FLAGS)
    page = browser.new_context(viewport=SIZE).new_page()
    notebook = lab.open(page, path)
    page.add_style_tag(content=BARE)
    notebook.run(0)
    frames: list[bytes] = []
    paper = page.locator(PAPER).first.bounding_box()

    def look(seconds: float = 0) -> None:
        end = time.monotonic() + seconds
        while True:
            due = time.monotonic() + FRAME_S
            frames.append(page.screenshot(clip=paper))
            page.wait_for_timeout(1000 * max(0.0, due - time.monotonic()))
            if time.monotonic() >= end:
                return

    look(1.0)
    notebook.start(1)
    while notebook.running(1):
        look()
    look(0.8)
    notebook.start(2)
    look(1.0)
    browser.close()
    return frames


if __name__ == "__main__":
    main("zh" if "--zh" in sys.argv else "en")
