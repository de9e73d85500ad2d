"""What a session has spent, and what its calls under way may still cost: the running account that a budget looks at.

It counts every record of a log, those included that a full log has forgotten.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from decimal import Decimal
from types import TracebackType

from ..policy.budget import CURRENCY, refusal
from ..policy.pricing import Cost
from .record import StreamRecord

__all__ = ["Hold", "Spending"]


class Spending:
    """The account. Thread-safe. ``spent`` is by currency; ``unknown_calls`` have a cost that nobody knows."""

    def __init__(self) -> None:
        self.calls = 0
        self.unknown_calls = 0
        self._spent: dict[str, Decimal] = {}
        self._holds: dict[int, Decimal] = {}
        self._lock = threading.Lock()

    @property
    def spent(self) -> Mapping[str, Decimal]:
        """What is known to be spent, by currency."""
        return dict(self._spent)

    @property
    def held(self) -> Decimal:
        """What the calls under way may still cost at most, in US dollars."""
        with self._lock:
            return sum(self._holds.values(), Decimal(0))

    def add(self, record: StreamRecord) -> None:
        """A call ended."""
        with self._lock:
            self.calls += 1
            if record.cost is None:
                self.unknown_calls += 1
            elif record.currency is not None:
                self._spent[record.currency] = self._spent.get(record.currency, Decimal(0)) + record.cost

    def hold(self, most: Cost | None, *, cap: float | None = None) -> Hold:
        """Set aside what a call may cost until it ends. Raises BudgetExceeded when ``cap`` dollars may not be enough.

        A call whose price is unknown (None) sets nothing aside and is refused only when the cap is spent already.
        """
        amount = most.amount if most is not None and most.currency == CURRENCY else Decimal(0)
        hold = Hold(self)
        with self._lock:
            if cap is not None:
                error = refusal(
                    Decimal(str(cap)),
                    spent=self._spent.get(CURRENCY, Decimal(0)),
                    held=sum(self._holds.values(), Decimal(0)),
                    most=amount,
                    unknown_calls=self.unknown_calls,
                )
                if error is not None:
                    raise error
            self._holds[id(hold)] = amount
        return hold

    def release(self, hold: Hold) -> None:
        """The call is over: what it cost comes with its record."""
        with self._lock:
            self._holds.pop(id(hold), None)


class Hold:
    """What is set aside for one call, until the ``with`` block ends."""

    def __init__(self, account: Spending) -> None:
        self._account = account

    def __enter__(self) -> Hold:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._account.release(self)
