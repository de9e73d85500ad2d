"""What a plan says it would take, held against what its sweep then takes; the server's log is the judge."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.hosts.endpoints import DEMO_VARIABLE
from deepseek_magic.protocol.experiments.outlook import Outlook
from deepseek_magic.session.calls import Session
from deepseek_magic.session.experiments.calls import planned
from deepseek_magic.session.experiments.outlook import with_outlook
from tests.experiments.conftest import Run


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


def test_the_price_lies_between_least_and_most_and_is_near_what_was_expected(
    demo: DemoServer, run: Run, session: Session
) -> None:
    chance = random.Random(1)
    for number in range(8):
        rows = [{"n": f"{number} {n} " + "word " * chance.randrange(40)} for n in range(chance.randrange(1, 5))]
        options: dict[str, Any] = {
            "over": rows,
            "grid": {"temperature": [0, 1][: chance.randrange(1, 3)]},
            "repeats": chance.randrange(1, 3),
            "endpoint": "demo",
        }
        if chance.random() < 0.5:
            options["max_tokens"] = chance.randrange(1, 50)
        prompt = "echo {n}"
        made, before = looked_at(session, prompt, **options), len(demo.requests)
        sweep = run(prompt, **options)
        assert made.calls == len(demo.requests) - before
        spent = sum(Decimal(str(row["cost"])) for row in sweep.rows() if isinstance(row["cost"], float))
        assert made.cost.least is not None
        assert made.cost.most is not None
        assert made.cost.least.currency == "demo USD"
        assert made.cost.least.amount <= spent <= made.cost.most.amount
        assert (made.cost.expected is None) == (number == 0)
        if made.cost.expected is not None:
            assert made.cost.least.amount <= made.cost.expected.amount <= made.cost.most.amount
            assert made.earlier > 0
        again = looked_at(session, prompt, **options)
        assert (again.calls, again.reused) == (0, len(sweep))


def test_what_the_journal_has_and_what_rows_share_is_not_sent(demo: DemoServer, run: Run, session: Session) -> None:
    rows = [{"n": n} for n in (1, 2, 2)]
    run("echo {n}", over=rows[:1], endpoint="demo")
    made = looked_at(session, "echo {n}", over=rows, repeats=2, endpoint="demo")
    assert (made.calls, made.reused, made.shared, made.visible) == (3, 1, 2, None)
    each = looked_at(session, "echo {n}", over=rows, repeats=2, endpoint="demo", each=True)
    assert (each.calls, each.reused, each.shared) == (5, 1, 0)


def test_inputs_that_belong_together_count_as_one_for_what_can_be_seen(session: Session) -> None:
    rows = [{"n": n, "topic": n % 2} for n in range(20)]
    made = looked_at(session, "{n}", over=rows, grid={"seed": [1, 2]}, cluster="topic", endpoint="demo")
    assert made.visible == 1
