"""Every fault × every place × thinking × gzip, four times round with other prompts, options and readers: 2,560 cases.

A failing case prints the command that plays it alone. 100,000 of them: ``python -m tests.chaos.run --cases 100000``.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Final

import msgspec
import pytest

from deepseek_magic.demo.faults.spec import KINDS, parse
from tests.chaos.cases import GRID, Case, cases, load
from tests.chaos.play import play, watch_tasks
from tests.chaos.run import run, run_in_processes

SEED: Final = 20261122
ROUNDS: Final = 4


def test_every_fault_of_the_demo_is_in_the_grid() -> None:
    """But for those that only make sense after another one (they are in the resume matrix) and for the one that nobody
    can notice: a proxy that repeats whole events without ids."""
    met = {fault.kind for row, *_ in GRID for fault in parse(row.spec)}
    assert set(KINDS) - met == {"echo-prefix", "diverge", "replay"}


def test_the_grid_crosses_faults_with_places_thinking_and_gzip() -> None:
    assert len(GRID) * ROUNDS >= 2000
    assert len(set(GRID)) == len(GRID)


def test_a_case_comes_back_from_its_line_and_from_its_number() -> None:
    for first, second in itertools.islice(zip(cases(7), cases(7), strict=True), 200):
        assert first == second == load(msgspec.json.encode(first).decode())


def test_the_first_round_breaks_no_rule() -> None:
    report = run(list(itertools.islice(cases(SEED), 0, len(GRID), 4)))
    assert not report.broken, str(report)


def test_no_log_line_has_the_key_or_the_prompt(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    chosen = [case for case in itertools.islice(cases(SEED), 0, len(GRID), 13) if case.prompt.startswith("echo")]
    assert not run(chosen).broken
    written = caplog.text
    assert "send_request_headers" in written  # the libraries below were really listened to
    assert "sk-test-" not in written
    assert not any(case.prompt[:40] in written for case in chosen)


@pytest.mark.parametrize("max_tokens", [20, 40, 60])
@pytest.mark.parametrize(
    "words", ["four five six", "four five six seven eight nine ten eleven twelve thirteen fourteen"]
)
async def test_a_budget_is_judged_by_the_words_that_came(words: str, max_tokens: int) -> None:
    """The demo drops the newlines where it goes on, and at the next break takes the text for somebody else's: what it then
    writes is shorter or longer than its own answer would be."""
    watch_tasks(asyncio.get_running_loop())
    case = Case(
        fault="cut at=content after=8 times=2",
        effect="break",
        prompt=f"echo one two three\n\n{words}",
        options={"max_tokens": max_tokens},
        rewind=False,
    )
    played = await play(case)
    assert not played.broken, f"{case.line}\n{played.broken}"
    assert played.seams == ("continued", "continued")
    assert played.completion is not None
    assert "\n\n" not in played.completion.text  # the newlines of the prompt are those that were dropped


@pytest.mark.slow
def test_no_fault_anywhere_loses_doubles_or_hangs() -> None:
    report = run_in_processes(SEED, 0, ROUNDS * len(GRID), jobs=2)
    print(report)
    assert report.played == ROUNDS * len(GRID)
    assert not report.broken, str(report)
