"""Sums are what an experiment on the demo finds something with: the chance to be right hangs on the setting, and repeats vary."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from deepseek_magic.demo.api.inquiry import Inquiry, asked_for
from deepseek_magic.demo.api.replies import continuation, reply
from deepseek_magic.demo.api.sums import Draws, sum_in
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.protocol.experiments.judging import Case, judge_plan, verdict
from deepseek_magic.protocol.experiments.score import judge, prefer
from deepseek_magic.protocol.experiments.scoring import Scorer

PAIRS = [(a, b) for a, b in product(range(13, 97, 4), range(14, 98, 6))]
OFF = {"thinking": {"type": "disabled"}}


def asked(prompt: str, *, system: str = "", **fields: Any) -> Inquiry:
    said = [{"role": "system", "content": system}] if system else []
    messages = [*said, {"role": "user", "content": prompt}]
    return asked_for({"model": "deepseek-flash", "messages": messages, **fields})


def share(words: str = "What is {a} × {b}?", *, draws: int = 1, **fields: Any) -> float:
    """How many of the products are right."""
    found = [
        str(a * b) in reply(replace(asked(words.format(a=a, b=b), **fields), draw=draw)).text
        for a, b in PAIRS
        for draw in range(1, draws + 1)
    ]
    return sum(found) / len(found)


@pytest.mark.parametrize(("text", "value"), [
    ("What is 17 × 24?", 408),
    ("17*24 = ?", 408),
    ("12 + 30=", 42),
    ("17 × 24 等于多少？", 408),
    ("17×24是多少", 408),
])  # fmt: skip
def test_a_sum_is_found_where_one_is_asked_for(text: str, value: int) -> None:
    found = sum_in(text)
    assert found is not None
    assert found.value == value


@pytest.mark.parametrize(
    "text", ["", "6 * 7 gave 42", "2026-11-29?", "pages 10-20?", "3.17 × 24?", "echo 1+1", "12345 × 3?", "-3 + 4 = ?"]
)
def test_other_numbers_are_no_sum(text: str) -> None:
    assert sum_in(text) is None


def test_thinking_and_steps_help_and_what_is_said_about_the_answer_does_not() -> None:
    plain, terse = share(**OFF), share("What is {a} × {b}? Answer with one number.", **OFF)
    steps, low, high = share("Step by step: what is {a} × {b}?", **OFF), share(reasoning_effort="low"), share()
    assert plain + 0.15 < steps < low
    assert abs(terse - plain) < 0.1
    assert abs(high - low) < 0.06
    assert share(temperature=2, **OFF) < plain < share(temperature=0, **OFF)


def test_answers_are_as_long_as_they_were_asked_for_and_end_with_the_number() -> None:
    short, sentence, steps = (
        reply(asked(text, **OFF)).text
        for text in ("12 × 13? One number.", "What is 12 × 13?", "12 × 13? Go step by step.")
    )
    assert short.isdecimal()
    assert sentence.startswith("12 × 13 is ")
    assert steps.startswith("12 × 13 = 12 × 10 + 12 × 3 = 120 + 36 = ")
    assert reply(asked("12 × 13 等于多少？", **OFF)).text.startswith("12 × 13 等于 ")


def test_the_same_question_is_answered_otherwise_another_time_and_the_same_on_a_new_server() -> None:
    def told(times: int, **fields: Any) -> list[str]:
        draws = Draws()
        question = asked("What is 47 × 86?", **OFF, **fields)
        return [reply(draws.drawn(question, again=False, seed=fields.get("seed"))).text for _ in range(times)]

    assert len(set(told(9))) > 1
    assert told(9) == told(9)
    assert len(set(told(9, temperature=0))) == 1
    assert len(set(told(9, seed=5))) == 1


def test_a_continuation_ends_as_one_of_the_answers_does_and_is_no_new_one() -> None:
    draws = Draws()
    question = asked("Step by step: what is 47 × 86?", **OFF)
    texts = [reply(draws.drawn(question, again=False, seed=None)).text for _ in range(3)]
    for text in texts:
        for cut in range(1, len(text) + 1):
            going_on = draws.drawn(question, again=True, seed=None)
            assert going_on.draw == 3
            assert text[:cut] + continuation(going_on, text[:cut], None).text in texts
    newest = texts[-1]
    assert newest[:9] + continuation(going_on, newest[:9], None).text == newest


def test_the_server_counts_how_often_it_was_asked(ask: Callable[..., Any]) -> None:
    with DemoServer(pace=0) as server:
        texts = [ask(server, "What is 47 × 86?", **OFF).text for _ in range(9)]
    draws = Draws()
    question = asked("What is 47 × 86?", **OFF)
    assert texts == [reply(draws.drawn(question, again=False, seed=None)).text for _ in range(9)]


def replies_of(scorer: Scorer, cases: list[Case]) -> list[str]:
    """What the demo says as a judge, in the order of the plan's trials."""
    plan = judge_plan(scorer, cases, {})
    assert plan is not None
    found = []
    for row in plan.rows:
        prompt = plan.templates[0].text
        for name, value in row.items():
            prompt = prompt.replace("{" + name + "}", str(value))
        said = asked(prompt, system=str(plan.options["system"]), response_format={"type": "json_object"}, **OFF)
        found.append(reply(said).text)
    return found


def test_as_a_judge_it_errs_most_on_wrong_answers_that_are_long() -> None:
    scorer = judge("Is this the right answer to: {question}", name="right")

    def approved(text: str, off: int) -> float:
        cases = [Case(text.format(a * b + off), {"question": f"What is {a} × {b}?"}) for a, b in PAIRS]
        return sum(verdict(scorer, [said]).value == 1 for said in replies_of(scorer, cases)) / len(cases)

    assert approved("{}", 0) > 0.85
    assert approved("{}", 10) < 0.25 < approved("I went through it with care: {}", 10) < 0.5


def test_as_a_judge_of_two_it_mostly_prefers_the_right_one_and_else_the_first() -> None:
    scorer = prefer("Which answer to {question} is right?")

    def first(one: int, other: int) -> float:
        cases = [
            Case(f"It is {a * b + one}.", {"question": f"{a} × {b} = ?"}, f"It is {a * b + other}.") for a, b in PAIRS
        ]
        said = [json.loads(text)["verdict"] for text in replies_of(scorer, cases)[::2]]
        return said.count("1") / len(said)

    assert first(0, 10) > 0.8
    assert first(10, 0) < 0.2
    assert 0.45 < first(10, 20) < 0.75
