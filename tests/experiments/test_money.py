"""Money: whatever breaks and whoever dies, no sweep costs more than its budget, by what the server itself has counted."""

from __future__ import annotations

import os
import signal
from collections import Counter
from concurrent.futures import Future
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.hosts.endpoints import DEMO_VARIABLE
from deepseek_magic.engine.journal.reader import Journal
from deepseek_magic.engine.trials.store import SweepStore
from deepseek_magic.engine.trials.units import Claimed
from deepseek_magic.policy.pricing import PLAY_MONEY
from deepseek_magic.protocol.experiments import score
from deepseek_magic.session.calls import Session
from tests.experiments.conftest import Run
from tests.experiments.kills import HANG_S, billed, start, sweep_of, wait_for

PROMPT = "{question}"
HOW: dict[str, Any] = {"endpoint": "demo", "max_tokens": 120, "concurrency": 4}


def inputs(count: int) -> list[dict[str, Any]]:
    return [{"question": f"question {number} of a table"} for number in range(count)]


@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("fault", [None, "cut p=0.3 seed=3", "cut at=content after=2 p=0.5 seed=4; 500 p=0.1 seed=5"])
def test_no_fault_makes_a_sweep_cost_more_than_its_budget(
    demo: DemoServer, priced: None, run: Run, session: Session, fault: str | None, share: float
) -> None:
    run(PROMPT, over=inputs(12), **HOW)
    budget = float(billed(demo.requests)) * 2 * share
    before = len(demo.requests)
    demo.fault = fault
    first = run(f"Now {PROMPT}", over=inputs(24), **HOW, budget=budget)
    spent = billed(demo.requests[before:])
    counted = SweepStore(session.journal).spent(first.sweep_id)[PLAY_MONEY]
    assert 0 < spent <= counted <= Decimal(str(budget))
    assert first.states.keys() <= {"done", "unpaid"}
    assert first.states.get("done", 0) >= (0 if fault else 24 * share / 2)
    demo.fault = None
    assert run(f"Now {PROMPT}", over=inputs(24), **HOW, budget=100 * budget).states == {"done": 24}


def test_what_a_continuation_cannot_be_paid_for_is_kept_and_gone_on_with_later(
    demo: DemoServer, priced: None, run: Run, session: Session
) -> None:
    """The answer breaks off when there is money for one request and no second one."""
    demo.fault = "cut at=content after=30 times=1"
    sweep = run("Tell me a long story about {n}.", over=[{"n": 1}], **HOW, budget=0.0001)
    assert sweep.states == {"unpaid": 1}
    assert len(demo.requests) == 1
    assert "the answer was not continued" in str(sweep.rows()[0]["error"])
    kept = session.journal.rows()[-1]["text"]
    assert len(str(kept)) > 50
    again = run("Tell me a long story about {n}.", over=[{"n": 1}], **HOW, budget=0.01)
    assert again.states == {"done": 1}
    assert len(demo.requests) == 2
    assert demo.requests[-1].body["messages"][-1]["content"] in str(kept)


def test_every_call_of_a_trial_counts_also_those_that_failed(
    demo: DemoServer, priced: None, run: Run, session: Session
) -> None:
    demo.fault = "cut at=content after=5 times=1; 400"
    table = inputs(1)
    sweep = run(PROMPT, over=table, **HOW, budget=0.01)
    store = SweepStore(session.journal)
    assert sweep.states == {"failed": 1}
    spent = [store.spent(sweep.sweep_id)[PLAY_MONEY]]
    assert spent[0] >= billed(demo.requests)
    demo.fault = None
    run(PROMPT, over=table, **HOW, budget=0.01)
    spent.append(store.spent(sweep.sweep_id)[PLAY_MONEY])
    assert spent[1] >= billed(demo.requests)
    assert spent[1] > spent[0]
    run(PROMPT, over=table, **HOW, budget=0.01, fresh=True)
    assert store.spent(sweep.sweep_id)[PLAY_MONEY] < spent[1]


def test_judges_are_paid_for_by_the_sweep_that_they_judge(
    demo: DemoServer, priced: None, run: Run, session: Session
) -> None:
    judge = score.judge("Is this polite?", name="polite")
    sweep = run("echo {question}", over=inputs(4), **HOW, scores=judge, budget=1.0)
    assert len(demo.requests) == 8
    assert SweepStore(session.journal).spent(sweep.sweep_id)[PLAY_MONEY] == billed(demo.requests)
    spent = float(billed(demo.requests))
    run("echo {question}", over=inputs(4), **HOW, scores=score.judge("Is it short?", name="short"), budget=spent)
    assert len(demo.requests) == 8  # nothing is left for another judge


def test_a_lane_that_waits_for_money_looks_when_another_has_ended(
    demo: DemoServer, priced: None, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The budget allows one or two calls at once, of eight lanes: each end is looked at once, and time not at all."""
    demo.pace = 0.1
    table = inputs(20)
    refused: list[bool] = []
    step = SweepStore.step

    def counting(*args: Any) -> Future[Claimed | None]:
        future = step(*args)
        future.add_done_callback(lambda done: refused.append(done.result() is not None and bool(done.result().refused)))  # type: ignore[union-attr]
        return future

    monkeypatch.setattr(SweepStore, "step", counting)
    how = {**HOW, "concurrency": 8, "max_tokens": 2000}
    sweep = run(PROMPT, over=table, **how, budget=0.004)
    assert sweep.states == {"done": 20}
    assert 0 < sum(refused) <= 2 * 20 + 8


@pytest.mark.programs
def test_a_budget_holds_over_the_death_of_a_kernel(tmp_path: Path) -> None:
    with DemoServer(pace=0.3, keep=10_000) as server:
        environment = {
            **os.environ,
            "DEEPSEEK_MAGIC_HOME": str(tmp_path),
            DEMO_VARIABLE: server.base_url,
            "DEEPSEEK_API_KEY": "sk-test-1234",
        }
        budget = 0.0008
        how = {"prompt": "{question}", "inputs": inputs(40), "repeats": 1, **HOW, "budget": budget}
        for _ in range(2):
            dying, before = start(how, environment), sum(seen.ended == "done" for seen in server.requests)
            wait_for(lambda before=before: sum(seen.ended == "done" for seen in server.requests) >= before + 3, dying)
            dying.send_signal(signal.SIGKILL)
            dying.wait(HANG_S)
        assert start(how, environment).wait(HANG_S) == 0
        assert billed(server.requests) <= Decimal(str(budget))
        path = tmp_path / "journal.sqlite3"
        # What the dead calls may have cost can be all that there was.
        assert Counter(row["state"] for row in sweep_of(path).rows()).keys() <= {"done", "unpaid"}
        journal = Journal(path)
        assert journal.stored("SELECT count(*) FROM holds")[0][0] == 0
        journal.close()
        server.pace = 0
        assert start({**how, "budget": 1.0}, environment).wait(HANG_S) == 0
        assert Counter(row["state"] for row in sweep_of(path).rows()) == {"done": 40}
