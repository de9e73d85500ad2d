"""A page whose server has no anywidget, as on most hubs: the panel is used by the keyboard alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import LIKE_A_MODEL

from .conftest import Lab, Page
from .panel_page import Panel


@pytest.fixture
def bare_lab(start_lab: Callable[[Path], Lab], tmp_path: Path) -> Lab:
    """A JupyterLab without anywidget's code."""
    lab = start_lab(tmp_path)
    lab.disable("anywidget")
    return lab


def test_the_panel_asks_and_stops_by_the_keyboard(
    open_notebook: Callable[..., Page], bare_lab: Lab, demo: DemoServer
) -> None:
    demo.pace, demo.fault = LIKE_A_MODEL, None
    page = open_notebook(["%load_ext deepseek_magic\nrows = [1, 2, 3]", "%deepseek_panel --think off"], lab=bare_lab)
    page.run(0)
    page.run(1)
    panel = Panel(page, 1)
    panel.reads("This front end cannot load the panel's own prompt box")
    panel.prompt.focus()
    keyboard: Any = page.page.keyboard
    keyboard.type("long 30")
    keyboard.press("Tab")  # to Send
    keyboard.press("Enter")
    panel.reads("paragraph 1", where=panel.transcript)
    panel.shoot("plain")
    for _ in range(20):  # back to Stop, which stands above the conversation
        if panel.button("Stop").evaluate("node => node === document.activeElement"):
            break
        keyboard.press("Shift+Tab")
    keyboard.press("Enter")
    panel.reads("stopped", where=panel.transcript)
    panel.tab("As a cell")
    panel.button("Copy").click()
    panel.reads("This front end allows neither inserting nor copying")
    panel.tab("Sweep")
    panel.root.get_by_label("inputs", exact=True).select_option("rows · 3 inputs")
    prompt = panel.root.get_by_label("prompt", exact=True)
    prompt.fill("echo ")
    panel.button("{input}").click()
    page.wait_until(lambda: prompt.input_value() == "echo {input}")
    panel.reads("3 trials: 3 inputs")
    panel.reads("%%deepseek_sweep --output results --over rows", where=panel.root.locator("pre:visible"))
    panel.shoot("plain_sweep")
