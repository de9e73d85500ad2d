"""Which deadline governs now: the clocks that a transport cannot give.

An HTTP client's read time-out is fed by every byte, so a server that sends comments for ever is never late for it. Here
each happening moves only the deadline it is evidence for; comments prove that the connection lives, not that the
answer moves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, Literal, NamedTuple

from ..protocol import events
from ..protocol.errors import ConfigurationError
from ..text.messages import Message

DeadlineName = Literal["connect", "read", "queue", "first_delta", "idle", "done", "total"]
Happening = Literal["connecting", "sent", "comment", "payload", "reasoning", "text", "tool", "finish", "waiting"]
"""``payload``: data without a delta (the role chunk, usage). ``waiting``: no attempt runs (back-off, a full gate)."""

FINISH_GRACE_S: Final = 2.0
"""After the finish reason the answer is whole; ``[DONE]`` or the end of the body may take this much longer."""
UNNOTICED_SHARE: Final = 0.1
"""What has come may lie unread for this share of the shortest silence that is a failure."""

_TAKES: Final = Message("it takes seconds above 0, or None for never")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds until a wait is a failure; None switches that deadline off.

    connect_s: until the connection is open. read_s: without any byte, comments included. queue_s: with comments alone
    (DeepSeek closes a queued request after 600 s by itself). first_delta_s: from the request, or from the end of the
    queue, to the first piece of reasoning or answer. idle_s: between pieces of the answer; idle_reasoning_s: between
    pieces of reasoning, where long honest pauses were seen. total_s: the whole call with all its attempts.

    At 200 tokens a second an answer that rests for 45 s has stopped; DeepSeek's silent stalls never came back after
    minutes. A model on the own machine may need more for its first piece: ``LOCAL_TIMEOUTS``.
    """

    connect_s: float | None = 30.0
    read_s: float | None = 120.0
    queue_s: float | None = 620.0
    first_delta_s: float | None = 120.0
    idle_s: float | None = 45.0
    idle_reasoning_s: float | None = 120.0
    total_s: float | None = None

    def patient(
        self, *, first_token_s: float | None = None, idle_s: float | None = None, total_s: float | None = None
    ) -> Timeouts:
        """These, with those that are given in place of theirs; a thought may rest as long as the answer at least."""
        if not (first_token_s or idle_s or total_s):
            return self
        idle_reasoning_s = self.idle_reasoning_s
        if idle_s is not None and idle_reasoning_s is not None:
            idle_reasoning_s = max(idle_reasoning_s, idle_s)
        return replace(
            self,
            first_delta_s=first_token_s or self.first_delta_s,
            idle_s=idle_s or self.idle_s,
            idle_reasoning_s=idle_reasoning_s,
            total_s=total_s or self.total_s,
        )

    def without_notice_s(self, unread_s: float) -> float:
        """So much of ``unread_s`` as what has come may lie unread, without a deadline's noticing it."""
        limits = (self.read_s, self.first_delta_s, self.idle_s, self.idle_reasoning_s)
        return min((unread_s, *(limit * UNNOTICED_SHARE for limit in limits if limit is not None)))

    @property
    def longest_read_s(self) -> float | None:
        """After so long without a byte no phase of a call goes on; None where one may for ever."""
        limits = (self.read_s, self.first_delta_s, self.idle_s, self.idle_reasoning_s)
        return None if self.read_s is None else max(limit for limit in limits if limit is not None)

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not value > 0:
                raise ConfigurationError.of_setting(field.name, value, _TAKES)


LOCAL_TIMEOUTS: Final = Timeouts(first_delta_s=600.0)
"""The default where the server is this machine: it may have to load the model first."""


class Deadline(NamedTuple):
    """The next deadline: its name, when it passes (the caller's clock), how long it is, and what its passing means."""

    name: DeadlineName
    at_s: float
    limit_s: float

    @property
    def what(self) -> Message:
        """What it means that it has passed, as half a sentence."""
        return _PASSED[self.name].filled(limit=Message("{seconds} s", seconds=f"{self.limit_s:g}"))


