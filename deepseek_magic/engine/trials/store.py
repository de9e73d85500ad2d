"""The sweeps of a journal: what each is to ask, and what has become of its trials.

The answers themselves are the journal's calls, once. All that decides who asks what happens in the journal's own
transactions, so that several kernels may run one sweep: a trial is taken by whoever first writes that it is running.
"""

from __future__ import annotations

import asyncio
import os
import platform
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

from ...protocol.errors import BudgetExceeded, ConfigurationError
from ...protocol.outcome import WHOLE
from ...text.messages import Message
from ..home import IN_PAGE
from ..journal.reader import Journal
from ..journal.writer import now
from .accounts import COUNTED, Payer, total_of
from .units import OPEN, Bill, Claim, Claimed, TrialRow, TrialSeed, TrialUnit, Verdict

_MANY: Final = 500
"""So many values go into one query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepHead:
    """A sweep but for its trials. ``plan`` and ``rows`` are JSON; times are ISO 8601 in UTC.

    ``since``: answers of an earlier time are not used; None: all are.
    """

    sweep_id: str
    name: str
    notebook: str
    run_id: str | None
    made_at: str
    since: str | None
    plan: str
    rows: str


_HEAD: Final = ", ".join(SweepHead.__dataclass_fields__)


class Adopted(NamedTuple):
    """A unit that had its answer already. ``reused``: it was asked for something else."""

    unit: TrialUnit
    call_id: str
    reused: bool


class SweepStore:
    """The tables of sweeps in ``journal``. What changes them gives a future, which is there when it is on disk."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._here = (platform.node(), os.getpid())

    def check(self) -> None:
        """Raise ConfigurationError where nothing can be kept: a sweep without a journal could not be resumed, nor read."""
        if IN_PAGE and not self.journal.enabled:
            raise ConfigurationError(
                Message(
                    "A web page keeps no journal, and sweeps and maps are written there, so they cannot be asked here."
                ),
                hint=Message("Ask cell by cell with %%deepseek, or run this notebook in Jupyter on a computer."),
            )
        if not self.journal.enabled:
            raise ConfigurationError(
                Message("A sweep keeps its trials in the journal, and that is switched off."),
                hint=Message("Set ds.journal.enabled = True first."),
            )
        if self.journal.notice:
            raise ConfigurationError(self.journal.notice, hint=Message("A sweep needs the journal."))

    # writing

    def keep(self, head: SweepHead, trials: Iterable[TrialSeed], *, fresh: bool, renamed: bool) -> Future[None]:
        """Make the sweep, unless it is there; then it is only ``renamed``. ``fresh``: ask everything anew, and use no answer
        from before now."""
        values = tuple(getattr(head, name) for name in SweepHead.__dataclass_fields__)
        marks = ", ".join("?" * len(values))
        self.journal.write([(f"INSERT OR IGNORE INTO sweeps ({_HEAD}) VALUES ({marks})", values)])
        rows, name = [(head.sweep_id, *trial) for trial in trials], self.journal.masked(head.name)

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(_INSERT, rows)
            if renamed:
                connection.execute("UPDATE sweeps SET name = ? WHERE sweep_id = ?", (name, head.sweep_id))
            if fresh:
                connection.execute("DELETE FROM accounts WHERE sweep_id = ?", (head.sweep_id,))
                connection.execute("UPDATE sweeps SET since = ? WHERE sweep_id = ?", (now(), head.sweep_id))
                connection.execute(f"{_ANEW} AND state != 'running'", (head.sweep_id,))
                dead = [
                    row.trial for row in _trials(connection, head.sweep_id) if row.state == "running" and not row.runs
                ]
                connection.executemany(f"{_ANEW} AND trial = ?", [(head.sweep_id, trial) for trial in dead])

        return self.journal.transact(work)

    def adopt(self, sweep_id: str, units: Sequence[TrialUnit], payer: Payer) -> Future[list[Adopted]]:
        """Count what dead processes have spent, and give trials without an answer those that the journal already holds: the r-th complete answer to a request at the
        sweep's address is that of repeat r. A trial whose process died when its answer was whole has that one."""

        def work(connection: sqlite3.Connection) -> list[Adopted]:
            payer.write_off(connection)
            query = "SELECT since FROM sweeps WHERE sweep_id = ?"
            (since,) = connection.execute(query, (sweep_id,)).fetchone()
            rows = {row.trial: row for row in _trials(connection, sweep_id)}
            found = [
                Adopted(unit, row.call_id, False)
                for unit in units
                if (row := rows[unit.trials[0]]).state == "running" and not row.runs
                if row.call_id is not None and _is_whole(connection, row)
            ]
            taken = {row.call_id for row in rows.values() if row.state == "done"} | {each.call_id for each in found}
            free = [unit for unit in units if rows[unit.trials[0]].state in OPEN]
            answers = _answers(connection, {unit.digest for unit in free}, since)
            for unit in sorted(free, key=lambda unit: unit.place):
                call_id = next((each for each in answers[unit.digest, unit.base_url] if each not in taken), None)
                if call_id is not None:
                    taken.add(call_id)
                    found.append(Adopted(unit, call_id, True))
            for each in found:
                connection.executemany(
                    _ADOPT,
                    [
                        (each.call_id, each.reused or place > 0, sweep_id, trial)
                        for place, trial in enumerate(each.unit.trials)
                    ],
                )
            return found

        return self.journal.transact(work)

    def step(
        self, sweep_id: str, ended: Sequence[Verdict], claim: Claim | None, payer: Payer
    ) -> asyncio.Future[Claimed | None]:
        """In one commit: write what has become of units that this process worked on and what they cost, and take the next one
        with what it may cost.

        A unit that another process has taken over meanwhile is left to it.
        """
        mask = self.journal.masked

        def work(connection: sqlite3.Connection) -> Claimed | None:
            for unit, state, tries, call_id, why, bill in ended:
                said = None if why is None else mask(why)
                connection.executemany(
                    _END,
                    [
                        (state, tries, call_id, place > 0 and state == "done", said, sweep_id, trial, *self._here)
                        for place, trial in enumerate(unit.trials)
                    ],
                )
                if bill is not None:
                    payer.settle(connection, bill)
            return None if claim is None else self._take(connection, sweep_id, claim, payer)

        return self.journal.transact_here(work)

    def _take(self, connection: sqlite3.Connection, sweep_id: str, claim: Claim, payer: Payer) -> Claimed:
        unit = claim.unit
        row = next(iter(_trials(connection, sweep_id, "AND trial = ?", unit.trials[0])), None)
        if row is None:  # the sweep was deleted under our hands
            return Claimed(False, "done")
        if row.state not in claim.states and (row.state != "running" or row.runs):
            return Claimed(False, row.state, row.call_id)
        if row.state == "running" and _is_whole(connection, row):  # its process died with the answer on disk
            connection.executemany(
                _ADOPT, [(row.call_id, place > 0, sweep_id, trial) for place, trial in enumerate(unit.trials)]
            )
            return Claimed(False, "done", row.call_id)
        refused = payer.put_aside(connection, claim.bill)
        if refused is not None:
            return Claimed(False, row.state, row.call_id, refused)
        values = (claim.bill.call_id, *self._here, now(), sweep_id)
        connection.executemany(_CLAIM, [(*values, trial) for trial in unit.trials])
        return Claimed(True, row.state, row.call_id)

    def put_aside(self, payer: Payer, bill: Bill) -> asyncio.Future[BudgetExceeded | None]:
        """Set aside more for a call that is under way; the error where there is not so much."""
        return self.journal.transact_here(lambda connection: payer.put_aside(connection, bill))

    def refuse(self, sweep_id: str, unit: TrialUnit) -> asyncio.Future[None]:
        """Write that there was no money for it, unless another process has it."""

        def work(connection: sqlite3.Connection) -> None:
            row = next(iter(_trials(connection, sweep_id, "AND trial = ?", unit.trials[0])), None)
            if row is not None and row.state in ("waiting", "running") and not row.runs:
                connection.executemany(_UNPAID, [(sweep_id, trial) for trial in unit.trials])

        return self.journal.transact_here(work)

    def delete(self, sweep_id: str) -> Future[None]:
        """Forget a sweep. The calls stay in the journal, from where ``prune`` takes them in time."""

        def work(connection: sqlite3.Connection) -> None:
            for table in ("trials", "accounts", "holds", "sweeps"):
                connection.execute(f"DELETE FROM {table} WHERE sweep_id = ?", (sweep_id,))

        return self.journal.transact(work)

    # reading

    def heads(self) -> list[SweepHead]:
        """Every sweep, newest first."""
        return [SweepHead(**dict(row)) for row in self._read(f"SELECT {_HEAD} FROM sweeps ORDER BY made_at DESC")]

    def head(self, sweep_id: str) -> SweepHead | None:
        """One sweep; the inputs of the others are not read."""
        found = self._read(f"SELECT {_HEAD} FROM sweeps WHERE sweep_id = ?", (sweep_id,))
        return SweepHead(**dict(found[0])) if found else None

    def counts(self) -> dict[str, dict[str, int]]:
        """How many trials of each sweep are in which state."""
        found: dict[str, dict[str, int]] = defaultdict(dict)
        for row in self._read("SELECT sweep_id, state, count(*) FROM trials GROUP BY sweep_id, state"):
            found[row[0]][row[1]] = row[2]
        return found

    def trials(self, sweep_id: str) -> list[TrialRow]:
        """The trials of a sweep, in the plan's own order."""
        return [TrialRow(*row) for row in self._read(f"{_SELECT} ORDER BY trial", (sweep_id,))]

    def spent(self, sweep_id: str) -> dict[str, Decimal]:
        """What counts of a sweep's budget, by currency: all that its calls have cost, those that failed and its judges' among
        them, and what those under way may cost."""
        return total_of(self._read(COUNTED, (sweep_id,)))

    def whole_answers(self, digests: Collection[str]) -> dict[tuple[str, str], int]:
        """How many complete answers the journal has to these requests, by request and address."""
        found: Counter[tuple[str, str]] = Counter()
        wanted = sorted(digests)
        for begun in range(0, len(wanted), _MANY):
            some = wanted[begun : begun + _MANY]
            rows = self._read(_ANSWERS.format(marks=", ".join("?" * len(some))), (*some, ""))
            found.update((digest, base_url) for digest, base_url, _ in rows)
        return found

    def lengths(
        self, endpoints: Collection[str], *, limit: int, prompt: str | None = None
    ) -> list[tuple[str, str | None, int | None]]:
        """Model, thinking setting and completion tokens of the newest complete answers of these endpoints; of them only those
        to ``prompt`` (what the user said last), where it is given."""
        marks = ", ".join("?" * len(endpoints))
        values = (*endpoints, limit, *(() if prompt is None else (prompt,)))
        query = _LENGTHS.format(marks=marks, where="" if prompt is None else "WHERE prompt = ?")
        return [tuple(row) for row in self._read(query, values)]

    def _read(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        try:
            return self.journal.stored(query, values)
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):  # an older file, which the first call will bring to the newest shape
                return []
            raise


