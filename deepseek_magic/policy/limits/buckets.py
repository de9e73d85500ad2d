"""How fast requests may start: a token bucket, and the pace that a server's remaining budget allows.

Both answer the same question, "how long until a request of this cost may start", with time as an argument.
"""

from __future__ import annotations

import math
from typing import Final

from .ratelimit_headers import Budget

SLOWEST_GAP_S: Final = 10.0
"""However little is said to remain, one request in this time is tried: a lying header must not freeze a notebook."""

EMPTY_WAIT_MAX_S: Final = 60.0
"""An empty budget is waited for until its reset, but asked again after this time: a real limit answers with a 429."""

WINDOW_GUESS_S: Final = 60.0
"""Where neither a reset nor a window is stated: limits a minute are the commonest."""

SAME_WINDOW_S: Final = 2.0
"""Two resets this near each other (or within a twentieth of the wait) mean the same window."""


class TokenBucket:
    """A rate with a burst: gains ``rate_per_s`` tokens a second, holds at most ``capacity``, begins full."""

    def __init__(self, rate_per_s: float, capacity: float, now_s: float) -> None:
        self.rate_per_s = rate_per_s
        self.capacity = max(1.0, capacity)
        self._level = self.capacity
        self._now_s = now_s

    def level(self, now_s: float) -> float:
        """The tokens in it. Negative while a cost above the estimate is being paid off."""
        if now_s > self._now_s:
            self._level = min(self.capacity, self._level + (now_s - self._now_s) * self.rate_per_s)
            self._now_s = now_s
        return self._level

    def wait_s(self, now_s: float, cost: float = 1.0) -> float:
        """Seconds until ``cost`` may be taken; a cost above the capacity waits for a full bucket."""
        missing = min(cost, self.capacity) - self.level(now_s)
        return max(0.0, missing / self.rate_per_s)

    def take(self, now_s: float, cost: float = 1.0) -> None:
        """Take ``cost`` now."""
        self._level = self.level(now_s) - cost

    def settle(self, now_s: float, reserved: float, used: float) -> None:
        """Give back what was reserved and not used, or take the rest."""
        self._level = min(self.capacity, self.level(now_s) + reserved - used)


class Allowance:
    """One budget as the server states it, carried on between its responses.

    Above ``low_water`` of the limit the pace is free. Below, it falls in proportion to what remains, and never above
    what would last until the reset. Nothing remains: wait for the reset, or for a bucket's next refill.
    """

    def __init__(self, low_water: float, now_s: float, own_per_s: float | None = None) -> None:
        self._low_water = low_water
        self._own_per_s = math.inf if own_per_s is None else own_per_s
        self._now_s = now_s
        self._last_start_s = now_s  # the request whose response stated this budget
        self._reset_at_s: float | None = None
        self._window_s: float | None = None
        self.limit: float | None = None
        self.remaining: float | None = None
        self.refill_per_s: float | None = None
        self.presumed = False
        """Whether it was low, and is full again by the clock alone: resets are told in whole seconds, and clocks differ."""

    def update(self, said: Budget, now_s: float) -> None:
        """Take over what a response said. Within one window the remainder never rises again."""
        self._advance(now_s)
        if said.limit is not None:
            self.limit = said.limit
        reset_at_s = now_s + said.reset_s if said.reset_s is not None else None
        if said.remaining is not None:
            same = said.kind == "window" and self._is_same_window(reset_at_s, said.reset_s)
            known = self.remaining if same and self.remaining is not None else math.inf
            self.remaining = min(known, said.remaining)
            self.presumed = False
        if said.kind == "bucket":
            self.refill_per_s = said.refill_per_s or self.refill_per_s
            self._reset_at_s = None
        elif reset_at_s is not None:
            self._reset_at_s = reset_at_s
            # Without a stated length the longest wait ever stated is the best guess of it.
            self._window_s = said.window_s or max(self._window_s or 0.0, said.reset_s or 0.0) or None

    def _is_same_window(self, reset_at_s: float | None, reset_s: float | None) -> bool:
        if reset_at_s is None or reset_s is None or self._reset_at_s is None:
            return False
        return abs(reset_at_s - self._reset_at_s) <= max(SAME_WINDOW_S, reset_s / 20)

    def _advance(self, now_s: float) -> None:
        elapsed_s, self._now_s = max(0.0, now_s - self._now_s), max(self._now_s, now_s)
        if self.remaining is None:
            return
        if self._reset_at_s is not None and now_s >= self._reset_at_s:
            self.presumed = self.limit is not None and self.remaining < self._low_water * self.limit
            self.remaining, self._reset_at_s = self.limit, None
        elif self.refill_per_s is not None and self.limit is not None:
            self.remaining = min(self.limit, self.remaining + elapsed_s * self.refill_per_s)

    def fraction(self, now_s: float) -> float | None:
        """What remains, as a share of the limit; None while one of them is unknown, or the limit is 0."""
        self._advance(now_s)
        return self.remaining / self.limit if self.remaining is not None and self.limit else None

    def pace_per_s(self, now_s: float) -> float:
        """Units a second that may be spent now; infinite above the low-water mark."""
        fraction = self.fraction(now_s)
        if fraction is None or fraction >= self._low_water or self.remaining is None or self.limit is None:
            return math.inf
        share = fraction / self._low_water
        if self.refill_per_s is not None:
            return min(self.refill_per_s, self._own_per_s) * share
        if self._reset_at_s is None:
            return min(self.limit / (self._window_s or WINDOW_GUESS_S), self._own_per_s) * share
        # Spread over what is left of the window, it lasts. Slower, some of it would be lost at the reset; so would the last
        # unit, but for the one that is added: it would be spent at the reset itself.
        spread = (self.remaining + 1) / max(self._reset_at_s - now_s, 1e-3) if self.remaining else 0.0
        return min(spread, self._own_per_s * share)

    def wait_s(self, now_s: float, cost: float = 1.0, *, wanted: float = math.inf) -> float:
        """Seconds until a request of ``cost`` may start. Where what remains is enough for all that is ``wanted`` now, nothing
        is gained by spreading it."""
        pace = self.pace_per_s(now_s)
        if math.isinf(pace) or (self.remaining is not None and wanted <= self.remaining):
            return 0.0
        if self.remaining == 0 and self._reset_at_s is not None:
            return max(0.0, min(self._reset_at_s, self._last_start_s + EMPTY_WAIT_MAX_S) - now_s)
        if self.remaining == 0 and self.refill_per_s:
            pace = self.refill_per_s
        gap_s = min(SLOWEST_GAP_S, cost / pace) if pace > 0 else SLOWEST_GAP_S
        return max(0.0, self._last_start_s + gap_s - now_s)

    def take(self, now_s: float, cost: float = 1.0) -> None:
        """A request of ``cost`` starts now."""
        self._advance(now_s)
        self._last_start_s = now_s
        if self.remaining is not None:
            self.remaining = max(0.0, self.remaining - cost)

    def settle(self, now_s: float, reserved: float, used: float) -> None:
        """Correct an estimated cost; a remainder given back never passes the limit."""
        self._advance(now_s)
        if self.remaining is not None:
            most = math.inf if self.limit is None else self.limit
            self.remaining = min(most, max(0.0, self.remaining + reserved - used))
