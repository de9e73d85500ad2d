"""``%%deepseek_judge``: a model judges the answers of a sweep, at a price that is told first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from deepseek_magic.demo.api import frames
from deepseek_magic.demo.api.inquiry import Inquiry
from deepseek_magic.demo.api.replies import Reply, reply
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.metrics.tables import cell
from deepseek_magic.notebook.experiments.judge_flags import judge_of, read_judge_line
from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.session.experiments.listing import sweeps
from deepseek_magic.session.experiments.sweep import Sweep
from tests.notebook.conftest import LOAD, Kernel

ROWS = "rows = [{'question': f'item {number}'} for number in range(3)]"
SWEEP = """%%deepseek_sweep -o s --over rows --go --think off --name "two tries"
--- one
echo {question}
--- two
echo {question} again"""
JUDGE = "%%deepseek_judge s {flags}\nIs this about {{question}}?"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What judges of the demo were asked; they say yes, and no to what says "again"."""
    asked: list[str] = []

    def answer(inquiry: Inquiry) -> Reply:
        if "=======" not in inquiry.prompt:
            return reply(inquiry)
        asked.append(inquiry.prompt)
        if "Which of the two" in inquiry.prompt:
            return Reply(text=json.dumps({"verdict": "2" if "again" in inquiry.prompt.split("========")[1] else "1"}))
        return Reply(text=json.dumps({"why": "So it is.", "verdict": "no" if "again" in inquiry.prompt else "yes"}))

    monkeypatch.setattr(frames, "reply", answer)
    return asked


