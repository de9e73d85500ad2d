"""Money: what a call may cost is set aside before it is sent, and what it did cost is settled when it has ended.

Who asks is charged as if alone, whoever else had asked the same; the class pays each answer of the provider once. So no budget
depends on luck, and the teacher sees both sums. A student never pays more than was set aside at the beginning: what cuts of the
network add is the class's. What was set aside by a relay that died counts as spent.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_UP, Decimal
from typing import Final

from ..engine.hosts.classroom import Classroom
from ..policy.rules import PERIODS, Payer, Period, begins, unaffordable
from ..protocol.measured import Cost
from .file import RelayFile

PICO: Final = Decimal(10) ** 12
CLASS: Final = ""
"""The payer that is the class itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedMoney:
    """What one payer has used, by period, and the budget for it (None: there is none). In one currency."""

    used: Mapping[Period, Decimal]
    caps: Mapping[Period, Decimal | None]


class Accounts:
    """The purse of a class, in the relay's file. Each method is one transaction; they wait for the disk in its thread."""

    def __init__(self, file: RelayFile, classroom: Classroom) -> None:
        self._file = file
        self._classroom = classroom
        with file.transaction() as connection:  # of a relay that died: nobody knows what it heard of
            connection.execute("UPDATE spending SET held = 0 WHERE held = 1")

    async def begin(self, flight: str, student: str, most: Cost | None, at: datetime) -> None:
        """Set aside what a new flight may cost, for its student and for the class. Raises RuleBroken, and nothing is set
        aside. None: its price is unknown, which fits no budget."""

        def work() -> None:
            with self._file.transaction() as connection:
                self._check(connection, student, most, at)
                self._check(connection, CLASS, most, at)
                if most is not None:
                    self._hold(connection, flight, student, most, at)
                    self._hold(connection, flight, CLASS, most, at)

        await self._file.apart(work)

    async def join(self, flight: str, student: str, most: Cost | None, at: datetime, *, held: bool) -> None:
        """Set aside for one more student of a flight what its first one had set aside, or charge what it has cost where it
        has ended (not ``held``). Who has paid for it pays nothing again. Raises RuleBroken."""

        def work() -> None:
            with self._file.transaction() as connection:
                if connection.execute(_PAYS, (flight, student)).fetchone() is not None:
                    return
                self._check(connection, student, most, at)
                if most is not None:
                    self._hold(connection, flight, student, most, at, held=held)

        await self._file.apart(work)

    async def more(self, flight: str, most: Cost, at: datetime) -> None:
        """Set aside more for the class: an answer that broke takes another request. Raises RuleBroken, and it is not sent."""

        def work() -> None:
            with self._file.transaction() as connection:
                row = connection.execute(_PAYS, (flight, CLASS)).fetchone()
                had = row[0] if row is not None else 0
                if _pico(most.amount) <= had:
                    return
                added = Cost(amount=most.amount - Decimal(had) / PICO, currency=most.currency)
                self._check(connection, CLASS, added, at)
                self._hold(connection, flight, CLASS, most, at)

        await self._file.apart(work)

    async def settle(self, flight: str, cost: Cost | None) -> None:
        """A flight has ended and cost so much; None: nobody knows, and what was set aside counts."""

        def work() -> None:
            with self._file.transaction() as connection:
                if cost is None:
                    connection.execute("UPDATE spending SET held = 0 WHERE flight = ?", (flight,))
                    return
                amount = _pico(cost.amount)
                connection.execute(_SETTLE_STUDENTS, (amount, flight, CLASS))
                connection.execute(_SETTLE_CLASS, (amount, flight, CLASS))

        await self._file.apart(work)

    async def account(self, payer: str, currency: str, at: datetime) -> UsedMoney:
        """What a student, or the class, has used."""

        def work() -> UsedMoney:
            with self._file.transaction() as connection:
                used = self._used(connection, payer, currency, at)
            return UsedMoney(used=used, caps=self._caps(payer))

        return await self._file.apart(work)

    async def everybody(self, at: datetime) -> dict[tuple[str, str], UsedMoney]:
        """The same of all who have used anything, by payer and currency, in one query."""
        since = [begins(period, self._classroom.local(at)) for period in PERIODS]

        def work() -> dict[tuple[str, str], UsedMoney]:
            with self._file.transaction() as connection:
                rows = connection.execute(_EVERYBODY, [each.timestamp() if each else 0.0 for each in since]).fetchall()
            return {
                (payer, currency): UsedMoney(
                    used={period: Decimal(amount) / PICO for period, amount in zip(PERIODS, amounts, strict=True)},
                    caps=self._caps(payer),
                )
                for payer, currency, *amounts in rows
            }

        return await self._file.apart(work)

    def nothing(self, payer: str) -> UsedMoney:
        """The account of one who has used nothing."""
        return UsedMoney(used=dict.fromkeys(PERIODS, Decimal(0)), caps=self._caps(payer))

    def _caps(self, payer: str) -> dict[Period, Decimal | None]:
        budgets, kind = self._classroom.rules.budgets, _kind(payer)
        return {period: budgets.get((kind, period)) for period in PERIODS}

    def _check(self, connection: sqlite3.Connection, payer: str, most: Cost | None, at: datetime) -> None:
        used = self._used(connection, payer, most.currency if most is not None else "", at)
        amount = most.amount if most is not None else None
        refused = unaffordable(self._classroom.rules, _kind(payer), spent=used, most=amount)
        if refused is not None:
            raise refused

    def _used(self, connection: sqlite3.Connection, payer: str, currency: str, at: datetime) -> dict[Period, Decimal]:
        found: dict[Period, Decimal] = {}
        for period in PERIODS:
            since = begins(period, self._classroom.local(at))
            row = connection.execute(_USED, (payer, currency, since.timestamp() if since else 0.0)).fetchone()
            found[period] = Decimal(row[0] or 0) / PICO
        return found

    def _hold(
        self, connection: sqlite3.Connection, flight: str, payer: str, most: Cost, at: datetime, *, held: bool = True
    ) -> None:
        values = (flight, payer, most.currency, _pico(most.amount), int(held), at.timestamp())
        connection.execute(_HOLD, values)


def _kind(payer: str) -> Payer:
    return "student" if payer else "class"


def _pico(amount: Decimal) -> int:
    return int((amount * PICO).to_integral_value(ROUND_UP))


_PAYS: Final = "SELECT amount FROM spending WHERE flight = ? AND payer = ?"
_USED: Final = "SELECT sum(amount) FROM spending WHERE payer = ? AND currency = ? AND at >= ?"
_EVERYBODY: Final = f"""
    SELECT payer, currency, {", ".join("sum(CASE WHEN at >= ? THEN amount ELSE 0 END)" for _ in PERIODS)}
    FROM spending GROUP BY payer, currency
"""
_HOLD: Final = """
    INSERT INTO spending (flight, payer, currency, amount, held, at) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (flight, payer) DO UPDATE SET amount = excluded.amount
"""
_SETTLE_STUDENTS: Final = """
    UPDATE spending SET held = 0, amount = min(amount, ?) WHERE flight = ? AND payer != ? AND held = 1
"""
_SETTLE_CLASS: Final = "UPDATE spending SET held = 0, amount = ? WHERE flight = ? AND payer = ?"
