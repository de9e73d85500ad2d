"""What the journal stores of a call, in both directions: values → statements, rows → an ``Entry``."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from ...metrics.row import COLUMNS, Row, row_of
from ...protocol.chat import ChatMessage, Request
from ...protocol.completion import Accumulator, Completion, ToolCall
from ...protocol.errors import DeepSeekError
from ...protocol.events import Seam, Usage, load_events
from ...protocol.measured import StreamRecord
from ...protocol.options import Options

JOURNAL_COLUMNS: Final = {**COLUMNS, "prompt": str, "text": str, "error": str}
"""The log's columns, and the words: the last user message, the answer, the error's sentence."""

Statement = tuple[str, tuple[Any, ...]]


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
    purpose: str | None = None
    taken: bool = False
    """Of a call without an end that was sent beside another or before its turn: whether somebody was being given its answer."""

    @property
    def is_used(self) -> bool:
        """Whether somebody was given the answer."""
        if self.record is not None:
            return self.record.used
        return self.taken or self.purpose not in ("hedge", "ahead")

    def row(self) -> Row:
        """The entry as a flat mapping with the columns of ``JOURNAL_COLUMNS``."""
        answer = self.completion
        if self.record is not None:
            row = row_of(self.record)
        else:
            row = dict.fromkeys(COLUMNS)
            row.update(
                call_id=self.call_id,
                run_id=self.run_id,
                started_at=self.started_at,
                endpoint=self.endpoint,
                model=answer.request.model,
                purpose=self.purpose,
                outcome=answer.outcome,
                chars=len(answer.text),
                reasoning_chars=len(answer.reasoning),
            )
        error = None if answer.error is None else str(answer.error)
        return {**row, "prompt": answer.request.prompt, "text": answer.text, "error": error}


class _Known(msgspec.Struct, kw_only=True):
    """What is stored of a completion beside its texts, by the names it has there; later versions may store more."""

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
    error: Any = None


_MESSAGE_FIELDS: Final = tuple(field.name for field in fields(ChatMessage))


def begun(
    call_id: str,
    request: Request,
    endpoint: str,
    base_url: str | None,
    run_id: str | None,
    started_at: datetime,
    now: str,
    purpose: str | None = None,
) -> list[Statement]:
    """What is written when a call starts."""
    messages = [{name: getattr(message, name) for name in _MESSAGE_FIELDS} for message in request.messages]
    asked = {"messages": messages, "options": dict(request.options)}
    started = started_at.astimezone(UTC).isoformat()
    here = (platform.node(), os.getpid())
    words = (json.dumps(asked, default=str), request.prompt)
    return [(_BEGIN, (call_id, run_id, *here, started, now, endpoint, base_url, *words, purpose))]


def taken(call_id: str) -> list[Statement]:
    """What is written when somebody is given the answer of a call that was perhaps to be thrown away. Its end replaces it."""
    return [(_TAKEN, (call_id,))]


def ended(call_id: str, completion: Completion, record: StreamRecord | None, now: str) -> list[Statement]:
    """What is written when a call is over; its completion replaces its pieces."""
    known = {name: getattr(completion, name) for name in _Known.__struct_fields__}
    if (error := completion.error) is not None:
        known["error"] = {"type": type(error).__name__, "message": str(error)}
    noted = msgspec.json.encode(known, enc_hook=str).decode()
    figures = None if record is None else msgspec.json.encode(record).decode()
    values = (now, now, completion.text, completion.reasoning, noted, figures, call_id)
    return [(_END, values), (_FORGET_PIECES, (call_id,))]


def measured(record: StreamRecord) -> list[Statement]:
    """What is written when only the record of a call that is over has changed."""
    return [(_MEASURE, (msgspec.json.encode(record).decode(), record.call_id))]


def entry_of(row: sqlite3.Row, pieces: Iterable[tuple[str]]) -> Entry:
    """The call of a row; ``pieces`` are what it had received, for one without an end."""
    asked = json.loads(row["request"])
    messages = (ChatMessage(**{**raw, "tool_calls": tuple(raw["tool_calls"])}) for raw in asked["messages"])
    request = Request(messages=tuple(messages), options=Options(**asked["options"]))
    record = None
    if row["ended_at"] is None:
        answer = Accumulator(request)
        for (events,) in pieces:
            for event in load_events(events.encode()):
                answer.add(event)
        completion = answer.completion()
    else:
        if row["record"] is not None:
            record = msgspec.json.decode(row["record"], type=StreamRecord)
        known = msgspec.structs.asdict(msgspec.json.decode(row["completion"], type=_Known))
        if known["error"] is not None:
            known["error"] = DeepSeekError(known["error"]["message"])
        cost = None if record is None else record.paid
        completion = Completion(
            request=request, text=row["text"], reasoning=row["reasoning"], cost=cost, record=record, **known
        )
    return Entry(
        call_id=row["call_id"],
        run_id=row["run_id"],
        started_at=datetime.fromisoformat(row["started_at"]),
        ended_at=None if row["ended_at"] is None else datetime.fromisoformat(row["ended_at"]),
        endpoint=row["endpoint"],
        completion=completion,
        record=record,
        taken=row["ended_at"] is None and row["completion"] is not None,
        purpose=row["purpose"] if "purpose" in row.keys() else None,  # noqa: SIM118 - a row of an older file
    )


_BEGIN: Final = """
    INSERT OR REPLACE INTO calls
        (call_id, run_id, host, pid, started_at, seen_at, endpoint, base_url, request, prompt, purpose)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_TAKEN: Final = "UPDATE calls SET completion = '{}' WHERE call_id = ? AND ended_at IS NULL"
_END: Final = """
    UPDATE calls SET seen_at = ?, ended_at = ?, text = ?, reasoning = ?, completion = ?, record = ? WHERE call_id = ?
"""
_MEASURE: Final = "UPDATE calls SET record = ? WHERE call_id = ?"
_FORGET_PIECES: Final = "DELETE FROM pieces WHERE call_id = ?"
