"""A sweep put together in the panel: with the keys alone, seen at every size, and the written cell runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deepseek_magic.demo.server import DemoServer

from .conftest import Page
from .panel_page import Panel
from .test_panel import cut_tabs, violations

LOAD = """%load_ext deepseek_magic
questions = [{'question': f'What is {n} + {n}?', 'answer': 2 * n} for n in range(21, 29)]"""
PANEL = "%deepseek_panel --max-tokens 200"
CHINESE = "%config DeepSeekMagics.language = 'zh'"
Open = Callable[..., Page]


class Keys:
    """Somebody who has no mouse."""

    def __init__(self, panel: Panel) -> None:
        self._keyboard: Any = panel.page.page.keyboard
        self._tab = panel.root.locator(".deepseek-magic-sweep")

    def field(self, name: str) -> Any:
        """The field of this name."""
        return self._tab.get_by_label(name, exact=True)

    def reach(self, control: Any, *, back: bool = False) -> None:
        """Go from field to field until this one has the focus."""
        control.wait_for()
        for _ in range(60):
            if control.evaluate("node => node === document.activeElement"):
                return
            self._keyboard.press("Shift+Tab" if back else "Tab")
        raise AssertionError(f"the keyboard does not reach {control}")

    def press(self, name: str) -> None:
        """Reach a button, and press it."""
        self.reach(self._tab.get_by_role("button", name=name, exact=True))
        self._keyboard.press("Enter")

    def choose(self, name: str, option: str) -> None:
        """Reach a list, and choose by the first letters."""
        self.reach(self.field(name))
        self._keyboard.type(option)

    def write(self, name: str, text: str) -> None:
        """Reach a field, and write."""
        self.reach(self.field(name))
        self._keyboard.type(text)

    def tick(self, name: str) -> None:
        """Reach a box, and tick it."""
        self.reach(self.field(name))
        self._keyboard.press("Space")


def test_a_sweep_is_put_together_with_the_keys_alone_and_its_cell_runs(open_notebook: Open, demo: DemoServer) -> None:
    demo.pace, demo.fault = 0, None
    demo.requests.clear()
    page = open_notebook([LOAD, PANEL, "1"])
    page.page.set_viewport_size({"width": 1280, "height": 800})
    page.run(0)
    page.run(1)
    panel = Panel(page, 1)
    panel.tab("Sweep")
    panel.reads("Write a prompt, and the plan is shown here. Nothing is sent.")
    assert violations(panel) == []
    keys = Keys(panel)
    keys.choose("inputs", "questions")
    panel.button("{question}").wait_for()
    keys.write("prompt", "echo ")
    keys.reach(panel.button("{answer}"), back=True)
    page.page.keyboard.press("Enter")  # its name goes where the caret was, and the caret behind it
    prompt = keys.field("prompt")
    page.wait_until(lambda: prompt.input_value() == "echo {answer}")
    assert prompt.evaluate("node => node === document.activeElement && node.selectionStart === node.value.length")
    page.page.keyboard.type(" of {question}")
    keys.choose("vary", "temperature")
    keys.press("+ Vary")
    keys.write("temperature", "0, 7")
    keys.choose("score", "contains")
    keys.press("+ Score")
    panel.reads("temperature cannot be 7.0: it takes a number from 0 to 2")
    panel.reads("Something above is not right, and is marked.")
    panel.shoot("sweep_wrong")
    assert violations(panel) == []
    keys.reach(keys.field("temperature"), back=True)
    page.page.keyboard.type("0, 1.5")  # the Tab has selected what was there
    keys.write("contains", "")
    assert keys.field("contains").input_value() == "{answer}"
    keys.write("repeats", "2")
    keys.write("first rows", "3")
    keys.write("budget", "1")
    keys.reach(panel.button("Write cell"))
    panel.reads("12 trials: 2 settings × 3 inputs × 2 repeats")
    assert demo.requests == []
    panel.shoot("sweep")
    assert violations(panel) == []
    keys.press("Write and run")
    page.wait_until(lambda: page.page.locator(".jp-Notebook .jp-CodeCell").count() == 4)
    page.wait_until(lambda: "12 of 12 trials" in page.text(2))
    assert page.cell(2).locator(".cm-content").inner_text().split("\n") == [
        '%%deepseek_sweep --output results --over questions --max-tokens 200 --vary "temperature=0, 1.5" --repeat 2'
        " --score contains={answer} --limit 3 --budget 1.0",
        "echo {answer} of {question}",
    ]
    page.screenshot("panel_sweep_ran")


def test_the_tab_is_whole_in_chinese_at_150_percent_and_in_the_dark(open_notebook: Open, demo: DemoServer) -> None:
    page = open_notebook([LOAD, CHINESE, PANEL])
    for index in range(3):
        page.run(index)
    panel = Panel(page, 2)
    page.dark()
    for name, size in (("100", (1280, 800)), ("150", (853, 533))):
        page.page.set_viewport_size({"width": size[0], "height": size[1]})
        panel.tab("设置")
        panel.tab("批量实验")
        panel.reads("写好提示词后，这里会显示计划")
        assert cut_tabs(panel) == []
        assert violations(panel) == []
        assert panel.root.evaluate("node => node.scrollWidth <= node.clientWidth + 1")
        page.wait_until(lambda: bool(panel.root.get_by_label("输入", exact=True).is_visible()))
        page.page.wait_for_timeout(400)
        page.screenshot(f"panel_sweep_chinese_{name}")
