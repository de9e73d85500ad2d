"""A19 and A20 in short: twenty cells played without key, interface or demo leave what they left; times are the command's."""

from __future__ import annotations

import json
import re
import socket
from collections import Counter
from pathlib import Path

import pytest

from .kernel import without_times
from .lesson import CELLS, KEY
from .recording import Lesson, record, replay, tape_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lesson")


@pytest.fixture(scope="module")
def before(folder: Path) -> Lesson:
    return record(folder / "recorded", pace=0.02)


@pytest.fixture(scope="module")
def tape(folder: Path, before: Lesson) -> Path:
    return tape_of(folder / "recorded")


@pytest.fixture(scope="module")
def after(folder: Path, tape: Path) -> Lesson:
    return replay(folder / "played", tape, pace=0)


def kinds(lesson: Lesson) -> Counter[str]:
    """Each call's events in their order, with what they brought. How long one waits for a free place is the others' matter;
    of the last call the home folder is hidden."""
    found = (
        [call["prompt"], call["outcome"], call["attempts"], [e[::2] for e in call["events"] if e[0] != "waiting"]]
        for call in lesson.calls[:-1]
    )
    return Counter(map(json.dumps, found))


def test_every_cell_leaves_what_it_left_but_for_times(before: Lesson, after: Lesson) -> None:
    assert len(CELLS) == 20
    for cell, was, is_now in zip(CELLS, before.outputs, after.outputs, strict=True):
        assert without_times(is_now) == without_times(was), cell.source


def test_what_the_lesson_is_about_has_happened(before: Lesson) -> None:
    said = [without_times(outputs) for outputs in before.outputs]
    assert "2 complete" in said[6]
    assert "2 complete 1" in said[8]
    assert "ToolCall" in said[12]
    assert "12 of 12 trials" in said[14]
    assert "400" in said[17]


def test_every_call_has_its_events_in_order_and_costs_nothing(before: Lesson, after: Lesson) -> None:
    assert kinds(after) == kinds(before)
    assert {call["endpoint"] for call in after.calls} == {"tape"}
    assert {call["cost"] for call in after.calls} <= {0, None}


def test_key_home_and_machine_are_in_no_byte(tape: Path, before: Lesson) -> None:
    raw = tape.read_text("utf-8")
    assert KEY not in raw
    assert KEY[:16] not in raw
    assert f"{Path.home()}" not in raw
    if len(socket.gethostname()) > 3:
        assert not re.search(rf"(?<![\w-]){re.escape(socket.gethostname())}(?![\w-])", raw)


def test_a_changed_prompt_is_one_sentence_that_names_the_nearest(folder: Path, tape: Path, before: Lesson) -> None:
    changed = replay(folder / "changed", tape, pace=0, change={"Name the planets.": "Name the planet."})
    (error,) = changed.outputs[5]
    assert error["kind"] == "error"
    said = "This request is not on the tape lesson.tape; the nearest one, “Name the planets.” in In [8], differs in the prompt."
    assert error["text"].startswith(f"NotOnTape: {said}")
    assert without_times(changed.outputs[4]) == without_times(before.outputs[4])
