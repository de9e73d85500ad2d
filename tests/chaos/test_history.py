"""The history of many calls on a bad network has no call that is wrong, lost, doubled or left behind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos.history import CAP, MANY, SAMPLES, History, Operation, record

WHOLE = Operation(name="a", ended="ok", finish="stop")
WHOLE.text = WHOLE.expected
GOOD = History(operations=[WHOLE], requests=[("a", 0.0, 1.0)], resources=[(9, 1, 0)] * SAMPLES, seconds=1.0)


async def test_nothing_in_the_history_of_many_calls_breaks_a_rule() -> None:
    history = await record(400, workers=100, seed=17)
    print(history)
    assert not history.broken()
    assert sum(each.broken for each in history.operations) > 100  # there was something to survive


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (replace(GOOD, operations=[replace(WHOLE, text=WHOLE.text[:-3])]), "is ok with"),
        (replace(GOOD, operations=[replace(WHOLE, text=WHOLE.text + "!", ended="fail")]), "no part of the answer"),
        (replace(GOOD, operations=[replace(WHOLE, ended="")]), "has no end"),
        (replace(GOOD, operations=[replace(WHOLE, ended="fail", broken=True)]), "1 of 1 calls"),
        (replace(GOOD, operations=[replace(WHOLE, gaps_s=[9.0])] * MANY), "waited 9.00 s"),
        (replace(GOOD, requests=[("a", 0.0, 1.0), ("a", 0.9, 2.0)]), "two requests at once"),
        (replace(GOOD, requests=[(str(n), 0.0, 1.0) for n in range(CAP + 1)]), f"{CAP + 1} requests at once"),
        (replace(GOOD, resources=[(9 + n, 1, 0) for n in range(SAMPLES)]), "open files"),
        (replace(GOOD, resources=[(9, 1 + n, 0) for n in range(SAMPLES)]), "tasks"),
    ],
)
def test_the_checker_sees_every_breach(bad: History, said: str) -> None:
    assert not GOOD.broken()
    assert any(said in rule for rule in bad.broken())
