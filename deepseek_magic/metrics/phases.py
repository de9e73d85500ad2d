"""The course of one call: the phases that it went through, end to end, from its start to its end.

The columns of a record say how long the queue or the thinking was in sum; the phases say when, so that a call can be
drawn as a waterfall. At every moment a call is in exactly one phase: their lengths add up to its ``total_s``.
"""

from __future__ import annotations

from typing import Final, Literal

from ..protocol.measured import Phase, PhaseKind

PHASES: Final[tuple[PhaseKind, ...]] = PhaseKind.__args__  # type: ignore[attr-defined]
"""All kinds, in the order in which a call meets them."""

STALL_S: Final = 1.0
"""A pause this long between two pieces is a phase of its own. Tokens come every 10 to 50 ms."""

MAX_PHASES: Final = 256
"""A call that recovers as often as the default policy allows has about 80; beyond this, stalls are no longer distinguished."""

_WRITING: Final = ("thinking", "answer")


class Course:
    """Notes the phases of a call while it runs. Times are those of the meter's clock."""

    def __init__(self, now_s: float) -> None:
        self._started_s = now_s
        self._kind: PhaseKind = "request"
        self._since_s = now_s
        self._last_piece_s = now_s
        self._phases: list[Phase] = []

    def enter(self, kind: PhaseKind, now_s: float) -> None:
        """The call is in this phase from now on."""
        if kind == self._kind:
            return
        if self._kind in _WRITING:
            self._close(self._last_piece_s)
            self._kind = "silence"
        self._close(now_s)
        self._kind = kind

    def heartbeat(self) -> None:
        """A keep-alive comment came: whoever waits for the first token is in a queue."""
        if self._kind == "first_token":
            self._kind = "queue"

    def responding(self, now_s: float) -> None:
        """The first chunk of a response came: the queue is over."""
        if self._kind == "queue":
            self.enter("first_token", now_s)

    def piece(self, kind: Literal["thinking", "answer"], now_s: float) -> None:
        """A piece of the reasoning or of the answer came."""
        if self._kind in _WRITING:
            if now_s - self._last_piece_s >= STALL_S and len(self._phases) < MAX_PHASES:
                self.enter("silence", now_s)
                self._close(now_s)
            elif kind != self._kind:
                self._close(now_s)
        else:
            self._close(now_s)
        self._kind = kind
        self._last_piece_s = now_s

    def seam(self, now_s: float) -> None:
        """Two segments were joined."""
        at_s = now_s - self._started_s
        self._phases.append(Phase("seam", at_s, at_s))

    def end(self, now_s: float) -> tuple[Phase, ...]:
        """The call is over; all of its phases."""
        if self._kind in _WRITING:
            self.enter("silence", now_s)
        self._close(now_s)
        return tuple(self._phases)

    def _close(self, now_s: float) -> None:
        if now_s > self._since_s:
            self._phases.append(Phase(self._kind, self._since_s - self._started_s, now_s - self._started_s))
            self._since_s = now_s
