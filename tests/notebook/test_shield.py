"""A view that fails costs the drawing: the stream goes on, the answer is kept, and one sentence says so."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from deepseek_magic.notebook.view.live import LiveView
from deepseek_magic.notebook.view.shield import Shielded
from deepseek_magic.notebook.view.terminal import PlainView
from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.completion import Completion
from deepseek_magic.protocol.events import ReasoningDelta, TextDelta

ANSWER = Completion(request=Request.of("hi"), text="one two", outcome="complete")
METHODS = ("open", "settle", "tail", "reasoning", "status", "keep", "close")


class Torn:
    """A surface of which one method fails, and which remembers what was asked of it."""

    def __init__(self, broken: str) -> None:
        self.broken = broken
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def draw(*_: object) -> None:
            self.asked.append(name)
            if name == self.broken:
                raise RuntimeError("the widget is gone")

        return draw


@pytest.mark.parametrize("broken", METHODS)
def test_whatever_fails_the_view_takes_the_whole_answer_and_says_so_once(
    broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    surface = Torn(broken)
    times = iter(range(0, 1_000, 10))
    view = Shielded(LiveView(surface, clock=lambda: float(next(times))))  # type: ignore[arg-type]
    view.show(())
    for _ in range(10):
        view.show((ReasoningDelta(text="hm"), TextDelta(text="A sentence of some length. " * 40 + "\n\n")))
    view.stopping()
    view.finish(ANSWER)
    assert surface.asked[-1] == "close"
    assert capsys.readouterr().out == (
        "Not all of the answer could be drawn (RuntimeError: the widget is gone); the variable has it as it came.\n"
    )


def test_an_interrupt_is_no_failure_of_the_view() -> None:
    class Interrupted:
        def show(self, _events: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Shielded(Interrupted()).show(())  # type: ignore[arg-type]


def test_a_closed_stdout_is_survived_and_said_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    view = Shielded(PlainView(["a notice"]))
    view.show((TextDelta(text="one"),))
    view.finish(ANSWER)
    assert "could be drawn" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["gbk", "ascii", "cp1252"])
def test_what_an_encoding_does_not_have_is_shown_as_a_question_mark(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(paper, encoding=encoding))
    view = PlainView()
    view.show((TextDelta(text="ok \U0001f600 done"),))
    view.finish(ANSWER)
    assert paper.getvalue().startswith(b"ok ? done")
