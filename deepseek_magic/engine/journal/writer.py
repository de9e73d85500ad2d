"""Writing the journal while answers stream, in a thread of its own.

The engine's loop only leaves things here, under a lock that is never held over disk work; ten times a second the thread
writes what has come in one transaction. A disk that is locked is tried again, one that is full, read-only or broken ends
the journal for this session with one notice. Neither ever reaches the answer.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ...protocol.errors import DeepSeekError
from ...protocol.events import Event, Heartbeat, LogProbs, ReasoningDelta, TextDelta, UsageReport, Waiting, dump_events
from ...text.growing import GrowingText
from ...text.messages import Message
from .file import NewerJournal, open_for_writing
from .stored import Statement
from .work import Answered, PendingWork, T, Work, did, give

WRITE_S: Final = 0.1
"""Time between two writes of what all streams have brought, in one transaction: so much text is at risk when the process is
killed. A write takes some 0.2 ms."""

TOGETHER_S: Final = 0.002
"""Time between two transactions at least, so that what many short calls ask for goes into fewer: a commit, and waking who
waits for it, costs as much as all that such a call writes. Nobody notices so little, and the first one does not wait."""

LOCKED_S: Final = 0.5
"""A locked file is tried again so often."""

LEASE_S: Final = 5.0
"""A call that is under way but silent says at least this often that its process lives."""

GIVE_UP_S: Final = 30.0
"""How long a locked file is tried again before the journal is given up for this session."""

_PIECE: Final = "INSERT OR REPLACE INTO pieces (call_id, seq, events) VALUES (?, ?, ?)"
_SEEN: Final = (
    "UPDATE calls SET seen_at = ? WHERE call_id = ?",
    "UPDATE trials SET seen_at = ? WHERE call_id = ? AND state = 'running'",
)

Statements = Callable[[], list[Statement]]
"""What to write, made in the writer's thread: a long request is not turned into JSON on the engine's loop."""


class JournalLost(DeepSeekError):
    """The journal was given up, and what cannot do without it ends."""


@dataclass(slots=True)
class _Stream:
    """What a call received since the last write, deltas merged, so that it takes the memory of its text and no more."""

    seq: int = 0
    _closed: list[Event] = field(default_factory=list)
    _kind: type[TextDelta] | type[ReasoningDelta] | None = None
    _open: GrowingText = field(default_factory=GrowingText)
    _usage: UsageReport | None = None

    def add(self, events: Sequence[Event]) -> None:
        for event in events:
            kind = type(event)
            if kind is TextDelta or kind is ReasoningDelta:
                if kind is not self._kind:
                    self._close()
                    self._kind = kind
                self._open.write(event.text)  # type: ignore[union-attr]
            elif isinstance(event, UsageReport):
                self._usage = event  # a later report replaces an earlier one
            elif kind is not Heartbeat and kind is not Waiting and kind is not LogProbs:
                self._close()
                self._closed.append(event)

    def _close(self) -> None:
        if self._kind is not None:
            self._closed.append(self._kind(text=self._open.text))
            self._open = GrowingText()
            self._kind = None

    def drain(self) -> list[Event]:
        self._close()
        events, self._closed = self._closed, []
        if self._usage is not None:
            events.append(self._usage)
            self._usage = None
        return events


class JournalWriter:
    """Takes calls from any thread and writes them to ``path``. Nothing is opened before the first call.

    ``mask`` is laid over every text before it is written. ``notice`` says, from then on, that the journal had to be given
    up; everything is then let go.
    """

    def __init__(self, path: Path, *, mask: Callable[[str], str]) -> None:
        self.path = path
        self.notice: Message | str = ""
        self._mask = mask
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._arrived: list[Statements] = []
        self._streams: dict[str, _Stream] = {}
        self._flushes: list[threading.Event] = []
        self._asked: list[PendingWork] = []
        self._statements: list[Statement] = []
        self._seen_s = self._drained_s = self._committed_s = 0.0

    # any thread; never the disk

    def begin(self, call_id: str, statements: Statements) -> None:
        """A call starts."""
        with self._lock:
            self._streams[call_id] = _Stream()
            self.put(statements)

    def append(self, call_id: str, events: Sequence[Event]) -> None:
        """Events of a call arrived."""
        with self._lock:
            stream = self._streams.get(call_id)
            if stream is not None:
                stream.add(events)

    def end(self, call_id: str, statements: Statements) -> None:
        """A call is over, unless it was never begun; what was not written of its stream is no longer needed."""
        with self._lock:
            if self._streams.pop(call_id, None) is not None:
                self.put(statements)

    def put(self, statements: Statements) -> None:
        """Write this, in order."""
        with self._lock:
            self._arrived.append(statements)
            if self.notice:
                self._let_go()
                return
            self._start()
        self._wake.set()

    def ask(self, work: Work[T]) -> concurrent.futures.Future[T]:
        """Do ``work`` in a transaction with everything before it; what it gives is there when it is on disk.

        Ends with JournalLost when the journal was given up. ``work`` may be done twice, after a file that was locked.
        """
        answer = concurrent.futures.Future[T]()
        self._ask(PendingWork(work, answer))
        return answer

    def ask_here(self, work: Work[T]) -> asyncio.Future[T]:
        """The same for a task. Those of a loop whose work went into one transaction are woken together: waking a loop from
        another thread costs as much as a small write."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._ask(PendingWork(work, answer))
        return answer

    def _ask(self, asked: PendingWork) -> None:
        with self._lock:
            self._asked.append(asked)
            if self.notice:
                self._let_go()
            else:
                self._start()
        self._wake.set()

    def _start(self) -> None:
        if not self._runs():  # also in a forked child, where the thread is gone
            self._closing = False
            self._thread = threading.Thread(target=self._run, name="deepseek-magic journal", daemon=True)
            try:
                self._thread.start()
            except RuntimeError as error:  # the machine gives no more threads; a web page has none
                self._thread = None
                self._give_up(error)

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything so far is on disk; False if that took too long or the journal was given up."""
        done = threading.Event()
        with self._lock:
            if self.notice or not self._runs():
                return not self.notice
            self._flushes.append(done)
        self._wake.set()
        return done.wait(timeout_s) and not self.notice

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what is left and end the thread."""
        with self._lock:
            thread, self._closing = self._thread, True
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)

    def owns(self, call_id: str) -> bool:
        """Whether this writer's process is still receiving the call."""
        return call_id in self._streams

    def _runs(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    # the writer's thread

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        locked_since_s: float | None = None
        try:
            while True:
                due_s = max(0.0, self._drained_s + WRITE_S - time.monotonic())
                self._wake.wait(due_s if self._streams or self._statements else None)
                self._wake.clear()
                closing = self._closing
                if not closing and (pause_s := self._committed_s + TOGETHER_S - time.monotonic()) > 0:
                    time.sleep(pause_s)
                try:
                    connection = connection or open_for_writing(self.path)
                    self._write(connection, all_of_it=closing)
                    locked_since_s = None
                except Exception as error:  # whatever it is: it ends the journal, never an answer
                    now_s = time.monotonic()
                    locked_since_s = now_s if locked_since_s is None else locked_since_s
                    if not _is_locked(error) or now_s - locked_since_s > GIVE_UP_S:
                        self._give_up(error)
                        return
                    time.sleep(0.0 if closing else LOCKED_S)
                    self._wake.set()
                if closing:
                    return
        finally:
            if connection is not None:
                connection.close()
            self._answer_flushes(len(self._flushes))

    def _write(self, connection: sqlite3.Connection, *, all_of_it: bool) -> None:
        """One transaction. Pieces of streams are taken ten times a second only, or where somebody waits for all: the ends of
        many short calls would have them written in crumbs."""
        with self._lock:
            arrived, self._arrived = self._arrived, []
            asked, flushes = [*self._asked], len(self._flushes)
            now_s = time.monotonic()
            drained = all_of_it or bool(flushes) or now_s - self._drained_s >= WRITE_S
            streams = []
            if drained:
                self._drained_s = now_s
                streams = [(call_id, stream, stream.drain()) for call_id, stream in self._streams.items()]
        made = [statement for statements in arrived for statement in statements()]
        for call_id, stream, events in streams:
            if events:
                stream.seq += 1
                made.append((_PIECE, (call_id, stream.seq, dump_events(events).decode())))
        if streams and now_s - self._seen_s > LEASE_S:
            self._seen_s = now_s
            made += [(said, (now(), call_id)) for call_id, _, _ in streams for said in _SEEN]
        for sql, values in made:
            self._statements.append((sql, tuple(self.masked(v) if isinstance(v, str) else v for v in values)))
        answers: list[Answered] = []
        if self._statements or asked:
            with connection:  # commits, or rolls back
                connection.execute("BEGIN IMMEDIATE")
                for statement in self._statements:
                    connection.execute(*statement)
                answers = [(each, *did(each.work, connection)) for each in asked]
            self._statements = []
            self._committed_s = time.monotonic()
        with self._lock:
            self._asked = [each for each in self._asked if each not in asked]
        give(answers)
        self._answer_flushes(flushes)

    def masked(self, text: str) -> str:
        """The text as it may be stored: masked, and lone surrogates of a prompt (which are no UTF-8) replaced."""
        masked = self._mask(text)
        if masked.isascii():  # without the copies of four times its size
            return masked
        return masked.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _give_up(self, error: Exception) -> None:
        said = Message("The journal {path} cannot be written ({why}), so calls are not recorded in this session.")
        with self._lock:
            self.notice = said.filled(path=self.path, why=_reason(error))
            self._let_go()

    def _let_go(self) -> None:
        self._arrived, self._statements = [], []
        self._streams.clear()
        asked, self._asked = self._asked, []
        give([(each, None, JournalLost(self.notice)) for each in asked])

    def _answer_flushes(self, count: int) -> None:
        with self._lock:
            answered, self._flushes = self._flushes[:count], self._flushes[count:]
        for done in answered:
            done.set()


def now() -> str:
    """The time as it is stored."""
    return datetime.now(UTC).isoformat()


def _is_locked(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _reason(error: Exception) -> Message | str:
    if _is_locked(error):
        return Message("another program holds it locked")
    if isinstance(error, NewerJournal):
        return Message("a newer version made it: {error}", error=error.args[0])
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
