"""Stop, and the deadlines that no transport has: what ends a call's wait from outside.

A stream is read in its consumer's own task, so a wait is ended by cancelling that task and taking the cancellation back
when it arrives, as ``asyncio.timeout`` does. A token moves deadlines, so the one timer is set anew only when it rings.
"""

from __future__ import annotations

import asyncio
from typing import Final

from ..policy.deadlines import Deadline, Deadlines, Happening, Timeouts

_NEVER: Final = float("inf")
LATE_S: Final = 0.1
"""A timer that rings later than this was kept from ringing: a cell that computes without letting go of the interpreter
holds up this thread as well, and what came meanwhile has not been read yet."""
LAST_LOOK_S: Final = 0.05
"""So long it may then take until what came has been read."""


class Watch:
    """The clock and the Stop of one call.

    ``enter`` and ``leave`` stand around the time in which the call works; what the consumer does between two batches
    moves no deadline. After a cancellation, ``claims`` tells whether it was sent from here; then ``stopped`` or
    ``passed`` says why.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self.stopped = False
        self.passed: Deadline | None = None
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._sent = False
        self._left_s: float | None = None
        self._away_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = _NEVER
        self._due: Deadline | None = None
        self._happening: Happening | None = None
        self._happened_s = 0.0
        self._deadlines = Deadlines(timeouts, self.now_s)

    @property
    def now_s(self) -> float:
        """Seconds of the call's own clock, which is stopped while the consumer has a batch in hand."""
        return self._loop.time() - self._away_s

    @property
    def working(self) -> bool:
        """Whether a task is inside the call right now."""
        return self._task is not None

    def enter(self) -> None:
        """The call works from now on, in the current task."""
        if self._left_s is not None:
            self._away_s += self._loop.time() - self._left_s
            self._left_s = None
        task = self._task = asyncio.current_task()
        self._cancelling = task.cancelling() if task is not None else 0
        self._sent = False
        if self._timer is None:  # else it rings no later than it should: time away only moves deadlines on
            self._arm()
        if self.stopped:
            self._cancel()

    def leave(self, now_s: float) -> None:
        """The consumer has it from ``now_s`` on, a time of the call's own clock."""
        self._task = None
        self._left_s = now_s + self._away_s

    def close(self) -> None:
        """The call is over; no timer is left."""
        self._task = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def told(self, happening: Happening, now_s: float | None = None) -> None:
        """Something happened, now or at ``now_s``; deadlines move."""
        now_s = self.now_s if now_s is None else now_s
        if happening == self._happening:
            self._happened_s = now_s  # the deadline is later than before; the timer will find out when it rings
            return
        self._settle()
        self._happening, self._happened_s = happening, now_s
        self._due = self._deadlines.told(happening, self._happened_s)
        self._arm()

    def skip(self, seconds: float) -> None:
        """Put the call's own clock forward; back for less than nothing."""
        self._away_s -= seconds
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_s = None, _NEVER
            self._arm()

    def _settle(self) -> None:
        """Tell the deadlines of the last of several like happenings."""
        if self._happening is not None:
            self._due = self._deadlines.told(self._happening, self._happened_s)

    def stop(self) -> None:
        """End the call now, as its user."""
        self.stopped = True
        self._cancel()

    def claims(self) -> bool:
        """Whether the cancellation that was just caught is ours alone; it is then taken back."""
        if not self._sent or self._task is None:
            return False
        self._sent = False
        return self._task.uncancel() <= self._cancelling

    def _cancel(self) -> None:
        if self._task is not None and not self._sent:
            self._sent = True
            self._task.cancel()

    def _arm(self) -> None:
        """Have the timer ring no later than the deadline; a deadline that moved on leaves it as it is."""
        due_s = _NEVER if self._due is None else self._due.at_s + self._away_s
        if due_s == _NEVER or (self._timer is not None and self._timer_s <= due_s):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = due_s
        self._timer = self._loop.call_at(due_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._task is None:
            return  # ``enter`` sets it again
        self._settle()
        passed = self._deadlines.passed(self.now_s)
        if passed is None:
            self._arm()
            return
        if self._loop.time() - self._timer_s > LATE_S:
            self._timer_s = self._loop.time() + LAST_LOOK_S
            self._timer = self._loop.call_at(self._timer_s, self._ring)
            return
        self.passed = passed
        self._cancel()
