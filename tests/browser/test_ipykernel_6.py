"""The kernel of Colab and of many installations: ipykernel 6 in the same JupyterLab, where no button is heard during a cell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import LIKE_A_MODEL

from .conftest import Page

LOAD: Final = "%load_ext deepseek_magic\nimport ipykernel; print(ipykernel.version_info[0])"
Open = Callable[..., Page]


@pytest.fixture(autouse=True)
def like_a_model(demo: DemoServer) -> Iterator[None]:
    demo.pace, demo.fault = LIKE_A_MODEL, None
    yield
    demo.fault = None


def test_an_answer_grows_without_a_button_and_an_interrupt_stops_it_and_run_all(
    open_notebook: Open, old_kernel: str, demo: DemoServer
) -> None:
    page = open_notebook(
        [LOAD, "%%deepseek -o a --think off\nlong 20", "print('went on')", "(a.outcome, len(a.text) > 50)"],
        kernel=old_kernel,
    )
    assert page.run(0).strip() == "6"
    page.menu("Run", "Run All Cells")
    lengths: list[int] = []

    def has_grown() -> bool:
        lengths.append(len(page.text(1)))
        return "paragraph 5" in page.text(1)

    page.wait_until(has_grown)
    assert sum(after > before for before, after in pairwise(lengths)) >= 5
    assert page.running(1)
    assert page.output(1).get_by_role("button", name="Stop").count() == 0
    page.screenshot("ipykernel_6_growing")
    page.interrupt()
    page.wait_until(lambda: "The text so far is in a; %deepseek_resume -o a resumes" in page.text(1))
    page.wait_until(lambda: not page.running(2))
    assert page.text(2) == ""
    assert "paragraph 1" in page.text(1)
    assert "Traceback" not in page.text(1)
    assert "('interrupted', True)" in page.run(3)
    page.wait_until(lambda: demo.requests[-1].ended == "client left")
    page.screenshot("ipykernel_6_stopped")


def test_background_answers_stay_below_their_cells_beside_a_busy_one_and_their_buttons_are_heard(
    open_notebook: Open, old_kernel: str
) -> None:
    page = open_notebook(
        [
            LOAD,
            "%%deepseek -b -o a --think off\nlong 20",
            "%%deepseek -b -o b --think off\nlong 2",
            "import pathlib, time\nwhile not pathlib.Path('enough').exists(): sum(range(1000))\nprint('computed')",
            "(b.wait().outcome, a.wait().outcome)",
        ],
        kernel=old_kernel,
    )
    page.run(0)
    page.run(1)
    page.run(2)
    page.start(3)
    page.wait_until(lambda: "paragraph 1" in page.text(1) and "paragraph 1" in page.text(2))
    before = len(page.text(1))
    page.wait_until(lambda: len(page.text(1)) > before)
    assert page.running(3)
    page.screenshot("ipykernel_6_background")
    (page.path.parent / "enough").touch()
    page.wait_until(lambda: not page.running(3))
    assert page.text(3).strip() == "computed"
    page.output(1).get_by_role("button", name="Stop").click()
    page.wait_until(lambda: "stopped" in page.text(1))
    assert "('complete', 'interrupted')" in page.run(4)


def test_restart_and_run_all_asks_once_and_a_cell_run_again_replaces_its_stream(
    open_notebook: Open, old_kernel: str, demo: DemoServer
) -> None:
    page = open_notebook(
        [
            LOAD,
            "%%deepseek -b -o a --think off\nlong 20",
            "first = a",
            "%%deepseek --think off\necho one",
            "first.done and first.outcome",
        ],
        kernel=old_kernel,
    )
    asked = len(demo.requests)
    page.menu("Kernel", "Restart Kernel and Run All Cells…")
    page.page.locator(".jp-Dialog .jp-mod-accept").click()
    page.wait_until(lambda: "first token" in page.text(3), timeout_s=60)
    page.wait_until(lambda: "paragraph 1" in page.text(1))
    assert len(demo.requests) == asked + 2
    page.run(1)
    assert "'interrupted'" in page.run(4)
    page.wait_until(lambda: "paragraph 1" in page.text(1))
    assert page.text(1).count("paragraph 1 ") <= 1
    assert page.output(1).get_by_role("button", name="Stop").count() == 1
    page.output(1).get_by_role("button", name="Stop").click()
    page.wait_until(lambda: "stopped" in page.text(1))
    page.screenshot("ipykernel_6_run_again")


def test_a_saved_answer_is_one_markdown_output_that_needs_no_kernel(
    open_notebook: Open, old_kernel: str, demo: DemoServer
) -> None:
    demo.pace = 0
    page = open_notebook([LOAD, "%%deepseek\nA table and code"], kernel=old_kernel)
    page.run(0)
    page.run(1)
    saved = page.save()
    (output,) = [output for output in saved["cells"][1]["outputs"] if any(output.get("data", {}).values())]
    assert set(output["data"]) == {"text/markdown", "text/plain"}
    page.page.reload()
    page.page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    page.output(1).locator("table td", has_text="Jupiter").wait_for()