def _trials(connection: sqlite3.Connection, sweep_id: str, where: str = "", *values: int) -> Iterable[TrialRow]:
    return (TrialRow(*row) for row in connection.execute(f"{_SELECT} {where}", (sweep_id, *values)))


def _is_whole(connection: sqlite3.Connection, row: TrialRow) -> bool:
    query = "SELECT json_extract(completion, '$.outcome') FROM calls WHERE call_id = ? AND ended_at IS NOT NULL"
    ended = connection.execute(query, (row.call_id,)).fetchone()
    return ended is not None and ended[0] in WHOLE


def _answers(
    connection: sqlite3.Connection, digests: Iterable[str], since: str | None
) -> dict[tuple[str, str], list[str]]:
    """The complete answers to these requests by request and address, oldest first."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    wanted = sorted(digests)
    for begun in range(0, len(wanted), _MANY):
        some = wanted[begun : begun + _MANY]
        query = _ANSWERS.format(marks=", ".join("?" * len(some)))
        for digest, base_url, call_id in connection.execute(query, (*some, since or "")):
            found[digest, base_url].append(call_id)
    return found


_INSERT: Final = """
    INSERT OR IGNORE INTO trials (sweep_id, trial, setting, row, repeat, digest, base_url, state)
    VALUES (?, ?, ?, ?, ?, ?, ?, 'waiting')