_PASSED: Final[dict[DeadlineName, Message]] = {
    "connect": Message("No connection within {limit}"),
    "read": Message("The connection was silent for {limit}"),
    "queue": Message("The request waited in the service's queue for {limit}"),
    "first_delta": Message("The answer did not begin within {limit}"),
    "idle": Message("No text arrived for {limit}, although the connection stayed open"),
    "done": Message("The answer was complete, but its stream was not closed within {limit}"),
    "total": Message("The call took longer than {limit} (--total)"),
}


class Deadlines:
    """The clock logic of one call: notified of what happens, it knows what to wait for. All times are one monotonic clock's."""

    def __init__(self, timeouts: Timeouts, now_s: float) -> None:
        self._timeouts = timeouts
        self._started_s = now_s
        self._phase: Happening = "waiting"
        self._byte_s = self._progress_s = now_s
        self._limits: dict[Happening, tuple[DeadlineName, float | None]] = {
            "connecting": ("connect", timeouts.connect_s),
            "comment": ("queue", timeouts.queue_s),
            "sent": ("first_delta", timeouts.first_delta_s),
            "payload": ("first_delta", timeouts.first_delta_s),
            "reasoning": ("idle", timeouts.idle_reasoning_s),
            "text": ("idle", timeouts.idle_s),
            "tool": ("idle", timeouts.idle_s),
            "finish": ("done", FINISH_GRACE_S),
        }

    def told(self, happening: Happening, now_s: float) -> Deadline | None:
        """Take note of a happening and return the deadline that governs from now on; None if nothing limits the wait."""
        self._byte_s = now_s
        match happening:
            case "connecting" | "sent" | "waiting":
                self._phase, self._progress_s = happening, now_s
            case "comment":
                if self._phase == "sent":
                    self._phase = "comment"
            case "payload":
                # Data that moves no answer ends the queue, once; it does not move the clock of the answer.
                if self._phase in ("sent", "comment"):
                    self._phase, self._progress_s = "payload", now_s
            case _:
                # Text after a finish reason proves that the answer goes on; a second reason proves nothing.
                if self._phase != "finish" or happening != "finish":
                    self._phase, self._progress_s = happening, now_s
        return self.next()

    def next(self) -> Deadline | None:
        """The earliest deadline as things stand."""
        due = [d for d in (self._of_phase(), self._read(), self._total()) if d is not None]
        return min(due, key=lambda d: d.at_s, default=None)

    def passed(self, now_s: float) -> Deadline | None:
        """The deadline that has passed at ``now_s``, if any."""
        due = self.next()
        return due if due is not None and due.at_s <= now_s else None

    def _of_phase(self) -> Deadline | None:
        return _after(self._progress_s, *self._limits[self._phase]) if self._phase != "waiting" else None

    def _read(self) -> Deadline | None:
        read_s = self._timeouts.read_s
        if read_s is None or self._phase in ("waiting", "connecting", "finish"):
            return None
        # Where silence is allowed for longer than a connection's, it is no sign that the connection is dead.
        own_s = None if self._phase == "comment" else self._limits[self._phase][1]
        return _after(self._byte_s, "read", max(read_s, own_s or 0.0))

    def _total(self) -> Deadline | None:
        if self._phase == "finish":
            return None  # the answer is whole: nothing may turn it into a failure any more
        return _after(self._started_s, "total", self._timeouts.total_s)


def _after(start_s: float, name: DeadlineName, limit_s: float | None) -> Deadline | None:
    if limit_s is None or math.isinf(limit_s):
        return None
    return Deadline(name, start_s + limit_s, limit_s)


HAPPENINGS: Final[Mapping[type[events.Event], Happening]] = {
    events.TextDelta: "text",
    events.ReasoningDelta: "reasoning",
    events.ToolCallDelta: "tool",
    events.Finish: "finish",
    events.Heartbeat: "comment",
    events.ResponseStarted: "payload",
    events.UsageReport: "payload",
}
"""What an event that a server has sent means for the clocks; the engine's own events mean nothing to them."""


def happening_of(batch: Sequence[events.Event]) -> Happening | None:
    """What events that came together are evidence for: their end or their last piece of answer, else any data, else a
    sign of life. None for events that did not come from a server."""
    found: Happening | None = None
    for event in reversed(batch):
        happening = HAPPENINGS.get(type(event))
        if happening is not None and happening != "comment" and happening != "payload":
            return happening
        found = "payload" if "payload" in (happening, found) else happening or found
    return found
