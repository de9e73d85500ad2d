"""Code that runs after a look at it: Run, Edit, Discard, and the diff of a repair, in a real JupyterLab."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import Pace

from .conftest import Page

LOAD = "%load_ext deepseek_magic"
ASK = "%%deepseek -o a --run ask --think off --no-history\n"
HIDDEN = "y = 1  # echo \u202e } ; { \u2066" + " " * 120 + "; y = 2\n!true"
Open = Callable[..., Page]


@pytest.fixture(autouse=True)
def at_once(demo: DemoServer) -> None:
    demo.pace, demo.fault = Pace().scaled(0), None


def choose(page: Page, index: int, label: str, shot: str = "") -> str:
    """Run the cell, and click; what is then to be read below it."""
    page.start(index)
    button = page.output(index).locator(".deepseek-magic-ask").get_by_role("button", name=label)
    button.wait_for(timeout=60_000)
    if shot:
        button.scroll_into_view_if_needed()
        page.screenshot(shot)
    button.click()
    page.wait_until(lambda: not page.running(index))
    page.page.wait_for_timeout(150)
    return page.text(index)


def test_code_is_run_edited_or_discarded_by_a_click(open_notebook: Open) -> None:
    page = open_notebook([LOAD, f"{ASK}x = 6 * 7  # echo\nprint('ran')\nx", f"{ASK}{HIDDEN}", "x, 'y' in globals()"])
    page.page.set_viewport_size({"width": 1280, "height": 800})
    page.run(0)
    text = choose(page, 1, "Run", "proposed_run")
    assert "Run as In[3]." in text
    assert text.split("Run as In[3].")[1].split() == ["ran", "[3]:", "42"]
    assert page.output(1).locator(".deepseek-magic-ask").count() == 0
    page.screenshot("proposed_ran")
    text = choose(page, 2, "Discard", "proposed_hidden")
    assert "[RLO]" in text
    assert "It runs a shell command: true" in text
    assert "Not run: the code was discarded." in text
    assert "(42, False)" in page.run(3)
    text = choose(page, 1, "Edit")
    assert "the code is in the next cell" in text
    page.wait_until(lambda: "print('ran')" in page.cell(2).locator(".cm-content").inner_text())
    assert page.prompt(2).strip() in ("[ ]:", "[\u00a0]:")
    saved = page.save()
    kept = [output.get("metadata", {}).get("deepseek_magic", {}).get("code") for output in saved["cells"][1]["outputs"]]
    assert [each["chosen"] for each in kept if each] == ["edit"]


def test_a_repair_is_shown_as_a_diff_in_light_and_dark(open_notebook: Open) -> None:
    failing = "total = 0\nfor n in [1, 2, '3']:\n    total += n\nprint(total)"
    page = open_notebook([LOAD, failing, "%deepseek_fix --run ask --think off"])
    page.page.set_viewport_size({"width": 1280, "height": 800})
    page.run(0)
    page.run(1)
    page.start(2)
    button = page.output(2).locator(".deepseek-magic-ask").get_by_role("button", name="Discard")
    button.wait_for(timeout=60_000)
    diff = page.output(2).locator("pre", has_text="+ # TypeError").last
    assert "  for n in [1, 2, '3']:" in diff.inner_text().splitlines()
    assert page.output(2).locator(".deepseek-magic-code-bar").count() <= 1  # of the answer itself
    button.scroll_into_view_if_needed()
    page.screenshot("proposed_diff_light")
    assert page.violations(".deepseek-magic-ask") == []
    page.dark()
    button.scroll_into_view_if_needed()
    page.screenshot("proposed_diff_dark")
    button.click()
    page.wait_until(lambda: not page.running(2))
    assert "Not run" in page.text(2)
