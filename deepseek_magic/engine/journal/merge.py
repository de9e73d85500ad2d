"""Another journal's calls are taken into this one: those that it has not, and those of which the other knows more."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from ...protocol.errors import ConfigurationError
from ...protocol.outcome import WHOLE
from ...text.messages import Message
from .file import open_for_reading
from .merging import KeptCall, merged
from .stored import entry_of

_ASKED: Final = ("request", "prompt", "endpoint", "base_url", "run_id", "started_at", "purpose")
_TOLD: Final = ("ended_at", "text", "reasoning", "completion", "record", "host", "pid", "seen_at")
_COLUMNS: Final = ("call_id", *_ASKED, *_TOLD)
_TAKE: Final = f"INSERT OR REPLACE INTO calls ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_PIECES: Final = "SELECT seq, events FROM pieces WHERE call_id = ? ORDER BY seq"
_FORGET: Final = "DELETE FROM pieces WHERE call_id = ?"
_PIECE: Final = "INSERT INTO pieces (call_id, seq, events) VALUES (?, ?, ?)"

Pieces = list[tuple[int, str]]


def calls_of(path: Path) -> Iterator[tuple[str, KeptCall, Pieces]]:
    """Every call of a journal, with the pieces of one that has not ended. Raises ConfigurationError for what is none."""
    if not path.is_file():
        raise ConfigurationError(Message("There is no journal {path}.", path=path))
    try:
        with closing(open_for_reading(path)) as connection:
            for row in connection.execute("SELECT * FROM calls"):
                yield _kept(connection, row)
    except sqlite3.Error as error:
        raise ConfigurationError(
            Message("{path} cannot be read as a journal ({error}).", path=path, error=str(error))
        ) from None


def _kept(connection: sqlite3.Connection, row: sqlite3.Row) -> tuple[str, KeptCall, Pieces]:
    known = {name: row[name] if name in row.keys() else None for name in (*_ASKED, *_TOLD)}  # noqa: SIM118  a Row's
    pieces = (
        []
        if known["ended_at"] is not None
        else [(seq, events) for seq, events in connection.execute(_PIECES, (row["call_id"],))]
    )
    answer = entry_of(row, [(events,) for _, events in pieces]).completion
    call = KeptCall(
        asked=tuple(known[name] for name in _ASKED),
        told=tuple(known[name] for name in _TOLD),
        ended=known["ended_at"] is not None,
        whole=answer.outcome in WHOLE,
        measured=known["record"] is not None,
        text=answer.text,
        reasoning=answer.reasoning,
    )
    return row["call_id"], call, pieces


def take(
    connection: sqlite3.Connection, path: Path, *, busy: Callable[[sqlite3.Row], bool], mask: Callable[[str], str]
) -> int:
    """Take what the journal at ``path`` knows better; how many calls that is. ``busy`` are those that are being received."""
    count = 0
    connection.row_factory = sqlite3.Row
    try:
        for call_id, theirs, pieces in list(calls_of(path)):
            row = connection.execute("SELECT * FROM calls WHERE call_id = ?", (call_id,)).fetchone()
            if row is not None and row["ended_at"] is None and busy(row):
                continue
            ours = None if row is None else _kept(connection, row)
            best = theirs if ours is None else merged(ours[1], theirs)
            if ours is not None and best == ours[1]:
                continue
            values = [mask(value) if isinstance(value, str) else value for value in (*best.asked, *best.told)]
            connection.execute(_TAKE, (call_id, *values))
            if best.told == theirs.told:
                connection.execute(_FORGET, (call_id,))
                connection.executemany(_PIECE, [(call_id, seq, mask(events)) for seq, events in pieces])
            count += 1
    finally:
        connection.row_factory = None
    return count
