"""Scores that take for ever cost their score and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from deepseek_magic.engine.trials.marking import Marker, Patterns
from deepseek_magic.protocol.experiments import score
from deepseek_magic.protocol.experiments.rules import Score
from deepseek_magic.protocol.experiments.scoring import Scorer

FOR_EVER = r"(a+)+$"
ENDLESS = "a" * 40 + "!"


@pytest.fixture
def marker() -> Iterator[Marker]:
    made = Marker(pattern_s=60, function_s=60)
    yield made
    made.close()


def test_each_rule_is_asked_and_judges_are_left_out(marker: Marker) -> None:
    scorers = [
        score.exact("{answer}"),
        score.regex("^{answer}$"),
        score.function(lambda answer, row: {"long": 0.5}, name="mine"),
        Scorer(name="kind", kind="judge"),
    ]
    made = marker.mark(scorers, "42", {"answer": "42"})
    assert made == {"exact": Score(1.0), "regex": Score(1.0), "mine.long": Score(0.5)}
    assert (
        marker.mark(scorers[:2], "43", {"answer": None})["regex"]
        == marker.mark([score.exact("{answer}", name="regex")], "43", {"answer": None})["regex"]
    )
    assert marker.mark([score.regex("答.$")], "回答\ud800", {})["regex"].value == 1


def test_a_pattern_that_does_not_end_loses_its_score_and_the_next_one_is_found() -> None:
    patterns = Patterns(0.5)
    made = patterns.look(ENDLESS, FOR_EVER)
    assert made.value is None
    assert str(made.why) == "it took longer than 0.5 s"
    patterns._limit_s = 60
    assert patterns.look(ENDLESS, "a!") == Score(1.0)
    patterns.close()


def test_a_function_that_does_not_end_loses_its_score_and_the_others_have_theirs() -> None:
    free = threading.Event()

    def endless(answer: str, row: Any) -> bool:
        return free.wait(120)

    made = Marker(function_s=0.5).mark([score.function(endless), score.exact("x")], "x", {})
    free.set()
    assert made["endless"].value is None
    assert str(made["endless"].why) == "it took longer than 0.5 s"
    assert made["exact"] == Score(1.0)


def test_a_process_that_dies_is_said_and_started_again() -> None:
    patterns = Patterns(60)
    assert patterns.look("a", "a") == Score(1.0)
    process = patterns._process
    assert process is not None
    process.kill()
    process.wait()
    assert patterns.look("a", "a").value is None
    assert patterns.look("a", "b").value == 0.0
    patterns.close()
    patterns.close()


def test_a_process_that_cannot_be_started_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    made = Patterns().look("a", "a")
    assert made.value is None
    assert str(made.why).startswith("the pattern could not be run (")


def test_several_threads_share_the_process() -> None:
    patterns, found = Patterns(60), []
    threads = [
        threading.Thread(target=lambda n=n: found.append((n, patterns.look(f"{n}", "^[0-4]$").value))) for n in range(9)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found) == [(n, float(n < 5)) for n in range(9)]
    patterns.close()
