"""Functions that a model may call, in a real JupyterLab: Run, Skip, Stop, and a question that nobody answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import Pace

from .conftest import Page

SETUP = '''\
%load_ext deepseek_magic
ran = []

def weather(city: str, days: int = 1) -> dict:
    """The weather in a city."""
    print("measuring", city)
    ran.append(city)
    return {"city": city, "celsius": 7, "sky": "<img src=x onerror=alert(1)> **dry**"}'''
ASK = "%%deepseek --tool weather --no-history -o a\n"
ONE = f"{ASK}What is the weather in Ulm?"
SEVERAL = f"{ASK}In parallel, the weather in Ulm and Rome"
LATE = ONE.replace("-o", "--confirm-wait 1 -o")
AFTER = "print('ran:', ran)"
Open = Callable[..., Page]


@pytest.fixture(autouse=True)
def at_once(demo: DemoServer) -> None:
    demo.pace, demo.fault = Pace().scaled(0), None


def click(page: Page, index: int, label: str, shot: str = "") -> None:
    button = page.output(index).locator(".deepseek-magic-ask").get_by_role("button", name=label)
    button.wait_for(timeout=60_000)
    if shot:
        page.page.wait_for_timeout(300)
        button.scroll_into_view_if_needed()
        page.screenshot(shot)
    button.click()


def ended(page: Page, index: int) -> str:
    page.wait_until(lambda: not page.running(index), 60)
    page.page.wait_for_timeout(200)
    return page.text(index)


def test_a_function_runs_after_a_click_and_not_before(open_notebook: Open) -> None:
    page = open_notebook([SETUP, ONE, SEVERAL, AFTER, ONE])
    page.page.set_viewport_size({"width": 1280, "height": 800})
    page.run(0)

    page.start(1)
    click(page, 1, "Run", "tools_asked")
    text = ended(page, 1)
    assert 'weather(city="Ulm") · ran' in text
    assert "measuring Ulm" in text
    assert "onerror" in text
    assert page.output(1).locator(".deepseek-magic-ask").count() == 0
    assert page.output(1).locator("img").count() == 0
    page.output(1).locator("summary", has_text="weather").click()
    page.screenshot("tools_ran")

    page.start(2)
    click(page, 2, "Skip")
    page.page.wait_for_timeout(300)
    page.dark()
    click(page, 2, "Run", "tools_second_dark")
    text = ended(page, 2)
    assert 'weather(city="Ulm") · skipped' in text
    assert 'weather(city="Rome") · ran' in text
    page.screenshot("tools_several_dark")
    assert "ran: ['Ulm', 'Rome']" in page.run(3)

    page.start(4)
    click(page, 4, "Stop")
    text = ended(page, 4)
    assert 'weather(city="Ulm") · not run' in text
    assert "ran: ['Ulm', 'Rome']" in page.run(3)
    kept = [
        output["metadata"]["deepseek_magic"]["tool"]["state"]
        for cell in page.save()["cells"]
        for output in cell.get("outputs", ())
        if "tool" in output.get("metadata", {}).get("deepseek_magic", {})
    ]
    assert kept == ["ran", "skipped", "ran", "stopped"]


def test_run_all_does_not_wait_for_ever_and_stops_at_the_question(open_notebook: Open) -> None:
    page = open_notebook([SETUP, LATE, AFTER])
    page.page.set_viewport_size({"width": 1280, "height": 800})
    page.menu("Run", "Run All Cells")
    page.wait_until(lambda: "NotConfirmed" in page.text(1) or "Nobody confirmed" in page.text(1), 60)
    assert "Nobody confirmed weather(…) within 1 s, so it was not run." in page.text(1)
    assert 'weather(city="Ulm") · not run' in page.text(1)
    page.page.wait_for_timeout(500)
    page.screenshot("tools_late")
    assert "ran:" not in page.text(2)
    assert "ran: []" in page.run(2)
