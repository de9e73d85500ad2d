"""Take the still pictures of the documentation: the panel after a cut, and the design language, in either theme.

    .venv/bin/python docs/pictures.py           # writes panel.webp, design.webp and their dark twins to docs/_static

Needs what ``docs/record.py`` needs. What the pictures show is drawn by a real JupyterLab: the colours are those of its themes.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any, Final

from PIL import Image

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from deepseek_magic.demo.server import DemoServer  # noqa: E402  the checkout's own
from deepseek_magic.text.design import tokens  # noqa: E402
from docs.record import notebook_in_lab  # noqa: E402
from tests.browser.conftest import CHROMIUM, CHROMIUM_FLAGS, Lab  # noqa: E402
from tests.browser.panel_page import Panel  # noqa: E402

TARGET: Final = ROOT / "docs" / "_static"
SIZE: Final = {"width": 1280, "height": 800}
SCALE: Final = 1.5
QUESTION: Final = "Explain in five sentences how streaming works"
CELLS: Final = ("%load_ext deepseek_magic", "%deepseek_panel --think off", "display({'text/html': specimen}, raw=True)")


def specimen() -> str:
    """A page of every colour, size and space, by name."""
    swatch = "display:inline-block;width:7em;margin:0 12px 8px 0;font-size:var(--deepseek-small)"
    block = "display:block;height:2.2em;border:1px solid var(--deepseek-line);border-radius:var(--deepseek-corner)"
    colours = "".join(
        f'<span style="{swatch}"><span style="{block};background:var(--deepseek-{name})"></span>{name}</span>'
        for name in tokens.COLOURS
    )
    sizes = "".join(
        f'<span style="font-size:var(--deepseek-{name});margin-right:24px">{name}: 60 tokens/s</span>'
        for name in ("small", "body", "large")
    )
    spaces = "".join(
        f'<span style="font-size:var(--deepseek-small);margin-right:24px">{name} <span style="display:inline-block;'
        f'width:var(--deepseek-{name});height:1em;background:var(--deepseek-accent);vertical-align:middle"></span></span>'
        for name in tokens.SPACES
    )
    failed = (
        '<p style="font-size:var(--deepseek-body);border-left:var(--deepseek-rule) solid var(--deepseek-error);'
        'padding-left:var(--deepseek-space-2)">The API answered with 401. Check the key.</p>'
    )
    series = "".join(
        f'<span style="display:inline-block;width:3em;height:1em;margin-right:8px;background:{colour}"></span>'
        for colour in (*tokens.SERIES, tokens.INK)
    )
    parts = (colours, sizes, spaces, failed, series)
    body = "".join(f'<div style="margin-bottom:12px">{part}</div>' for part in parts)
    return (
        f'<style>{tokens.rule(".specimen")}</style><div class="specimen" style="padding:12px;width:700px">{body}</div>'
    )


def main() -> None:
    """Open a notebook, ask, and take the pictures."""
    sources = [*CELLS[:2], f"specimen = {specimen()!r}\n{CELLS[2]}", *CELLS[3:]]
    with DemoServer() as demo, notebook_in_lab(sources, demo) as opened:
        take(*opened)


def take(playwright: Any, lab: Lab, path: Path) -> None:
    """The pictures, in the light theme and in the dark one."""
    browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_FLAGS)
    page = browser.new_context(viewport=SIZE, device_scale_factor=SCALE).new_page()
    notebook = lab.open(page, path)
    for number in range(len(CELLS)):
        notebook.run(number)
    panel = Panel(notebook, 1)
    panel.tab("Failure lab")
    panel.root.get_by_label("experiment", exact=True).select_option("cut")
    panel.root.get_by_label("slowness", exact=True).fill("0.2")
    panel.root.get_by_label("slowness", exact=True).press("Tab")
    panel.button("Set up").click()
    panel.reads("In force at")
    panel.ask(QUESTION)
    panel.reads("first token", where=panel.transcript)
    panel.ready()
    for suffix in ("", "_dark"):
        if suffix:
            notebook.dark()
        for name, shown in (
            ("panel", panel.root.locator(".deepseek-magic-panel")),
            ("design", page.locator(".specimen")),
        ):
            shown.scroll_into_view_if_needed()
            page.wait_for_timeout(300)
            picture = Image.open(io.BytesIO(shown.screenshot())).convert("RGB")
            target = TARGET / f"{name}{suffix}.webp"
            picture.save(target, quality=80, method=6)
            print(f"{target}: {target.stat().st_size / 1024:.0f} KiB")
    browser.close()


if __name__ == "__main__":
    main()
