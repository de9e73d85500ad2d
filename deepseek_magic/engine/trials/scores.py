"""The scores of answers, in the journal beside the trials: kept by what was scored, by which version of which scorer, and
against which expected values, so that each is given once and a changed one anew.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import Any, Final, NamedTuple

from ...protocol.experiments.rules import Score
from ..journal.reader import Journal
from ..journal.writer import now


class KeptScore(NamedTuple):
    """One score: of which call, in which column, what it came from, and the call in which a judge gave it."""

    call_id: str
    column: str
    version: str
    row_digest: str
    score: Score
    judge_call_id: str | None = None


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
                *(kept.judge_call_id, when),
            )
            for kept in scores
        ]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(_KEEP, rows)

        return self._journal.transact(work)

    def of_sweep(self, sweep_id: str) -> list[KeptScore]:
        """Every score of the answers of a sweep, by whichever version; in the order in which the trials come."""
        return [_kept(row) for row in self._read(_OF_SWEEP, (sweep_id,))]

    def of_calls(self, call_ids: Sequence[str]) -> list[KeptScore]:
        """Every score of the answers of these calls, by whichever version; for some hundred calls at once."""
        return [_kept(row) for row in self._read(_OF_CALLS.format(marks=", ".join("?" * len(call_ids))), call_ids)]

    def judges(self, sweep_id: str) -> list[tuple[str, str, str]]:
        """Who has judged whom in a sweep: the version of the scorer, the model that answered and the model that judged it,
        as the models call themselves."""
        return [tuple(row) for row in self._read(_JUDGES, (sweep_id,)) if None not in tuple(row)]

    def _read(self, query: str, values: Sequence[str]) -> list[Any]:
        try:
            return self._journal.stored(query, tuple(values))
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):  # an older file
                return []
            raise

    def keep_plan(self, sweep_id: str, plan: str) -> Future[None]:
        """Write the plan of a sweep anew: its scorers may change, what it asks does not."""
        written = self._journal.masked(plan)

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE sweeps SET plan = ? WHERE sweep_id = ?", (written, sweep_id))

        return self._journal.transact(work)


def _kept(row: Sequence[Any]) -> KeptScore:
    return KeptScore(row[0], row[1], row[2], row[3], Score(row[4], row[5], row[6]))


_KEEP: Final = """
    INSERT OR REPLACE INTO scores (call_id, scorer, version, row_digest, value, label, why, judge_call_id, scored_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_OF_SWEEP: Final = """
    SELECT DISTINCT scores.call_id, scorer, version, row_digest, value, label, scores.why FROM trials
    JOIN scores USING (call_id) WHERE sweep_id = ? ORDER BY trial, scorer
"""
_OF_CALLS: Final = """
    SELECT call_id, scorer, version, row_digest, value, label, why FROM scores WHERE call_id IN ({marks}) ORDER BY scorer
"""
_JUDGES: Final = """
    SELECT DISTINCT scores.version, json_extract(answers.record, '$.response_model'),
        json_extract(judges.record, '$.response_model')
    FROM trials JOIN scores USING (call_id) JOIN calls AS answers USING (call_id)
    JOIN calls AS judges ON judges.call_id = scores.judge_call_id WHERE sweep_id = ?
"""
