"""Answers are scored in the journal, once by each version of a scorer; settings are compared by these scores."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.journal.reader import Journal
from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.protocol.experiments import score
from deepseek_magic.protocol.experiments.rules import Score
from deepseek_magic.session.calls import Session
from deepseek_magic.session.experiments import scores
from deepseek_magic.session.experiments.calls import begun
from deepseek_magic.session.experiments.showing import growing
from tests.experiments.conftest import Run, wait_until

ROWS = [{"n": n, "word": f"item {n}"} for n in range(4)]
PROMPT = "echo {word}"


def test_each_answer_has_its_scores_as_columns(demo: DemoServer, run: Run) -> None:
    scores = [
        score.contains("{word}"),
        score.regex("item [01]"),
        score.function(
            lambda answer, row: {"even": row["n"] % 2 == 0, "kind": "low" if row["n"] < 2 else "high"}, name="mine"
        ),
        score.function(lambda answer, row: 1 / row["n"], name="inverse"),
    ]
    sweep = run(PROMPT, over=ROWS, scores=scores)
    rows = sweep.rows()
    assert [row["score.contains"] for row in rows] == [1, 1, 1, 1]
    assert [row["score.regex"] for row in rows] == [1, 1, 0, 0]
    assert [row["score.mine.even"] for row in rows] == [1, 0, 1, 0]
    assert [row["label.mine.kind"] for row in rows] == ["low", "low", "high", "high"]
    assert [row["score.inverse"] for row in rows] == [None, 1, 0.5, pytest.approx(1 / 3)]
    assert [row["why.inverse"] for row in rows] == ["ZeroDivisionError: division by zero", None, None, None]
    frame = sweep.to_pandas()
    names = ["contains", "regex", "mine.even", "mine.kind", "inverse"]
    wanted = [f"{prefix}.{name}" for name in names for prefix in ("score", "label", "why")]
    assert [name for name in frame.columns if "." in name] == wanted
    assert str(frame["score.contains"].dtype) == "float64"


def test_answers_are_scored_a_few_at_a_time(demo: DemoServer, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "AT_ONCE", 3)
    read: list[int] = []

    def stored(journal: Journal, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        found = plainly(journal, query, values)
        if "text FROM calls WHERE call_id IN" in query:
            read.append(len(found))
        return found

    plainly = Journal.stored
    monkeypatch.setattr(Journal, "stored", stored)
    rows = run(PROMPT, over=[{"word": f"item {n}"} for n in range(8)], scores=score.contains("item")).rows()
    assert [row["score.contains"] for row in rows] == [1] * 8
    assert (max(read), sum(read)) == (3, 8)


def test_a_summary_shows_its_rows(demo: DemoServer, run: Run) -> None:
    said = [{"word": f"a{n}"} for n in range(3)]
    summary = run(PROMPT, over=said, grid={"system": {"<b>": "Be brief."}}, scores=score.contains("a")).summary()
    heads = repr(summary).splitlines()[0].split()
    assert heads[:6] == ["system", "scorer", "score", "low", "high", "n_inputs"]
    assert heads[-1] == "method"
    for shown in (repr(summary), summary._repr_html_()):
        assert "contains" in shown
        assert "wilson" in shown.lower()
    assert "<b>" not in summary._repr_html_()


def test_a_changed_scorer_scores_anew_and_asks_nothing(demo: DemoServer, run: Run) -> None:
    calls: list[str] = []

    def first(answer: str, row: Any) -> float:
        calls.append("first")
        return 0.25

    def second(answer: str, row: Any) -> float:
        calls.append("second")
        return 0.75

    run(PROMPT, over=ROWS, scores={"mine": first})
    run(PROMPT, over=ROWS, scores={"mine": first})
    assert calls == ["first"] * 4
    sweep = run(PROMPT, over=ROWS, scores={"mine": second})
    assert calls == ["first"] * 4 + ["second"] * 4
    assert [row["score.mine"] for row in sweep.rows()] == [0.75] * 4
    assert len(demo.requests) == 4
    run(PROMPT, over=ROWS, scores={"mine": first})
    assert len(calls) == 8, "the scores of the first version are there still"


def test_a_sweep_is_scored_afterwards_besides_and_anew(demo: DemoServer, run: Run, session: Session) -> None:
    sweep = run(PROMPT, over=ROWS)
    assert not [name for name in sweep.rows()[0] if name.startswith("score.")]
    sweep.score(score.contains("item {n}")).score({"short": score.length(max_words=1)})
    assert [row["score.contains"] for row in sweep.rows()] == [1] * 4
    sweep.score({"short": score.length(max_words=100)})
    assert [row["score.short"] for row in sweep.rows()] == [1] * 4
    assert [scorer.name for scorer in sweep.plan.scorers] == ["contains", "short"]
    assert len(demo.requests) == 4
    with pytest.raises(ConfigurationError, match="reads the column wurd"):
        sweep.score(score.exact("{wurd}"))


def test_a_key_in_a_prompt_or_a_rule_is_in_no_plan(demo: DemoServer, run: Run, session: Session) -> None:
    sweep = run("echo {word} sk-test-1234", over=ROWS, scores=score.contains("sk-test-1234"))
    sweep.score(score.exact("sk-test-1234"))
    ((plan,),) = session.journal.stored("SELECT plan FROM sweeps")
    assert "exact" in plan
    assert "sk-test-1234" not in plan


def test_answers_that_were_cut_off_are_counted_below_the_table(demo: DemoServer, run: Run) -> None:
    sweep = run(PROMPT, over=ROWS, grid={"max_tokens": [1, 200]}, scores=score.contains("{word}"))
    assert [str(said) for said in sweep.summary().notes] == [
        "4 answers ended at their length (--max-tokens) and count as they are."
    ]
    assert "4 answers ended at their length" in sweep._repr_mimebundle_()["text/markdown"].replace("\\", "")


def test_what_failed_has_no_score_and_is_no_zero(demo: DemoServer, run: Run) -> None:
    run(PROMPT, over=ROWS[:2], scores=score.contains("{word}"))
    demo.fault = "400 p=1"
    sweep = run(PROMPT, over=ROWS, scores=score.contains("{word}"))
    assert [row["score.contains"] for row in sweep.rows()] == [1, 1, None, None]
    assert sweep.states == {"done": 2, "failed": 2}


def test_settings_are_compared_by_a_score(demo: DemoServer, run: Run) -> None:
    rows = [{"word": f"item {n}"} for n in range(10)]
    grid = {"prompt": {"echo": "echo {word}", "other": "echo something else about nothing"}, "seed": [1, 2]}
    sweep = run(over=rows, grid=grid, think="off", scores=score.contains("{word}"))
    made = sweep.compare(by="prompt")
    assert (len(made), made.score, made[0].a, made[0].b) == (1, "score.contains", "echo", "other")
    assert (made[0].difference, made[0].n_inputs, made[0].verdict) == (-1, 10, "worse")
    assert [each.b for each in sweep.compare("score.contains", baseline="1 · echo")] == [
        "1 · other",
        "2 · echo",
        "2 · other",
    ]
    assert len(sweep.compare("contains")) == 6
    shown = made._repr_mimebundle_()
    assert shown["text/plain"] == "other against echo: −1.00, worse"
    assert shown["text/markdown"].splitlines()[2].startswith("| `other` against `echo` | −1.00 | worse | 0.002 |")
    assert made.to_pandas()["verdict"].tolist() == ["worse"]
    for wrong in ({"score": "score.exakt"}, {"by": "modell"}, {"baseline": "nobody"}):
        with pytest.raises(ConfigurationError, match="The sweep has no"):
            sweep.compare(**wrong)


def test_what_cannot_be_told_says_what_could_have_been_seen(demo: DemoServer, run: Run) -> None:
    rows = [{"word": f"item {n}"} for n in range(3)]
    sweep = run(PROMPT, over=rows, grid={"seed": [1, 2]}, scores=score.contains("{word}"))
    (line,) = repr(sweep.compare()).splitlines()
    assert line.startswith("2 against 1: +0.00 (−0.55 to +0.55), cannot tell: differences of about ")
    with pytest.raises(ConfigurationError, match="The sweep has no score"):
        run(PROMPT, over=rows).compare()
    assert repr(run(PROMPT, over=rows, scores=score.contains("{word}")).compare()) == "There is nothing to compare."


def test_inputs_that_belong_together_are_one_in_comparisons(demo: DemoServer, run: Run) -> None:
    rows = [{"word": f"item {n}", "topic": "same"} for n in range(10)]
    grid = {"prompt": {"echo": "echo {word}", "other": "echo something else"}}
    sweep = run(over=rows, grid=grid, think="off", scores=score.contains("{word}"), cluster="topic")
    assert sweep.compare()[0].p is None


def test_a_scorer_that_sleeps_holds_up_no_stream(demo: DemoServer, session: Session) -> None:
    import threading

    free = threading.Event()

    def slow(answer: str, row: Any) -> Score:
        free.wait(60)
        return Score(1)

    options: Any = {"over": ROWS[:1], "think": "off", "scores": slow}
    call = begun(session, PROMPT, options)
    other = session.ask("echo hello", think="off")
    assert "hello" in other.text
    assert not call.done
    free.set()
    assert [row["score.slow"] for row in call.wait().rows()] == [1]


def test_answers_are_scored_while_others_are_asked_for(demo: DemoServer, session: Session) -> None:
    demo.pace = 0.2
    rows = [{"word": f"item {n}"} for n in range(200)]
    given: Any = {"over": rows, "grid": {"seed": [1, 2]}, "think": "off", "scores": score.contains("{word}")}
    call = begun(session, PROMPT, given)
    wait_until(lambda: bool(call.scoring.so_far))
    assert not call.done
    (one, two), standing = sorted(call.scoring.so_far), call.run.standing
    assert (one, two) == ((0, "contains"), (1, "contains"))
    assert all(each.mean == 1 for each in call.scoring.so_far.values())
    text = growing(call.sweep.plan, standing, call.scoring.so_far, "caption").text
    assert "contains so far" in text
    assert f"1.00, {call.scoring.so_far[one].answers} scored" in text
    assert "(" not in text.replace("caption", "")
    call.stop(wait_s=10)
    demo.pace = 0
    sweep = begun(session, PROMPT, given).wait()
    assert [row["score.contains"] for row in sweep.rows()] == [1] * 400


def test_a_slow_function_gets_the_time_that_it_needs_after_the_last_answer(demo: DemoServer, run: Run) -> None:
    threads: set[str] = set()

    def slow(answer: str, row: Any) -> bool:
        time.sleep(0.1)
        threads.add(threading.current_thread().name)
        return True

    rows = run(PROMPT, over=[{"word": f"item {n}"} for n in range(12)], scores=slow).rows()
    assert [row["score.slow"] for row in rows] == [1] * 12
    assert "MainThread" not in threads
