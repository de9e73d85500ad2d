"""What a session has spent, and what its calls under way may still cost: the running account that a budget looks at.

It counts every record of a log, those included that a full log has forgotten.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from ..policy.budget import CURRENCY, dollars, refusal
from ..policy.pricing import Cost
from ..protocol.measured import StreamRecord
from ..text.messages import say, words
from .tables import cell, spent_on, table_bundle


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalCost:
    """What some calls cost together: the known amounts by currency, and how many calls have an unknown cost."""

    calls: int
    costs: Mapping[str, Decimal]
    unknown_calls: int

    @classmethod
    def on(cls, costs: Iterable[tuple[Decimal | None, str | None]]) -> TotalCost:
        """The sum over calls, each with its amount and currency. A call that cost nothing may have no currency."""
        costs = list(costs)
        sums: dict[str, Decimal] = {}
        for amount, currency in costs:
            if amount is not None and currency is not None:
                sums[currency] = sums.get(currency, Decimal(0)) + amount
        return cls(calls=len(costs), costs=sums, unknown_calls=sum(amount is None for amount, _ in costs))


SPANS: Final = words("this session", "this notebook, ever", "this machine, today", "this machine, this month")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What was spent, by span of time, beside the budget. It shows itself as a table."""

    spans: Mapping[str, TotalCost]
    cap: Decimal | None = None
    left: Decimal | None = None

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        heads = ["", say("calls"), say("spent")]
        rows = [
            [SPANS[span].localized(), cell(spent.calls), spent_on(spent.costs, spent.unknown_calls)]
            for span, spent in self.spans.items()
        ]
        caption = say("Money: by the price table, not an invoice")
        if self.cap is not None and self.left is not None:
            caption = say("Budget {cap}, {left} left", cap=dollars(self.cap), left=dollars(max(self.left, Decimal(0))))
        return table_bundle(heads, rows, caption)


class Spending:
    """The account. Thread-safe. ``spent`` is by currency; ``unknown_calls`` have a cost that nobody knows."""

    def __init__(self) -> None:
        self.calls = 0
        self.unknown_calls = 0
        self._spent: dict[str, Decimal] = {}
        self._holds: dict[ExitStack, tuple[str, Decimal]] = {}
        self._lock = threading.Lock()

    @property
    def spent(self) -> Mapping[str, Decimal]:
        """What is known to be spent, by currency."""
        return dict(self._spent)

    def total(self) -> TotalCost:
        """All of it as one value."""
        with self._lock:
            return TotalCost(calls=self.calls, costs=dict(self._spent), unknown_calls=self.unknown_calls)

    def left(self, cap: float, currency: str = CURRENCY) -> Decimal:
        """What is neither spent nor held of ``cap`` (US dollars, or the demo's); below zero when a call cost more than
        was expected."""
        with self._lock:
            return Decimal(str(cap)) - self._spent.get(currency, Decimal(0)) - self._held(currency)

    def _held(self, currency: str) -> Decimal:
        return sum((amount for of, amount in self._holds.values() if of == currency), Decimal(0))

    def add(self, record: StreamRecord) -> None:
        """A call ended."""
        with self._lock:
            self.calls += 1
            if record.cost is None:
                self.unknown_calls += 1
            elif record.currency is not None:
                self._spent[record.currency] = self._spent.get(record.currency, Decimal(0)) + record.cost

    def hold(self, most: Cost | None, *, cap: float | None = None) -> ExitStack:
        """Set aside what a call may cost, until the ``with`` block of what is returned ends.

        Raises BudgetExceeded when ``cap`` dollars may not be enough. ``most`` is in dollars or in play money. A call
        whose price is unknown (None) sets nothing aside and is refused only when the cap is spent already.
        """
        currency, amount = (CURRENCY, Decimal(0)) if most is None else (most.currency, most.amount)
        hold = ExitStack()
        with self._lock:
            if cap is not None:
                error = refusal(
                    Decimal(str(cap)),
                    spent=self._spent.get(currency, Decimal(0)),
                    held=self._held(currency),
                    most=amount,
                    unknown_calls=self.unknown_calls,
                )
                if error is not None:
                    raise error
            self._holds[hold] = (currency, amount)
        hold.callback(self._release, hold)
        return hold

    def _release(self, hold: ExitStack) -> None:
        """The call is over: what it cost comes with its record."""
        with self._lock:
            del self._holds[hold]
