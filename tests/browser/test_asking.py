"""What is asked and what is remembered, in a real JupyterLab: images, types, and a conversation across a restart."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deepseek_magic.demo.server import DemoServer

from .conftest import Page

Open = Callable[..., Page]

SETUP = """\
%load_ext deepseek_magic
%config DeepSeekMagics.cache = True
from dataclasses import dataclass
import numpy as np

@dataclass
class Picture:
    title: str
    colours: list[str]

picture = np.linspace(0, 1, 48 * 64).reshape(48, 64)"""
SEEN = "%%deepseek --image picture\nWhat is to be seen here?"
TYPED = "%%deepseek -o told --schema Picture --no-history\nDescribe 'Dusk' to me"
BACK = "%deepseek_chat reload\n%deepseek_chat reload main"
ON = "%deepseek --think off and how large was it?"


@pytest.fixture(autouse=True)
def fast(demo: DemoServer) -> None:
    demo.pace, demo.fault = 0, None


def test_a_restarted_notebook_goes_on_where_it_was_and_pays_nothing_twice(
    open_notebook: Open, demo: DemoServer
) -> None:
    page = open_notebook([SETUP, SEEN, TYPED, BACK, ON])
    page.run(0)
    assert "PNG, 64 × 48 pixels" in page.run(1)
    assert '"title": "Dusk"' in page.run(2)
    sent = len(demo.requests)

    page.menu("Kernel", "Restart Kernel and Clear Outputs of All Cells…")
    page.page.locator(".jp-Dialog .jp-mod-accept").click()
    page.wait_until(lambda: page.text(1) == "" and page.text(2) == "")  # cleared when the new kernel is there
    page.run(0)
    assert "from the journal, " in page.run(2)
    assert "main is back as of" in page.run(3)
    page.screenshot("asking")
    assert "[image] What is to be seen here?" in page.run(4)
    assert len(demo.requests) == sent + 1
    assert [m["role"] for m in demo.requests[-1].body["messages"]] == ["user", "assistant", "user"]
    assert demo.requests[-1].body["messages"][0]["content"][0]["type"] == "image_url"
