"""The failure lab: experiments that make the demo server of this kernel fail, and what the class sees happen.

An experiment is a fault of the demo with two sentences, what breaks and what to watch. ``Story`` turns the events of an
answer into lines that say what the client did about it.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ....engine.loop import Call
from ....protocol.completion import Completion
from ....protocol.events import AttemptStarted, Event, Finish, ResponseStarted, Seam, TextDelta, Waiting
from ....text.messages import localized, say, words
from ...view.seam_marks import SEAM_WORDS
from ...view.status import WAIT_WORDS

STORY_LINES: Final = 40
STRATEGY_WORDS: Final = words("first", "retry", "resume", "continue", "restart")


@dataclass(frozen=True, slots=True)
class Experiment:
    """A fault by name: its spec for the demo, what it breaks, and what there is to see."""

    name: str
    fault: str | None
    breaks: str
    watch: str


EXPERIMENTS: Final = (
    Experiment("no fault", None, "Nothing is broken.", "One attempt, no wait, no seam."),
    Experiment(
        "slow",
        "slow rate=5",
        "The model writes five tokens a second.",
        "The curve is low, the first token is as fast as ever, and nothing is retried: slow is not broken.",
    ),
    Experiment(
        "cut",
        "cut at=content after=25 times=1",
        "The connection closes in the middle of the answer, before the body has ended.",
        "A second attempt sends the text so far as a prefix and continues it; the seam is counted and the answer is complete.",
    ),
    Experiment(
        "cut three times",
        "cut at=content after=12 times=3",
        "Three connections in a row close in the middle.",
        "Each attempt brings something new, so the client continues; the attempts add up to one answer.",
    ),
    Experiment(
        "an end too early",
        "eof-chunked at=content after=25 times=1",
        "The body ends properly, but too early: there was no finish reason.",
        "Many clients treat this as a success; here only a finish reason completes an answer.",
    ),
    Experiment(
        "stall",
        "stall at=content after=20 for=5 times=1",
        "The server falls silent for five seconds and keeps the connection open.",
        "Tokens per second fall to zero while the state does not change: only the client's own clock can notice.",
    ),
    Experiment(
        "refuse",
        "refuse for=3",
        "The port is closed for three seconds: connections are refused.",
        "Attempts follow each other with growing pauses until one is accepted.",
    ),
    Experiment(
        "too busy",
        "503 times=2",
        "The service is too busy and says so, twice.",
        "The pauses grow, each a little different, so that many clients do not return at the same moment.",
    ),
    Experiment(
        "limit",
        "429 times=2 retry-after=2",
        "Too many requests: the response says how long to wait.",
        "The whole process waits that long, and fewer requests run at once; ask six times to see the queue.",
    ),
    Experiment(
        "wrong key",
        "401 times=1",
        "The key is refused.",
        "No retry: the same request would fail again, so the error is shown at once.",
    ),
)


def armed(fault: str | None, left: Sequence[int | None]) -> str:
    """Whether a fault of the demo is still to come, and how often; ``left`` as ``Faults.left``."""
    if not fault:
        return say("Nothing is set up: answers are whole.")
    if all(count == 0 for count in left):
        return say("Used up: {fault}. Set it up again.", fault=fault)
    if None in left:
        return say("Armed, every time: {fault}.", fault=fault)
    count = sum(count or 0 for count in left)
    if count == 1:
        return say("Armed, once: {fault}.", fault=fault)
    return say("Armed, {count} times: {fault}.", count=count, fault=fault)


def lanes_html(calls: Sequence[Call], running: int) -> str:
    """Calls that were asked at once, a line each: waiting, running, or how it ended."""
    lines, open_ones = [], 0
    for call in calls:
        if not call.done:
            open_ones += 1
            lines.append(say("running") if open_ones <= running else say("waiting"))
            continue
        record = call.completion.record
        word = say("failed") if call.completion.error is not None else say("done")
        attempts = say("{count} attempts", count=call.completion.attempts) if call.completion.attempts > 1 else ""
        seconds = say("{seconds} s", seconds=f"{record.total_s:.1f}") if record is not None else ""
        lines.append(" · ".join(part for part in (word, seconds, attempts) if part))
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f'<ol class="deepseek-magic-story deepseek-magic-lanes">{items}</ol>'


class Story:
    """What happened to one answer, line by line, with the seconds since it was asked."""

    def __init__(self, now_s: float) -> None:
        self._started_s = now_s
        self._writing = False
        self.lines: list[tuple[float, str]] = []

    def note(self, events: Sequence[Event], now_s: float) -> None:
        """Take events that have just come."""
        for event in events:
            line = self._line(event)
            if line and len(self.lines) < STORY_LINES and (not self.lines or self.lines[-1][1] != line):
                self.lines.append((now_s - self._started_s, line))

    def end(self, completion: Completion, now_s: float) -> None:
        """The call is over: say how, where no event has."""
        at_s = now_s - self._started_s
        if completion.outcome == "interrupted":
            self.lines.append((at_s, say("Stopped; the text so far is kept.")))
        elif completion.error is not None:  # whose sentence stands below the question
            self.lines.append((at_s, say("Failed; the reason stands below the question.")))

    def _line(self, event: Event) -> str:
        match event:
            case AttemptStarted(attempt=attempt, strategy=strategy):
                self._writing = False
                return say("Attempt {attempt} ({strategy}).", attempt=attempt, strategy=STRATEGY_WORDS[strategy])
            case ResponseStarted():
                return say("The server answers.")
            case TextDelta() if not self._writing:
                self._writing = True
                return say("Text arrives.")
            case Waiting(detail=detail, reason=reason):
                return localized(detail) or say("Waiting: {reason}.", reason=WAIT_WORDS[reason])
            case Seam(kind=kind, at_chars=at_chars, detail=detail):
                if at_chars is None:
                    return say("Seam ({kind}): {why}", kind=SEAM_WORDS[kind], why=detail)
                at = f"{at_chars:,}"
                return say("Seam ({kind} at character {at}): {why}", kind=SEAM_WORDS[kind], at=at, why=detail)
            case Finish(reason=reason):
                return say("Finished: {reason}.", reason=reason)
        return ""


def story_html(lines: Sequence[tuple[float, str]]) -> str:
    """The story as a list."""
    if not lines:
        return f"<p>{html.escape(say('Ask something to see what happens.'))}</p>"
    items = "".join(f"<li><b>{at_s:.1f} s</b> {html.escape(line)}</li>" for at_s, line in lines)
    return f'<ol class="deepseek-magic-story">{items}</ol>'
