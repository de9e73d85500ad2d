"""One call as a flat row: which columns there are, what each says, and the types a table gives them.

Apart from the meter that fills them in, because a row is read long after: from the log, from the journal, in a table.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from ..policy.pricing import Cost
from ..protocol.outcome import WHOLE
from .phases import Phase

__all__ = ["COLUMNS", "NAMES", "Origin", "Row", "StreamRecord", "TimelineEntry", "row_of"]

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a call comes from: the run of the kernel, the notebook, and how its answer is shown (None: it is not)."""

    run_id: str | None = None
    notebook: str | None = None
    mode: str | None = None


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event of a call: seconds since the call began, and since the event before it."""

    at_s: float
    gap_s: float
    kind: str
    chars: int = 0
    text: str = ""


class StreamRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One call, flat. None = unknown, 0 = measured zero. Times are seconds; ``started_at`` is UTC.

    Tokens and cost are the billable ones: the segments of a resumed answer add up. ``tokens_estimated`` is true where a
    segment broke before it reported and its part was estimated; a cost that rests on it is an estimate too.

    ============== ==========================================================================================
    run_id         the kernel's run: calls of one session have the same
    notebook       the path of the notebook, where its front end tells it
    mode           how the answer was shown: realtime, balanced, sentence; None when it was not shown
    outcome        as in a completion, and cached: taken from the journal, nothing was sent
    think          the thinking setting that was sent; None when the host's default was left alone
    waited_s       all waiting on this side: the ``wait_*`` columns
    connect_s      opening connections, summed; 0 when a pooled one was used
    ttfb_s         from the start to the first response's headers
    queue_s        in the host's queue: from a response's headers to its first chunk, if keep-alive comments came
    ttft_s         from the start to the first piece of reasoning, answer or tool call
    answer_s       from the start to the first piece of the answer itself (text or tool call)
    thinking_s     from the first piece of reasoning to the first piece of answer after it, summed
    generation_s   from the first to the last piece of a segment, summed over segments
    chunks         pieces of text, reasoning and tool calls that arrived, those of void segments included
    chars          characters of the answer as it stands at the end; ``reasoning_chars`` of its reasoning
    chunks_per_s   (chunks - segments) / generation_s: the inverse of the mean gap while generating
    tokens_per_s   (completion_tokens - segments) / generation_s: the inverse of vLLM's time per output token
    gap_*_s        between two successive pieces, a recovery's pause included; ``gap_n`` of them were counted.
                   Quantiles are exact up to 4,096 gaps and within 1 % beyond
    cost           in ``currency``; 0 when nothing answered, None when the price or the tokens are unknown
    peak           whether DeepSeek's peak tariff applied; None when unknown or mixed
    phases         the course of the call, see ``phases.Phase``; no column, and empty in records of older versions
    timeline       every event with its time, where ``timeline=True`` asked for it; no column
    ============== ==========================================================================================
    """

    run_id: str | None = None
    notebook: str | None = None
    call_id: str
    started_at: datetime
    endpoint: str | None = None
    model: str
    response_model: str | None = None
    completion_id: str | None = None
    mode: str | None = None
    think: str | None = None
    outcome: str
    finish_reason: str | None = None
    error_type: str | None = None
    status: int | None = None
    prompt_sha256: str | None = None
    attempts: int = 0
    retries: int = 0
    resumes: int = 0
    continuations: int = 0
    restarts: int = 0
    seams: int = 0
    waited_s: float = 0.0
    wait_concurrency_s: float = 0.0
    wait_rate_s: float = 0.0
    wait_retry_after_s: float = 0.0
    wait_backoff_s: float = 0.0
    connect_s: float | None = None
    ttfb_s: float | None = None
    queue_s: float | None = None
    ttft_s: float | None = None
    answer_s: float | None = None
    thinking_s: float | None = None
    generation_s: float | None = None
    total_s: float
    chunks: int = 0
    chars: int = 0
    reasoning_chars: int = 0
    body_bytes: int | None = None
    wire_bytes: int | None = None
    heartbeats: int = 0
    chunks_per_s: float | None = None
    tokens_per_s: float | None = None
    gap_p50_s: float | None = None
    gap_p99_s: float | None = None
    gap_max_s: float | None = None
    gap_n: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    cache_hit_tokens: int | None = None
    cache_miss_tokens: int | None = None
    tokens_estimated: bool = False
    cost: Decimal | None = None
    currency: str | None = None
    cost_estimated: bool | None = None
    peak: bool | None = None
    price_date: date | None = None
    phases: tuple[Phase, ...] = ()
    timeline: tuple[TimelineEntry, ...] | None = None

    @property
    def recovered(self) -> bool:
        """Whether the call needed more than one attempt and came to a proper end."""
        return self.attempts > 1 and self.has_proper_end

    @property
    def has_proper_end(self) -> bool:
        """Whether the model came to an end, be it its token limit; neither an error nor the user cut it off."""
        return self.outcome in WHOLE

    @property
    def paid(self) -> Cost | None:
        """The cost as one value; None when it is unknown, or nothing answered."""
        if self.cost is None or self.currency is None:
            return None
        return Cost(
            amount=self.cost,
            currency=self.currency,
            peak=self.peak,
            price_date=self.price_date,
            estimated=bool(self.cost_estimated),
        )


NO_COLUMNS: Final = ("phases", "timeline")


def _column_types() -> Mapping[str, type]:
    kinds: dict[str, type] = {}
    for field in msgspec.structs.fields(StreamRecord):
        union = isinstance(field.type, types.UnionType)
        kind = next(t for t in typing.get_args(field.type) if t is not type(None)) if union else field.type
        if field.name not in NO_COLUMNS:
            kinds[field.name] = float if kind is Decimal else kind
    return types.MappingProxyType(kinds)


COLUMNS: Final = _column_types()
"""Column → its Python type (str, int, float, bool, datetime in UTC, date); each may be None. Money is a float here."""

NAMES: Final = tuple(COLUMNS)


def row_of(record: StreamRecord) -> Row:
    """The record as a flat mapping with the columns of ``COLUMNS``."""
    row = msgspec.structs.asdict(record)
    for name in NO_COLUMNS:
        del row[name]
    if record.cost is not None:
        row["cost"] = float(record.cost)
    return row
