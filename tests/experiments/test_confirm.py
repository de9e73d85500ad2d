"""The best of many is asked again on other inputs, and sweeps are set against each other."""

from __future__ import annotations

from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.protocol.experiments import score
from deepseek_magic.session.calls import Session
from deepseek_magic.session.experiments.running import sweep_of
from deepseek_magic.session.experiments.sweep import Sweep
from tests.experiments.conftest import Run

ROWS = [{"word": f"item {n}"} for n in range(3)]
OTHERS = [{"word": f"thing {n}"} for n in range(4)]
PROMPTS = {"ask": "{word}", "echo": "echo {word}", "the": "echo the {word}"}
RIGHT = score.regex("(?m)^echo (the )?{word}$", name="right")
NOTE = "The best of 3 looks better than it is; sweep.confirm(over=…) asks the first two again on other inputs."


@pytest.fixture
def sweep(demo: DemoServer, run: Run) -> Sweep:
    return run(over=ROWS, grid={"prompt": PROMPTS}, think="off", scores=RIGHT, name="tries")


def test_the_best_settings_are_asked_on_the_inputs_that_chose_nothing(demo: DemoServer, sweep: Sweep) -> None:
    asked = len(demo.requests)
    made = sweep.confirm(over=[*ROWS, *OTHERS])
    assert (made.name, len(made), made.states) == ("tries · confirmed", 8, {"done": 8})
    assert [(row["prompt"], row["word"]) for row in made.rows()] == [
        (name, row["word"]) for name in ("echo", "the") for row in OTHERS
    ]
    assert [row["score.right"] for row in made.rows()] == [1] * 8
    assert len(demo.requests) == asked + 8
    assert sweep.confirm(over=OTHERS).sweep_id == made.sweep_id
    assert len(demo.requests) == asked + 8
    assert (len(made.compare()), made.compare()[0].verdict) == (1, "cannot tell")


def test_only_the_best_of_many_is_said_to_be_flattered(sweep: Sweep) -> None:
    shown = [repr(sweep.summary()), sweep.summary()._repr_html_(), repr(sweep.compare()), sweep._repr_mimebundle_()]
    assert all(str(each).count(NOTE) == 1 for each in shown[:1] + shown[2:3])
    assert "The best of 3" in str(shown[1])
    assert str(shown[3]["text/plain"]).count(NOTE) == 1  # type: ignore[index]
    assert "The best of 3" in sweep.compare()._repr_mimebundle_()["text/markdown"]
    two = sweep.confirm(over=OTHERS)
    assert not any("The best of" in repr(each) for each in (two.summary(), two.compare(), two._repr_mimebundle_()))


def test_a_function_that_scored_scores_again_and_one_that_is_gone_is_asked_for(
    demo: DemoServer, run: Run, session: Session
) -> None:
    def short(answer: str, row: Any) -> bool:
        return len(answer) < 40

    sweep = run(over=ROWS, grid={"prompt": PROMPTS}, think="off", scores=short)
    assert [row["score.short"] for row in sweep.confirm(1, over=[{"word": "x"}]).rows()] == [1]
    elsewhere = sweep_of(session, sweep.sweep_id)
    with pytest.raises(ConfigurationError, match="The score short runs what is not kept with a sweep"):
        elsewhere.confirm(over=OTHERS)
    elsewhere.score(short)
    assert len(elsewhere.confirm(over=OTHERS)) == 8


def test_failed_trials_that_are_retried_are_scored_by_functions(demo: DemoServer, run: Run) -> None:
    demo.fault = "400 p=1"
    sweep = run("echo {word}", over=ROWS, scores=lambda answer, row: row["word"] in answer)
    demo.fault = None
    assert [row["score.function"] for row in sweep.retry().rows()] == [1] * 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"over": ROWS}, "was asked all of these rows"),
        ({"over": OTHERS, "top": 4}, "top"),
        ({"over": OTHERS, "top": 0}, "top"),
        ({"over": OTHERS, "score": "exact"}, "The sweep has no exact"),
        ({"over": [{"phrase": "x"}]}, "no column word"),
        ({"over": 3}, "is no table"),
    ],
)
def test_what_cannot_be_confirmed_says_why(sweep: Sweep, options: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        sweep.confirm(**options)


def test_without_a_score_or_a_table_there_is_nothing_to_confirm(demo: DemoServer, run: Run) -> None:
    with pytest.raises(ConfigurationError, match="The sweep has no score"):
        run("echo {word}", over=ROWS).confirm(over=OTHERS)
    scored = run("echo x", grid={"seed": [1, 2]}, scores=score.exact("x"))
    with pytest.raises(ConfigurationError, match="has no table of inputs"):
        scored.confirm(over=OTHERS)


def test_two_sweeps_are_compared_on_the_inputs_of_both(demo: DemoServer, run: Run) -> None:
    ask = run("{word}", over=ROWS, scores=RIGHT, name="ask")
    echo = run("echo {word}", over=[*ROWS[1:], *OTHERS], scores=RIGHT, name="echo")
    (made,) = echo.compare(against=ask)
    assert (made.a, made.b, made.n_inputs, made.difference) == ("ask", "echo", 2, 1.0)
    assert made.dropped == 1 + len(OTHERS)
    grid = {"seed": [1, 2]}
    both = [run(prompt, over=ROWS, grid=grid, scores=RIGHT, name="s") for prompt in ("{word}", "echo {word}")]
    pairs = [(each.a, each.b) for each in both[1].compare(against=both[0])]
    ids = [sweep.sweep_id[:8] for sweep in both]
    assert pairs == [(f"s {ids[0]}: {seed}", f"s {ids[1]}: {seed}") for seed in (1, 2)]
    assert len(both[0].compare(against=ask)) == 2
    with pytest.raises(ConfigurationError, match="without by and baseline"):
        echo.compare(against=ask, baseline="ask")
    with pytest.raises(ConfigurationError, match="against cannot be 'asked': it takes another sweep"):
        echo.compare(against="asked")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="no column in common"):
        echo.compare(against=run("echo x {phrase}", over=[{"phrase": 1}], scores=score.contains("x", name="right")))
    with pytest.raises(ConfigurationError, match="has no right"):
        echo.compare(against=run("echo {word}", over=ROWS, scores=score.exact("x")))
