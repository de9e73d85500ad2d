"""Scores that grow with a sweep, and a judge that is asked below it, on the screen."""

from __future__ import annotations

from collections.abc import Callable

from deepseek_magic.demo.server import DemoServer

from .conftest import Page

ROWS = "%load_ext deepseek_magic\nrows = [{'question': f'What is {n} + {n}?', 'answer': 2 * n} for n in range(20)]"
SWEEP = """%%deepseek_sweep -o s --over rows --vary model=flash,pro --vary seed=1,2 --go --think off --score number={answer} --name sums
{question} stream"""
JUDGE = """%%deepseek_judge s --name right {flags}
Is this the right answer to: {{question}}"""
Open = Callable[..., Page]


def test_scores_grow_with_the_sweep_and_a_judge_adds_its_own(open_notebook: Open, demo: DemoServer) -> None:
    demo.pace, demo.fault = 0.5, None
    page = open_notebook(
        [ROWS, SWEEP, JUDGE.format(flags="--dry-run"), JUDGE.format(flags="--go"), "s.compare()", "s.summary()"]
    )
    page.run(0)
    page.start(1)
    page.wait_until(lambda: "number so far" in page.text(1) and "scored" in page.text(1))
    page.screenshot("scores_so_far")
    demo.pace = 0
    page.wait_until(lambda: "80 of 80 trials" in page.text(1) and not page.running(1))
    page.run(2)
    page.screenshot("judge_plan")
    demo.pace = 2
    page.start(3)
    page.wait_until(lambda: "of 80 trials" in page.text(3) and "running" in page.text(3))
    page.screenshot("judge_running")
    demo.pace = 0
    page.wait_until(lambda: not page.running(3))
    assert "median words" in page.text(3)
    assert "its own family" in page.text(3)
    assert page.output(3).locator("table").count() == 1
    page.run(4)
    page.run(5)
    assert "The best of 4 looks better" in page.text(4)
    page.screenshot("judge_settled")
    page.dark()
    page.screenshot("judge_settled_dark")