@pytest.fixture
def shell(demo: DemoServer, said: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A shell with the extension and a sweep of six answers, whose DeepSeek is the demo with its prices."""
    monkeypatch.setenv("DEEPSEEK_MAGIC_DEMO", demo.base_url)
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    for source in (LOAD, ROWS, SWEEP):
        shell.run_cell(source).raise_error()
    yield shell
    InteractiveShell.clear_instance()


def failed(shell: Any, cell: str) -> Any:
    """The error that a cell ends with."""
    return shell.run_cell(cell).error_in_exec


def test_the_price_is_told_first_and_then_the_answers_are_judged_once(
    shell: Any, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    sweep: Sweep = shell.user_ns["s"]
    shell.run_cell("%config DeepSeekMagics.pocket = 0.000001")
    capsys.readouterr()
    error = failed(shell, JUDGE.format(flags="--name topical"))
    assert "Nothing was sent: the sweep may cost up to" in str(error)
    assert "6 calls" in capsys.readouterr().out
    assert failed(shell, JUDGE.format(flags="--name topical --dry-run -o plan")) is None
    assert (len(shell.user_ns["plan"]), said, sweep.plan.scorers) == (6, [], ())
    assert failed(shell, JUDGE.format(flags="--name topical --budget 1 -o judged")) is None
    shown = capsys.readouterr().out
    assert "Sweep two tries · 6 of 6 trials" in shown
    assert "deepseek-flash judged answers of its own family" in shown
    assert "median words" in shown
    paid = [sum(row["cost"] for row in each.rows()) for each in (sweep, sweeps["two tries · topical"])]
    assert f"{cell(paid[0], 4)} demo USD · with its judges {cell(sum(paid), 4)} demo USD" in shown
    assert " inputs ×" not in shown.split("with its judges")[1]
    listed = {line.split("  ")[0]: line for line in repr(sweeps).splitlines()}
    assert listed["two tries"].endswith(f"{cell(paid[0], 4)} demo USD")
    assert listed["two tries · topical"].endswith(f"{cell(paid[1], 4)} demo USD")
    assert "Is this about {question}?" in listed["two tries · topical"]
    assert [row["score.topical"] for row in sweep.rows()] == [1, 1, 1, 0, 0, 0]
    assert shell.user_ns["judged"] is sweep
    assert len(said) == 6
    assert any("Is this about item 2?" in prompt for prompt in said)
    assert sweeps["two tries · topical"].states == {"done": 6}
    assert failed(shell, JUDGE.format(flags="--name topical")) is None
    assert len(said) == 6


def test_a_sweep_is_found_by_its_name_and_scores_are_beside_those_that_it_had(shell: Any, said: list[str]) -> None:
    sweep: Sweep = shell.user_ns["s"]
    sweep.score(lambda answer, row: len(answer) > 3)
    cell = '%%deepseek_judge "two tries" --prefer --go --quiet\nWhich is shorter?'
    assert failed(shell, cell) is None
    assert [row["score.prefer"] for row in sweep.rows()] == [1, 1, 1, 0, 0, 0]
    assert [row["score.function"] for row in sweep.rows()] == [1] * 6
    assert len(said) == 6
    assert failed(shell, JUDGE.format(flags="--choices yes=1,no=0.5 --votes 2 --model pro --go")) is None
    assert [row["score.judge"] for row in sweep.rows()] == [1, 1, 1, 0.5, 0.5, 0.5]
    assert len(said) == 18


def test_a_judge_that_fails_fails_the_cell_and_is_asked_again(shell: Any, demo: DemoServer, said: list[str]) -> None:
    demo.fault = "400 p=0.5 seed=2"
    error = failed(shell, JUDGE.format(flags="--go"))
    lost = sum(row["score.judge"] is None for row in shell.user_ns["s"].rows())
    assert 0 < lost < 6
    assert f'judge\'s calls {lost} of 6 trials failed. ds.sweeps["two tries · judge"].failed says why' in str(error)
    assert len(sweeps["two tries · judge"].failed) == lost
    demo.fault = None
    asked = len(demo.requests)
    assert failed(shell, JUDGE.format(flags="--go")) is None
    assert len(demo.requests) == asked + lost
    assert None not in [row["score.judge"] for row in shell.user_ns["s"].rows()]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%%deepseek_judge\nIs it?", "needs the name of a sweep"),
        ("%%deepseek_judge --go\nIs it?", "needs the name of a sweep"),
        ("%%deepseek_judge nothing\nIs it?", "has no sweep nothing"),
        ("%%deepseek_judge s\n", "There is nothing to ask"),
        ("%%deepseek_judge s --choices yes,no\nIs it?", "each choice is a word and its value"),
        ("%%deepseek_judge s --prefer --choices a=1,b=0\nIs it?", "has its own choices"),
        ("%%deepseek_judge s --vote 2\nIs it?", "did you mean --votes"),
        ("%%deepseek_judge s\nIs it about {quest}?", "reads the column quest"),
        ("%%deepseek_judge s and more\nIs it?", "was not understood"),
    ],
)
def test_what_cannot_be_judged_says_why(shell: Any, cell: str, said: str) -> None:
    assert said in str(failed(shell, cell))


def test_a_judge_that_cannot_be_asked_leaves_no_column(shell: Any) -> None:
    error = failed(shell, JUDGE.format(flags="--model nosuch --go"))
    assert "Of the judge's calls 6 of 6 trials failed" in str(error)
    assert shell.user_ns["s"].plan.scorers == ()


def test_a_sweep_without_answers_has_nothing_to_judge(shell: Any, demo: DemoServer) -> None:
    demo.fault = "400 p=1"
    shell.run_cell("%%deepseek_sweep -o none --over rows --go\necho not {question}")
    assert "no answers to judge" in str(failed(shell, "%%deepseek_judge none --go\nIs it?"))


def test_help_and_tab_know_the_flags_and_the_sweeps(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    shell.run_cell("%%deepseek_judge --help\n")
    shown = capsys.readouterr().out
    assert "--choices" in shown
    assert max(map(len, shown.splitlines())) <= 80
    shell.run_cell("%config DeepSeekMagics.language = 'zh'")
    shell.run_cell("%%deepseek_judge --help\n")
    assert "评判" in capsys.readouterr().out
    shell.run_cell("%config DeepSeekMagics.language = 'en'")
    find = shell.Completer.custom_matchers[-1].find
    assert find("%%deepseek_judge ")[0][0] == "s"
    assert '"two tries"' in find("%%deepseek_judge ")[0]
    assert find('%%deepseek_judge "two tri')[0][0] == '"two tries"'
    assert find("%%deepseek_judge s --vo")[0] == ["--votes"]
    assert find('%%deepseek_judge "two tries" --model fl')[0] == ["flash"]


def test_the_line_names_the_sweep_with_or_without_quotes() -> None:
    assert read_judge_line('"two tries" --votes 3')[0] == "two tries"
    assert read_judge_line("'two tries'")[0] == "two tries"
    name, typed = read_judge_line("tr --prefer --model=pro")
    assert (name, typed.options) == ("tr", {"prefer": True, "model": "pro"})
    scorer = judge_of("Which?", {"prefer": True, "votes": 3, "name": "best"})
    assert (scorer.kind, scorer.name, scorer.arguments["votes"]) == ("prefer", "best", 3)
    with pytest.raises(ConfigurationError, match="at least two choices"):
        judge_of("Is it?", {"choices": "yes=1"})


@pytest.mark.programs
def test_a_watched_kernel_is_interrupted_in_the_middle_of_judging_and_goes_on(
    kernel: Kernel, demo: DemoServer, said: list[str]
) -> None:
    many = ROWS.replace("range(3)", "range(20)")
    kernel.run(f"{LOAD}\n{many}\n%config DeepSeekMagics.view = 'widgets'")
    assert kernel.run(SWEEP).reply["status"] == "ok"
    demo.pace = 3
    cell = JUDGE.format(flags="--go")
    ran = kernel.run(cell, when=lambda ran: len(said) >= 6, do=kernel.manager.interrupt_kernel)
    assert "Stopped" in str(ran.reply)
    demo.pace = 0
    assert kernel.run(cell).reply["status"] == "ok"
    ran = kernel.run("print(sum(row['score.judge'] for row in s.rows()), len(s))")
    assert ran.printed == "20.0 40\n"
