"""A lesson is recorded and played by magics; who asks what happens is told that a tape plays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.hosts.endpoints import in_order
from deepseek_magic.engine.tape.deck import deck
from deepseek_magic.notebook.magic.completion import candidates
from deepseek_magic.notebook.magic.magics import _kept
from deepseek_magic.notebook.panel.head import names_of, who_html
from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.completion import Completion
from deepseek_magic.session import session

QUESTION = "%%deepseek -o answer --think off --no-history\nShow a table and code."


def test_no_resume_is_offered_that_a_tape_cannot_give() -> None:
    half = Completion(request=Request.of("hi"), text="So far")
    assert "resumes the answer" in str(_kept(half, "a", resumes=True))
    assert str(_kept(half, "a", resumes=False)) == "The text so far is in a."
    assert _kept(half, None, resumes=False) is None


@pytest.fixture(autouse=True)
def no_tape_is_left() -> Iterator[None]:
    yield
    deck.stop()


def run(shell: Any, source: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a cell prints, or the error that it ends in."""
    done = shell.run_cell(source, store_history=True)
    out = capsys.readouterr().out
    return out if done.error_in_exec is None else str(done.error_in_exec)


def test_a_lesson_is_recorded_and_played(
    shell: Any, demo: DemoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEEPSEEK_BASE_URL", demo.base_url)
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-test-1234")
    assert "Nothing is being recorded." in run(shell, "%deepseek_record", capsys)
    assert "No tape is playing." in run(shell, "%deepseek_replay off", capsys)
    assert "is recorded on lesson.tape" in run(shell, "%deepseek_record lesson.tape", capsys)
    assert "is being recorded" in run(shell, "%deepseek_replay other.tape", capsys)
    run(shell, QUESTION, capsys)
    text = shell.user_ns["answer"].text
    assert "recorded" in names_of(in_order(), "demo server")
    assert "holds one request so far" in run(shell, "%deepseek_record", capsys)
    assert "holds one request so far" in run(shell, "%deepseek_record off", capsys)
    assert "exists already" in run(shell, "%deepseek_record lesson.tape", capsys)
    monkeypatch.delenv("DEEPSEEK_BASE_URL")
    monkeypatch.delenv("DEEPSEEK_API_KEY")
    posts = len(demo.requests)
    said = run(shell, "%deepseek_replay lesson.tape --pace 0", capsys)
    assert "The tape lesson.tape answers: 1 requests, no key and no network." in said
    for _ in range(2):  # a cell that is run again is answered again
        run(shell, QUESTION, capsys)
        assert shell.user_ns["answer"].text == text
    assert len(demo.requests) == posts
    assert "2 of 1 requests so far" in run(shell, "%deepseek_replay", capsys)
    refused = run(shell, QUESTION.replace("table", "list"), capsys)
    assert "“Show a table and code.” in In [" in refused
    assert [row["endpoint"] for row in session().log][-1] == "tape"  # and not the place that it stands for
    assert "no demo server is started" in run(shell, "%deepseek_demo", capsys)
    doctor = run(shell, "%deepseek_doctor", capsys)
    assert "the tape lesson.tape" in doctor
    assert "no network is asked" in doctor
    (place,) = in_order()
    assert "tape lesson.tape" in who_html([place])
    assert "nothing is paid" in who_html([place])
    assert "answers: 1 requests" in run(shell, "%deepseek_replay lesson.tape --else ask", capsys)  # in its place
    assert "The tape lesson.tape answers no more." in run(shell, "%deepseek_replay off", capsys)
    assert deck.playing is None
    assert "cannot be" in run(shell, "%deepseek_replay lesson.tape --pace -1", capsys)
    assert "There is no tape at" in run(shell, "%deepseek_replay none.tape", capsys)


def test_a_tape_that_is_cut_off_says_so(shell: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cut.tape").write_text('{"deepseek-magic tape":1}\n{"call":1,"reso', "utf-8")
    assert "is cut off at its end" in run(shell, f"%deepseek_replay {tmp_path}/cut.tape", capsys)


def test_both_explain_themselves_and_complete(
    shell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lesson.tape").touch()
    (tmp_path / "notes.txt").touch()
    assert "--overwrite" in run(shell, "%deepseek_record --help", capsys)
    assert "--pace" in run(shell, "%deepseek_replay --help", capsys)
    assert candidates("%deepseek_replay ", {}) == ["lesson.tape", "off"]
    assert candidates("%deepseek_record l", {}) == ["lesson.tape"]
    assert candidates("%deepseek_record x --o", {}) == ["--overwrite"]
    assert candidates("%deepseek_replay lesson.tape --else ", {}) == ["refuse", "ask"]
    assert candidates("%deepseek_replay lesson.tape --p", {}) == ["--pace"]
