"""What the last calls were like, of this process and by the journal of others: how soon they began, and what they cost."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final

from ...policy.several.nearest import SeenCall
from ...protocol.measured import TAPE, StreamRecord

KEPT_CALLS: Final = 1_200
"""As many as are ever asked about; each takes a third of a kilobyte."""

PURPOSES: Final = ("ask", "hedge")
"""What somebody waited for. A sweep asks many at once, and shares its own limits with itself."""


class SeenCalls:
    """A memory of calls. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[str, SeenCall] = {}
        self._sorted = True
        self._held: dict[str, Decimal] = {}

    def note(self, record: StreamRecord, base_url: str) -> None:
        """A call has ended."""
        if record.purpose in PURPOSES and record.outcome != "cached" and record.endpoint != TAPE:
            call = SeenCall.of(record, base_url)
            with self._lock:
                self._calls[call.call_id], self._sorted = call, False
                if (
                    len(self._calls) > KEPT_CALLS
                ):  # the oldest, or nearly so: calls end in another order than they begin
                    del self._calls[next(iter(self._calls))]

    def add(self, calls: Iterable[SeenCall]) -> None:
        """Remember these, each once."""
        with self._lock:
            self._calls |= {call.call_id: call for call in calls}
            self._sort()

    @property
    def calls(self) -> list[SeenCall]:
        """All that are remembered, oldest first."""
        with self._lock:
            if not self._sorted:
                self._sort()
            return list(self._calls.values())

    def _sort(self) -> None:
        kept = sorted(self._calls.values(), key=lambda call: call.at_s)[-KEPT_CALLS:]
        self._calls, self._sorted = {call.call_id: call for call in kept}, True

    @contextlib.contextmanager
    def holding(self, amount: Decimal, currency: str) -> Iterator[None]:
        """Count what a second request may cost as spent, inside the block."""
        self._hold(amount, currency)
        try:
            yield
        finally:
            self._hold(-amount, currency)

    def _hold(self, amount: Decimal, currency: str) -> None:
        with self._lock:
            self._held[currency] = self.held(currency) + amount

    def held(self, currency: str) -> Decimal:
        """What second requests that are under way may cost."""
        return self._held.get(currency, Decimal(0))


SEEN: Final = SeenCalls()
"""One memory for all calls of the process."""
