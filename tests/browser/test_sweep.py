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
