"""Every call ever made from this machine's notebooks, on disk, written while it streams.

The journal is a convenience that must never cost an answer: whatever goes wrong with the disk ends in one notice. It
holds prompts and answers, never a key, and can be switched off. Several kernels may use one file at once.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import os
import platform
import sqlite3
import weakref
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

from ...metrics.files import Tabular
from ...metrics.row import Row
from ...metrics.spending import TotalCost
from ...metrics.tables import cell, counted, table_bundle
from ...policy.tools.approval import asks_for_tools
from ...protocol.chat import ChatMessage, Request
from ...protocol.completion import Completion
from ...protocol.conversation import Turn
from ...protocol.events import Event
from ...protocol.measured import StreamRecord
from ...protocol.outcome import OUTCOME_WORDS, RESUMABLE
from ...text.messages import Message, localized, say
from .file import FILE_NAME, default_path, open_for_reading, open_for_writing
from .merge import calls_of, take
from .saved_chats import SavedChat, newest, statement_of
from .stored import JOURNAL_COLUMNS as JOURNAL_COLUMNS
from .stored import Entry as Entry
from .stored import Statement, begun, ended, entry_of, measured, taken
from .work import Work
from .writer import LEASE_S, JournalWriter, now

READ_FLUSH_S: Final = 2.0
SHOWN_ROWS: Final = 20
T = TypeVar("T")
SEARCH_LIMIT: Final = 100
RESUMABLE_ROWS: Final = 200
"""An answer that is further back than this is resumed by its id."""
DEAD_AFTER_S: Final = 3 * LEASE_S
"""A call of another machine that was silent so long has lost its process."""

_LOADED_AT: Final = datetime.now(UTC)
_NO_TRIALS: Final = "AND call_id NOT IN (SELECT call_id FROM trials WHERE call_id IS NOT NULL)"
NO_JOURNAL: Final = Message(
    "No journal is kept here: answers can be resumed by their variable, as long as this kernel runs."
)

_SHOWN: Final = {
    "started_at": Message("started"),
    "prompt": Message("prompt"),
    "text": Message("answer"),
    "model": Message("model"),
    "outcome": Message("outcome"),
    "total_s": Message("total, s"),
    "completion_tokens": Message("tokens out"),
}


class Journal(Tabular):
    """The journal at ``path`` (see ``default_path``). Neither the file nor its folder is made before the first call.

    ``mask`` is laid over every text that is written: the session passes what hides its keys. All methods are
    thread-safe, and those that write never wait for the disk. Those that read raise sqlite3.Error when the file is damaged.
    """

    TYPES = JOURNAL_COLUMNS

    def __init__(
        self, path: str | Path | None = None, enabled: bool = True, *, mask: Callable[[str], str] = str
    ) -> None:
        self.path = Path(path) if path is not None else default_path()
        self.enabled = enabled
        self._writer = JournalWriter(self.path, mask=mask)
        # At exit too: what came last is written before the interpreter goes.
        self._finalizer = weakref.finalize(self, self._writer.close)

    @property
    def notice(self) -> Message | str:
        """That the journal had to be given up, and why; "" as long as it has not."""
        return self._writer.notice

    # writing, from the engine's loop

    def begin(
        self,
        call_id: str,
        request: Request,
        endpoint: str,
        *,
        base_url: str | None = None,
        run_id: str | None = None,
        started_at: datetime | None = None,
        purpose: str | None = None,
    ) -> None:
        """A call starts."""
        if self.enabled and not self.notice:
            at = started_at or datetime.now(UTC)
            statements = functools.partial(begun, call_id, request, endpoint, base_url, run_id, at, now(), purpose)
            self._writer.begin(call_id, statements)

    def taken(self, call_id: str) -> None:
        """The answer of a call under way is given to somebody after all, though it was sent beside another or before its turn:
        if the process dies now, it can be resumed."""
        if self.enabled and not self.notice:
            self._writer.put(functools.partial(taken, call_id))

    def append(self, call_id: str, events: Sequence[Event]) -> None:
        """Events of the call arrived. Calls that were not begun are let pass."""
        self._writer.append(call_id, events)

    def end(self, call_id: str, completion: Completion, record: StreamRecord | None = None) -> None:
        """The call is over."""
        self._writer.end(call_id, functools.partial(ended, call_id, completion, record, now()))

    def measure(self, record: StreamRecord) -> None:
        """Put a record in the place of that of a call which is over: only now it is known whether it was used."""
        if self.enabled and not self.notice:
            self._writer.put(functools.partial(measured, record))

    def keep_chat(self, run_id: str, notebook: str, name: str, turns: Sequence[Turn]) -> None:
        """A conversation of the kernel ``run_id`` has these turns now."""
        if self.enabled and not self.notice:
            statement = statement_of(run_id, notebook, name, turns)
            self._writer.put(lambda: [statement])

    def transact(self, work: Work[T]) -> concurrent.futures.Future[T]:
        """Do ``work`` on the file in one transaction with all that was written before it, in the writer's thread. What it
        gives is there when it is on disk; JournalLost where the journal had to be given up."""
        return self._writer.ask(work)

    def transact_here(self, work: Work[T]) -> asyncio.Future[T]:
        """The same for a task on a loop."""
        return self._writer.ask_here(work)

    def write(self, statements: Sequence[Statement]) -> None:
        """Write these, in order and masked, with whatever comes next."""
        self._writer.put(lambda: [*statements])

    def flush(self, timeout_s: float = READ_FLUSH_S) -> bool:
        """Wait until everything so far is on disk; False if it is not."""
        return self._writer.flush(timeout_s)

    def close(self) -> None:
        """Write what is left and let the file go. A later call opens it again."""
        self._writer.close()

    # reading

    def get(self, call_id: str) -> Entry | None:
        """One call by its id; None if it is not there."""
        return next(iter(self._entries("WHERE call_id = ?", (call_id,))), None)

    def search(self, text: str, *, limit: int = SEARCH_LIMIT) -> list[Entry]:
        """Calls whose prompt, answer or reasoning holds ``text`` (ASCII letters in either case), newest first."""
        pattern = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        columns = ("prompt", "text", "reasoning")
        where = " OR ".join(f"{column} LIKE ? ESCAPE '\\'" for column in columns)
        found = []
        for entry in self._entries(
            f"WHERE ended_at IS NULL OR {where} ORDER BY started_at DESC", (pattern,) * len(columns)
        ):
            answer = entry.completion
            words = (answer.request.prompt, answer.text, answer.reasoning)
            if entry.ended_at is not None or any(text.casefold() in part.casefold() for part in words):
                found.append(entry)
            if len(found) == limit:
                break
        return found

    def resumable(self, *, limit: int = RESUMABLE_ROWS) -> list[Entry]:
        """Of the newest ``limit`` calls those whose answer can be resumed, newest first.

        An answer that waits for its functions is among them once its process has ended. A call still under way anywhere is not,
        nor one whose question was asked or resumed later, nor one whose answer nobody was given.
        """
        later, found, went_on = set(), [], set[str]()
        for entry in self._entries("ORDER BY started_at DESC LIMIT ?", (limit,), dead_only=True):
            if not entry.is_used:
                continue
            completion = entry.completion
            request = completion.request
            if request not in later and (completion.outcome in RESUMABLE or self._waits(entry, went_on)):
                found.append(entry)
            later.add(request)
            called = (place for place, message in enumerate(request.messages) if place and message.tool_calls)
            went_on.update(_digest(request.messages[:place]) for place in called)
        return found

    def _waits(self, entry: Entry, went_on: set[str]) -> bool:
        """Whether an answer waits for its functions, and nobody is about to run them. ``went_on``: after which messages there
        were calls that went on."""
        if not asks_for_tools(entry.completion) or entry.purpose not in ("ask", "tool"):
            return False
        return _digest(entry.completion.request.messages) not in went_on and not self._is_held(entry.call_id)

    def _is_held(self, call_id: str) -> bool:
        """Whether the process that got this answer still lives, as far as can be told: it may run functions, or ask its user."""
        ((host, pid, seen_at),) = self.stored("SELECT host, pid, seen_at FROM calls WHERE call_id = ?", (call_id,))
        if host != platform.node() or os.name != "posix":
            return is_alive(host, pid, seen_at)
        if pid == os.getpid():  # in a container an earlier kernel may have had the same number
            return datetime.fromisoformat(seen_at) >= _LOADED_AT
        return lives(pid)

    def answer_to(self, request: Request, base_url: str) -> Entry | None:
        """The newest complete answer that this request got at this address; None if there is none."""
        where = "WHERE json_extract(record, '$.prompt_sha256') = ? AND base_url = ? ORDER BY started_at DESC"
        entries = self._entries(where, (request.digest(), base_url))
        return next((entry for entry in entries if entry.completion.outcome == "complete"), None)

    def beginning_with(self, prefix: str) -> list[Entry]:
        """The calls whose id begins with ``prefix``, newest first."""
        where = "WHERE substr(call_id, 1, ?) = ? ORDER BY started_at DESC LIMIT ?"
        return list(self._entries(where, (len(prefix), prefix, SEARCH_LIMIT)))

    def saved_chats(self, *, but_run: str) -> list[SavedChat]:
        """Every conversation as its last kernel left it, newest first, but for those of the kernel ``but_run``."""
        try:
            return newest(self.stored("SELECT * FROM chats WHERE run_id != ? ORDER BY changed_at DESC", (but_run,)))
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):  # an older file, which the first call will bring to the newest shape
                return []
            raise

    def rows(self, limit: int | None = None) -> list[Row]:
        """All calls, or the newest ``limit``, oldest first, as flat mappings with the columns of ``JOURNAL_COLUMNS``."""
        entries = self._entries("ORDER BY started_at DESC LIMIT ?", (-1 if limit is None else limit,))
        return [entry.row() for entry in entries][::-1]

    def spent(self, since: datetime | None = None, *, notebook: str | None = None) -> TotalCost:
        """What the calls cost that began at ``since`` or later, or all that ever did, and how many have an unknown cost;
        those of one ``notebook``, by its path, or of all."""
        where, values = "", list[str]()
        if since is not None:
            where, values = " AND started_at >= ?", [since.astimezone(UTC).isoformat()]
        if notebook is not None:
            where, values = f"{where} AND json_extract(record, '$.notebook') = ?", [*values, notebook]
        cost = "SELECT json_extract(record, '$.cost'), json_extract(record, '$.currency') FROM calls"
        played = "AND coalesce(json_extract(record, '$.endpoint'), '') != 'tape'"
        paid = self.stored(f"{cost} WHERE ended_at IS NOT NULL {played} {where}", tuple(values))
        return TotalCost.on((None if amount is None else Decimal(amount), currency) for amount, currency in paid)

    def __len__(self) -> int:
        return int(self.stored("SELECT count(*) FROM calls")[0][0])

    def __bool__(self) -> bool:
        return True  # an empty journal is still a journal

    def _columns(self) -> dict[str, list[Any]]:
        rows = self.rows()
        return {name: [row[name] for row in rows] for name in JOURNAL_COLUMNS}

    def prune(self, *, keep_days: float) -> int:
        """Delete calls that began more than ``keep_days`` days ago and give their space back; how many they were.

        A call that is under way stays, and so does one that a sweep has as its answer: deleting the sweep lets it go. Raises sqlite3.Error when the file is locked or cannot be written.
        """
        self.flush()
        if not self.path.exists():
            return 0
        before = (datetime.now(UTC) - timedelta(days=keep_days)).isoformat()
        open_calls = self.stored("SELECT * FROM calls WHERE ended_at IS NULL")
        busy = [row["call_id"] for row in open_calls if self._is_alive(row)]
        with contextlib.closing(open_for_writing(self.path)) as connection:
            with connection:  # commits, or rolls back
                connection.execute("BEGIN IMMEDIATE")
                marks = ",".join("?" * len(busy))
                old = f"SELECT call_id FROM calls WHERE started_at < ? AND call_id NOT IN ({marks}) {_NO_TRIALS}"
                connection.execute(f"DELETE FROM pieces WHERE call_id IN ({old})", (before, *busy))
                count = connection.execute(f"DELETE FROM calls WHERE call_id IN ({old})", (before, *busy)).rowcount
                connection.execute("DELETE FROM chats WHERE changed_at < ?", (before,))
                connection.execute("DELETE FROM scores WHERE call_id NOT IN (SELECT call_id FROM calls)")
            with contextlib.suppress(sqlite3.OperationalError):  # another kernel reads: the space comes back later
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return count

    def merge(self, path: str | Path) -> int:
        """Take in the calls of another journal, as of a worker of a cluster that lost its driver; how many were new or better
        known there. The other file stays as it is. What is being received at the moment is left alone.

        Raises ConfigurationError where ``path`` is no journal, and JournalLost where this one had to be given up.
        """
        theirs = Path(path)
        theirs = theirs / FILE_NAME if theirs.is_dir() else theirs
        list(calls_of(theirs))  # what is no journal is told here

        def work(connection: sqlite3.Connection) -> int:
            return take(connection, theirs, busy=self._is_alive, mask=self._writer.masked)

        return self.transact(work).result()

    def _reading(self) -> contextlib.closing[sqlite3.Connection]:
        self.flush()
        return contextlib.closing(open_for_reading(self.path))

    def masked(self, text: str) -> str:
        """``text`` as it may be stored."""
        return self._writer.masked(text)

    def stored(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """The rows of a query. Raises sqlite3.Error."""
        with self._reading() as connection:
            return connection.execute(query, values).fetchall()

    def _entries(self, where: str, values: tuple[Any, ...], *, dead_only: bool = False) -> Iterator[Entry]:
        pieces = "SELECT events FROM pieces WHERE call_id = ? ORDER BY seq"
        with self._reading() as connection:
            for row in connection.execute(f"SELECT * FROM calls {where}", values):
                if not (dead_only and row["ended_at"] is None and self._is_alive(row)):
                    yield entry_of(row, connection.execute(pieces, (row["call_id"],)))

    def _is_alive(self, row: sqlite3.Row) -> bool:
        """Whether a call without an end is still being received, here or elsewhere."""
        return self._writer.owns(row["call_id"]) or is_alive(row["host"], row["pid"], row["seen_at"])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        rows = self.rows(SHOWN_ROWS)
        for row in rows:
            row["outcome"] = localized(OUTCOME_WORDS.get(str(row["outcome"]), row["outcome"]))
        shown = [[cell(row[name]) for name in _SHOWN] for row in rows]
        caption = say("{calls} in {path}", calls=counted(len(self)), path=self.path)
        if not self.enabled:
            caption += say(" (switched off)")
        if self.notice:
            caption = say("{what}. {then}", what=caption, then=self.notice)
        return table_bundle([head.localized() for head in _SHOWN.values()], shown, caption)

    def __repr__(self) -> str:
        return f"<Journal {self.path}{'' if self.enabled else ', switched off'}>"


def _digest(messages: Sequence[ChatMessage]) -> str:
    return Request(messages=tuple(messages)).digest()


def lives(pid: int) -> bool:
    """Whether there is a process of that number on this machine (on POSIX)."""
    try:
        os.kill(pid, 0)  # asks, does not kill (on POSIX)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def is_alive(host: str, pid: int, seen_at: str) -> bool:
    """Whether the process that last said at ``seen_at`` that it works on something still does."""
    if pid != os.getpid() and host == platform.node() and os.name == "posix" and not lives(pid):
        return False
    # Process numbers come again, in containers above all: a living process also says so from time to time.
    age = datetime.now(UTC) - datetime.fromisoformat(seen_at)
    return age < timedelta(seconds=DEAD_AFTER_S)
