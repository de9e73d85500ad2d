"""What happened to one answer, line by line with its seconds, and to several that were asked at once, a line each."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from typing import Final

from ....engine.loop import Call
from ....protocol.completion import Completion
from ....protocol.errors import DeepSeekError
from ....protocol.events import (
    AttemptStarted,
    Event,
    Finish,
    ResponseStarted,
    Seam,
    Strategy,
    TextDelta,
    Waiting,
)
from ....text.messages import Message, localized, say
from ...view.seam_marks import asked_again, cause
from ...view.status import WAIT_WORDS
from .strip import Strip

STORY_LINES: Final = 40

_ASKED: Final[dict[Strategy, Message]] = {
    "first": Message("Asked."),
    "retry": Message("Asked again, attempt {n}."),
    "resume": Message("Asked again for the rest, attempt {n}."),
    "continue": Message("Asked again for the rest, attempt {n}."),
    "restart": Message("Asked again from the beginning, attempt {n}."),
}


class Story:
    """What happened to one answer since it was asked: ``lines`` with their seconds, and ``strip``."""

    def __init__(self, now_s: float) -> None:
        self._started_s = now_s
        self._writing = False
        self.lines: list[tuple[float, str]] = []
        self.strip = Strip()

    def note(self, events: Sequence[Event], now_s: float) -> None:
        """Take events that have just come."""
        at_s = now_s - self._started_s
        for event in events:
            self.strip.note(event, at_s)
            line = self._line(event)
            if line and len(self.lines) < STORY_LINES and (not self.lines or self.lines[-1][1] != line):
                self.lines.append((at_s, line))

    def end(self, completion: Completion, now_s: float) -> None:
        """The call is over: say how, where no event has."""
        at_s = now_s - self._started_s
        self.strip.end(completion, at_s)
        if completion.outcome == "interrupted":
            self.lines.append((at_s, say("Stopped; the text so far is kept.")))
        elif completion.error is not None:  # whose sentence stands below the question
            self.lines.append((at_s, say("Failed; the reason stands below the question.")))

    def strip_html(self, now_s: float) -> str:
        """The strip as it is at this moment."""
        return self.strip.html(now_s - self._started_s)

    def _line(self, event: Event) -> str:
        match event:
            case AttemptStarted(attempt=attempt, strategy=strategy):
                self._writing = False
                return _ASKED[strategy].filled(n=attempt).localized()
            case ResponseStarted():
                return say("The server answers.")
            case TextDelta() if not self._writing:
                self._writing = True
                return say("Text arrives.")
            case Waiting(detail=detail, reason=reason):
                return localized(detail) or say("Waiting: {reason}.", reason=WAIT_WORDS[reason])
            case Seam(kind="restarted"):
                return say("The new answer takes the place of the text so far.")
            case Seam(detail=detail) if detail and not cause(detail):  # another endpoint has taken over
                return localized(detail)
            case Seam(at_chars=int(at_chars)):
                return say("Joined at character {at}.", at=f"{at_chars:,}")
            case Seam():
                return say("Joined.")
            case Finish(reason=reason):
                return say("Finished: {reason}.", reason=reason)
        return ""


def story_html(lines: Sequence[tuple[float, str]]) -> str:
    """The story as a list."""
    if not lines:
        return f"<p>{html.escape(say('Ask something to see what happens.'))}</p>"
    items = "".join(
        f"<li><b>{say('{seconds} s', seconds=f'{at_s:.1f}')}</b> {html.escape(line)}</li>" for at_s, line in lines
    )
    return f'<ol class="deepseek-magic-story">{items}</ol>'


class Lane:
    """One of several calls that were asked at once, on a line of its own: waiting, running, or how it ended."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._asked = 0
        self._waits = True

    @property
    def open(self) -> bool:
        """Whether it has not ended."""
        return not self._call.done

    @property
    def state(self) -> str:
        """A word for it."""
        if self.open:
            for event in self._call.drain():
                if isinstance(event, AttemptStarted):
                    self._asked += 1
                self._waits = isinstance(event, Waiting) if isinstance(event, Waiting | AttemptStarted) else self._waits
            return say("waiting") if self._waits else say("running")
        if self._completion is None or self._completion.error is not None:
            return say("failed")
        return say("stopped") if self._completion.outcome == "interrupted" else say("done")

    def stop(self) -> None:
        """End it now."""
        self._call.stop()

    @property
    def _completion(self) -> Completion | None:
        """How it ended; None where the question could not be sent."""
        try:
            return self._call.completion
        except DeepSeekError:
            return None

    @property
    def line(self) -> str:
        """Its state, its seconds when it has ended, and how often it was asked again."""
        said, asked = [self.state], self._asked
        if not self.open and (completion := self._completion) is not None:
            asked = completion.attempts
            if completion.record is not None:
                said.append(say("{seconds} s", seconds=f"{completion.record.total_s:.1f}"))
        if asked > 1:
            said.append(asked_again(asked - 1))
        return " · ".join(said)


def lanes_html(lanes: Sequence[Lane]) -> str:
    """The lanes as a list; nothing without one."""
    items = "".join(f"<li>{html.escape(lane.line)}</li>" for lane in lanes)
    return f'<ol class="deepseek-magic-story deepseek-magic-lanes">{items}</ol>' if lanes else ""


def lanes_text(lanes: Sequence[Lane]) -> str:
    """How many were asked, and how many of them run, wait and have ended; nothing when all have."""
    states = Counter(lane.state for lane in lanes)
    if not any(lane.open for lane in lanes):
        return ""
    order = (say("running"), say("waiting"), say("done"), say("stopped"), say("failed"))
    counts = " · ".join(f"{states[state]} {state}" for state in order if states[state])
    return say("{count} asked: {states}", count=len(lanes), states=counts)
