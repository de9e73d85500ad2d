"""The live view on a real screen: it grows, renders, stops, settles, and lasts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import LIKE_A_MODEL
from tests.notebook.conftest import HEARS_CLICKS

from .conftest import Lab, Page

LOAD = "%load_ext deepseek_magic"
TOPS = """area => ['button', '.deepseek-magic-status', '.deepseek-magic > :last-child'].map(
    of => area.querySelector(of).getBoundingClientRect().top)"""
SETTLED = ".jp-CodeCell:nth-of-type(2) .jp-Cell-outputArea"
Open = Callable[..., Page]


@pytest.fixture(autouse=True)
def fresh(demo: DemoServer) -> Iterator[None]:
    demo.pace, demo.fault = 0.5, None
    yield
    demo.fault = None


def outputs_of(saved: dict[str, Any], index: int) -> list[dict[str, Any]]:
    return list(saved["cells"][index]["outputs"])


def test_the_answer_grows_renders_settles_and_lasts(
    open_notebook: Open, start_lab: Callable[[Path], Lab], tmp_path: Path
) -> None:
    page = open_notebook([LOAD, "%%deepseek -o tide\nA table, a formula and code"])
    assert page.run(0) == ""
    page.start(1)
    lengths: list[int] = []
    while page.running(1):
        lengths.append(len(page.text(1)))
        if len(lengths) == 60:
            page.screenshot("growing")
        page.page.wait_for_timeout(50)
    grown = [after for before, after in pairwise(lengths) if after > before]
    assert len(grown) >= 5
    page.page.wait_for_timeout(500)
    page.screenshot("settled")
    saved = page.save()
    (output,) = [output for output in outputs_of(saved, 1) if any(output["data"].values())]
    assert set(output["data"]) == {"text/markdown", "text/plain"}
    assert "widget" not in str(saved["cells"])

    reopened_root = tmp_path / "elsewhere"
    reopened_root.mkdir()
    copy = reopened_root / "saved.ipynb"
    copy.write_bytes(page.path.read_bytes())
    again = open_notebook(path=copy, lab=start_lab(reopened_root))
    for shown in (page, again):
        area = shown.output(1)
        area.locator("table td", has_text="Jupiter").wait_for()
        area.locator("mjx-container").first.wait_for()
        area.locator("pre .cm-keyword, pre code span").first.wait_for()
        assert "deepseek-flash" in shown.text(1)
        assert area.locator("summary", has_text="Reasoning").count() == 1
    assert again.prompt(1).strip() == page.prompt(1).strip()
    again.screenshot("reopened")


def test_it_grows_settles_and_lasts_in_notebook_7_too(open_notebook: Open) -> None:
    page = open_notebook([LOAD, "%%deepseek -o tide\nA table, a formula and code"], where="notebooks")
    page.run(0)
    texts = page.watch(1)
    assert sum(len(after) > len(before) for before, after in pairwise(texts)) >= 5
    page.screenshot("notebook_7_settled")
    assert "widget" not in str(page.save()["cells"])
    again = open_notebook(path=page.path, where="notebooks")
    for shown in (page, again):
        shown.output(1).locator("table td", has_text="Jupiter").wait_for()
        shown.output(1).locator("mjx-container").first.wait_for()
        assert shown.output(1).locator("summary", has_text="Reasoning").count() == 1
    again.screenshot("notebook_7_reopened")


@pytest.mark.skipif(not HEARS_CLICKS, reason="this kernel does not hear a button while a cell runs")
def test_the_stop_button_ends_the_answer_and_keeps_what_had_come(open_notebook: Open, demo: DemoServer) -> None:
    demo.pace = LIKE_A_MODEL
    page = open_notebook([LOAD, "%%deepseek -o a --think off\nlong 20", "(a.outcome, len(a.text) > 50)"])
    page.run(0)
    page.start(1)
    page.wait_until(lambda: "paragraph 1" in page.text(1))
    button, line, text = page.output(1).evaluate(TOPS)
    assert abs(button - line) < 13, "the line is not in the row of its button"
    assert max(button, line) < text
    page.output(1).get_by_role("button", name="Stop").click()
    page.wait_until(lambda: not page.running(1), timeout_s=3)
    page.wait_until(lambda: "The text so far is in a; %deepseek_resume -o a resumes the answer." in page.text(1))
    assert "paragraph 1" in page.text(1)
    assert "Traceback" not in page.text(1)
    assert page.output(1).get_by_role("button", name="Stop").count() == 0
    assert page.output(1).locator("[data-mime-type*=stderr], [data-mime-type*=error]").count() == 0
    assert "('interrupted', True)" in page.run(2)
    page.screenshot("stopped")
    page.wait_until(lambda: demo.requests[-1].ended == "client left")


def test_the_interrupt_of_the_tool_bar_is_stop_and_run_all_does_not_go_on(
    open_notebook: Open, demo: DemoServer
) -> None:
    demo.pace = LIKE_A_MODEL
    page = open_notebook([LOAD, "%%deepseek -o a --think off\nlong 20", "print('went on')"])
    page.run(0)
    page.menu("Run", "Run All Cells")
    page.wait_until(lambda: "paragraph 1" in page.text(1))
    page.interrupt()
    page.wait_until(lambda: "%deepseek_resume" in page.text(1), timeout_s=5)
    page.page.wait_for_timeout(500)
    assert page.text(2) == ""


def test_restart_and_run_all_asks_each_cell_once_and_shows_each_answer_once(
    open_notebook: Open, demo: DemoServer
) -> None:
    page = open_notebook(
        [LOAD, "%%deepseek -o a --think off\necho one", "%%deepseek --think off\necho two", "a.outcome"]
    )
    for _ in range(2):
        asked = len(demo.requests)
        page.menu("Kernel", "Restart Kernel and Run All Cells…")
        page.page.locator(".jp-Dialog .jp-mod-accept").click()
        page.wait_until(lambda asked=asked: len(demo.requests) == asked + 2, timeout_s=60)  # type: ignore[misc]
        page.wait_until(lambda: "'complete'" in page.text(3), timeout_s=60)
        assert page.text(1).count("first token") == 1
        assert page.text(2).count("first token") == 1
    page.screenshot("restart_and_run_all")


def test_a_hostile_answer_runs_nothing_live_and_settled(open_notebook: Open, demo: DemoServer) -> None:
    demo.pace = 0.5
    page = open_notebook([LOAD, "%%deepseek\nunsafe"])
    asked: list[str] = []
    page.page.on("request", lambda request: asked.append(request.url))
    page.page.on("dialog", lambda dialog: asked.append(f"dialog {dialog.message}"))
    page.run(0)
    texts = page.watch(1)
    assert len(texts) > 3  # it was looked at while it grew
    page.page.wait_for_timeout(1000)
    assert page.page.evaluate("window.pwned") is None
    assert "end of the unsafe answer" in texts[-1]
    area = page.output(1)
    assert (
        area.locator(
            "script, iframe, object, embed, img, svg:not(mjx-container svg, .deepseek-magic-code-bar svg)"
        ).count()
        == 0
    )
    links = [str(link.get_attribute("href")) for link in area.locator("a").all()]
    assert all(re.match(r"https?:|mailto:|#", link) for link in links), links
    own = re.compile(r"http://127\.0\.0\.1:|ws://127\.0\.0\.1:|data:|blob:")
    assert [url for url in asked if not own.match(url)] == []
    page.screenshot("hostile")


def test_the_reasoning_can_be_unfolded_while_it_is_written(open_notebook: Open, demo: DemoServer) -> None:
    demo.pace = LIKE_A_MODEL
    page = open_notebook([LOAD, "%%deepseek\nhi"])
    page.run(0)
    page.start(1)
    page.output(1).get_by_text(re.compile(r"Reasoning · \d+ tokens")).click()
    page.output(1).get_by_text("The user says").wait_for()
    page.screenshot("reasoning")
    page.wait_until(lambda: not page.running(1))


def test_the_view_looks_right_in_the_dark(open_notebook: Open) -> None:
    page = open_notebook([LOAD, "%%deepseek\nA table and code"])
    page.dark()
    page.run(0)
    page.start(1)
    page.wait_until(lambda: "Planet" in page.text(1))
    page.page.wait_for_timeout(700)
    page.screenshot("dark_growing")
    assert page.violations(".deepseek-magic") == []
    page.wait_until(lambda: not page.running(1))
    page.screenshot("dark_settled")
    assert page.violations(SETTLED) == []


def test_a_settled_answer_and_its_seams_are_for_everybody(open_notebook: Open, demo: DemoServer) -> None:
    demo.pace, demo.fault = 0, "cut at=content after=25 times=1"
    page = open_notebook([LOAD, "%%deepseek\nA table, a formula and code about {nothing}"])
    page.run(0)
    page.run(1)
    page.output(1).locator("details > summary", has_text="nothing is lost").click()
    assert "asked again for the rest, attempt 2, and joined at character " in page.text(1)
    assert "{nothing} is not a variable: sent as typed." in page.text(1)
    assert page.violations(SETTLED) == []
    page.screenshot("joined")


def test_a_failing_call_is_one_sentence(open_notebook: Open, demo: DemoServer) -> None:
    demo.fault = "401"
    page = open_notebook([LOAD, "%%deepseek\nhi"])
    page.run(0)
    shown = page.run(1)
    assert shown.strip().startswith("AuthenticationError: The API answered with 401")
    assert "\n" not in shown.strip()
    assert "1234" not in shown
    page.screenshot("failed")
