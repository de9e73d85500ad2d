"""What a plan says it would take, held against what its sweep then takes; the server's log is the judge."""

from __future__ import annotations

from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.hosts.endpoints import DEMO_VARIABLE
from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.protocol.experiments.outlook import Outlook
from deepseek_magic.session.calls import Session
from deepseek_magic.session.experiments.calls import planned
from deepseek_magic.session.experiments.outlook import with_outlook
from tests.experiments.conftest import Run
from tests.experiments.plans import one


@pytest.fixture(autouse=True)
def no_other_demo(monkeypatch: pytest.MonkeyPatch, demo: DemoServer) -> None:
    monkeypatch.setenv(DEMO_VARIABLE, demo.base_url)


def looked_at(session: Session, prompt: str, **options: Any) -> Outlook:
    given: Any = {"think": "off", **options}
    plan = with_outlook(session, planned(session, prompt, given))
    assert plan.outlook is not None
    return plan.outlook


def test_a_plan_asks_nothing_and_needs_neither_server_nor_key(session: Session) -> None:
    made = looked_at(
        session,
        "{n}",
        over=[{"n": n} for n in range(20)],
        grid={"temperature": [0, 1]},
        repeats=2,
        base_url="http://127.0.0.1:9",
    )
    assert (made.calls, made.reused, made.shared, made.unpriced) == (80, 0, 0, 80)
    assert made.visible is not None
    assert round(made.visible, 2) == 0.34
    assert [str(said) for said in made.notices] == [
        "At temperature 0 repeats differ little: more inputs tell more than more repeats."
    ]


@pytest.mark.parametrize("seed", [1, 2])
def test_what_was_spent_lies_between_least_and_most_and_no_plan_opens_a_connection(
    demo: DemoServer, session: Session, seed: int
) -> None:
    for number in range(3):
        priced = one(number, seed, demo, session)
        assert priced.holds, priced
        if number:
            assert priced.expected is None or priced.least <= priced.expected <= priced.most


def test_answers_of_before_say_what_to_expect(demo: DemoServer, run: Run, session: Session) -> None:
    rows = [{"n": n} for n in range(3)]
    first = looked_at(session, "echo {n}", over=rows * 2, endpoint="demo", each=True)
    assert first.cost.expected is None
    assert [str(said) for said in first.notices if "--limit 3" in str(said)]
    run("echo {n}", over=rows, endpoint="demo")
    made = looked_at(session, "echo the {n}", over=rows, endpoint="demo")
    assert made.cost.least is not None
    assert made.cost.expected is not None
    assert made.cost.most is not None
    assert made.cost.least.amount <= made.cost.expected.amount <= made.cost.most.amount
    assert (made.cost.least.currency, made.earlier, made.notices) == ("demo USD", 3, ())


def test_what_the_journal_has_and_what_rows_share_is_not_sent(demo: DemoServer, run: Run, session: Session) -> None:
    rows = [{"n": n} for n in (1, 2, 2)]
    run("echo {n}", over=rows[:1], endpoint="demo")
    made = looked_at(session, "echo {n}", over=rows, repeats=2, endpoint="demo")
    assert (made.calls, made.reused, made.shared, made.visible) == (3, 1, 2, None)
    each = looked_at(session, "echo {n}", over=rows, repeats=2, endpoint="demo", each=True)
    assert (each.calls, each.reused, each.shared) == (5, 1, 0)


def test_a_plan_whose_answers_are_all_there_costs_nothing_and_says_so(
    demo: DemoServer, run: Run, session: Session
) -> None:
    rows = [{"n": 1}]
    run("echo {n}", over=rows, endpoint="demo")
    plan = with_outlook(session, planned(session, "echo {n}", {"over": rows, "endpoint": "demo", "think": "off"}))
    assert "price: nothing: every answer is in the journal" in plan._repr_mimebundle_()["text/plain"]


def test_inputs_that_belong_together_count_as_one_for_what_can_be_seen(session: Session) -> None:
    rows = [{"n": n, "topic": n % 2} for n in range(20)]
    made = looked_at(session, "{n}", over=rows, grid={"seed": [1, 2]}, cluster="topic", endpoint="demo")
    assert made.visible == 1


def test_a_plan_takes_what_a_sweep_takes_and_the_sweep_of_it_is_asked_so(
    demo: DemoServer, session: Session, run: Run
) -> None:
    options: Any = {"over": [{"n": n} for n in range(3)], "think": "off", "endpoint": "demo", "max_tokens": 50}
    how: dict[str, Any] = {"name": "three", "budget": 0.0, "concurrency": 2}
    plan = with_outlook(session, planned(session, "echo {n}", {**options, **how}), how)
    assert run(plan).states == {"unpaid": 3}
    done = run(plan, budget=1.0)
    assert (done.name, done.states) == ("three", {"done": 3})
    fresh = with_outlook(session, planned(session, "echo {n}", options), {"fresh": True}).outlook
    assert fresh is not None
    assert (fresh.calls, fresh.reused) == (3, 0)
    retried = with_outlook(session, planned(session, "echo {n}", options), {"retry": True}).outlook
    assert retried is not None
    assert retried.calls == 0
    with pytest.raises(ConfigurationError, match="concurrency"):
        with_outlook(session, planned(session, "echo {n}", options), {"concurrency": 0})


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("Say {qestion}.", r"\{qestion\} in the prompt is neither a column of the table nor a variable "
         r"\(did you mean question\?\)\. The columns are question, unit price\. In backticks it is sent as typed"),
        ("Say {nope} and {question}.", r"\{nope\} in the prompt is neither a column of the table nor a variable\."),
        ("{nope} {questio.title}", r"\{questio.title\} in the prompt .* \(did you mean question\?\)"),
        ("{unit prise} of {question}", r"\(did you mean unit price\?\)"),
        ({"a": "{question}", "b": "{qestion}"}, r"did you mean question"),
        ("{prompt} {question}", r"\{prompt\} in the prompt is neither a column"),
    ],
)  # fmt: skip
def test_a_name_that_nothing_fills_is_refused_before_anything_is_sent(session: Session, prompt: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        looked_at(session, prompt, over=[{"question": "1 + 1", "unit price": 2}])


@pytest.mark.parametrize(
    "prompt",
    [
        'Is {question} JSON: {"a": 1}, {}?',
        "Solve \\frac{a}{b} = x_{i} for {question}, or $\\sum_{k} {n}$",
        "```python\nprint(f'{name}')\n``` {question}",
        "What does `{nope}` mean in {question}?",
        "the set {x, y} and {{nope}} for {question}",
        " ".join(f"{{name{number}}}" for number in range(20)),
    ],
)
def test_braces_that_are_none_of_a_tables_are_left_alone(session: Session, prompt: str) -> None:
    looked_at(session, prompt, over=[{"question": "1 + 1"}])
    looked_at(session, "{nope}", over=[{"question": "1 + 1"}], raw=True)
    looked_at(session, "{nope}", over=[{"question": "1 + 1"}], variables={"nope": "a variable"})


def test_values_that_are_missing_are_told_before_they_are_paid_for(session: Session) -> None:
    rows = [{"a": 1, "b": None}, {"a": float("nan"), "b": None}, {"a": 3, "b": 4, "c": 5}]
    assert [str(said) for said in looked_at(session, "{a} and {b}", over=rows).notices] == [
        "{a} is missing in 1 row; nothing stands in its place there.",
        "{b} is missing in 2 rows; nothing stands in its place there.",
    ]
