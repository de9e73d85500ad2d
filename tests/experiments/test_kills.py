"""Kernels that die and kernels that share: nothing that is on disk is paid for again, and nothing is missing."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from deepseek_magic.demo.server import DemoServer
from tests.experiments.kills import HANG_S, one, question, start, sweep_of, wait_for

pytestmark = pytest.mark.programs


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_killed_sweep_asks_only_for_what_it_had_not(seed: int) -> None:
    verdict = one(seed)
    assert (verdict.asked_twice, verdict.missing) == (0, 0)
    assert verdict.tokens == verdict.journal_tokens + verdict.lost_tokens
    assert verdict.cost == verdict.journal_cost + verdict.lost_cost


def test_answers_that_were_on_their_way_are_continued() -> None:
    verdict = one(1, long=True)
    assert (verdict.asked_twice, verdict.missing) == (0, 0)
    assert verdict.kept_chars > 0.5 * verdict.in_flight_chars > 0, verdict  # the command tells how much


def test_two_kernels_run_one_sweep_and_the_death_of_one_costs_nothing(tmp_path: Path) -> None:
    table = [{"q": f"item {number}"} for number in range(60)]
    how = {"prompt": "echo {q}", "inputs": table, "repeats": 2, "concurrency": 4}
    with DemoServer(pace=0.05, keep=100_000) as server:
        environment = {
            **os.environ,
            "DEEPSEEK_MAGIC_HOME": str(tmp_path),
            "DEEPSEEK_BASE_URL": server.base_url,
            "DEEPSEEK_API_KEY": "sk-test-1234",
        }
        dying, living = start(how, environment), start(how, environment)
        wait_for(lambda: sum(seen.ended == "done" for seen in server.requests) >= 40, living)
        at_the_kill = sum(1 for seen in server.requests if seen.body)
        dying.send_signal(signal.SIGKILL)
        dying.wait(HANG_S)
        assert living.wait(HANG_S) == 0
        asked = Counter(question(seen.body) for seen in server.requests if seen.body)
    rows = sweep_of(tmp_path / "journal.sqlite3").rows()
    assert len(rows) == 120
    assert {row["state"] for row in rows} == {"done"}
    assert 40 <= at_the_kill < 120
    # What the dead one was asking when it died is asked again: what it had open, and what had just ended and was on its way to the disk.
    assert sum(asked.values()) <= 120 + 2 * 4
    assert all(2 <= count <= 4 for count in asked.values())  # two repeats, each of them asked again once at most
    assert len({row["call_id"] for row in rows}) == 120
    assert json.dumps([row["text"] for row in rows]).count("item") >= 120
