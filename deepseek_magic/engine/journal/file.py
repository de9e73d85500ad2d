"""The journal's file: where it lies, who may read it, and the shape of its tables.

Apart from the journal, because a shape that users have on disk changes by migration only. ``SCHEMA`` holds one script a
version; a file remembers in ``user_version`` how many of them it has seen.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from ...text.messages import Message
from ..private import open_private, own_folder, private_folder

FILE_NAME: Final = "journal.sqlite3"
BUSY_S: Final = 1.0
"""SQLite itself waits this long for another kernel's write to end; the writer tries again after that."""

SCHEMA: Final = (
    """
    CREATE TABLE calls (
        call_id    TEXT PRIMARY KEY,
        run_id     TEXT,              -- the session that made the call
        host       TEXT NOT NULL,     -- where it runs, and in which process: tells a dead call from a busy one
        pid        INTEGER NOT NULL,
        started_at TEXT NOT NULL,     -- ISO 8601, UTC
        seen_at    TEXT NOT NULL,     -- when its process last wrote
        ended_at   TEXT,              -- NULL: under way, or its process died
        endpoint   TEXT NOT NULL,
        request    TEXT NOT NULL,     -- JSON: messages and options
        prompt     TEXT NOT NULL,     -- the last user message, for searching
        text       TEXT,              -- the answer, once the call has ended
        reasoning  TEXT,
        completion TEXT,              -- JSON: what else is known about the answer
        record     TEXT               -- JSON: what was measured
    );
    CREATE INDEX calls_by_start ON calls (started_at);
    CREATE TABLE pieces (             -- what a call that is under way has received; gone when it has ended
        call_id TEXT NOT NULL,
        seq     INTEGER NOT NULL,
        events  TEXT NOT NULL,        -- JSON: protocol.events.dump_events
        PRIMARY KEY (call_id, seq)
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE calls ADD COLUMN base_url TEXT;
    CREATE INDEX calls_by_request ON calls (json_extract(record, '$.prompt_sha256'));
    """,
    """
    CREATE TABLE chats (
        run_id     TEXT NOT NULL,     -- the kernel whose conversation it is
        name       TEXT NOT NULL,
        notebook   TEXT NOT NULL,
        changed_at TEXT NOT NULL,     -- ISO 8601, UTC
        turns      TEXT NOT NULL,     -- JSON: pairs of turn and call, in order
        PRIMARY KEY (run_id, name)
    ) WITHOUT ROWID;
    CREATE INDEX chats_by_change ON chats (changed_at);
    """,
    """
    CREATE TABLE sweeps (
        sweep_id TEXT PRIMARY KEY,    -- digest of the plan, of its requests and of where they go
        name     TEXT NOT NULL,
        notebook TEXT NOT NULL,
        run_id   TEXT,                -- the session that made it
        made_at  TEXT NOT NULL,       -- ISO 8601, UTC
        since    TEXT,                -- answers of an earlier time are not used (--fresh); NULL: all are
        plan     TEXT NOT NULL,       -- JSON: templates, axes, options, repeats
        rows     TEXT NOT NULL        -- JSON: the inputs, so that a sweep can be read without the frame
    );
    CREATE TABLE trials (
        sweep_id TEXT NOT NULL,
        trial    INTEGER NOT NULL,    -- place in the plan's own order
        setting  INTEGER NOT NULL,
        row      INTEGER NOT NULL,
        repeat   INTEGER NOT NULL,
        digest   TEXT NOT NULL,       -- of the request
        base_url TEXT NOT NULL,       -- where it goes
        state    TEXT NOT NULL,       -- waiting | running | done | failed | unpaid
        round    INTEGER NOT NULL DEFAULT 0,
        call_id  TEXT,                -- whose words are its answer, or the part of one that has come
        reused   INTEGER NOT NULL DEFAULT 0,
        why      TEXT,                -- of a failed one: the error's sentence
        host     TEXT,                -- of a running one: who works on it, and when that process last said so
        pid      INTEGER,
        seen_at  TEXT,
        PRIMARY KEY (sweep_id, trial)
    ) WITHOUT ROWID;
    CREATE TABLE scores (
        call_id       TEXT NOT NULL,
        scorer        TEXT NOT NULL,
        version       TEXT NOT NULL,  -- digest of the scorer's source or arguments
        row_digest    TEXT NOT NULL,  -- of the expected values that it read
        value         REAL,           -- NULL: it could not be judged
        label         TEXT,
        why           TEXT,
        judge_call_id TEXT,
        scored_at     TEXT NOT NULL,
        PRIMARY KEY (call_id, scorer, version, row_digest)
    ) WITHOUT ROWID;
    CREATE INDEX trials_by_call ON trials (call_id);
    """,
    """
    CREATE TABLE accounts (
        sweep_id      TEXT NOT NULL,  -- who pays: also for the judges of its answers
        currency      TEXT NOT NULL,
        spent         TEXT NOT NULL,  -- a decimal number: all calls that have ended
        unknown_calls INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (sweep_id, currency)
    ) WITHOUT ROWID;
    CREATE TABLE holds (
        sweep_id TEXT NOT NULL,
        call_id  TEXT NOT NULL,       -- a call that is under way, or whose process died
        currency TEXT NOT NULL,
        most     TEXT NOT NULL,       -- what it may have cost when it ends
        PRIMARY KEY (sweep_id, call_id, currency)
    ) WITHOUT ROWID;
    INSERT INTO accounts (sweep_id, currency, spent)
        SELECT trials.sweep_id, json_extract(calls.record, '$.currency'), sum(json_extract(calls.record, '$.cost'))
        FROM trials JOIN calls USING (call_id)
        WHERE NOT trials.reused AND json_extract(calls.record, '$.currency') IS NOT NULL
        GROUP BY 1, 2;
    """,
    """
    -- as in the log, which a call without an end is not yet in
    ALTER TABLE calls ADD COLUMN purpose TEXT;
    """,
    """
    CREATE TABLE tool_runs (
        call_id      TEXT NOT NULL,   -- whose answer asked for it
        tool_call_id TEXT NOT NULL,
        name         TEXT NOT NULL,
        arguments    TEXT NOT NULL,   -- JSON, as the model wrote it
        state        TEXT NOT NULL,   -- begun | ran | failed | skipped | refused
        result       TEXT,            -- what the model was sent
        began_at     TEXT NOT NULL,   -- ISO 8601, UTC
        ended_at     TEXT,
        PRIMARY KEY (call_id, tool_call_id)
    ) WITHOUT ROWID;
    """,
)


