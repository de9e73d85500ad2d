"""Every call ever made from this machine's notebooks, on disk, written while it streams.

The journal is a convenience that must never cost an answer: whatever goes wrong with the disk ends in one notice. It
holds prompts and answers, never a key, and can be switched off. Several kernels may use one file at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sqlite3
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ...metrics import files
from ...metrics.frames import arrow_table, pandas_frame, polars_frame
from ...metrics.row import COLUMNS, Row, row_of
from ...metrics.spending import TotalCost
from ...metrics.tables import cell, html_table, text_table
from ...policy.resuming import RESUMABLE
from ...protocol.chat import ChatMessage, Request
from ...protocol.completion import Accumulator, Completion, ToolCall
from ...protocol.conversation import Turn
from ...protocol.errors import DeepSeekError
from ...protocol.events import Event, Seam, Usage, load_events
from ...protocol.measured import StreamRecord
from ...protocol.options import Options
from .file import default_path, open_for_reading, open_for_writing
from .saved_chats import SavedChat, newest, statement_of
from .writer import LEASE_S, JournalWriter

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

READ_FLUSH_S: Final = 2.0
SHOWN_ROWS: Final = 20
SEARCH_LIMIT: Final = 100
RESUMABLE_ROWS: Final = 200
"""An answer that is further back than this is resumed by its id."""
DEAD_AFTER_S: Final = 3 * LEASE_S
"""A call of another machine that was silent so long has lost its process."""

JOURNAL_COLUMNS: Final = {**COLUMNS, "prompt": str, "text": str, "error": str}
"""The log's columns, and the words: the last user message, the answer, the error's sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One call as the journal knows it. ``ended_at`` is None for a call that is under way or whose process died.

    ``completion`` holds what had arrived, also for a call that never ended; ``record`` is None for such a call.
    """

    call_id: str
    run_id: str | None
    started_at: datetime
    ended_at: datetime | None
    endpoint: str
    completion: Completion
    record: StreamRecord | None

    def row(self) -> Row:
        """The entry as a flat mapping with the columns of ``JOURNAL_COLUMNS``."""
        if self.record is not None:
            row = row_of(self.record)
        else:
            row = dict.fromkeys(COLUMNS)
            row.update(
                call_id=self.call_id,
                run_id=self.run_id,
                started_at=self.started_at,
                endpoint=self.endpoint,
                model=self.completion.request.model,
                outcome=self.completion.outcome,
                chars=len(self.completion.text),
                reasoning_chars=len(self.completion.reasoning),
            )
        error = self.completion.error
        words = {"prompt": self.completion.request.prompt, "text": self.completion.text}
        return {**row, **words, "error": None if error is None else str(error)}


class Journal:
    """The journal at ``path`` (see ``default_path``). Neither the file nor its folder is made before the first call.

    ``mask`` is laid over every text that is written: the session passes what hides its keys. ``notice`` says, from then
    on, that the journal had to be given up. All methods are
    thread-safe, and those that write never wait for the disk. Those that read raise sqlite3.Error when the file is damaged.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        enabled: bool = True,
        *,
        mask: Callable[[str], str] = str,
    ) -> None:
        self.path = Path(path) if path is not None else default_path()
        self.enabled = enabled
        self.notice = ""
        me = weakref.ref(self)

        def give_up(sentence: str) -> None:
            journal = me()
            if journal is not None:
                journal.notice = sentence

        self._writer = JournalWriter(self.path, mask=mask, on_failure=give_up)
        # At exit too: what the last half second brought is written before the interpreter goes.
        self._finalizer = weakref.finalize(self, self._writer.close)

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
    ) -> None:
        """A call starts."""
        if self.enabled and not self._writer.failed:
            self._writer.begin(
                call_id,
                request,
                endpoint=endpoint,
                base_url=base_url,
                run_id=run_id,
                started_at=started_at or datetime.now(UTC),
            )

    def append(self, call_id: str, events: Sequence[Event]) -> None:
        """Events of the call arrived. Calls that were not begun are let pass."""
        self._writer.append(call_id, events)

    def end(self, call_id: str, completion: Completion, record: StreamRecord | None = None) -> None:
        """The call is over."""
        self._writer.end(call_id, completion, record)

    def keep_chat(self, run_id: str, notebook: str, name: str, turns: Sequence[Turn]) -> None:
        """A conversation of the kernel ``run_id`` has these turns now."""
        if self.enabled and not self._writer.failed:
            self._writer.put(statement_of(run_id, notebook, name, turns))

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
        where = " OR ".join(f"{column} LIKE ?1 ESCAPE '\\'" for column in ("prompt", "text", "reasoning"))
        found = []
        for entry in self._entries(f"WHERE ended_at IS NULL OR {where} ORDER BY started_at DESC", (pattern,)):
            if entry.ended_at is not None or _holds(entry, text):
                found.append(entry)
            if len(found) == limit:
                break
        return found

    def unfinished(self) -> list[Entry]:
        """Calls whose process died before they ended, newest first. Those still under way anywhere are not among them."""
        return list(self._entries("WHERE ended_at IS NULL ORDER BY started_at DESC", (), dead_only=True))

    def resumable(self, *, limit: int = RESUMABLE_ROWS) -> list[Entry]:
        """Of the newest ``limit`` calls those whose answer can be resumed, newest first.

        A call still under way anywhere is not among them, nor one whose question was asked or resumed later.
        """
        later, found = set(), []
        for entry in self._entries("ORDER BY started_at DESC LIMIT ?", (limit,), dead_only=True):
            completion = entry.completion
            if completion.request not in later and completion.outcome in RESUMABLE:
                found.append(entry)
            later.add(completion.request)
        return found

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
            return newest(self.rows_of("chats", "WHERE run_id != ? ORDER BY changed_at DESC", (but_run,)))
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
        query = f"SELECT record FROM calls WHERE ended_at IS NOT NULL {where}"
        with self._reading() as connection:
            rows = [] if connection is None else connection.execute(query, values).fetchall()
        paid = [_Paid() if text is None else msgspec.json.decode(text, type=_Paid) for (text,) in rows]
        return TotalCost.on((each.cost, each.currency) for each in paid)

    def __len__(self) -> int:
        with self._reading() as connection:
            return 0 if connection is None else int(connection.execute("SELECT count(*) FROM calls").fetchone()[0])

    def __bool__(self) -> bool:
        return True  # an empty journal is still a journal

    def to_pandas(self) -> pandas.DataFrame:
        """All calls; see ``metrics.frames.pandas_frame``."""
        return pandas_frame(self._columns(), JOURNAL_COLUMNS)

    def to_polars(self) -> polars.DataFrame:
        """All calls; see ``metrics.frames.polars_frame``."""
        return polars_frame(self._columns(), JOURNAL_COLUMNS)

    def to_arrow(self) -> pyarrow.Table:
        """All calls; see ``metrics.frames.arrow_table``."""
        return arrow_table(self._columns(), JOURNAL_COLUMNS)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The Arrow C stream of the table, for any library that takes one (needs pyarrow)."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def to_csv(self, path: str | Path) -> None:
        """All calls as a CSV file; see ``metrics.files``."""
        files.write_csv(path, self.rows(), tuple(JOURNAL_COLUMNS))

    def to_jsonl(self, path: str | Path) -> None:
        """All calls, a JSON object a line."""
        files.write_jsonl(path, self.rows())

    def to_parquet(self, path: str | Path) -> None:
        """All calls as a Parquet file, by pyarrow or polars."""
        files.write_parquet(path, self._columns(), JOURNAL_COLUMNS)

    def _columns(self) -> dict[str, list[Any]]:
        rows = self.rows()
        return {name: [row[name] for row in rows] for name in JOURNAL_COLUMNS}

    def prune(self, *, keep_days: float) -> int:
        """Delete calls that began more than ``keep_days`` days ago and give their space back; how many they were.

        A call that is under way stays. Raises sqlite3.Error when the file is locked or cannot be written.
        """
        self.flush()
        if not self.path.exists():
            return 0
        before = (datetime.now(UTC) - timedelta(days=keep_days)).isoformat()
        busy = [row["call_id"] for row in self.rows_of("calls", "WHERE ended_at IS NULL", ()) if self._is_alive(row)]
        with contextlib.closing(open_for_writing(self.path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            marks = ",".join("?" * len(busy))
            old = f"SELECT call_id FROM calls WHERE started_at < ? AND call_id NOT IN ({marks})"
            connection.execute(f"DELETE FROM pieces WHERE call_id IN ({old})", (before, *busy))
            count = connection.execute(f"DELETE FROM calls WHERE call_id IN ({old})", (before, *busy)).rowcount
            connection.execute("DELETE FROM chats WHERE changed_at < ?", (before,))
            connection.execute("COMMIT")
            with contextlib.suppress(sqlite3.OperationalError):  # another kernel reads: the space comes back later
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return count

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        self.flush()
        connection = open_for_reading(self.path)
        try:
            yield connection
        finally:
            if connection is not None:
                connection.close()

    def rows_of(self, table: str, where: str, values: tuple[Any, ...]) -> list[sqlite3.Row]:
        """The rows of one table as they are stored."""
        with self._reading() as connection:
            return [] if connection is None else connection.execute(f"SELECT * FROM {table} {where}", values).fetchall()

    def _entries(self, where: str, values: tuple[Any, ...], *, dead_only: bool = False) -> Iterator[Entry]:
        with self._reading() as connection:
            if connection is None:
                return
            for row in connection.execute(f"SELECT * FROM calls {where}", values):
                if not (dead_only and row["ended_at"] is None and self._is_alive(row)):
                    yield _entry(row, connection)

    def _is_alive(self, row: sqlite3.Row) -> bool:
        """Whether a call without an end is still being received, here or elsewhere."""
        if row["pid"] != os.getpid() and row["host"] == platform.node() and os.name == "posix":
            try:
                os.kill(row["pid"], 0)  # asks, does not kill (on POSIX)
            except ProcessLookupError:
                return False
            except PermissionError:
                pass
        # Process numbers come again, in containers above all: a living process also says so from time to time.
        age = datetime.now(UTC) - datetime.fromisoformat(row["seen_at"])
        return self._writer.owns(row["call_id"]) or age < timedelta(seconds=DEAD_AFTER_S)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        rows = self.rows(SHOWN_ROWS)
        shown = [[cell(row[name]) for name in _SHOWN.values()] for row in rows]
        caption = f"{len(self):,} calls in {self.path}" + ("" if self.enabled else " (switched off)")
        if self.notice:
            caption += f". {self.notice}"
        heads = tuple(_SHOWN)
        return {"text/plain": text_table(heads, shown, caption), "text/html": html_table(heads, shown, caption)}

    def __repr__(self) -> str:
        return f"<Journal {self.path}{'' if self.enabled else ', switched off'}>"


_SHOWN: Final = {
    "started": "started_at",
    "prompt": "prompt",
    "answer": "text",
    "model": "model",
    "outcome": "outcome",
    "total, s": "total_s",
    "tokens out": "completion_tokens",
}


class _Paid(msgspec.Struct):
    """The part of a record that says what it cost."""

    cost: Decimal | None = None
    currency: str | None = None


class _Known(msgspec.Struct, kw_only=True):
    """What ``JournalWriter`` notes about a completion beside its texts; later versions may note more."""

    id: str | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    outcome: Any = "incomplete"
    finish_reason: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = msgspec.field(default_factory=Usage)
    attempts: int = 0
    seams: tuple[Seam, ...] = ()
    anomalies: tuple[str, ...] = ()
    logprobs: tuple[Any, ...] = ()
    reasoning_logprobs: tuple[Any, ...] = ()
    error: dict[str, str] | None = None


def _entry(row: sqlite3.Row, connection: sqlite3.Connection) -> Entry:
    request = _request(row["request"])
    record = None
    if row["ended_at"] is None:
        answer = Accumulator(request)
        pieces = connection.execute("SELECT events FROM pieces WHERE call_id = ? ORDER BY seq", (row["call_id"],))
        for (events,) in pieces:
            for event in load_events(events.encode()):
                answer.add(event)
        completion = answer.completion()
    else:
        if row["record"] is not None:
            record = msgspec.json.decode(row["record"], type=StreamRecord)
        completion = _completion(row, request, record)
    return Entry(
        call_id=row["call_id"],
        run_id=row["run_id"],
        started_at=datetime.fromisoformat(row["started_at"]),
        ended_at=None if row["ended_at"] is None else datetime.fromisoformat(row["ended_at"]),
        endpoint=row["endpoint"],
        completion=completion,
        record=record,
    )


def _completion(row: sqlite3.Row, request: Request, record: StreamRecord | None) -> Completion:
    known = msgspec.json.decode(row["completion"], type=_Known)
    return Completion(
        request=request,
        text=row["text"],
        reasoning=row["reasoning"],
        id=known.id,
        model=known.model,
        system_fingerprint=known.system_fingerprint,
        outcome=known.outcome,
        finish_reason=known.finish_reason,
        tool_calls=known.tool_calls,
        usage=known.usage,
        attempts=known.attempts,
        seams=known.seams,
        anomalies=known.anomalies,
        logprobs=known.logprobs,
        reasoning_logprobs=known.reasoning_logprobs,
        cost=None if record is None else record.paid,
        error=None if known.error is None else DeepSeekError(known.error["message"]),
        record=record,
    )


def _request(text: str) -> Request:
    asked = json.loads(text)
    messages = []
    for raw in asked["messages"]:
        raw["tool_calls"] = tuple(raw["tool_calls"])
        messages.append(ChatMessage(**raw))
    return Request(messages=tuple(messages), options=Options(**asked["options"]))


def _holds(entry: Entry, text: str) -> bool:
    completion = entry.completion
    words = (completion.request.prompt, completion.text, completion.reasoning)
    return any(text.casefold() in part.casefold() for part in words)
