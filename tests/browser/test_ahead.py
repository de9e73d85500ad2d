"""*Run All* in JupyterLab with look-ahead, on ipykernel 6 and 7: what the server is asked, and what stands in which cell.

python -m tests.browser.ahead     # how long ten cells take
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import LIKE_A_MODEL, Pace

from .conftest import Page

Open = Callable[..., Page]

STEADY: Final = Pace(first_token_s=0.6, tokens_per_s=40.0, jitter=0.0)
LOAD: Final = "%load_ext deepseek_magic\nimport ipykernel; print(ipykernel.version_info[0])"
SET: Final = "%config DeepSeekMagics.look_ahead = {count}"


@pytest.fixture(params=["ipykernel 6", "ipykernel 7"])
def kernel_name(request: pytest.FixtureRequest) -> str:
    """A kernel of either generation."""
    if request.param == "ipykernel 7":
        return "python3"
    name: str = request.getfixturevalue("old_kernel")
    return name


def _version(kernel_name: str) -> str:
    return "7" if kernel_name == "python3" else "6"


@pytest.fixture(autouse=True)
def steady(demo: DemoServer) -> Iterator[None]:
    demo.pace, demo.fault = STEADY, None
    yield
    demo.pace = LIKE_A_MODEL


def shown(page: Page, cells: int) -> list[list[Any]]:
    """What the saved notebook has of the answers below its cells, without their footers."""
    saved = page.save()["cells"]
    found = []
    for cell in saved[2 : 2 + cells]:
        data = [output.get("data", {}) for output in cell["outputs"]]
        texts = ["".join(each.get("text/plain", "")) for each in data]
        found.append([[sorted(each) for each in data], texts])
    return found


def test_ten_cells_are_asked_four_at_once(open_notebook: Open, kernel_name: str, demo: DemoServer) -> None:
    asks = [f"%%deepseek --no-history --think off -o a{n}\necho number {n}" for n in range(10)]
    outputs = []
    for count in (0, 3):
        page = open_notebook([LOAD, SET.format(count=count), *asks, "print('all')"], kernel=kernel_name)
        assert page.run(0).strip() == _version(kernel_name)
        # One after the other they may come at once: what stands in the cells is what is compared.
        demo.pace = STEADY if count else 0
        before, demo.most_running = len(demo.requests), 0
        page.menu("Run", "Run All Cells")
        page.wait_until(lambda: page.text(12).strip() == "all", timeout_s=120)  # noqa: B023
        seen = demo.requests[before:]
        assert sorted(each.body["messages"][-1]["content"] for each in seen) == sorted(
            f"echo number {n}" for n in range(10)
        )
        assert demo.most_running == count + 1
        outputs.append(shown(page, 10))
        ahead = [n for n in range(10) if "ahead" in page.text(n + 2)]
        assert len(ahead) >= 6 if count else not ahead
        page.screenshot(f"ahead_{kernel_name}_{count}".replace(" ", "_"))
    assert outputs[0] == outputs[1]


def test_a_cell_edited_or_deleted_while_it_waits(open_notebook: Open, kernel_name: str, demo: DemoServer) -> None:
    asks = [f"%%deepseek --no-history --think off\necho number {n}" for n in range(3)]
    page = open_notebook([LOAD, SET.format(count=3), *asks, "print('all')"], kernel=kernel_name)
    assert page.run(0).strip() == _version(kernel_name)
    before = len(demo.requests)
    page.menu("Run", "Run All Cells")
    page.wait_until(lambda: len(demo.requests) == before + 3)
    page.cell(3).locator(".cm-content").first.click()
    page.page.keyboard.press("End")
    page.page.keyboard.type(" edited")
    page.cell(4).locator(".jp-InputPrompt").first.click()
    page.page.keyboard.press("d")
    page.page.keyboard.press("d")
    page.wait_until(lambda: page.text(4).strip() == "all", timeout_s=60)
    page.wait_until(lambda: demo.running == 0)
    assert len(demo.requests) == before + 3
    assert "number 0" in page.text(2)
    assert "number 1" in page.text(3)
    assert "number 2" not in json.dumps([page.text(n) for n in range(5)])
