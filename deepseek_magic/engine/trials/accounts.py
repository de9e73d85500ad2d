"""What sweeps have cost and what their calls under way may still cost, in the journal beside their trials.

Changed in the same commits in which trials are taken and ended. So a budget holds for all kernels that work on a sweep, and
for the next one after a kernel died: what a call that nobody heard the end of may have cost stays set aside for good.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from ...policy.budget import CURRENCY, refusal
from ...protocol.errors import BudgetExceeded
from .units import Bill, leased


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """Who pays: a sweep, for its own calls and for those of its judges. ``cap`` is what they may cost together at most, in US
    dollars or the demo's; None: there is no limit."""

    sweep_id: str
    cap: Decimal | None = None

    def put_aside(self, connection: sqlite3.Connection, bill: Bill) -> BudgetExceeded | None:
        """Set aside what a call may cost, in place of what it had set aside before. The error if that is more than there is;
        then nothing has changed."""
        error = self._refusal(connection, bill)
        if error is not None and self.write_off(connection):
            error = self._refusal(connection, bill)
        if error is None:
            connection.executemany(_HOLD, [(self.sweep_id, bill.call_id, c, str(a)) for c, a in bill.amounts.items()])
        return error

    def _refusal(self, connection: sqlite3.Connection, bill: Bill) -> BudgetExceeded | None:
        if self.cap is None:
            return None
        for currency, most in bill.amounts.items():
            spent, unknown = _spent(connection, self.sweep_id, currency)
            holds = connection.execute(_HELD_IN, (self.sweep_id, currency)).fetchall()
            held = sum((Decimal(amount) for call_id, amount in holds if call_id != bill.call_id), Decimal(0))
            begun = any(call_id == bill.call_id for call_id, _ in holds)
            error = refusal(self.cap, spent=spent, held=held, most=most, unknown_calls=unknown, begun=begun)
            if error is not None:
                return error
        return None

    def settle(self, connection: sqlite3.Connection, bill: Bill) -> None:
        """A call has ended. One that was taken for dead has been counted already, and is not once more."""
        if not connection.execute(_RELEASE, (self.sweep_id, bill.call_id)).rowcount:
            return
        for currency in bill.amounts or (CURRENCY,):
            spent, unknown = _spent(connection, self.sweep_id, currency)
            spent += bill.amounts.get(currency, Decimal(0))
            unknown += bill.unknown if currency == CURRENCY else 0
            connection.execute(_COUNT, (self.sweep_id, currency, str(spent), unknown))

    def write_off(self, connection: sqlite3.Connection) -> bool:
        """Count the calls of dead processes: for what they cost where that is known, else for all that they may have cost.
        Whether there were any."""
        held: dict[str, list[sqlite3.Row | tuple[str, ...]]] = {}
        for call_id, *rest in connection.execute(_HELD, (self.sweep_id,)).fetchall():
            held.setdefault(call_id, []).append(tuple(rest))
        dead = [call_id for call_id in held if not any(leased(*of) for of in connection.execute(_LEASES, (call_id,)))]
        for call_id in dead:
            paid = connection.execute(_PAID, (call_id,)).fetchone()
            if paid is not None:
                amounts = {str(paid[1] or CURRENCY): Decimal(str(paid[0]))}
            else:
                amounts = {str(currency): Decimal(str(most)) for currency, most in held[call_id]}
            self.settle(connection, Bill(call_id, amounts))
        return bool(dead)


def total_of(rows: Iterable[tuple[str, str]]) -> dict[str, Decimal]:
    """Amounts by currency, of rows with both."""
    sums: dict[str, Decimal] = {}
    for currency, amount in rows:
        sums[currency] = sums.get(currency, Decimal(0)) + Decimal(amount)
    return sums


def _spent(connection: sqlite3.Connection, sweep_id: str, currency: str) -> tuple[Decimal, int]:
    row = connection.execute(_SPENT, (sweep_id, currency)).fetchone()
    return (Decimal(0), 0) if row is None else (Decimal(row[0]), row[1])


COUNTED: Final = """
    SELECT currency, amount FROM (
        SELECT sweep_id, currency, spent AS amount FROM accounts UNION ALL SELECT sweep_id, currency, most FROM holds
    ) WHERE sweep_id = ?
"""
_HOLD: Final = "INSERT OR REPLACE INTO holds (sweep_id, call_id, currency, most) VALUES (?, ?, ?, ?)"
_HELD: Final = "SELECT call_id, currency, most FROM holds WHERE sweep_id = ?"
_HELD_IN: Final = "SELECT call_id, most FROM holds WHERE sweep_id = ? AND currency = ?"
_RELEASE: Final = "DELETE FROM holds WHERE sweep_id = ? AND call_id = ?"
_SPENT: Final = "SELECT spent, unknown_calls FROM accounts WHERE sweep_id = ? AND currency = ?"
_COUNT: Final = """
    INSERT OR REPLACE INTO accounts (sweep_id, currency, spent, unknown_calls) VALUES (?, ?, ?, ?)
"""
_LEASES: Final = "SELECT host, pid, seen_at FROM trials WHERE call_id = ? AND state = 'running'"
_PAID: Final = """
    SELECT json_extract(record, '$.cost'), json_extract(record, '$.currency') FROM calls
    WHERE call_id = ? AND ended_at IS NOT NULL AND NOT coalesce(json_extract(record, '$.tokens_estimated'), 0)
    AND json_extract(record, '$.cost') IS NOT NULL
"""
