"""The relay's file: students by the digests of their tokens, what was spent, and one row for each call, in figures alone;
answers of the last hour only where the class has its texts kept.

SQLite, for it survives a ``kill -9`` at any moment: what a call may cost is on the disk before the call is sent. One thread
does all that waits for the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from ..engine.private import open_private, own_folder, private_folder
from ..protocol.errors import ConfigurationError
from ..text.messages import Message
from .refusals import unwritable

T = TypeVar("T")
FILE_NAME: Final = "relay.sqlite3"
LOCK_NAME: Final = "relay.lock"
BUSY_S: Final = 10.0

_SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS students (
        name    TEXT PRIMARY KEY,
        digest  TEXT NOT NULL UNIQUE,  -- SHA-256 of the token, which is kept nowhere
        made_at REAL NOT NULL          -- seconds since 1970, as all times here
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS spending (
        flight   TEXT NOT NULL,        -- one answer of the provider
        payer    TEXT NOT NULL,        -- a student, or '' for the class, which pays each flight once
        currency TEXT NOT NULL,
        amount   INTEGER NOT NULL,     -- in millionths of a millionth, so that sums are exact
        held     INTEGER NOT NULL,     -- 1: the most that it may cost, as long as it is under way
        at       REAL NOT NULL,
        PRIMARY KEY (flight, payer)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS spending_by_payer ON spending (payer, currency, at, amount);
    CREATE TABLE IF NOT EXISTS calls (
        at      REAL NOT NULL,
        student TEXT NOT NULL,
        flight  TEXT,                  -- NULL: it was refused
        model   TEXT,
        shared  INTEGER NOT NULL,      -- 1: somebody else had asked the same
        status  INTEGER NOT NULL,
        rule    TEXT,                  -- what refused it
        chars   INTEGER NOT NULL,
        seconds REAL NOT NULL
    );
    CREATE INDEX IF NOT EXISTS calls_by_time ON calls (at);
    CREATE TABLE IF NOT EXISTS clock (latest REAL NOT NULL);
    CREATE TABLE IF NOT EXISTS answers (  -- see stored
        flight  TEXT PRIMARY KEY,
        key     TEXT NOT NULL,
        model   TEXT NOT NULL,
        shared  INTEGER NOT NULL,
        at      REAL NOT NULL,
        created INTEGER NOT NULL,
        chars   INTEGER NOT NULL,
        frames  BLOB NOT NULL,         -- compressed
        at_s    BLOB NOT NULL,         -- of each frame, in some clock
        answer  BLOB NOT NULL
    ) WITHOUT ROWID;
"""


def default_folder() -> Path:
    """Where the relay's file lies unless a folder is named."""
    return own_folder("data") / "relay"


class RelayFile:
    """The file in ``folder``, opened for writing. ``alone``: only one relay may have it; a second one is refused."""

    def __init__(self, folder: Path, *, alone: bool = False) -> None:
        self.folder = folder
        try:
            private_folder(folder)
            os.close(open_private(folder / FILE_NAME, os.O_RDWR))
            self._lock = _locked(folder / LOCK_NAME) if alone else None
            self._connection = sqlite3.connect(
                folder / FILE_NAME, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            said = Message("The relay's file in {folder} cannot be opened: {why}.", folder=folder, why=str(error))
            raise ConfigurationError(said, hint=Message("Name another folder with --data.")) from None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="relay file")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A change that is made whole or not at all. For the thread of ``apart``, or before any runs there."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # a full disk may have ended it already
                self._connection.execute("ROLLBACK")
            raise

    def written_elsewhere(self) -> int:
        """A number that is another one once another connection has changed the file."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    async def apart(self, work: Callable[[], T]) -> T:
        """Have the file's thread do what waits for the disk. Once begun it is done, also when nobody waits any more.

        Raises Refusal where the disk does not let it: what is not written down is not done.
        """
        try:
            return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, work))
        except sqlite3.Error as error:
            raise unwritable(str(error)) from None

    def close(self) -> None:
        """Finish what was begun, and close the file."""
        self._thread.shutdown()
        self._connection.close()
        if self._lock is not None:
            self._lock.close()


def _locked(path: Path) -> sqlite3.Connection:
    """A lock that goes with its process, however that ends. Raises ConfigurationError where another one has it."""
    os.close(open_private(path, os.O_RDWR))
    lock = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        lock.close()
        said = Message("Another relay is running with {folder}.", folder=path.parent)
        raise ConfigurationError(said, hint=Message("Stop it, or name another folder with --data.")) from None
    return lock
