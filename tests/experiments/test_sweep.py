"""A sweep against a demo whose own log is the judge: what was asked, how often, and what is in the table."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from deepseek_magic.demo.api import frames
from deepseek_magic.demo.api.inquiry import asked_for
from deepseek_magic.demo.api.replies import Reply, reply
from deepseek_magic.demo.api.tokens import tokenize
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.home import engine
from deepseek_magic.engine.trials.accounts import Payer
from deepseek_magic.engine.trials.store import SweepStore
from deepseek_magic.engine.trials.units import Bill, Claim, Claimed, TrialUnit
from deepseek_magic.protocol.errors import AuthenticationError, ConfigurationError
from deepseek_magic.session.calls import Session
from deepseek_magic.session.experiments.calls import begun
from deepseek_magic.session.experiments.sweep import Sweep
from tests.experiments.conftest import Run, wait_until

PROMPT = "echo {question}"


def inputs(count: int, begin: int = 0) -> list[dict[str, Any]]:
    return [{"question": f"item {number}", "right": number} for number in range(begin, begin + count)]


def bodies(demo: DemoServer, since: int = 0) -> Counter[str]:
    """How often each body was asked."""
    return Counter(json.dumps(seen.body, sort_keys=True) for seen in demo.requests[since:])


def texts(demo: DemoServer) -> Counter[str]:
    """Every answer that the requests so far should have got, by the demo's own pure function."""
    return Counter(reply(asked_for(seen.body)).text for seen in demo.requests)


def test_every_trial_is_asked_once_and_has_the_answer_that_the_server_gives(demo: DemoServer, run: Run) -> None:
    sweep = run(PROMPT, over=inputs(5), grid={"temperature": [0, 1], "model": ["flash", "pro"]}, repeats=3)
    asked = bodies(demo)
    assert len(asked) == 20
    assert set(asked.values()) == {3}
    rows = sweep.rows()
    assert len(rows) == len(sweep) == 60
    assert Counter(row["text"] for row in rows) == texts(demo)
    for row in rows:
        assert row["question"] in str(row["text"])
    assert sweep.states == {"done": 60}


def test_the_frame_has_the_axes_the_inputs_and_the_figures_with_fixed_types(demo: DemoServer, run: Run) -> None:
    sweep = run(PROMPT, over=inputs(2), grid={"temperature": [0, 1], "system": {"plain": None, "terse": "Be brief."}})
    frame = sweep.to_pandas()
    assert list(frame.columns[:8]) == [
        "sweep",
        "trial",
        "temperature",
        "system",
        "question",
        "right",
        "repeat",
        "state",
    ]
    assert {str(frame[name].dtype) for name in ("temperature", "total_s")} == {"float64"}
    assert {str(frame[name].dtype) for name in ("right", "repeat", "prompt_tokens")} == {"Int64"}
    assert set(frame["system"]) == {"plain", "terse"}
    assert sweep.to_polars().shape == sweep.to_arrow().shape == frame.shape


def test_the_same_sweep_asks_nothing_and_more_repeats_ask_only_the_new_ones(
    demo: DemoServer, run: Run, counted: None
) -> None:
    asked = []
    table = inputs(8)
    for how in ({"repeats": 5}, {"repeats": 5}, {"repeats": 7}):
        before = len(demo.requests)
        sweep = run(PROMPT, over=table, **how)
        asked.append(len(demo.requests) - before)
    changed = [*table[:-1], {"question": "changed", "right": 0}]
    before = len(demo.requests)
    run(PROMPT, over=changed, repeats=7)
    asked.append(len(demo.requests) - before)
    before = len(demo.requests)
    fresh = run(PROMPT, over=changed, repeats=7, fresh=True)
    asked.append(len(demo.requests) - before)
    assert asked == [40, 0, 16, 7, 56]
    of_input = [row["text"] for row in sweep.rows() if row["question"] == "item 3"]
    assert of_input == [f"answer {number} to echo item 3" for number in range(1, 8)]
    anew = [row["text"] for row in fresh.rows() if row["question"] == "item 3"]
    assert anew == [f"answer {number} to echo item 3" for number in range(8, 15)]
    assert [row["reused"] for row in sweep.rows()].count(True) == 40


