"""A loop whose clock runs only while the loop does: a machine that is busy elsewhere makes no deadline pass.

Client and server of a test run on one loop, so nothing can happen that the loop does not do. Seconds in which the
machine did not run it prove nothing about a deadline; here they do not count. What waits of its own accord (a pause, a
silent server) counts in full.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["LOOPS", "SteadyLoop"]

STEP_S: Final = 0.02
"""A wait is counted in steps of at most this: who is woken late by hours has waited one step more."""
WORK_MAX_S: Final = 0.001
"""What one round of callbacks counts at most. Usually it is a tenth of that."""


class _Waits(selectors.DefaultSelector):
    """Counts the seconds that its loop waits and, up to a bound for each round, those that it works."""

    def __init__(self) -> None:
        super().__init__()
        self.counted_s = 0.0
        self._since_s = time.monotonic()

    def now_s(self) -> float:
        """The steady time, also in the middle of a round."""
        return self.counted_s + min(time.monotonic() - self._since_s, WORK_MAX_S)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.counted_s = self.now_s()
        found = super().select(0)
        left_s = float("inf") if timeout is None else timeout
        while not found and left_s > 0:
            step_s, began_s = min(left_s, STEP_S), time.monotonic()
            found = super().select(step_s)
            waited_s = min(time.monotonic() - began_s, step_s) if found else step_s
            self.counted_s += waited_s
            left_s -= waited_s
        self._since_s = time.monotonic()
        return found


class SteadyLoop(asyncio.SelectorEventLoop):
    """See the module. ``time`` begins near 0 and never runs faster than the machine's clock."""

    def __init__(self) -> None:
        self._waits = _Waits()
        super().__init__(self._waits)

    def time(self) -> float:
        return self._waits.now_s()


LOOPS: Final[Mapping[str, Callable[[], Any]]] = {"steady": SteadyLoop}
"""What a folder's conftest gives to ``pytest_asyncio_loop_factories``."""
