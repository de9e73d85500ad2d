"""Functions that a model may call, in cells: what is asked, what is run, and what lasts of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Kernel, Ran, newer_only
from .test_gate import run_clicking, run_typing

WEATHER = """
ran = []
def weather(city: str) -> dict:
    "The weather in a city."
    print("measuring")
    ran.append(city)
    return {"city": city, "celsius": 7}
"""
ASK = "%%deepseek --tool weather -o a\nWhat is the weather in Ulm?"


def markdown(ran: Ran) -> list[str]:
    """What lasts of the outputs, in order."""
    shown: dict[str, str] = {}
    for message in ran.messages:
        content = message["content"]
        name = content.get("transient", {}).get("display_id")
        if message["msg_type"] in ("display_data", "update_display_data"):
            shown[name or str(len(shown))] = content["data"].get("text/markdown", "")
    return [text for text in shown.values() if text]


@newer_only("a click is heard while a cell runs", twin="test_a_typed_yes_runs_it")
def test_a_click_on_run_runs_it(kernel: Kernel) -> None:
    kernel.run(WEATHER)
    ran = run_clicking(kernel, ASK, "Run")
    assert ran.reply["status"] == "ok"
    assert "measuring" in ran.printed
    _, called, answered = markdown(ran)
    assert "weather(city=&quot;Ulm&quot;) · ran" in called
    assert "celsius" in called
    assert "celsius" in answered
    assert kernel.run("print(ran, a.outcome, a.tool_runs[0].state)").printed == "['Ulm'] complete ran\n"


@newer_only("a click is heard while a cell runs", twin="test_a_typed_no_skips_it")
def test_a_click_on_skip_runs_nothing_and_the_model_is_told(kernel: Kernel) -> None:
    kernel.run(WEATHER)
    ran = run_clicking(kernel, ASK, "Skip")
    assert ran.reply["status"] == "ok"
    assert kernel.run("print(ran, a.tool_runs[0].state, 'did not allow' in a.text)").printed == "[] skipped True\n"


@newer_only("a click is heard while a cell runs", twin="test_a_typed_stop_ends_the_cell")
def test_a_click_on_stop_ends_the_cell_and_keeps_what_was_asked(kernel: Kernel) -> None:
    kernel.run(WEATHER)
    ran = run_clicking(kernel, ASK, "Stop")
    assert ran.reply["ename"] == "Stopped"
    assert "weather(city=&quot;Ulm&quot;) · not run" in "".join(markdown(ran))
    assert kernel.run("print(ran, a.outcome, a.tool_runs[0].state)").printed == "[] interrupted stopped\n"


@newer_only("a click is heard while a cell runs", twin="test_an_input_that_nobody_answers_fails_the_cell")
def test_nobody_clicks_and_the_cell_fails(kernel: Kernel) -> None:
    kernel.run(WEATHER)
    ran = kernel.run(ASK.replace("-o", "--confirm-wait 0.3 -o"))
    assert ran.reply["ename"] == "NotConfirmed"
    assert "Nobody confirmed weather(…) within 0.3 s, so it was not run." in ran.reply["evalue"]
    assert kernel.run("print(ran, a.outcome, type(a.error).__name__)").printed == "[] incomplete NotConfirmed\n"


INDENTED = "get_ipython().run_cell_magic('deepseek', '--tool weather -o a', 'What is the weather in Ulm?')"
"""A cell that blocks."""


def test_a_typed_yes_runs_it(kernel: Kernel) -> None:
    kernel.run(WEATHER)
    _, prompts = run_typing(kernel, INDENTED, "r")
    assert len(prompts) == 1
    assert kernel.run("print(ran, a.outcome, a.tool_runs[0].state)").printed == "['Ulm'] complete ran\n"


def test_a_typed_no_skips_it(kernel: Kernel) -> None:
    kernel.run(WEATHER)
    run_typing(kernel, INDENTED, "s")
    assert kernel.run("print(ran, a.outcome, a.tool_runs[0].state)").printed == "[] complete skipped\n"


def test_a_typed_stop_ends_the_cell(kernel: Kernel) -> None:
    kernel.run(WEATHER)
    ran, _ = run_typing(kernel, INDENTED, "x")
    assert ran.reply["ename"] == "Stopped"
    assert kernel.run("print(ran, a.outcome, a.tool_runs[0].state)").printed == "[] interrupted stopped\n"


def test_an_input_that_nobody_answers_fails_the_cell(kernel: Kernel) -> None:
    kernel.run(WEATHER)
    ran, _ = run_typing(kernel, INDENTED.replace("-o", "--confirm-wait 0.5 -o"))
    assert ran.reply["ename"] == "NotConfirmed"
    assert kernel.run("print(ran)").printed == "[]\n"


SLOW = """
import time
def weather(city: str) -> dict:
    "The weather in a city."
    print("measuring", flush=True)
    for _ in range(6000):
        time.sleep(0.01)
    print("measured")
"""


@pytest.mark.parametrize("ask", [ASK, INDENTED])
def test_stop_ends_a_function_that_blocks(kernel: Kernel, ask: str) -> None:
    kernel.run(SLOW)
    ask = ask.replace("-o", "--confirm unasked -o")
    ran = kernel.run(ask, when=lambda now: "measuring" in now.printed, do=kernel.manager.interrupt_kernel)
    assert ran.reply["ename"] == "Stopped"
    assert "measured" not in ran.printed
    assert kernel.run("print(a.outcome)").printed == "interrupted\n"


SLOW_ON_A_LOOP = """
import asyncio, threading
cancelled = threading.Event()
async def weather(city: str) -> dict:
    "The weather in a city."
    print("measuring", flush=True)
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        cancelled.set()
        raise
"""


def test_stop_cancels_an_async_function_of_a_cell_that_blocks(kernel: Kernel) -> None:
    kernel.run(SLOW_ON_A_LOOP)
    ask = INDENTED.replace("-o", "--confirm unasked -o")
    ran = kernel.run(ask, when=lambda now: "measuring" in now.printed, do=kernel.manager.interrupt_kernel)
    assert ran.reply["ename"] == "Stopped"
    assert kernel.run("print(cancelled.wait(60), a.outcome)").printed == "True interrupted\n"


def test_where_nobody_looks_on_nothing_is_run(run_headless: Callable[..., list[list[Any]]]) -> None:
    _, outputs, (after,) = run_headless(WEATHER, ASK, "print(ran, a.outcome, a.tool_runs[0].state)")
    assert outputs[-1].ename == "NotConfirmed"
    assert after.text == "[] incomplete stopped\n"


def test_unasked_runs_it_where_nobody_looks_on(run_headless: Callable[..., list[list[Any]]]) -> None:
    _, outputs, (after,) = run_headless(WEATHER, ASK.replace("-o", "--confirm unasked -o"), "print(ran, a.outcome)")
    texts = [each.data["text/markdown"] for each in outputs if each.output_type == "display_data"]
    assert "weather(city=&quot;Ulm&quot;) · ran" in texts[1]
    assert after.text == "['Ulm'] complete\n"
