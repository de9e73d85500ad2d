"""How many requests may run at once: additive increase, multiplicative decrease, and what a 429 teaches.

The number of simultaneous requests is DeepSeek's only true limit, and it moves: it shrinks with the account's balance.
Where the refusal names the limit the window closes to it at once; where it does not, the requests that the server did
accept are the best measure of it.
"""

from __future__ import annotations

import math
from typing import Final

HALVED: Final = 0.5
EASED: Final = 0.8
"""After a 503: the service is busy, not the account too greedy."""

FIRST_HOLD_TOLD_S: Final = 30.0
FIRST_HOLD_GUESSED_S: Final = 2.0
HOLD_MAX_S: Final = 600.0
"""A known limit is respected for so long before one request more is tried; each failed try doubles it."""


class ConcurrencyWindow:
    """The window's size in requests, between 1 and ``cap``. It begins at the cap: the gate lets only few requests be
    unanswered at once, so a too wide window is noticed after a handful, not after all."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._size = float(cap)
        self.decreased_s = -math.inf
        self._hold_s = 0.0
        self._probe_at_s = -math.inf
        self.known: int | None = None

    @property
    def cap(self) -> int:
        """The most that its size may be."""
        return self._cap

    def recap(self, cap: int) -> None:
        """Let the size be up to ``cap`` from now on. A window that nobody has made smaller is as large at once."""
        untouched = self._size >= self._cap
        self._cap = cap
        self._size = float(cap) if untouched or self._size > cap else self._size

    @property
    def size(self) -> int:
        """How many requests may run at once."""
        return max(1, int(self._size))

    def refused(self, now_s: float, *, sent_at_s: float, accepted: int, told: int | None = None) -> bool:
        """A 429 for a request sent at ``sent_at_s``, while ``accepted`` others were running. True when it is news.

        One decrease an epoch: only a request that was sent after the last decrease may decrease again, except that a
        smaller stated limit always counts.
        """
        fresh = sent_at_s > self.decreased_s
        was, known = self.size, self.known
        probe_failed = known is not None and was > known
        if not fresh and (told is None or told >= was):
            return False
        if told is not None:
            # Refused within the stated limit: others share it, or the server frees its slots late. Give way by one.
            self._size, self.known = float(max(1, min(told, was - 1))), max(1, told)
        elif probe_failed:
            # One too many was tried, and one less had worked; should that be wrong by now, the next refusal halves.
            self.known = was - 1
            self._size = float(self.known)
        else:
            self._size, self.known = float(max(1, min(int(was * HALVED), accepted))), max(1, accepted)
        first_s = FIRST_HOLD_TOLD_S if told is not None else FIRST_HOLD_GUESSED_S
        self._hold_s = min(HOLD_MAX_S, max(first_s, 2 * self._hold_s)) if probe_failed else first_s
        self._probe_at_s = now_s + self._hold_s
        self.decreased_s = now_s
        return True

    def overloaded(self, now_s: float, *, sent_at_s: float) -> None:
        """A 503 for a request sent at ``sent_at_s``."""
        if sent_at_s > self.decreased_s:
            self._size = float(max(1, int(self._size * EASED)))
            self.decreased_s = now_s

    def succeeded(self, now_s: float, *, sent_at_s: float, full: bool) -> None:
        """A stream has ended well. ``full``: the window was used up; an unused one proves nothing, and neither does a
        request that was sent before the last decrease."""
        if not full or sent_at_s <= self.decreased_s:
            return
        if self.known is not None and self._size < self.known:
            self._size = min(self._size + 1, float(self.known), float(self._cap))
        elif self.known is None or now_s >= self._probe_at_s:
            self._size = min(self._size + 1 / self._size, float(self._cap))