def test_equal_rows_are_asked_once_unless_each_is_to_be(demo: DemoServer, run: Run, counted: None) -> None:
    twice = [*inputs(3), *inputs(3)]
    once = run(PROMPT, over=twice, repeats=2)
    assert len(demo.requests) == 6
    assert once.states == {"done": 12}
    assert [row["reused"] for row in once.rows()].count(True) == 6
    each = run(PROMPT, over=twice, repeats=2, each=True)
    assert len(demo.requests) == 12
    assert len({row["text"] for row in each.rows()}) == 12


def test_what_a_cell_has_asked_is_not_asked_again(demo: DemoServer, run: Run, session: Session) -> None:
    session.ask("echo item 1", think="off")
    sweep = run(PROMPT, over=inputs(3))
    assert len(demo.requests) == 3
    assert [row["reused"] for row in sweep.rows()] == [False, True, False]
    assert sum(row["cost"] or 0 for row in sweep.rows() if row["reused"]) == 0


def test_a_trial_that_fails_is_a_row_with_its_reason_and_is_retried_alone(demo: DemoServer, run: Run) -> None:
    demo.fault = "400 p=1"
    sweep = run(PROMPT, over=inputs(3))
    assert sweep.states == {"failed": 3}
    assert all("400" in str(row["error"]) for row in sweep.failed)
    demo.fault = None
    before = len(demo.requests)
    assert sweep.retry().states == {"done": 3}
    assert len(demo.requests) - before == 3


def test_a_broken_network_costs_no_trial(demo: DemoServer, run: Run) -> None:
    demo.fault = "500 p=0.12 seed=1; cut p=0.12 seed=2"
    sweep = run("{question}", over=inputs(120), concurrency=8)
    assert sweep.states == {"done": 120}
    oracle = {reply(asked_for(seen.body)).text for seen in demo.requests}
    assert {row["text"] for row in sweep.rows()} <= oracle
    assert len(demo.requests) <= 1.6 * 120


def test_a_refused_key_ends_the_sweep_at_once_and_the_rest_waits(demo: DemoServer, run: Run, session: Session) -> None:
    demo.key = "sk-another-one"
    with pytest.raises(AuthenticationError):
        run(PROMPT, over=inputs(100))
    assert len(demo.requests) <= 16
    demo.key = None
    assert run(PROMPT, over=inputs(100)).states == {"done": 100}


def test_the_window_holds_the_calls_that_exist(demo: DemoServer, run: Run) -> None:
    run(PROMPT, over=inputs(60), concurrency=7)
    assert demo.most_running <= 7


def test_stopped_it_keeps_what_is_there_and_goes_on_with_the_rest(demo: DemoServer, session: Session) -> None:
    demo.pace = 0.05
    call = begun(session, "{question} stream", {"over": inputs(40), "think": "off"})
    wait_until(lambda: call.run.standing.count("done") >= 5)
    call.stop(wait_s=30)
    assert call.done
    done = call.sweep.states["done"]
    assert 5 <= done < 40
    demo.pace = 0
    before = len(demo.requests)
    begun(session, "{question} stream", {"over": inputs(40), "think": "off"}).wait()
    assert call.sweep.states == {"done": 40}
    assert len(demo.requests) - before == 40 - done


def test_who_takes_over_from_a_dead_kernel_does_not_ask_what_it_had_the_whole_answer_to(
    demo: DemoServer, run: Run, session: Session
) -> None:
    sweep = run(PROMPT, over=inputs(1))
    (row,) = sweep.trials
    died = "UPDATE trials SET state = 'running', host = 'elsewhere', pid = 1, seen_at = '2026-01-01T00:00:00+00:00'"
    session.journal.transact(lambda file: file.execute(died).rowcount).result(30)
    unit = TrialUnit(digest=row.digest, base_url=row.base_url, place=0, trials=(0,), setting=0)
    claim = Claim(unit, ("waiting",), Bill("another", {}))
    payer = Payer(sweep_id=sweep.sweep_id)

    async def claiming() -> Claimed | None:
        return await SweepStore(session.journal).step(sweep.sweep_id, [], claim, payer)

    claimed = engine.submit(claiming()).result(30)
    assert claimed == (False, "done", row.call_id, None)
    assert sweep.states == {"done": 1}


def test_a_sweep_whose_requests_would_be_others_now_is_not_asked_as_another_one(
    demo: DemoServer, run: Run, session: Session
) -> None:
    demo.fault = "400"
    sweep = run("echo {key}", over=[{"key": "sk-test-1234"}])
    demo.fault, before = None, len(demo.requests)
    with pytest.raises(ConfigurationError, match="would be others now"):
        sweep.retry()
    assert (len(demo.requests), sweep.states) == (before, {"failed": 1})
    assert len(SweepStore(session.journal).heads()) == 1


