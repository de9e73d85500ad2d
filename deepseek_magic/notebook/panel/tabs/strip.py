"""One answer on a line of time: when text came, when nothing did, and where it broke off and was joined.

It is told in the words of the glossary: broke off, asked again, joined.
"""

from __future__ import annotations

import html
from typing import Final, Literal, NamedTuple

from ....protocol.completion import Completion
from ....protocol.events import (
    AttemptStarted,
    Event,
    Finish,
    ReasoningDelta,
    Seam,
    TextDelta,
    ToolCallDelta,
    Waiting,
)
from ....text.messages import say
from ...view.seam_marks import asked_again

SILENT_S: Final = 1.0
"""A pause of this length between two pieces is seen on the strip; tokens come every 10 to 50 ms."""

SpanKind = Literal["wait", "text", "silence", "broke", "joined"]
SIGNS: Final = {"broke": "✕", "joined": "+"}
"""What stands for a moment on the strip, and before its word. Colour alone would not be seen by everybody."""


class _Span(NamedTuple):
    kind: SpanKind
    at_s: float


class Strip:
    """One answer on a line of time: waiting, text, silence, and where it broke off and was joined."""

    def __init__(self) -> None:
        self._spans: list[_Span] = []
        self._piece_s: float | None = None
        self._open = self._finished = False
        self._chars = self._asked = self._refused = self._anew = 0
        self._broke: list[tuple[float, int]] = []
        self._joined: list[float] = []
        self._end: tuple[float, Completion] | None = None

    def note(self, event: Event, at_s: float) -> None:
        """Take an event of the call."""
        match event:
            case AttemptStarted():
                self._attempt_over(at_s)
                self._asked, self._open, self._finished, self._piece_s = self._asked + 1, True, False, None
                self._enter("wait", at_s)
            case Waiting(reason="backoff" | "retry_after"):
                self._attempt_over(at_s)
            case TextDelta(text=text):
                self._piece(len(text), at_s)
            case ReasoningDelta() | ToolCallDelta():
                self._piece(0, at_s)
            case Seam(kind=kind):
                if kind == "restarted":
                    self._anew, self._chars = self._anew + 1, 0
                else:
                    self._joined.append(at_s)
                    self._moment("joined", at_s)
            case Finish():
                self._finished = True

    def _piece(self, chars: int, at_s: float) -> None:
        self._chars += chars
        self._enter("text", at_s)
        self._silence(at_s)
        self._piece_s = at_s

    def _silence(self, at_s: float) -> None:
        """Show the pause before ``at_s`` where it was long."""
        if self._piece_s is not None and at_s - self._piece_s >= SILENT_S:
            self._spans += [_Span("silence", self._piece_s), _Span("text", at_s)]

    def _attempt_over(self, at_s: float) -> None:
        """Another attempt is to come: the one before brought a part, or nothing; or it had its end, and its text goes on."""
        if not self._open:
            return
        self._open = False
        if self._piece_s is None:
            self._refused += 1
        elif not self._finished:
            self._silence(at_s)
            self._broke.append((at_s, self._chars))
            self._moment("broke", at_s)
        self._enter("wait", at_s)

    def _enter(self, kind: SpanKind, at_s: float) -> None:
        if not self._spans or self._spans[-1].kind != kind:
            self._spans.append(_Span(kind, at_s))

    def _moment(self, kind: SpanKind, at_s: float) -> None:
        before = self._spans[-1].kind if self._spans else "wait"
        self._spans += [_Span(kind, at_s), _Span(before, at_s)]

    def end(self, completion: Completion, at_s: float) -> None:
        """The call is over."""
        self._end = (at_s, completion)

    def words(self) -> list[str]:
        """What happened so far, in the order in which it is told."""
        if not self._asked:
            return []
        said = [say("Asked")]
        if self._refused:
            said.append(say("no answer {count}×", count=self._refused))
        match self._broke:
            case []:
                pass
            case [(at_s, 0)]:
                said.append(f"{SIGNS['broke']} " + say("broke off ({at} s)", at=f"{at_s:.1f}"))
            case [(at_s, chars)]:
                broke = say("broke off after {chars} characters ({at} s)", chars=f"{chars:,}", at=f"{at_s:.1f}")
                said.append(f"{SIGNS['broke']} {broke}")
            case _:
                said.append(f"{SIGNS['broke']} " + say("broke off {count}×", count=len(self._broke)))
        if self._asked > 1:
            said.append(asked_again(self._asked - 1))
        if len(self._joined) == 1:
            said.append(f"{SIGNS['joined']} " + say("joined ({at} s)", at=f"{self._joined[0]:.1f}"))
        elif self._joined:
            said.append(f"{SIGNS['joined']} " + say("joined {count}×", count=len(self._joined)))
        if self._anew:
            said.append(say("begun anew"))
        if self._end is not None:
            said.append(self._ending(*self._end))
        return said

    def _ending(self, at_s: float, completion: Completion) -> str:
        at = f"{at_s:.1f}"
        if completion.outcome == "complete":
            return say("whole: nothing is lost ({at} s)", at=at) if self._broke else say("whole ({at} s)", at=at)
        if completion.outcome == "interrupted":
            return say("stopped ({at} s)", at=at)
        return say("not whole ({at} s)", at=at) if completion.text else say("failed ({at} s)", at=at)

    def html(self, now_s: float) -> str:
        """The words, and below them the line of time; nothing before a question."""
        words = self.words()
        if not words:
            return ""
        until_s = self._end[0] if self._end is not None else now_s
        spans = list(self._spans)
        if self._end is None and self._open and self._piece_s is not None and until_s - self._piece_s >= SILENT_S:
            spans.append(_Span("silence", self._piece_s))
        ends = [span.at_s for span in spans[1:]] + [until_s]
        parts = "".join(_drawn(span, end_s) for span, end_s in zip(spans, ends, strict=True))
        line = " · ".join(f"<span>{html.escape(word)}</span>" for word in words)
        return (
            f'<div class="deepseek-magic-strip"><div>{line}</div>'
            f'<div class="deepseek-magic-strip-bar" aria-hidden="true">{parts}</div></div>'
        )


def _drawn(span: _Span, end_s: float) -> str:
    if span.kind in SIGNS:
        return f'<b class="deepseek-magic-strip-{span.kind}">{SIGNS[span.kind]}</b>'
    length_s = end_s - span.at_s
    grows = f"flex-grow: {max(length_s, 0):.2f}"
    return f'<i class="deepseek-magic-strip-{span.kind}" style="{grows}"></i>' if length_s > 0 else ""
