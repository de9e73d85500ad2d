"""Conversations: a cell goes on from the cells before it, and replaces its own turn when it is run again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer

from .conftest import Kernel

Run = Callable[..., list[list[Any]]]


def asked(demo: DemoServer) -> list[str]:
    """What was sent last, as the contents of its messages, the answers as dots."""
    return [m["content"] if m["role"] == "user" else "…" for m in demo.requests[-1].body["messages"]]


def test_a_cell_goes_on_from_the_cells_before_it(run_headless: Run, demo: DemoServer) -> None:
    run_headless("%%deepseek\none", "%deepseek two", "%%deepseek\nthree")
    assert asked(demo) == ["one", "…", "two", "…", "three"]


def test_a_cell_run_again_replaces_its_turn(kernel: Kernel, demo: DemoServer) -> None:
    kernel.run("%%deepseek\none", cell="a")
    kernel.run("%%deepseek\ntwo", cell="b")
    kernel.run("%%deepseek\nuno", cell="a")
    assert asked(demo) == ["uno"]
    kernel.run("%%deepseek\nthree", cell="c")
    assert asked(demo) == ["uno", "…", "two", "…", "three"]


def test_two_questions_in_one_cell_are_two_turns(kernel: Kernel, demo: DemoServer) -> None:
    kernel.run("%deepseek one\n%deepseek two", cell="a")
    assert asked(demo) == ["one", "…", "two"]
    kernel.run("%deepseek one\n%deepseek two", cell="a")
    kernel.run("%deepseek three", cell="b")
    assert asked(demo) == ["one", "…", "two", "…", "three"]


def test_flags_choose_forget_and_leave_out_the_conversation(run_headless: Run, demo: DemoServer) -> None:
    run_headless("%%deepseek\none", "%%deepseek --chat other\ntwo")
    assert asked(demo) == ["two"]
    run_headless("%%deepseek\none", "%%deepseek --no-history\ntwo", "%%deepseek\nthree")
    assert asked(demo) == ["one", "…", "three"]
    run_headless("%%deepseek\none", "%%deepseek --new\ntwo", "%%deepseek\nthree")
    assert asked(demo) == ["two", "…", "three"]


def test_a_dry_run_forgets_nothing(run_headless: Run, demo: DemoServer) -> None:
    run_headless("%%deepseek\none", "%%deepseek --new --dry-run\ntwo", "%%deepseek\nthree")
    assert asked(demo) == ["one", "…", "three"]


def test_a_python_call_remembers_nothing_unless_it_names_a_conversation(run_headless: Run, demo: DemoServer) -> None:
    run_headless(
        "%%deepseek\none",
        "%deepseek_chat switch talk",
        "import deepseek_magic as ds; ds.ask('two'); ds.ask('three');",
    )
    assert asked(demo) == ["three"]
    run_headless("%%deepseek\none", "import deepseek_magic as ds; ds.ask('two', chat='main');")
    assert asked(demo) == ["one", "…", "two"]


def test_half_an_answer_is_sent_back_as_one(run_headless: Run, demo: DemoServer) -> None:
    demo.fault = "cut after=20"
    _, kept = run_headless(
        "%%deepseek --think off\nA table", "from deepseek_magic.session import session; session().chats['main'].turns"
    )
    assert "whole=False" in kept[0].data["text/plain"]


def test_conversations_are_listed_with_the_one_in_use(run_headless: Run) -> None:
    empty, _, _, _, listed = run_headless(
        "%deepseek_chat", "%deepseek first words", "%deepseek --chat b hi", "%deepseek_chat switch b", "%deepseek_chat"
    )
    assert "No conversation yet" in empty[0].text
    lines = listed[0].data["text/plain"].splitlines()
    assert any(line.split()[:2] == ["main", "1"] and "first words" in line for line in lines)
    assert any(line.split()[:3] == ["→", "b", "1"] for line in lines)
    assert "<table" in listed[0].data["text/html"]


@pytest.mark.parametrize("line", ["%deepseek_chat show", "%deepseek_chat main", "%deepseek_chat show main"])
def test_a_conversation_is_shown_with_nothing_of_it_alive(run_headless: Run, line: str) -> None:
    _, shown = run_headless("%deepseek <img src=x onerror=alert(1)> hello", line)
    assert "<img" in shown[0].data["text/plain"]
    assert "<img" not in shown[0].data["text/markdown"]
    assert "## DeepSeek" in shown[0].data["text/markdown"]


def test_a_branch_goes_its_own_way(run_headless: Run, demo: DemoServer) -> None:
    run_headless("%deepseek one", "%deepseek_chat branch side", "%deepseek --chat side two", "%deepseek three")
    assert asked(demo) == ["one", "…", "three"]


def test_rename_and_switch_move_what_cells_go_on_from(run_headless: Run, demo: DemoServer) -> None:
    run_headless("%deepseek one", "%deepseek_chat rename tea", "%deepseek two")
    assert asked(demo) == ["one", "…", "two"]
    run_headless("%deepseek one", "%deepseek_chat switch tea", "%deepseek two", "%deepseek_chat switch main")
    assert asked(demo) == ["two"]


def test_after_the_current_conversation_is_deleted_cells_continue_main(run_headless: Run) -> None:
    *_, told, after = run_headless(
        *(
            "%deepseek one",
            "%deepseek_chat switch side",
            "%deepseek two",
            "%deepseek_chat delete side",
            "%deepseek_chat",
        )
    )
    assert told[0].text == "side is deleted.\nCells now continue main.\n"
    assert ">side<" not in str(after)


def test_a_deleted_conversation_is_gone(run_headless: Run, demo: DemoServer) -> None:
    run_headless("%deepseek one", "%deepseek_chat delete main", "%deepseek two")
    assert asked(demo) == ["two"]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "%deepseek_chat mian",
            "There is no conversation mian (did you mean main?). %deepseek_chat lists them.",
        ),
        ("%deepseek_chat branch main", "A conversation main exists already."),
        ("%deepseek_chat delete", "%deepseek_chat delete takes one name, not 0."),
        ("%deepseek_chat --export chat.txt", "chat.txt was not written: its name must end in .md or .jsonl."),
    ],
)
def test_a_refusal_is_one_sentence(run_headless: Run, line: str, sentence: str) -> None:
    _, outputs = run_headless("%deepseek one", line)
    (said,) = outputs[0].traceback
    assert said.startswith(f"ConfigurationError: {sentence}")


def test_an_export_never_replaces_a_file_unasked(run_headless: Run, tmp_path: Path) -> None:
    text, rows = tmp_path / "chat.md", tmp_path / "chat.jsonl"
    *_, again = run_headless(
        "%deepseek one",
        f"%deepseek_chat --export {text}",
        f"%deepseek_chat main --export {rows}",
        "%deepseek two",
        f"%deepseek_chat --export {text}",
    )
    assert "exists already" in again[0].evalue
    assert text.read_text().startswith("# main\n\n## You\n\none")
    assert "two" not in text.read_text()
    (row,) = map(json.loads, rows.read_text().splitlines())
    assert [m["role"] for m in row["messages"]] == ["user", "assistant"]
    assert row["whole"] is True
    assert row["messages"][1]["reasoning_content"]
    run_headless("%deepseek three", f"%deepseek_chat --export {text} --overwrite")
    assert "three" in text.read_text()


def test_tab_completes_actions_and_names(kernel: Kernel) -> None:
    kernel.run("%deepseek --chat botany hi")

    assert kernel.offers("%deepseek_chat b", "branch", "botany")
    assert kernel.offers("%deepseek_chat show ", "botany")
    assert kernel.offers("%%deepseek --chat bo", "botany")
    assert kernel.offers("%deepseek_fix --thi", "--think")


def test_every_magic_answers_a_question_mark(kernel: Kernel) -> None:
    for name in ("chat", "demo", "doctor", "fix", "log", "models"):
        (page,) = kernel.run(f"%deepseek_{name}?").reply["payload"]
        assert f"%deepseek_{name}" in page["data"]["text/plain"]