class NewerJournal(sqlite3.DatabaseError):
    """The file was written by a later version of this package."""


def default_path() -> Path:
    """``DEEPSEEK_MAGIC_HOME`` if it is set, else the platform's folder for a user's data."""
    return own_folder("data") / FILE_NAME


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open the journal, make it if there is none, bring it to the newest shape. Raises OSError or sqlite3.Error.

    Only its owner may read it: it holds prompts and answers. SQLite gives its side files the mode of the main one.
    """
    private_folder(path.parent)
    os.close(open_private(path, os.O_RDWR))
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        # With WAL a reader never waits for a writer. "normal" survives the death of the process; only a power cut
        # may take the last transactions with it.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        _migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open the journal for reading; an empty one, in memory, when there is none yet. Raises sqlite3.Error."""
    if path.exists() and path.stat().st_size:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
        if _version(connection):
            connection.row_factory = sqlite3.Row
            return connection
        connection.close()  # another kernel is just making it
    connection = sqlite3.connect(":memory:", isolation_level=None)
    _migrate(connection)
    return connection


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _migrate(connection: sqlite3.Connection) -> None:
    if _version(connection) == len(SCHEMA):
        return
    with connection:  # commits, or rolls back
        connection.execute("BEGIN IMMEDIATE")
        version = _version(connection)  # again: another kernel may have been faster
        if version > len(SCHEMA):
            raise NewerJournal(
                Message("it has shape {shape}, and this version knows {known}", shape=version, known=len(SCHEMA))
            )
        for script in SCHEMA[version:]:
            for statement in script.split(";\n"):
                if statement.strip():
                    connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(SCHEMA)}")
