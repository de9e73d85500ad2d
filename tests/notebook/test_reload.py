"""Conversations that outlive their kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deepseek_magic.demo.server import DemoServer

from .conftest import LOAD, Kernel, kernel_in
from .test_chats import asked

Run = Callable[..., list[list[Any]]]


def shown(kernel: Kernel, source: str, cell: str) -> str:
    """The Markdown that a cell leaves."""
    ran = kernel.run(source, cell=cell)
    left = [*ran.of("update_display_data"), *ran.of("display_data")]
    return "".join(content["data"].get("text/markdown", "") for content in left)


def test_a_restarted_kernel_goes_on_from_what_it_said_and_cells_know_their_turns(
    environment: dict[str, str], demo: DemoServer
) -> None:
    with kernel_in(environment) as first:
        first.run(LOAD)
        first.run("%deepseek one", cell="a")
        first.run("%deepseek two", cell="b")
        first.run("%deepseek --chat tea leaves", cell="t")
    with kernel_in(environment) as second:
        second.run(LOAD)
        assert "%deepseek_chat reload main brings it back" in shown(second, "%deepseek three", "c")
        assert asked(demo) == ["three"]
        assert "brings it back" not in shown(second, "%deepseek four", "d")
        said = second.run("%deepseek_chat reload main", cell="x").printed
        assert said.startswith("main is back as of ")
        assert said.endswith("; turns: 2.\n")
        second.run("%deepseek five", cell="e")
        assert asked(demo) == ["one", "…", "two", "…", "three", "…", "four", "…", "five"]
        second.run("%deepseek zwei", cell="b")
        assert asked(demo) == ["one", "…", "zwei"]
        assert second.offers("%deepseek_chat reload ", "main", "tea")
    with kernel_in(environment) as third:
        third.run(LOAD)
        third.run("%deepseek_chat reload main", cell="x")
        third.run("%deepseek six", cell="f")
    assert asked(demo) == ["one", "…", "zwei", "…", "three", "…", "four", "…", "five", "…", "six"]


def test_a_notebook_run_from_its_first_question_begins_anew_and_is_told_nothing(
    environment: dict[str, str], demo: DemoServer
) -> None:
    for _ in range(2):
        with kernel_in(environment) as kernel:
            kernel.run(LOAD)
            assert "brings it back" not in shown(kernel, "%deepseek one", "a")
            assert "brings it back" not in shown(kernel, "%deepseek two", "b")
    assert asked(demo) == ["one", "…", "two"]


def test_a_deleted_conversation_is_not_brought_back(run_headless: Run) -> None:
    run_headless(
        "%deepseek one", "%deepseek --chat tea two", "%deepseek_chat delete main", "%deepseek_chat rename tea oolong"
    )
    listed, refused = run_headless("%deepseek_chat reload", "%deepseek_chat reload main")
    assert "oolong" in listed[0].data["text/plain"]
    assert "main" not in listed[0].data["text/plain"]
    assert "<table" in listed[0].data["text/html"]
    assert refused[0].evalue.startswith("No earlier kernel left a conversation main. ")


def test_what_is_no_longer_in_the_journal_is_said(run_headless: Run, environment: dict[str, str]) -> None:
    run_headless("%deepseek one", "%deepseek two")
    forget = "import os, sqlite3\nwith sqlite3.connect(os.environ['DEEPSEEK_MAGIC_HOME'] + '/journal.sqlite3') as db:\n"
    forget += "    db.execute(\"DELETE FROM calls WHERE prompt = 'one'\");"
    _, said = run_headless(forget, "%deepseek_chat reload main")
    text = "".join(output.text for output in said)
    assert "; turns: 1." in text
    assert "Turns that are no longer in the journal: 1." in text


def test_a_cell_that_asks_less_than_before_gives_its_turns_up(kernel: Kernel, demo: DemoServer) -> None:
    kernel.run("%deepseek one\n%deepseek two\n%deepseek three", cell="a")
    kernel.run("%deepseek one", cell="a")
    kernel.run("%deepseek four", cell="b")
    assert asked(demo) == ["one", "…", "four"]
    kernel.run("1 / 0", cell="a")
    kernel.run("%deepseek five", cell="b")
    assert asked(demo) == ["one", "…", "five"]
    kernel.run("x = 1", cell="a")
    kernel.run("%deepseek six", cell="b")
    assert asked(demo) == ["six"]


def test_a_cell_run_inside_a_cell_takes_none_of_its_turns(kernel: Kernel, demo: DemoServer) -> None:
    nested = "get_ipython().run_cell('%deepseek one')\n%deepseek two"
    kernel.run(nested, cell="a")
    kernel.run("%deepseek three", cell="b")
    kernel.run(nested, cell="a")
    assert asked(demo) == ["one", "…", "two"]
    kernel.run("%deepseek three", cell="b")
    assert asked(demo) == ["one", "…", "two", "…", "three"]


def test_a_history_that_is_too_long_loses_its_oldest_turns_and_names_them(run_headless: Run, demo: DemoServer) -> None:
    *_, shown = run_headless(
        "%deepseek --think off long 3 is the first", "%deepseek --think off two", "%deepseek --max-history 400 three"
    )
    assert asked(demo) == ["two", "…", "three"]
    said = shown[0].data["text/markdown"]
    assert (
        "The oldest turn of main (“long 3 is the first”) was left out: the history is longer than 400 tokens." in said
    )
