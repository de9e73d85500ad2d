"""The panel for a projector: what is set up, the state and the answer with its seam are in one picture, also at 150 %."""

from __future__ import annotations

from collections.abc import Callable

from deepseek_magic.demo.server import DemoServer

from .conftest import Page
from .panel_page import Panel

Open = Callable[..., Page]
LOAD = "%load_ext deepseek_magic"


def test_a_break_is_set_up_seen_and_used_up_at_150_percent(open_notebook: Open, demo: DemoServer) -> None:
    demo.pace, demo.fault = 0.2, None
    page = open_notebook([LOAD, "%deepseek_panel --class"])
    page.run(0)
    page.page.set_viewport_size({"width": 853, "height": 533})  # 1280 × 800 at 150 %
    page.run(1)
    panel = Panel(page, 1)
    panel.ready()
    assert panel.root.get_by_role("tab").count() == 0
    panel.root.get_by_label("experiment", exact=True).select_option("cut")
    panel.button("Set up").click()
    panel.reads("Armed, once")
    panel.shoot("class_armed")
    panel.ask("What is a stream, and how does it reach me?")
    panel.reads("Seam (continued")
    panel.ready()
    panel.reads("Used up")
    panel.reads("joined 1×", where=panel.transcript)
    panel.shoot("class_used_up")
    assert page.violations(".deepseek-magic-panel") == []
    panel.button("Ask 6 times").click()
    panel.reads("done")
    panel.shoot("class_six")
    page.dark()
    panel.shoot("class_dark")
    page.page.set_viewport_size({"width": 1280, "height": 800})
    panel.shoot("class_1280")
