"""What a notebook would cost, as a value: a row for each place that asks, sums by currency, and the budget beside them.

It shows itself as a table, and is one for programs (``to_pandas()`` and so on).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, Final

from ...metrics.files import Tabular
from ...metrics.frames import Columns, Types
from ...metrics.tables import UNKNOWN, cell, money
from ...policy.budget import CURRENCY
from ...protocol.experiments.outlook import CostRange
from ...protocol.measured import Cost, currency_name
from ...session.experiments.showing import SweepTable
from ...text.messages import Message, say

TITLE_CHARS: Final = 44
_BOUNDS: Final = ("least", "expected", "most")


@dataclass(frozen=True, slots=True, kw_only=True)
class CellCost:
    """A place of a notebook that asks something.

    ``cell`` counts code cells from 1. ``calls`` would be sent, None where that is not known, for the reason ``unknown``;
    ``journal`` answers come from the journal. ``answers``: so many earlier ones the expected cost was learnt from.
    ``error``: what the cell will fail of, so that it sends nothing. ``tape`` answers come from the tape ``tape_name``, which may
    refuse them, too. ``hedged``: its cost at most counts a second request.
    """

    cell: int
    cell_id: str | None
    asks: str
    prompt: str
    calls: int | None = None
    journal: int = 0
    cost: CostRange = field(default_factory=CostRange)
    answers: int = 0
    unpriced: int = 0
    unknown: Message | str | None = None
    error: Message | str | None = None
    tape: int = 0
    tape_name: str = ""
    hedged: bool = False

    @property
    def currency(self) -> str | None:
        """Of the costs; None where there are none."""
        return None if self.cost.most is None else self.cost.most.currency


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLeft:
    """What a session may cost together, and what is left of it, in the currency that it counts."""

    cap: Decimal
    left: Decimal
    currency: str = CURRENCY


@dataclass(frozen=True, kw_only=True)
class NotebookCost(Tabular):
    """What a notebook would cost if all of it were run now: ``cells``, ``sums`` and ``budget``.

    ``with_kernel``: variables of the running kernel were used. ``look_ahead``: how many cells are begun early at once. A frame of it has a row for each place that asks.
    """

    TYPES: ClassVar[Types] = {
        "cell": int,
        **dict.fromkeys(("cell_id", "asks", "prompt"), str),
        **dict.fromkeys(("calls", "journal", "tape"), int),
        **dict.fromkeys(_BOUNDS, float),
        "currency": str,
        **dict.fromkeys(("answers", "unpriced"), int),
        **dict.fromkeys(("unknown", "error"), str),
    }

    path: Path
    cells: tuple[CellCost, ...]
    budget: BudgetLeft | None = None
    with_kernel: bool = False
    look_ahead: int = 0

    @property
    def calls(self) -> int:
        """How many calls would be sent, of those that can be known."""
        return sum(each.calls or 0 for each in self.cells)

    @property
    def unknown(self) -> tuple[CellCost, ...]:
        """The places of which nobody can tell what they ask."""
        return tuple(each for each in self.cells if each.unknown is not None)

    @property
    def sums(self) -> dict[str, CostRange]:
        """The costs together, by currency, but for what is unknown. Without ``expected`` where one call has none."""
        currencies = dict.fromkeys(each.currency for each in self.cells if each.currency is not None)
        return {name: _sum([each.cost for each in self.cells if each.currency == name], name) for name in currencies}

    def to_json(self) -> dict[str, Any]:
        """The same as plain values, amounts as numbers; texts in English."""
        rows = [dict(zip(self.TYPES, row, strict=True)) for row in self._rows()]
        return {
            "notebook": str(self.path),
            "cells": rows,
            "calls": self.calls,
            "unknown": len(self.unknown),
            "sums": {
                name: {bound: _amount(getattr(sum_, bound)) for bound in _BOUNDS} for name, sum_ in self.sums.items()
            },
            "budget": None if self.budget is None else {"cap": float(self.budget.cap), "left": float(self.budget.left)},
        }

    def _rows(self) -> Iterator[list[Any]]:
        for each in self.cells:
            amounts = [_amount(getattr(each.cost, bound)) for bound in _BOUNDS]
            said = [None if why is None else str(why) for why in (each.unknown, each.error)]
            counts = [each.calls, each.journal, each.tape]
            place = [each.cell, each.cell_id, each.asks, each.prompt]
            yield [*place, *counts, *amounts, each.currency, each.answers, each.unpriced, *said]

    def _columns(self) -> Columns:
        rows = list(self._rows())
        return {name: [row[place] for row in rows] for place, name in enumerate(self.TYPES)}

    # to be seen

    @property
    def _table(self) -> SweepTable:
        sums = self.sums
        only = next(iter(sums)) if len(sums) == 1 else None
        heads = [say("cell"), say("asks"), say("prompt"), say("calls"), say("from the journal")]
        heads += [say("at least"), say("about"), say("at most")]
        total = ["", say("sum"), "", cell(self.calls), cell(sum(each.journal for each in self.cells))]
        ranges = [each.cost for each in self.cells] + list(sums.values())
        amounts = list(zip(*(self._column(ranges, bound, only) for bound in _BOUNDS), strict=True))
        rows = [[*self._begun(each), *amount] for each, amount in zip(self.cells, amounts, strict=False)]
        for place, amount in enumerate(amounts[len(self.cells) :]):
            rows.append([*(total if place == 0 else ["", "", "", "", ""]), *amount])
        if not sums:
            rows.append([*total, *[UNKNOWN] * 3])
        return SweepTable(caption=self._caption(only), heads=heads, rows=rows, names=3, foot=list(self._foot()))

    @staticmethod
    def _begun(each: CellCost) -> list[str]:
        title = " ".join(each.prompt.split())
        title = title if len(title) <= TITLE_CHARS else f"{title[: TITLE_CHARS - 1]}…"
        counts = ["?", ""] if each.unknown is not None else [cell(each.calls), cell(each.journal)]
        return [str(each.cell), each.asks, title, *counts]

    @staticmethod
    def _column(ranges: Sequence[CostRange], bound: str, only: str | None) -> list[str]:
        costs: list[Cost | None] = [getattr(each, bound) for each in ranges]
        if only is None:
            return [UNKNOWN if cost is None else cost.rounded for cost in costs]
        amounts = [None if cost is None else cost.amount for cost in costs]
        return [text if amount != 0 else "0" for amount, text in zip(amounts, money(amounts), strict=True)]

    def _caption(self, only: str | None) -> str:
        calls = say("1 call") if self.calls == 1 else say("{count} calls", count=f"{self.calls:,}")
        said = [self.path.name, calls]
        if self.unknown:
            count = len(self.unknown)
            said.append(say("1 place unknown" if count == 1 else "{count} places unknown", count=count))
        if only is not None:
            said.append(say("costs in {currency}", currency=currency_name(only)))
        return " · ".join(said)

    def _foot(self) -> Iterator[str]:
        for each in self.cells:
            place = {"number": each.cell, "magic": each.asks}
            if each.unknown is not None:
                yield say("Cell {number}, {magic}, cannot be known: {why}.", **place, why=each.unknown)
            if each.error is not None:
                yield say("Cell {number}, {magic}, will fail and send nothing: {why}", **place, why=each.error)
        if unpriced := sum(each.unpriced for each in self.cells):
            yield say("Calls of unknown price, left out of the costs: {count}.", count=f"{unpriced:,}")
        for name in dict.fromkeys(each.tape_name for each in self.cells if each.tape):
            given = sum(each.tape for each in self.cells if each.tape_name == name)
            yield say(
                "Answered or refused by the tape {name}, which costs nothing: {count}.", name=name, count=f"{given:,}"
            )
        if any(each.hedged for each in self.cells):
            yield say("At most: with second requests (--hedge), as far as their share of the money goes.")
        if self.look_ahead and self.calls > 1:
            yield say(
                "Look-ahead is on: no more than this if all cells run. After one that fails, what was begun early (at most {count}) is paid for and lost.",
                count=self.look_ahead,
            )
        if learnt := sorted(each.answers for each in self.cells if each.answers):
            low, high = f"{learnt[0]:,}", f"{learnt[-1]:,}"
            count = low if low == high else f"{low}–{high}"
            yield say(
                "About: answers as long as the median of earlier ones ({count} of them) to the same prompt, else of the same model and thinking setting.",
                count=count,
            )
        if self.with_kernel:
            yield say("Variables that the text does not give have the values that this kernel has now.")
        if self.budget is not None and (self.sums or not unpriced):
            yield self._against(self.budget)

    def _against(self, budget: BudgetLeft) -> str:
        whole = self.sums.get(budget.currency, CostRange())
        least, expected, most = (_number(getattr(whole, bound)) for bound in _BOUNDS)
        cap, rest = (
            Cost(amount=amount, currency=budget.currency).rounded
            for amount in (budget.cap, max(budget.left, Decimal(0)))
        )
        left = {"cap": cap, "left": rest}
        if most is None or most <= budget.left:
            said = say("Budget {cap}, {left} left: enough even at most.", **left)
        elif least is not None and least > budget.left:
            said = say("Budget {cap}, {left} left: not enough even at least, so calls will be refused.", **left)
        elif expected is not None and expected <= budget.left:
            said = say("Budget {cap}, {left} left: enough for what is expected, not at most.", **left)
        else:
            said = say("Budget {cap}, {left} left: perhaps not enough.", **left)
        on_top = Message("What cannot be known comes on top.")
        return say("{message} {hint}", message=said, hint=on_top) if self.unknown else said

    def _repr_markdown_(self) -> str:
        return self._table.markdown if self.cells else self._nothing()

    def __repr__(self) -> str:
        return self._table.text if self.cells else self._nothing()

    def _nothing(self) -> str:
        return say("{name} asks nothing.", name=self.path.name)


def _sum(ranges: Sequence[CostRange], currency: str) -> CostRange:
    def of(bound: str) -> Cost | None:
        amounts = [_number(getattr(each, bound)) for each in ranges]
        known = [amount for amount in amounts if amount is not None]
        return Cost(amount=sum(known, Decimal(0)), currency=currency) if len(known) == len(amounts) else None

    return CostRange(least=of("least"), expected=of("expected"), most=of("most"))


def _number(cost: Cost | None) -> Decimal | None:
    return None if cost is None else cost.amount


def _amount(cost: Cost | None) -> float | None:
    return None if cost is None else float(cost.amount)
