"""The panel for a projector: what is set up, the state, the strip and the answer are in one picture, also at 150 %."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deepseek_magic.demo.server import DemoServer

from .conftest import Page
from .panel_page import Panel

Open = Callable[..., Page]
LOAD = "%load_ext deepseek_magic"
ZOOMED = {"width": 853, "height": 533}
"""1280 × 800 pixels at 150 %."""


def shown(panel: Panel, selector: str) -> bool:
    """Whether all of the first such part is on the screen."""
    box = panel.root.locator(selector).first.bounding_box()
    height = panel.page.page.viewport_size["height"]
    return box is not None and box["height"] > 0 and box["y"] >= 0 and box["y"] + box["height"] <= height


def test_a_break_is_set_up_seen_and_used_up_at_150_percent(open_notebook: Open, demo: DemoServer) -> None:
    demo.pace, demo.fault = 0.2, None
    page = open_notebook([LOAD, "%deepseek_panel --class"])
    page.run(0)
    page.page.set_viewport_size(ZOOMED)
    page.run(1)
    panel = Panel(page, 1)
    panel.ready()
    assert panel.root.get_by_role("tab").count() == 0
    panel.set_up("break")
    panel.reads("Armed, once: break.")
    panel.shoot("class_armed")
    panel.ask("What is a stream, and how does it reach me?")
    strip = panel.root.locator(".deepseek-magic-strip")
    panel.reads("broke off after", where=strip)
    panel.reads("whole: nothing is lost", where=strip)
    panel.ready()
    panel.reads("Used up: break.")
    panel.reads("joined 1×", where=panel.transcript)
    panel.shoot("class_used_up")
    parts = (".deepseek-magic-now", ".deepseek-magic-legend", ".deepseek-magic-strip", ".deepseek-magic-scroll")
    assert [part for part in parts if not shown(panel, part)] == []
    assert page.violations(".deepseek-magic-panel") == []
    panel.button("Ask 6 times").click()
    panel.reads("6 asked")
    panel.shoot("class_six_running")
    panel.reads("done")
    panel.shoot("class_six")
    page.dark()
    panel.shoot("class_dark")
    assert page.violations(".deepseek-magic-panel") == []
    page.page.set_viewport_size({"width": 1280, "height": 800})
    panel.shoot("class_1280")

    # nobody hears a button when the kernel has ended, which is said
    page.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    panel.root.locator(".jupyter-widgets-disconnected").first.wait_for(state="attached")
    panel.root.locator(".deepseek-magic-set-up").click()
    panel.reads("The kernel has ended or was restarted: run this cell again.")
    assert shown(panel, ".deepseek-magic-note")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_class_view_is_chinese_where_the_notebook_is(open_notebook: Open, demo: DemoServer, theme: str) -> None:
    demo.pace, demo.fault = 0.2, None
    page = open_notebook([f"{LOAD}\n%config DeepSeekMagics.language = 'zh'", "%deepseek_panel --class"])
    page.run(0)
    page.page.set_viewport_size(ZOOMED)
    if theme == "dark":
        page.dark()
    page.run(1)
    panel = Panel(page, 1)
    page.wait_until(lambda: panel.root.get_by_role("button", name="发送").is_enabled())
    panel.root.get_by_label("实验", exact=True).select_option("中断三次")
    panel.root.locator(".deepseek-magic-set-up").click()
    panel.reads("已就绪")
    panel.root.get_by_label("提示词", exact=True).fill("什么是流式？")
    panel.root.get_by_label("提示词", exact=True).press("Shift+Enter")
    panel.reads("完整：没有丢失内容", where=panel.root.locator(".deepseek-magic-strip"))
    assert panel.root.locator(".deepseek-magic-panel").get_attribute("lang") == "zh-CN"  # its fonts are chosen by it
    assert "出了什么问题：" in panel.root.inner_text().replace("\n", "")
    panel.shoot(f"class_chinese_{theme}")
