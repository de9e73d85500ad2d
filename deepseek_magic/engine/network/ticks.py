"""Reading many streams on a shared tick.

A wake-up costs far more than the token it brings. Where nobody watches the words come, a connection receives nothing more
after a piece until its next tick; the system gathers what the server sends meanwhile, and one wake-up brings all of it.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

TICK_S: Final = 0.05
READS_PER_S: Final = 1000
"""All of them together are read so often at most: some 5 % of a core, however many they are."""
MOST_READS_PER_S: Final = 5000
"""And never more often than this, which leaves a core time for little else: a thousand that begin together are gathered at once."""
PATIENCE: Final = 0.05
"""A stream is read later by at most this share of the time that it has lasted, or by one tick."""
MANY: Final = 17
"""With fewer streams the whole of their wake-ups is not worth a delay."""


class Gathered(Protocol):
    """A connection that waits for its tick."""

    def take_up(self) -> None:
        """Receive again."""


class Ticks:
    """The connections to one server that nobody watches."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._members = 0
        self._due: dict[int, list[Gathered]] = {}
        self._timer: asyncio.Handle | None = None

    @property
    def many(self) -> bool:
        """Whether there are enough of them to gather what comes."""
        return self._members >= MANY

    def join(self) -> None:
        """One more connection that nobody watches."""
        self._members += 1

    def leave(self) -> None:
        """One less."""
        self._members -= 1

    def wait(self, waiting: Gathered, lasted_s: float, at_most_s: float) -> float:
        """Have a connection, whose stream has lasted so long, taken up at a tick: the next, or a later one where many are read,
        but within ``at_most_s``. In how many seconds at most."""
        patience_s = max(PATIENCE * lasted_s, self._members / MOST_READS_PER_S)
        ticks = max(1, int(min(at_most_s, patience_s, self._members / READS_PER_S) / TICK_S))
        now = int(self._loop.time() / TICK_S)
        # The emptiest of the last ones: what began together is not to be read together for ever, and hold up others so long.
        tick = min(range(now + ticks - ticks // 4, now + ticks + 1), key=lambda each: len(self._due.get(each, ())))
        self._due.setdefault(tick, []).append(waiting)
        if self._timer is None:
            self._set_timer()
        return ticks * TICK_S

    def _set_timer(self) -> None:
        self._timer = self._loop.call_at(min(self._due) * TICK_S, self._ring)

    def _ring(self) -> None:
        self._timer = None
        # A loop may ring a little early, and a busy one late: by then several ticks are due.
        now = int((self._loop.time() + TICK_S / 2) / TICK_S)
        for number in sorted(number for number in self._due if number <= now):
            for each in self._due.pop(number):
                each.take_up()
        if self._due:
            self._set_timer()
