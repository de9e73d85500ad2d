"""A sweep on the screen: it grows, it is stopped with the mouse, it goes on, and a table stays."""

from __future__ import annotations

from collections.abc import Callable

from deepseek_magic.demo.server import DemoServer

from .conftest import Page

LOAD = "%load_ext deepseek_magic"
ROWS = "rows = [{'question': f'item {number}'} for number in range(40)]"
SWEEP = """%%deepseek_sweep -o s --over rows --vary temperature=0,1 --vary model=flash,pro --go --think off --name animals
{question} stream"""
Open = Callable[..., Page]


def test_a_sweep_grows_is_stopped_by_a_click_and_goes_on(open_notebook: Open, demo: DemoServer) -> None:
    demo.pace, demo.fault = 0.3, None
    page = open_notebook([f"{LOAD}\n{ROWS}", SWEEP])
    page.run(0)
    page.start(1)
    stop = page.output(1).get_by_role("button", name="Stop")
    stop.wait_for()
    page.wait_until(lambda: "160 trials" in page.text(1) and "running" in page.text(1))
    page.wait_until(lambda: sum(seen.ended == "done" for seen in demo.requests) >= 8)
    page.screenshot("sweep_running")
    asked = len(demo.requests)
    stop.click()
    page.wait_until(lambda: not page.running(1))
    assert "Stopped" in page.text(1)
    assert len(demo.requests) <= asked + 4
    demo.pace = 0
    page.run(1)
    page.wait_until(lambda: "160 of 160 trials" in page.text(1))
    assert stop.count() == 0
    assert page.output(1).locator("table").count() == 1
    page.screenshot("sweep_settled")


def test_a_wait_for_the_half_tariff_says_how_long_it_takes_and_is_stopped_by_a_click(
    open_notebook: Open, demo: DemoServer
) -> None:
    demo.pace, demo.fault = 0, None
    morning = (
        "import os\nos.environ['DEEPSEEK_MAGIC_DEMO'] = os.environ['DEEPSEEK_BASE_URL']\n"
        "from datetime import datetime, timedelta, timezone\nfrom deepseek_magic.session import session\n"
        "session().wall = lambda: datetime(2026, 11, 30, 10, 30, tzinfo=timezone(timedelta(hours=8)))"
    )
    waiting = SWEEP.replace("--name animals", "--name patience --at off-peak").replace(" stream", " wait")
    plan, mapped = waiting.replace("--go", "--dry-run"), "%%deepseek_map rows --think off --go\necho {question}"
    page = open_notebook([f"{morning}\n{LOAD}\n{ROWS}", plan, waiting, mapped])
    page.run(0)
    page.run(1)
    assert "in 1 h 30 min; it pauses at peak hours" in page.text(1)
    asked = len(demo.requests)
    page.start(2)
    page.wait_until(lambda: "waiting for the half tariff at" in page.text(2) and "1 h 30 min left" in page.text(2))
    page.screenshot("sweep_waiting")
    page.output(2).get_by_role("button", name="Stop").click()
    page.wait_until(lambda: not page.running(2))
    assert "Stopped" in page.text(2)
    assert len(demo.requests) == asked
    page.run(3)
    assert "The table is in _" in page.text(3)
    page.screenshot("map_without_a_name")
