"""The panel on a real screen: one class hour on one page, for eyes, hands and screen readers."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from typing import Any

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import LIKE_A_MODEL

from .conftest import Page
from .panel_page import Panel

LOAD = "%load_ext deepseek_magic"
Open = Callable[..., Page]


def violations(panel: Panel) -> list[str]:
    """What axe-core calls serious or critical inside the panel."""
    return panel.page.violations(".deepseek-magic-panel")


def test_a_class_hour_with_the_panel(open_notebook: Open, demo: DemoServer) -> None:
    demo.pace, demo.fault = LIKE_A_MODEL, None
    page = open_notebook(
        [f"{LOAD}\nimport os; print(os.getpid())", "import deepseek_magic as ds\np = ds.panel(think='off')\np"]
    )
    kernel = int(page.run(0))
    page.run(1)
    panel = Panel(page, 1)
    panel.reads("Nothing was asked in this chat yet.")
    assert violations(panel) == []

    # type, send, grow, Stop, Continue
    panel.ask("long 2")
    panel.reads("paragraph 1", where=panel.transcript)
    before = len(panel.transcript.inner_text())
    page.wait_until(lambda: len(panel.transcript.inner_text()) > before + 50)
    panel.shoot("growing")
    assert panel.prompt.input_value() == ""
    panel.button("Stop").click()
    panel.ready()
    panel.reads("stopped", where=panel.transcript)
    demo.pace = 0.1
    panel.button("Continue").click()
    page.wait_until(lambda: not panel.button("Continue").is_enabled() and panel.button("Send").is_enabled())
    panel.reads("paragraph 1 ", where=panel.transcript)
    assert "stopped" not in panel.transcript.inner_text()
    assert panel.transcript.inner_text().count("paragraph 1 ") == 1

    # change the model, another chat, and back
    model = panel.root.get_by_label("model", exact=True)
    model.fill("deepseek-v4-pro")
    model.press("Tab")
    panel.button("+ New").click()
    panel.reads("Nothing was asked in this chat yet.")
    panel.ask("A table and code")
    panel.reads("primes(30)", where=panel.transcript)
    panel.ready()
    assert demo.requests[-1].body["model"] == "deepseek-v4-pro"
    panel.shoot("light")
    panel.root.get_by_label("chat", exact=True).select_option("main")
    panel.reads("paragraph 1", where=panel.transcript)

    # the history, filtered; the sums; the lab
    panel.tab("History")
    rows = panel.root.locator(".deepseek-magic-table tbody tr:visible")
    page.wait_until(lambda: rows.count() == 3)
    panel.shoot("history")
    panel.root.get_by_label("filter", exact=True).fill("v4-pro")
    page.wait_until(lambda: rows.count() == 1)
    assert violations(panel) == []
    panel.tab("Metrics")
    panel.reads("Service levels")
    panel.shoot("metrics")
    assert violations(panel) == []
    panel.tab("Failure lab")
    panel.set_up("break")
    panel.reads("Armed, once")
    panel.ask("Why did the line break?")
    panel.reads("Joined at character")
    panel.ready()
    panel.shoot("lab")
    assert violations(panel) == []

    # the cell that asks the same
    panel.tab("As a cell")
    panel.prompt.fill("Why is the sky blue?\nIn one sentence.")
    panel.reads("In one sentence.", where=panel.root.locator("pre"))
    assert violations(panel) == []
    panel.button("Insert below").click()
    panel.reads("The cell was inserted below the panel.")
    source = page.cell(2).locator(".cm-content").inner_text()
    assert source.split("\n") == [
        "%%deepseek --model deepseek-v4-pro --think off",
        "Why is the sky blue?",
        "In one sentence.",
    ]

    # a kernel that does not listen is said, and hears it afterwards
    os.kill(kernel, signal.SIGSTOP)
    try:
        panel.prompt.press("Control+Enter")
        panel.reads("The kernel is busy with a cell")
    finally:
        os.kill(kernel, signal.SIGCONT)
    panel.reads("Why is the sky blue?", where=panel.transcript)
    panel.ready()
    assert "The kernel is busy" not in panel.root.inner_text()

    # at 150 % the tabs stand below the conversation, and what one shows comes into view
    page.page.set_viewport_size({"width": 853, "height": 533})
    panel.root.locator(".deepseek-magic-prompt").evaluate("node => node.scrollIntoView({block: 'start'})")
    panel.tab("History")
    page.wait_until(lambda: float(panel.root.locator(".deepseek-magic-side").bounding_box()["y"]) < 150)
    panel.reads("newest first")
    page.page.set_viewport_size({"width": 1280, "height": 900})

    # dark, and narrow
    page.dark()
    panel.tab("Settings")
    panel.shoot("dark")
    assert violations(panel) == []
    page.page.set_viewport_size({"width": 620, "height": 1100})
    panel.shoot("narrow")
    assert panel.root.evaluate("node => node.scrollWidth <= node.clientWidth + 1")


def cut_tabs(panel: Panel) -> list[str]:
    """The tabs whose label is wider than its place."""
    labels = panel.root.locator(".deepseek-magic-side [role=tab] .lm-TabBar-tabLabel")
    cut: list[str] = labels.evaluate_all(
        "nodes => nodes.filter(node => node.scrollWidth > node.clientWidth).map(node => node.textContent)"
    )
    assert labels.count() == 6
    return cut


def test_the_keyboard_goes_back_to_the_notebook_and_everything_explains_itself(
    open_notebook: Open, demo: DemoServer
) -> None:
    demo.pace, demo.fault = LIKE_A_MODEL, None
    page = open_notebook([LOAD, "%deepseek_panel --think off", "%config DeepSeekMagics.language = 'zh'"])
    page.run(0)
    page.run(1)
    panel = Panel(page, 1)
    keyboard: Any = page.page.keyboard
    cells = page.page.locator(".jp-Notebook .jp-CodeCell")

    # an example is put into the box; Escape while it is answered stops nothing, and the next key is the notebook's
    panel.button("Explain in five sentences how streaming works").click()
    page.wait_until(lambda: panel.prompt.input_value() == "Explain in five sentences how streaming works")
    panel.prompt.fill("long 90")
    panel.prompt.press("Shift+Enter")
    panel.reads("Writing", where=panel.root)
    composing = "{key: 'Escape', isComposing: true, bubbles: true, cancelable: true}"  # an input method's own
    panel.prompt.evaluate(f"node => node.dispatchEvent(new KeyboardEvent('keydown', {composing}))")
    assert panel.prompt.evaluate("node => node === document.activeElement")
    panel.prompt.press("Escape")
    page.wait_until(lambda: not panel.prompt.evaluate("node => node === document.activeElement"))
    keyboard.press("b")
    page.wait_until(lambda: cells.count() == 4)
    page.wait_until(lambda: panel.prompt.input_value() == "")  # no "b" went into it
    assert panel.button("Stop").is_visible()
    page.page.wait_for_function(
        "document.activeElement.closest('.jp-Notebook.jp-mod-commandMode .jp-Cell.jp-mod-active')"
    )
    keyboard.press("z")  # one key: two may come too slowly for a chord
    page.wait_until(lambda: cells.count() == 3)
    panel.button("Stop").click()
    panel.reads("stopped", where=panel.transcript)
    panel.ready()
    page.wait_until(lambda: not panel.button("Stop").is_visible())

    # Enter, as one likes it
    demo.pace = 0.0
    panel.root.get_by_label("Enter sends", exact=True).check()
    panel.reads("Enter sends, Shift-Enter starts a line")
    panel.prompt.fill("echo one")
    panel.prompt.press("Shift+Enter")
    assert panel.prompt.input_value() == "echo one\n"
    panel.prompt.press("Enter")
    page.wait_until(lambda: panel.transcript.inner_text().count("echo one") == 2)  # asked and answered
    page.wait_until(lambda: panel.prompt.input_value() == "")
    panel.ready()
    panel.prompt.fill("echo two")
    panel.prompt.press("Enter")
    keyboard.type(" and what is typed meanwhile", delay=20)
    panel.reads("echo two", where=panel.transcript)
    panel.ready()
    assert panel.prompt.input_value().endswith(" and what is typed meanwhile")

    # labels whole, help on label and field, a failure said once
    assert cut_tabs(panel) == []
    model = panel.root.get_by_label("model", exact=True)
    page.wait_until(lambda: "flash or pro" in (model.get_attribute("title") or ""))
    label = panel.root.get_by_text("model", exact=True)
    assert model.get_attribute("aria-description") == model.get_attribute("title") == label.get_attribute("title")
    assert panel.root.get_by_label("chat", exact=True).get_attribute("title") == "the conversation that is continued"
    demo.fault = "401"
    panel.ask("why?")
    panel.prompt.press("Enter")
    panel.reads("The API answered with 401", where=panel.transcript)
    panel.ready()
    page.wait_until(lambda: not panel.button("Continue").is_enabled())
    panel.tab("Failure lab")
    panel.reads("Failed; the reason stands below the question.")
    assert panel.root.inner_text().count("The API answered with 401") == 1
    panel.shoot("error")
    assert violations(panel) == []

    page.run(2)
    page.run(1)
    panel.reads("Enter 发送")
    assert cut_tabs(panel) == []
    panel.shoot("chinese")

    # a kernel that was restarted knows nothing of it, which is said
    page.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    panel.root.locator(".jupyter-widgets-disconnected").first.wait_for(state="attached")
    box = panel.root.locator(".deepseek-magic-prompt textarea")
    box.fill("在吗")
    box.press("Control+Enter")
    panel.reads("内核已结束或已重启")
    assert box.input_value() == "在吗"
    panel.shoot("restarted")


def test_opened_again_without_a_kernel_the_panel_is_a_picture(
    open_notebook: Open, start_lab: Callable[..., Any], demo: DemoServer
) -> None:
    demo.pace, demo.fault = 0.0, None
    page = open_notebook([LOAD, "%deepseek_panel --think off"])
    page.run(0)
    page.run(1)
    panel = Panel(page, 1)
    panel.ask("A table and code")
    panel.reads("primes(30)", where=panel.transcript)
    panel.ready()
    picture = page.output(1).locator(".jp-OutputArea-child", has_text=re.compile("keeps of a DeepSeek panel"))
    assert picture.count() == 1
    assert not picture.is_visible()
    saved = page.save()
    outputs = saved["cells"][1]["outputs"]
    assert "primes(30)" in "".join(outputs[-1]["data"]["text/plain"])
    assert list(outputs[-1]["data"]) == ["text/markdown", "text/plain"]
    again = open_notebook(path=page.path, lab=start_lab(page.path.parent))
    again.wait_until(lambda: "primes(30)" in again.text(1))
    assert again.output(1).get_by_text("keeps of a DeepSeek panel").is_visible()
    again.screenshot("panel_reopened")
