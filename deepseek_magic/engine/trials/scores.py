"""The scores of answers, in the journal beside the trials: kept by what was scored, by which version of which scorer, and
against which expected values, so that each is given once and a changed one anew.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Final, NamedTuple

from ...protocol.experiments.rules import Score
from ..journal.reader import Journal
from ..journal.writer import now


class KeptScore(NamedTuple):
    """One score: of which call, in which column, and what it came from."""

    call_id: str
    column: str
    version: str
    row_digest: str
    score: Score


class ScoreStore:
    """The table ``scores`` of a journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def keep(self, scores: Iterable[KeptScore]) -> Future[None]:
        """Write these. The future is there when they are on disk."""
        mask, when = self._journal.masked, now()
        rows = [
            (
                *(kept.call_id, kept.column, kept.version, kept.row_digest, kept.score.value),
                None if kept.score.label is None else mask(kept.score.label),
                None if kept.score.why is None else mask(str(kept.score.why)),
                when,
            )
            for kept in scores
        ]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(_KEEP, rows)

        return self._journal.transact(work)

    def of_sweep(self, sweep_id: str) -> list[KeptScore]:
        """Every score of the answers of a sweep, by whichever version; in the order in which the trials come."""
        try:
            rows = self._journal.stored(_OF_SWEEP, (sweep_id,))
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):  # an older file
                return []
            raise
        return [KeptScore(row[0], row[1], row[2], row[3], Score(row[4], row[5], row[6])) for row in rows]

    def keep_plan(self, sweep_id: str, plan: str) -> Future[None]:
        """Write the plan of a sweep anew: its scorers may change, what it asks does not."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE sweeps SET plan = ? WHERE sweep_id = ?", (plan, sweep_id))

        return self._journal.transact(work)


_KEEP: Final = """
    INSERT OR REPLACE INTO scores (call_id, scorer, version, row_digest, value, label, why, scored_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_OF_SWEEP: Final = """
    SELECT DISTINCT scores.call_id, scorer, version, row_digest, value, label, scores.why FROM trials
    JOIN scores USING (call_id) WHERE sweep_id = ? ORDER BY trial, scorer
"""
