"""Whether anybody is given the answer of a call that began before its turn."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import time


class Fate:
    """Whether a call that began before its turn is used, decided once, from any thread."""

    def __init__(self) -> None:
        self._decided: concurrent.futures.Future[bool] = concurrent.futures.Future()
        self._began_s = time.monotonic()
        self.ahead_s: float | None = None
        """How many seconds before its turn it had begun; None unless it is used."""
        self.ended = asyncio.Event()
        """For the engine's loop: whether the call is over."""
        self.sent = False
        self.failed = False
        """Whether it has ended without a whole answer."""

    @property
    def open(self) -> bool:
        """Whether it is still to be decided."""
        return not self._decided.done()

    @property
    def dropped(self) -> bool:
        """Whether nobody will be given its answer."""
        return self._decided.done() and not self._decided.result()

    def take(self) -> bool:
        """Its turn has come, and its answer is what is asked for now. False if it had been dropped."""
        self.ahead_s = time.monotonic() - self._began_s
        if not self._decide(True):
            self.ahead_s = None
        return self.ahead_s is not None

    def drop(self) -> bool:
        """Nobody will be given its answer. False if that was decided before."""
        return self._decide(False)

    def _decide(self, used: bool) -> bool:
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            self._decided.set_result(used)
            return True
        return False

    async def used(self) -> bool:
        """Wait until it is decided."""
        return await asyncio.wrap_future(self._decided)
