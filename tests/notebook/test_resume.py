"""``%deepseek_resume`` in real kernels: after a Stop, after a kernel's death, and where it cannot."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import LIKE_A_MODEL

from .conftest import LOAD, WIDGETS_VIEW, Kernel, Ran, kernel_in

Run = Callable[..., list[list[Any]]]
ASK = "%%deepseek -o a --think off\nlong 3"


def drawing(ran: Ran) -> bool:
    """Whether some of the answer is on the screen."""
    return sum("text/markdown" in str(c) for c in [*ran.of("comm_msg"), *ran.of("display_data")]) > 6


def interrupted(kernel: Kernel, demo: DemoServer) -> None:
    demo.pace = LIKE_A_MODEL
    ran = kernel.collect(kernel.send(ASK), when=drawing, do=kernel.manager.interrupt_kernel)
    assert ran.reply["ename"] == "Stopped"
    demo.pace = 0


def test_a_stopped_answer_goes_on_and_is_bound_whole(kernel: Kernel, demo: DemoServer) -> None:
    kernel.run(WIDGETS_VIEW)
    kernel.run("%%deepseek -o whole --think off --no-history\nlong 3")
    interrupted(kernel, demo)
    ran = kernel.run("%deepseek_resume -o b")
    assert ran.reply["status"] == "ok"
    (settled,) = ran.of("update_display_data")
    assert "This is paragraph 1" in settled["data"]["text/plain"]
    told = kernel.run(
        "print(b.text == whole.text, b.outcome, a.outcome, b is _, [s.kind for s in b.seams], len(a.text) > 0)"
    )
    assert told.printed == "True complete interrupted True ['continued'] True\n"
    assert demo.requests[-1].body["messages"][-1]["prefix"] is True
    kernel.run("%deepseek_resume a -o c")
    assert kernel.run("print(c.text == whole.text)").printed == "True\n"


def test_what_a_killed_kernel_had_received_is_gone_on_with_in_the_next(
    environment: dict[str, str], demo: DemoServer
) -> None:
    with kernel_in(environment) as first:
        first.run(LOAD)
        first.run("%%deepseek -o whole --think off --no-history\nlong 3")
        text = first.run("print(whole.text)").printed
        demo.pace = LIKE_A_MODEL
        first.send(ASK)
        _until_written(environment)
        first.manager.shutdown_kernel(now=True)
    demo.pace = 0
    with kernel_in(environment) as second:
        second.run(LOAD)
        assert "long 3" in second.run("%deepseek_resume --list").of("display_data")[0]["data"]["text/plain"]
        ran = second.run("%deepseek_resume -o b")
        assert "Resuming the answer to “long 3”" in str(ran.of("update_display_data")[-1]["data"])
        assert second.run("print(b.text)").printed == text
        assert demo.requests[-1].body["messages"][-1]["prefix"] is True
        assert second.run("%deepseek_resume --list").printed == "There is no answer to resume.\n"


DIES = """
import os
import deepseek_magic as ds

def weather(city: str) -> str:
    "The weather in a city."
    os._exit(9)

ds.ask("What is the weather in Ulm?", tools=[weather], confirm="unasked", base_url={url!r}, api_key="sk-test-1234")
"""


def test_what_waits_for_its_functions_is_listed_as_such(environment: dict[str, str], demo: DemoServer) -> None:
    script = DIES.format(url=demo.base_url)
    done = subprocess.run([sys.executable, "-c", script], check=False, timeout=120, env=environment)
    assert done.returncode == 9
    with kernel_in(environment) as kernel:
        kernel.run(LOAD)
        (table,) = kernel.run("%deepseek_resume --list").of("display_data")
        assert "waits for its functions" in table["data"]["text/plain"]


def _until_written(environment: dict[str, str]) -> None:
    """Wait until the journal has so much of the running answer that it can be resumed."""
    path = Path(environment["DEEPSEEK_MAGIC_HOME"]) / "journal.sqlite3"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        for _ in range(1200):
            with contextlib.suppress(sqlite3.OperationalError):  # a busy machine has the file before its tables
                if connection.execute("SELECT total(length(events)) FROM pieces").fetchone()[0] > 1500:
                    return
            time.sleep(0.05)
    raise AssertionError("nothing was written")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("%deepseek_resume", "The answer is complete: there is nothing to continue."),
        ("%deepseek_resume zz", "The journal has no call whose id begins with zz."),
        ("%deepseek_resume n", "n is not an answer that can be resumed."),
        ("%deepseek_resume --json", "%deepseek_resume cannot take json: the question is asked already."),
    ],
)
def test_what_cannot_go_on_is_one_sentence(kernel: Kernel, line: str, sentence: str) -> None:
    kernel.run("n = 3")
    kernel.run("%%deepseek --think off\nhello")
    ran = kernel.run(line)
    assert ran.reply["status"] == "error"
    assert sentence in "".join(ran.reply["traceback"])


def test_an_answer_of_the_kernels_own_demo_goes_on_there(run_headless: Run) -> None:
    """``%deepseek_demo`` moves the endpoint called demo to a free port; its usual one is closed."""
    cells = [
        '%deepseek_demo --pace 0 --fault "cut at=content after=4 times=6"',
        "try:\n    get_ipython().run_cell_magic('deepseek', '-o a --think off', 'A table')\nexcept Exception: pass",
        "%deepseek_resume -o b a",
        "print(a.outcome, b.outcome, b.text.startswith(a.text.rstrip()))\n%deepseek_demo stop",
    ]
    *_, told = run_headless(*cells)
    assert told[0].text.startswith("incomplete complete True\n")


def test_an_answer_of_a_demo_that_ended_with_its_kernel_goes_on_at_the_next_demo(
    environment: dict[str, str], run_headless: Run
) -> None:
    run_headless(
        '%deepseek_demo --pace 0 --fault "cut at=content after=4"',
        "try:\n    get_ipython().run_cell_magic('deepseek', '--think off', 'A table')\nexcept Exception: pass",
    )
    refused, _, resumed, _ = run_headless(
        *("%deepseek_resume", "%deepseek_demo --pace 0", "%deepseek_resume -o b"),
        "assert b.outcome == 'complete', b\n%deepseek_demo stop",
    )
    assert (refused[0].ename, "%deepseek_demo first" in refused[0].evalue) == ("ConfigurationError", True)
    assert "error" not in [out.output_type for out in resumed]


def test_in_the_demos_own_notebooks_an_answer_goes_on_where_it_came_from(
    environment: dict[str, str], demo: DemoServer
) -> None:
    with kernel_in({**environment, "DEEPSEEK_MAGIC_DEMO": demo.base_url}) as kernel:
        kernel.run(LOAD)
        kernel.run(WIDGETS_VIEW)
        interrupted(kernel, demo)
        assert kernel.run("%deepseek_resume -o b").reply["status"] == "ok"
        assert kernel.run("print(a.outcome, b.outcome, b.record.endpoint)").printed == "interrupted complete demo\n"
