"""Quantiles of a stream of durations in bounded memory: exact while they are few, within 1 % when they are many.

The first ``EXACT_COUNT`` values are kept. From then on values are counted in buckets whose bounds grow geometrically, so
that the middle of a bucket is never further than ``RELATIVE_ERROR`` from what it holds (DDSketch: Masson, Rim and Lee,
"DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees", VLDB 2019, section 2).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Final

EXACT_COUNT: Final = 4096
"""32 KiB of doubles; an answer that comes in fewer pieces has exact quantiles."""

AT_ONCE: Final = 128
"""Values for the buckets are counted so many at a time: each alone costs twice as much, and a kilobyte is no memory."""

RELATIVE_ERROR: Final = 0.01

_GAMMA: Final = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_GAMMA: Final = math.log(_GAMMA)
_SMALLEST_S: Final = 1e-7
"""Shorter durations count as zero: no clock here is finer. With it there are at most about 1,500 buckets up to a week."""


def quantile(ordered: Sequence[float], q: float) -> float:
    """The ``q``-quantile of values in ascending order, interpolated linearly (NumPy's default, which vLLM's figures use).

    ``q`` is between 0 and 1. Raises ValueError for no values.
    """
    if not ordered:
        raise ValueError("no values have no quantile")
    at = q * (len(ordered) - 1)
    below = math.floor(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (at - below)


class DurationSketch:
    """Counts durations in seconds; tells their quantiles. ``n`` of them, the longest is ``max_s``."""

    def __init__(self) -> None:
        self.n = 0
        self.max_s = 0.0
        self._zeros = 0
        self._values = array("d")
        self._buckets: dict[int, int] | None = None

    def add_zeros(self, count: int) -> None:
        """``count`` durations of zero: what arrived together."""
        self.n += count
        self._zeros += count

    def add(self, duration_s: float) -> None:
        """One duration; below a tenth of a microsecond it counts as zero."""
        self.n += 1
        if duration_s < _SMALLEST_S:
            self._zeros += 1
            return
        if duration_s > self.max_s:
            self.max_s = duration_s
        self._values.append(duration_s)
        if len(self._values) > (EXACT_COUNT if self._buckets is None else AT_ONCE):
            self._buckets = self._buckets or {}
            self._count_in_buckets(self._buckets)

    def _count_in_buckets(self, buckets: dict[int, int]) -> None:
        """Move the values there."""
        for value in self._values:
            bucket = math.ceil(math.log(value) / _LOG_GAMMA)
            buckets[bucket] = buckets.get(bucket, 0) + 1
        del self._values[:]

    def quantile_s(self, q: float) -> float | None:
        """The ``q``-quantile in seconds; None when nothing was counted."""
        if not self.n:
            return None
        at = q * (self.n - 1)
        below = math.floor(at)
        if self._buckets is None:
            values = sorted(self._values)
            ranks = (below, min(below + 1, self.n - 1))
            low, high = (0.0 if rank < self._zeros else values[rank - self._zeros] for rank in ranks)
            return low + (high - low) * (at - below)
        self._count_in_buckets(self._buckets)
        rank = round(at) - self._zeros
        if rank < 0:
            return 0.0
        for bucket in sorted(self._buckets):
            rank -= self._buckets[bucket]
            if rank < 0:
                return min(self.max_s, 2 * _GAMMA**bucket / (_GAMMA + 1))
        return self.max_s
