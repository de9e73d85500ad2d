"""A prompt typed with an input method: Enter takes the syllables that are being composed, and sends nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer

from .conftest import Page
from .panel_page import Panel

SETTINGS = '%load_ext deepseek_magic\n%config DeepSeekMagics.enter = "{enter}"'


@pytest.mark.parametrize(
    ("enter", "key"), [("send", "Enter"), ("newline", "Shift+Enter"), ("newline", "Control+Enter")]
)
def test_enter_while_composing_never_sends(
    open_notebook: Callable[..., Page], demo: DemoServer, enter: str, key: str
) -> None:
    demo.pace, demo.fault = 0, None
    page = open_notebook([SETTINGS.format(enter=enter), "%deepseek_panel --think off"])
    page.run(0)
    page.run(1)
    panel = Panel(page, 1)
    panel.ready()
    browser: Any = page.page.context.new_cdp_session(page.page)
    panel.prompt.evaluate(
        "node => { node.enters = []; node.addEventListener('keydown', e => e.key === 'Enter' && node.enters.push(e.isComposing)) }"
    )
    asked = len(demo.requests)
    panel.prompt.click()
    for syllables in ("n", "ni", "ni h", "ni hao"):
        browser.send(
            "Input.imeSetComposition",
            {"text": syllables, "selectionStart": len(syllables), "selectionEnd": len(syllables)},
        )
    page.page.keyboard.press(key)
    assert panel.prompt.evaluate("node => node.enters") == [True]  # the page saw the key, in the middle of the word
    browser.send("Input.insertText", {"text": "你好"})
    page.wait_until(lambda: "你好" in panel.prompt.input_value())
    assert len(demo.requests) == asked
    assert "你好" not in panel.transcript.inner_text()

    # the word is written: the same key sends it
    page.page.keyboard.press(key)
    panel.reads("你好", where=panel.transcript)
    page.wait_until(lambda: panel.prompt.input_value() == "")
    panel.ready()
    assert panel.prompt.evaluate("node => node.enters") == [True, False]