def test_a_csv_holds_no_formula(demo: DemoServer, run: Run, tmp_path: Path) -> None:
    sweep = run("echo {question}", over=[{"question": "=1+1"}, {"question": "-5"}, {"question": "@SUM(A1)"}])
    sweep.to_csv(tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8") as file:
        assert [row["question"] for row in csv.DictReader(file)] == ["'=1+1", "-5", "'@SUM(A1)"]
    run("echo {=cmd()}", over=[{"=cmd()": "a"}]).to_csv(tmp_path / "out.csv")
    assert "'=cmd()" in (tmp_path / "out.csv").read_text("utf-8").splitlines()[0].split(",")


def test_a_number_that_no_frame_can_hold_is_a_text_in_it(demo: DemoServer, run: Run) -> None:
    sweep = run("echo {n}", over=[{"n": 2**70}, {"n": 1}])
    for frame in (sweep.to_pandas(), sweep.to_polars()):
        assert list(frame["n"]) == [str(2**70), "1"]


def test_without_the_journal_a_sweep_is_refused(demo: DemoServer, run: Run, session: Session) -> None:
    session.journal.enabled = False
    with pytest.raises(ConfigurationError, match="switched off"):
        run(PROMPT, over=inputs(3))
    assert demo.requests == []


def test_a_sweep_is_found_by_name_and_read_without_the_table(demo: DemoServer, run: Run, session: Session) -> None:
    made = run(PROMPT, over=inputs(3), name="tries")
    again = Sweep(Session().journal, made.sweep_id)
    assert again.name == "tries"
    assert again.rows() == made.rows()


def test_pruning_leaves_the_answers_of_sweeps(demo: DemoServer, run: Run, session: Session) -> None:
    session.ask("echo alone", think="off")
    sweep = run(PROMPT, over=inputs(2))
    assert session.journal.prune(keep_days=0) == 1
    assert all(row["text"] for row in sweep.rows())
    sweep.delete()
    assert session.journal.prune(keep_days=0) == 2


def cost(sweep: Sweep) -> float:
    return sum(float(row["cost"] or 0) for row in sweep.rows())


def test_what_the_budget_does_not_allow_is_left_unpaid_and_paid_later_but_nothing_twice(
    demo: DemoServer, priced: None, run: Run
) -> None:
    how = {"over": inputs(40), "endpoint": "demo", "max_tokens": 100, "concurrency": 3}
    whole = cost(run(PROMPT, **how, repeats=2, name="what it costs"))
    budget = whole / 5
    before = len(demo.requests)
    first = run(f"Now {PROMPT}", **how, budget=budget)
    assert 0 < cost(first) <= budget
    assert first.states["unpaid"] > 0
    assert first.states["done"] == len(demo.requests) - before
    last = run(f"Now {PROMPT}", **how, budget=10 * whole)
    assert last.states == {"done": 40}
    assert len(demo.requests) - before == 40
    assert set(bodies(demo, before).values()) == {1}


def test_the_costs_of_the_rows_are_those_of_the_servers_usage(demo: DemoServer, priced: None, run: Run) -> None:
    sweep = run(PROMPT, over=inputs(6), endpoint="demo", repeats=2)
    tokens = sum(int(row["completion_tokens"] or 0) for row in sweep.rows())  # type: ignore[arg-type]
    assert tokens == sum(len(tokenize(reply(asked_for(seen.body)).text)) for seen in demo.requests)
    again = run(PROMPT, over=inputs(6), endpoint="demo", repeats=3)
    assert cost(again) == pytest.approx(cost(sweep) / 2)


def test_answers_stand_side_by_side_as_text_and_equal_ones_are_left_out(
    demo: DemoServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(asked: Any) -> Reply:
        same = "item 1" in asked.prompt or asked.temperature == 0
        return Reply(text="same" if same else "<img src=x onerror=alert(1)> $\\href{x}{y}$ | `a`")

    monkeypatch.setattr(frames, "reply", answer)
    side = run(PROMPT, over=inputs(3), grid={"temperature": [0, 1]}).side()
    assert side.settings == ["0", "1"]
    assert [answers[0] for _, answers in side.rows] == ["same", "same"]
    assert side.alike == 1
    shown = side._repr_mimebundle_()
    assert "<img" not in shown["text/html"]
    assert "$" not in shown["text/html"]
    assert "item 2" in shown["text/plain"]
