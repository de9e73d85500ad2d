"""Whether anybody is given the answer of a call that began before its turn."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
import uuid
from collections.abc import Callable


class Fate:
    """Whether a call that began before its turn is used, decided once, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._decided: concurrent.futures.Future[bool] = concurrent.futures.Future()
        self._sent_s: float | None = None
        self.call_id = uuid.uuid4().hex
        self.ahead_s: float | None = None
        """How many seconds before its turn it had been sent; None unless it is used."""
        self.ended = asyncio.Event()
        """For the engine's loop: whether the call is over."""
        self.failed = False
        """Whether it has ended without a whole answer."""
        self.refused = False
        """Whether that would be so again, however often the same is asked."""

    @property
    def open(self) -> bool:
        """Whether it is still to be decided."""
        return not self._decided.done()

    @property
    def dropped(self) -> bool:
        """Whether nobody will be given its answer."""
        return self._decided.done() and not self._decided.result()

    @property
    def sent(self) -> bool:
        """Whether its request was sent before its turn."""
        return self._sent_s is not None

    def sending(self) -> bool:
        """Its request is about to be sent. Whether that is before its turn."""
        with self._lock:
            if self.open:
                self._sent_s = time.monotonic()
            return self.sent

    def take(self) -> bool:
        """Its turn has come, and its answer is what is asked for now. False if it had been dropped."""
        with self._lock:
            if self.open:
                self.ahead_s = None if self._sent_s is None else time.monotonic() - self._sent_s
                self._decided.set_result(True)
                return True
            return False

    def drop(self) -> bool:
        """Nobody will be given its answer. False if that was decided before."""
        with self._lock:
            if self.open:
                self._decided.set_result(False)
                return True
            return False

    def when_taken(self, do: Callable[[], None]) -> None:
        """Do this as soon as it is taken, in whichever thread that happens; now, if it has been."""
        self._decided.add_done_callback(lambda decided: do() if decided.result() else None)

    async def used(self) -> bool:
        """Wait until it is decided."""
        return await asyncio.wrap_future(self._decided)
