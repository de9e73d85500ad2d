"""On a worker: what goes home to one driver, many reports in one event of the scheduler's."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Final

from ...protocol.events import Event
from .travel import Pieces, Report, packed

HOME_S: Final = 0.5
"""So often growing text goes home: so much of it is at risk when a worker dies."""
FIRST_S: Final = 0.1
"""The first words of an answer go home so soon: others may wait for a cache that they have filled."""
APART_S: Final = 0.005
"""A status or an end goes home at once, but no event comes sooner than this after the one before it."""


class Outbox:
    """Of the engine's loop. ``send`` sends an event."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._reports: list[Report] = []
        self._growing: dict[str, tuple[Report, Pieces]] = {}
        self._due: asyncio.TimerHandle | None = None
        self._sent_s = -math.inf

    def put(self, report: Report, in_s: float = 0.0) -> None:
        """Have a report sent in so many seconds, or sooner."""
        self._growing.pop(report.attempt, None)
        self._reports.append(report)
        self._send_in(in_s)

    def grow(self, attempt: str, at_s: float, events: Sequence[Event]) -> None:
        """Pieces that nobody waits for are one report with those of the attempt that have not yet been sent."""
        found = self._growing.get(attempt)
        if found is None:
            pieces = Pieces([])
            found = Report(attempt, at_s, pieces), pieces
            self.put(found[0], HOME_S)
            self._growing[attempt] = found
        report, pieces = found
        report.at_s = at_s
        pieces.events.extend(events)

    def _send_in(self, in_s: float) -> None:
        loop = asyncio.get_running_loop()
        at_s = max(loop.time() + in_s, self._sent_s + APART_S)
        if self._due is not None and self._due.when() <= at_s:
            return
        if self._due is not None:
            self._due.cancel()
        self._due = loop.call_at(at_s, self._go)

    def _go(self) -> None:
        self._due, self._sent_s = None, asyncio.get_running_loop().time()
        reports, self._reports = self._reports, []
        self._growing.clear()
        self._send(packed(reports))
