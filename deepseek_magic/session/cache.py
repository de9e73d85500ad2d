"""An unchanged question, answered from the journal: the newest complete answer to the same request at the same address.

Nothing is sent and nothing is paid. Asked for by ``--cache``; the session decides, this finds.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ..engine.home import engine
from ..engine.hosts.endpoints import Endpoint
from ..engine.journal.reader import Entry, Journal
from ..metrics.record import COUNTED
from ..policy.pricing import Cost
from ..protocol.chat import Request
from ..protocol.completion import Completion, Kept
from ..protocol.measured import StreamRecord


def find(journal: Journal, request: Request, endpoint: Endpoint) -> Entry | None:
    """The call that answered the same request at the same address; None where the journal knows of none."""
    try:
        return journal.answer_to(request, endpoint.address)
    except sqlite3.Error:
        return None  # a journal that cannot be read never costs an answer


async def recall(journal: Journal, request: Request, endpoint: Endpoint) -> Completion | None:
    """The answer that the journal holds, with a record of its own that cost nothing; None where it holds none."""
    began_s = time.monotonic()
    entry = await engine.aside(find, journal, request, endpoint)
    if entry is None:
        return None
    completion = entry.completion
    paid = None if entry.record is None else entry.record.paid
    none: dict[str, Any] = dict.fromkeys(COUNTED, 0)
    record = StreamRecord(
        call_id=uuid.uuid4().hex,
        started_at=datetime.now(UTC),
        endpoint=entry.endpoint,
        host=endpoint.host,
        model=request.model,
        response_model=completion.model,
        completion_id=completion.id,
        think=request.options.get("think"),
        purpose="ask",
        outcome="cached",
        finish_reason=completion.finish_reason,
        prompt_sha256=request.digest(),
        total_s=time.monotonic() - began_s,
        chars=len(completion.text),
        reasoning_chars=len(completion.reasoning),
        cost=Decimal(0),
        currency=None if paid is None else paid.currency,
        cost_estimated=None if paid is None else False,
        **none,
    )
    return replace(
        completion,
        request=request,
        cost=None if paid is None else Cost(amount=Decimal(0), currency=paid.currency),
        kept=Kept(call_id=entry.call_id, asked_at=entry.started_at, cost=paid),
        record=record,
    )