"""
_SELECT: Final = f"SELECT {', '.join(TrialRow._fields)} FROM trials WHERE sweep_id = ?"
_ANEW: Final = """
    UPDATE trials SET state = 'waiting', round = 0, call_id = NULL, reused = 0, why = NULL, host = NULL, pid = NULL,
    seen_at = NULL WHERE sweep_id = ?
"""
_ADOPT: Final = """
    UPDATE trials SET state = 'done', call_id = ?, reused = ?, why = NULL, host = NULL, pid = NULL, seen_at = NULL
    WHERE sweep_id = ? AND trial = ?
"""
_END: Final = """
    UPDATE trials SET state = ?, round = ?, call_id = ?, reused = ?, why = ?, host = NULL, pid = NULL, seen_at = NULL
    WHERE sweep_id = ? AND trial = ? AND state = 'running' AND host = ? AND pid = ?
"""
_CLAIM: Final = """
    UPDATE trials SET state = 'running', call_id = ?, host = ?, pid = ?, seen_at = ?, why = NULL
    WHERE sweep_id = ? AND trial = ?
"""
_UNPAID: Final = """
    UPDATE trials SET state = 'unpaid', host = NULL, pid = NULL, seen_at = NULL WHERE sweep_id = ? AND trial = ?
"""
_ANSWERS: Final = """
    SELECT json_extract(record, '$.prompt_sha256'), base_url, call_id FROM calls
    WHERE json_extract(record, '$.prompt_sha256') IN ({marks}) AND started_at >= ?
    AND json_extract(completion, '$.outcome') = 'complete' ORDER BY started_at, call_id
"""
_LENGTHS: Final = """
    SELECT json_extract(record, '$.model'), json_extract(record, '$.think'), json_extract(record, '$.completion_tokens')
    FROM (
        SELECT record, prompt FROM calls
        WHERE endpoint IN ({marks}) AND json_extract(completion, '$.outcome') = 'complete'
        ORDER BY started_at DESC LIMIT ?
    ) {where}
"""
