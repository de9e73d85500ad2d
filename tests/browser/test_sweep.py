"""A sweep on the screen: it grows, it is stopped with the mouse, it goes on, and a table stays, whatever texts are in it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer
from tests.hostile_server import Thief
from tests.text.hostile import PAYLOADS

from .conftest import SCREENSHOTS, Lab, Page
from .sweep_page import Wire, notebook_of
from .test_hostile import open_without_kernel, watched_page

LOAD = "%load_ext deepseek_magic"
ROWS = "rows = [{'question': f'item {number}'} for number in range(40)]"
SWEEP = """%%deepseek_sweep -o s --over rows --vary temperature=0,1 --vary model=flash,pro --go --think off --name animals
{question} stream"""
Open = Callable[..., Page]

ROWS_OF_HOSTILE = 125
TRIALS = 500
HOSTILE = [
    f"{LOAD}\nimport json, pathlib\nrows = json.loads(pathlib.Path('hostile_rows.json').read_text('utf-8'))",
    """%%deepseek_sweep -o s --over rows --vary temperature=0,1 --go --think off --name hostile
--- <img src=x onerror=alert(1)>
echo {question}
--- $\\href{javascript:alert(1)}{x}$ | `b`
unsafe {number}""",
    "s.side(30)",
]
MOST_BYTES = 300_000
HANG_MS = 120_000


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


@pytest.fixture
def thief() -> Iterator[Thief]:
    thief = Thief()
    yield thief
    thief.close()


def hostile_rows(path: Path, thief: Thief) -> None:
    """Inputs that try to run and to load something, with the thief's address in the place of evil.example."""
    texts = [text.replace("evil.example", thief.host) for text in PAYLOADS.values() if len(text) < 2_000]
    rows = [{"question": texts[number % len(texts)], "number": number} for number in range(ROWS_OF_HOSTILE)]
    path.write_text(json.dumps(rows), "utf-8")


@pytest.mark.slow
def test_of_five_hundred_trials_little_reaches_the_page_and_nothing_of_their_texts_runs(
    browser: Any, lab: Lab, demo: DemoServer, thief: Thief
) -> None:
    """Stopped by a click at half, run again to its end, side by side, and opened once more without a kernel."""
    hostile_rows(lab.root / "hostile_rows.json", thief)
    path = notebook_of(HOSTILE, lab.root / "hostile_sweep.ipynb")
    demo.pace, demo.fault = 0.02, None
    demo.requests.clear()
    with watched_page(browser, lab.url) as (page, watch):
        page.set_default_timeout(HANG_MS)
        wire = Wire(page)
        opened = lab.open(page, path)
        opened.run(0)
        before, began_s = wire.bytes, time.monotonic()
        opened.start(1)
        stop = opened.output(1).get_by_role("button", name="Stop")
        stop.wait_for()
        opened.wait_until(lambda: len(demo.requests) >= TRIALS / 2, timeout_s=120)
        demo.pace = 1  # what is being answered now is so for seconds: the click comes before the end
        asked = len(demo.requests)
        stop.click()
        opened.wait_until(lambda: not opened.running(1))
        assert "Stopped" in opened.text(1)
        assert len(demo.requests) <= asked + 8  # those at once, and those of the moment before the click
        demo.pace = 0
        opened.start(1)
        opened.wait_until(lambda: f"{TRIALS} of {TRIALS} trials" in opened.text(1), timeout_s=120, every_s=0.5)
        opened.wait_until(lambda: not opened.running(1))
        took_s = time.monotonic() - began_s
        assert wire.bytes - before <= MOST_BYTES + max(0, took_s - 60) * 3_000  # a slow machine has more to draw
        assert wire.messages < max(TRIALS, 8 * took_s)
        assert TRIALS <= len(demo.requests) <= TRIALS + 8
        opened.run(2)
        opened.screenshot("sweep_side_by_side")
        assert opened.output(2).locator("tbody tr").count() == 30
        assert "onerror" in opened.text(2)  # its words are to be read
        assert page.locator("mjx-container").count() == 0  # nor is any of them a formula
        opened.save()
        assert watch.faults == []
    with watched_page(browser, lab.url) as (page, watch):
        page.set_default_timeout(HANG_MS)
        open_without_kernel(page, path, lab)
        tables = page.locator(".jp-OutputArea-output table")
        tables.nth(1).wait_for(state="attached")
        settled, side = tables.all()
        assert settled.locator("tbody tr").count() == 4
        assert side.locator("tbody tr").count() == 30
        page.wait_for_timeout(1_000)
        page.screenshot(path=SCREENSHOTS / "sweep_without_kernel.png")
        assert watch.faults == []
    assert thief.visits == 0
