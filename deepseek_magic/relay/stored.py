"""Answers that have ended, in the relay's file, so that a relay that is started again still has them for who comes back.

Only where the class has its texts kept (``keep = "texts"``), and no longer than a running relay keeps an answer. Frames are
stored as they were given, so an id of the earlier run names the same place.
"""

from __future__ import annotations

import time
import zlib
from array import array
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from ..protocol.measured import Cost
from .accounts import CLASS, PICO
from .file import RelayFile
from .flight import Flight, FlownAnswer

END: Final = b"\n\n"
"""What ends each frame, and is in none: JSON writes a line's end as two letters."""


class StoredAnswers:
    """The answers in the file. Without ``texts`` there are none, and those of an earlier setting are deleted."""

    def __init__(self, file: RelayFile, *, texts: bool) -> None:
        self._file = file
        self._texts = texts

    async def keep(self, flight: Flight) -> None:
        """Write down an answer that has ended well."""
        if not self._texts:
            return
        at_s = array("d", flight.at_s).tobytes()
        values = (flight.nonce, flight.key, flight.model, int(flight.shared), time.time(), flight.created, flight.chars)
        blobs = (zlib.compress(b"".join(flight.frames)), at_s, flight.answer)

        def work() -> None:
            with self._file.transaction() as connection:
                connection.execute(_KEEP, (*values, *blobs))

        await self._file.apart(work)

    async def forget(self, flights: Iterable[Flight]) -> None:
        """Delete answers."""
        nonces = [(flight.nonce,) for flight in flights]
        if not nonces or not self._texts:
            return

        def work() -> None:
            with self._file.transaction() as connection:
                connection.executemany("DELETE FROM answers WHERE flight = ?", nonces)

        await self._file.apart(work)

    def load(self, keep_s: float) -> list[Flight]:
        """The answers that ended less than ``keep_s`` seconds ago, oldest first; older ones are deleted."""
        now_s = time.time()
        with self._file.transaction() as connection:
            connection.execute("DELETE FROM answers WHERE at < ?", (now_s - keep_s if self._texts else now_s + 1,))
            found = []
            for nonce, key, model, shared, at, created, chars, frames, at_s, answer in connection.execute(_LOAD):
                paid = connection.execute(_PAID, (nonce,)).fetchall()
                times = array("d")
                times.frombytes(at_s)
                cost = next((Cost(amount=Decimal(a) / PICO, currency=c) for p, a, c in paid if p == CLASS), None)
                whole = FlownAnswer(
                    frames=[frame + END for frame in zlib.decompress(frames).split(END)[:-1]],
                    at_s=times,
                    answer=answer,
                    chars=chars,
                    cost=cost,
                    ended_s=time.monotonic() - max(0.0, now_s - at),
                    students={payer for payer, _, _ in paid if payer != CLASS},
                )
                flight = Flight(key, nonce=nonce, model=model, shared=bool(shared), created=created)
                flight.flown(whole)
                found.append(flight)
        return found


_KEEP: Final = """
    INSERT OR REPLACE INTO answers (flight, key, model, shared, at, created, chars, frames, at_s, answer)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_LOAD: Final = "SELECT flight, key, model, shared, at, created, chars, frames, at_s, answer FROM answers ORDER BY at"
_PAID: Final = "SELECT payer, amount, currency FROM spending WHERE flight = ?"
