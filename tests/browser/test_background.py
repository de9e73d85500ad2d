"""Answers that go on below their cells while others run, code that becomes the next cell, and conversations, on a screen."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import LIKE_A_MODEL

from .conftest import Page

LOAD = "%load_ext deepseek_magic"
BUSY = "import time\nend = time.monotonic() + 4\nwhile time.monotonic() < end: sum(range(1000))\nprint('computed')"
Open = Callable[..., Page]


@pytest.fixture(autouse=True)
def like_a_model(demo: DemoServer) -> None:
    demo.pace, demo.fault = LIKE_A_MODEL, None


def test_two_answers_stream_beside_a_busy_cell_and_each_has_its_own_stop(open_notebook: Open) -> None:
    page = open_notebook(
        [
            LOAD,
            "%%deepseek -b -o a --think off\nlong 20",
            "%%deepseek -b -o b --think off\nlong 3",
            BUSY,
            "b.wait().outcome",
        ]
    )
    page.run(0)
    page.run(1)
    page.run(2)
    page.start(3)
    page.wait_until(lambda: "paragraph 1" in page.text(1) and "paragraph 1" in page.text(2))
    before = len(page.text(1)), len(page.text(2))
    page.page.wait_for_timeout(1000)
    assert page.running(3)
    assert len(page.text(1)) > before[0]
    assert len(page.text(2)) > before[1]
    page.screenshot("background_beside_a_busy_cell")
    page.wait_until(lambda: not page.running(3))
    assert page.text(3).strip() == "computed"
    page.output(1).get_by_role("button", name="Stop").click()
    page.wait_until(lambda: "stopped" in page.text(1), timeout_s=5)
    assert "'complete'" in page.run(4)
    page.wait_until(lambda: page.output(2).get_by_role("button", name="Stop").count() == 0)
    page.screenshot("background_settled")


def test_a_cell_run_again_replaces_its_stream_on_the_screen(open_notebook: Open, demo: DemoServer) -> None:
    page = open_notebook([LOAD, "%%deepseek -b -o a --think off\nlong 20", "first = a", "first.wait().outcome"])
    page.run(0)
    page.run(1)
    page.run(2)
    page.wait_until(lambda: "paragraph 2" in page.text(1))
    page.run(1)
    assert "'interrupted'" in page.run(3)
    page.wait_until(lambda: "paragraph 1" in page.text(1))
    assert page.text(1).count("paragraph 1 ") <= 1
    assert page.output(1).get_by_role("button", name="Stop").count() == 1
    page.output(1).get_by_role("button", name="Stop").click()
    page.wait_until(lambda: "stopped" in page.text(1), timeout_s=5)


def test_code_becomes_the_next_cell_and_waits_to_be_run(open_notebook: Open, demo: DemoServer) -> None:
    demo.pace = 0
    page = open_notebook(
        [LOAD, "%%deepseek --format code --think off\nPrimes as Python code", "%deepseek_log", "%deepseek_chat"]
    )
    page.run(0)
    page.run(1)
    page.wait_until(lambda: "def " in page.cell(2).inner_text())
    assert page.prompt(2).strip() in ("[ ]:", "")
    page.run(3)
    page.run(4)
    assert "Service levels" in page.text(3)
    assert "main" in page.text(4)
    page.screenshot("next_cell_log_and_chats")
