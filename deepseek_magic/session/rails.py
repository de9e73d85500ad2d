"""The rules of a class in a student's own notebook: rails, not a lock, for whoever runs the code can take them away.

What they keep from happening is the accident: the dear model, the answer without end, the sweep of ten thousand, the call at
night. The lock is the relay, which has the key; both read the same file and say the same sentences.
"""

from __future__ import annotations

import os
import sqlite3
from datetime import datetime
from decimal import Decimal
from typing import Final

from ..engine.hosts.classroom import CLASSROOM_VARIABLE, Classroom, of_environment
from ..engine.journal.reader import Journal
from ..policy.rules import PERIODS, Period, applied, begins, closed, too_large, unaffordable
from ..protocol.errors import RuleBroken
from ..protocol.measured import Cost
from ..protocol.options import Options
from ..text.messages import Message

_ACCOUNTS: Final = "SELECT currency, spent FROM accounts WHERE sweep_id = ?"


class Rails:
    """The class of this process, if it has one. Spending is counted from the ``journal``: all notebooks of this user."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._read: tuple[str | None, Classroom | None] | None = None
        self._noticed = False

    @property
    def classroom(self) -> Classroom | None:
        """The class; its file is read once, and again when the variable names another. Raises ConfigurationError."""
        named = os.environ.get(CLASSROOM_VARIABLE)
        if self._read is None or self._read[0] != named:
            self._read = named, of_environment()
        return self._read[1]

    def applied(self, options: Options, at: datetime, *, sent: bool = True) -> Options:
        """The options as the class has them. Raises RuleBroken, also outside of its hours for what will be ``sent``."""
        here = self.classroom
        if here is None:
            return options
        if sent and (shut := self.shut(at)) is not None:
            raise shut
        return applied(here.rules, options)

    def shut(self, at: datetime) -> RuleBroken | None:
        """The refusal of a call that is sent now, outside of the class's hours. Raises ConfigurationError."""
        here = self.classroom
        return None if here is None else closed(here.rules, here.local(at))

    def notice(self) -> Message | str:
        """The class's own words on honest use, the first time that they are asked for."""
        here = self.classroom
        if here is None or not here.rules.notice or self._noticed:
            return ""
        self._noticed = True
        return here.rules.notice

    def check_size(self, calls: int) -> None:
        """Raise RuleBroken for a sweep of more calls than the class allows."""
        here = self.classroom
        if here is not None and (large := too_large(here.rules, calls)) is not None:
            raise large

    def check_money(self, most: Cost | None, at: datetime) -> None:
        """Raise RuleBroken for a call that the student's budget does not allow. Reads the journal, so it may block."""
        here = self.classroom
        if here is None or not any(payer == "student" for payer, _ in here.rules.budgets):
            return
        spent = self._spent(here, at, "" if most is None else most.currency)
        dear = unaffordable(here.rules, "student", spent=spent, most=None if most is None else most.amount)
        if dear is not None:
            raise dear

    def cap_of_sweep(self, sweep_id: str, budget: Decimal | None, at: datetime) -> Decimal | None:
        """What the calls of a sweep may cost together: its ``budget``, and no more than the student's has left. What it has
        cost already is counted in both, so it is added once."""
        here = self.classroom
        found = [budget] if budget is not None else []
        if here is not None:
            try:
                rows = self._journal.stored(_ACCOUNTS, (sweep_id,))
            except sqlite3.OperationalError:  # a file of an older shape, without sweeps
                rows = []
            own = {str(currency): Decimal(spent) for currency, spent in rows}
            for currency in ("USD", "demo USD"):
                spent = self._spent(here, at, currency)
                for period in PERIODS:
                    cap = here.rules.budgets.get(("student", period))
                    if cap is not None:
                        found.append(max(Decimal(0), cap - spent[period]) + own.get(currency, Decimal(0)))
        return min(found, default=None)

    def _spent(self, here: Classroom, at: datetime, currency: str) -> dict[Period, Decimal]:
        return {
            period: self._journal.spent(begins(period, here.local(at))).costs.get(currency, Decimal(0))
            for period in PERIODS
            if ("student", period) in here.rules.budgets
        }
