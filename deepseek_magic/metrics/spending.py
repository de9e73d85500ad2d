"""What a session has spent, and what its calls under way may still cost: the running account that a budget looks at.

It counts every record of a log, those included that a full log has forgotten.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from ..policy.budget import COUNTED, CURRENCY, dollars, refusal
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
        self._holds: set[Hold] = set()
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
        return sum((hold.amounts.get(currency, Decimal(0)) for hold in self._holds), Decimal(0))

    def add(self, record: StreamRecord) -> None:
        """A call ended."""
        with self._lock:
            self.calls += 1
            if record.cost is None:
                self.unknown_calls += 1
            elif record.currency is not None:
                self._spent[record.currency] = self._spent.get(record.currency, Decimal(0)) + record.cost

    def hold(self, most: Cost | None, *, cap: float | None = None) -> Hold:
        """Set aside what a call may cost, until the ``with`` block of what is returned ends.

        Raises BudgetExceeded when ``cap`` dollars may not be enough. ``most`` is in dollars or in play money. A call
        whose price is unknown (None) sets nothing aside and is refused only when the cap is spent already.
        """
        hold = Hold(self, cap)
        self.put_aside(hold, in_currency(most))
        return hold

    def put_aside(self, hold: Hold, amounts: Mapping[str, Decimal]) -> None:
        """Have a hold be of so much, by currency. Raises BudgetExceeded; then it stays as it was."""
        with self._lock:
            for currency, amount in amounts.items() if hold.cap is not None else ():
                if (had := hold.amounts.get(currency)) is not None and amount <= had:
                    continue
                error = refusal(
                    Decimal(str(hold.cap)),
                    spent=self._spent.get(currency, Decimal(0)),
                    held=self._held(currency) - (had or 0),
                    most=amount,
                    unknown_calls=self.unknown_calls,
                    begun=hold in self._holds,
                )
                if error is not None:
                    raise error
            self._holds.add(hold)
            hold.amounts = dict(amounts)

    def release(self, hold: Hold) -> None:
        """The call is over: what it cost comes with its record."""
        with self._lock:
            self._holds.discard(hold)


class Hold:
    """What is set aside for one call, by currency, until the ``with`` block ends. It is the call's purse: what the call takes
    more than was expected is set aside before it is sent."""

    def __init__(self, account: Spending, cap: float | None) -> None:
        self.amounts: Mapping[str, Decimal] = {}
        self.cap = cap
        self._account = account
        self._legs = Legs()

    def __enter__(self) -> Hold:
        return self

    def __exit__(self, *_: object) -> None:
        self._account.release(self)

    async def reserve(self, call_id: str, most: Cost | None) -> None:
        """See ``engine.segment.Purse``."""
        self.put(self._legs.put(call_id, most))

    def settle(self, call_id: str, cost: Cost | None) -> None:
        """See ``engine.segment.Purse``."""
        self._legs.put(call_id, cost)

    def put(self, amounts: Mapping[str, Decimal]) -> None:
        """Set aside so much, where that is more than there is already. Raises BudgetExceeded."""
        had = self.amounts
        wanted = {**had, **{currency: max(amount, had.get(currency, amount)) for currency, amount in amounts.items()}}
        if wanted != had:
            self._account.put_aside(self, wanted)


class Legs:
    """What the requests of one call count for: several endpoints may answer it, each under an id and a price of its own."""

    def __init__(self) -> None:
        self._costs: dict[str, Cost | None] = {}

    @property
    def unknown(self) -> int:
        """How many have an unknown cost."""
        return sum(cost is None for cost in self._costs.values())

    @property
    def amounts(self) -> dict[str, Decimal]:
        """The sums by currency."""
        sums: dict[str, Decimal] = {}
        for cost in self._costs.values():
            for currency, amount in in_currency(cost).items():
                sums[currency] = sums.get(currency, Decimal(0)) + amount
        return sums

    def put(self, call_id: str, cost: Cost | None) -> dict[str, Decimal]:
        """What one of them counts for from now on; all of them together."""
        self._costs[call_id] = cost
        return self.amounts


def in_currency(most: Cost | None) -> dict[str, Decimal]:
    """An amount by its currency; nothing where it is unknown, or in one that no budget counts."""
    return {CURRENCY: Decimal(0)} if most is None or most.currency not in COUNTED else {most.currency: most.amount}
