"""A plan shows what it would ask, what it would cost and what could be seen, in Markdown and in a terminal's lines."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from deepseek_magic.protocol.experiments import score
from deepseek_magic.protocol.experiments.outlook import CostRange, OffPeak, Outlook, lasting
from deepseek_magic.protocol.experiments.plan import Plan
from deepseek_magic.protocol.measured import Cost
from deepseek_magic.text import language


def costs(*amounts: str | None) -> CostRange:
    made = [None if amount is None else Cost(amount=Decimal(amount), currency="USD") for amount in amounts]
    return CostRange(least=made[0], expected=made[1], most=made[2])


def planned(outlook: Outlook | None = None, prompt: Any = "Answer: {question}", **more: Any) -> Plan:
    from dataclasses import replace

    rows = more.pop("rows", [{"question": f"{n}+1?", "answer": n + 1} for n in range(25)])
    return replace(Plan.of(prompt, rows=rows, **more), outlook=outlook)


WHOLE = Outlook(
    calls=180,
    reused=120,
    shared=3,
    cost=costs("0.00123", "0.0456", "1.234"),
    other=costs("0.00246", "0.0912", "2.468"),
    peak=False,
    earlier=84,
    visible=0.3014,
    notices=("At temperature 0 repeats differ little.",),
)


def test_a_plan_says_all_of_it_in_lines() -> None:
    plan = planned(
        WHOLE, grid={"temperature": [0, 1], "model": ["flash", "pro"]}, repeats=3, scorers=[score.exact("{answer}")]
    )
    assert str(plan).splitlines() == [
        "Plan: 300 trials: 4 settings × 25 inputs × 3 repeats",
        "temperature: 0, 1",
        "model: flash, pro",
        "prompt: Answer: {question}",
        "columns: question, answer",
        "scores: exact",
        "to be sent: 180 calls; 120 answers are in the journal; 3 trials take the answer of an equal row",
        "price: about 0.0456 USD, by 84 earlier answers; at least 0.00123 USD, at most 1.23 USD",
        "price at peak hours: about 0.0912 USD, by 84 earlier answers; at least 0.00246 USD, at most 2.47 USD",
        "can be seen: differences of about 30 percentage points between the scores of two settings",
        "At temperature 0 repeats differ little.",
    ]


def test_markdown_says_the_same_and_what_is_typed_cannot_act() -> None:
    plan = planned(WHOLE, grid={"system": {"a|b": "<script>", "`c`": None}})
    shown = plan._repr_mimebundle_()
    assert shown["text/plain"] == str(plan)
    lines = shown["text/markdown"].splitlines()
    assert lines[:2] == ["| **Plan** | 50 trials: 2 settings × 25 inputs |", "|---|---|"]
    assert lines[2] == "| system | <code>a&#124;b</code>, <code>&#96;c&#96;</code> |"
    assert "| prompt | `Answer: {question}` |" in lines
    assert lines[-1] == "At temperature 0 repeats differ little."
    assert "<script>" not in shown["text/markdown"]


@pytest.mark.parametrize(
    ("outlook", "line"),
    [
        (Outlook(calls=1, cost=costs("0", None, "0.01")), "price: at least 0 USD, at most 0.01 USD"),
        (Outlook(calls=9, unpriced=4), "price: unknown: 4 calls have no known price"),
        (
            Outlook(calls=9, unpriced=4, cost=costs("0.5", None, "2")),
            "price: at least 0.5 USD, at most 2 USD; and 4 calls of unknown price",
        ),
        (Outlook(calls=9), "price: unknown: the models are priced in several currencies"),
        (Outlook(calls=1), "to be sent: 1 call"),
        (
            Outlook(calls=1, reused=1, shared=1),
            "to be sent: 1 call; 1 answer is in the journal; 1 trial takes the answer of an equal row",
        ),
        (Outlook(calls=1, unpriced=1), "price: unknown: the call has no known price"),
        (
            Outlook(calls=2, unpriced=1, earlier=1, cost=costs("0.5", "1", "2")),
            "price: about 1 USD, by 1 earlier answer; at least 0.5 USD, at most 2 USD; and 1 call of unknown price",
        ),
        (
            Outlook(calls=9, cost=costs("1", "2", "4"), other=costs("0.5", "1", "2"), peak=True, earlier=3),
            "price off-peak: about 1 USD, by 3 earlier answers; at least 0.5 USD, at most 2 USD",
        ),
    ],
)
def test_what_is_not_known_is_not_made_up(outlook: Outlook, line: str) -> None:
    assert line in str(planned(outlook)).splitlines()


def test_what_there_is_once_is_not_counted() -> None:
    assert str(Plan.of("Tell a joke.")).splitlines() == ["Plan: 1 trial", "prompt: Tell a joke."]
    assert str(Plan.of("Tell a joke.", repeats=5)).splitlines()[0] == "Plan: 5 trials: 5 repeats"
    long = Plan.of({"a": "x", "b": "y"}, grid={"seed": range(20)})
    assert str(long).splitlines() == [
        "Plan: 40 trials: 40 settings",
        "seed: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …",
        "prompt: a, b",
    ]
    assert str(Plan.of("word " * 100)).splitlines()[1].endswith(" word…")


def test_a_plan_speaks_the_reader_s_language() -> None:
    before = language.language()
    language.use("zh")
    try:
        assert str(planned(WHOLE)).splitlines()[0] == "计划：25 次试验：25 条输入"
    finally:
        language.use(before)


def test_what_it_would_take_is_no_part_of_a_plan() -> None:
    assert planned(WHOLE) == planned()
    assert planned(WHOLE).digest == planned().digest


@pytest.mark.parametrize(
    ("waits_s", "said"), [(0.0, "now; it pauses at peak hours"), (5400.0, "in 1 h 30 min; it pauses")]
)
def test_a_plan_that_is_asked_off_peak_says_when_it_begins(waits_s: float, said: str) -> None:
    moment = datetime(2026, 11, 23, 4, tzinfo=UTC)
    off_peak = OffPeak(waits_s, moment, moment.replace(hour=6))
    shown = str(planned(Outlook(calls=1, cost=costs("0.1", "0.2", "0.3"), off_peak=off_peak)))
    assert said in shown


@pytest.mark.parametrize(("seconds", "said"), [(89, "89 s"), (90, "2 min"), (5399, "1 h 30 min"), (5340, "89 min")])
def test_a_time_is_said_in_passing(seconds: float, said: str) -> None:
    assert str(lasting(seconds)) == said
