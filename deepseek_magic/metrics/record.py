"""What one call was like: events and their times → one flat record.

The meter sits on the hot path, so it takes batches, reads no clock, and keeps counts and sums instead of events. What
the figures mean follows two sources, which agree where both say something:

* vLLM's serving benchmark (docs.vllm.ai, "benchmarking"): time to first token (TTFT) is from the request to the first
  piece of output, reasoning included; inter-token latency (ITL) is the gap between two pieces as they arrive; time per
  output token is (latency - TTFT) / (output tokens - 1), and ``tokens_per_s`` is its inverse; end-to-end latency (E2EL)
  is from the request to the end.
* OpenTelemetry's conventions for generative AI: ``gen_ai.client.operation.duration`` is ``total_s``,
  ``gen_ai.client.operation.time_to_first_chunk`` is ``ttft_s``, ``gen_ai.client.operation.time_per_output_chunk`` is what
  the ``gap_*`` columns are the quantiles of; tokens are the billable ones.

The request begins when the call begins: waiting for a free slot and failed attempts are part of every "time to". The
waits have columns of their own, so whoever wants them out can take them out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

import msgspec

from ..policy.pricing import Cost, total
from ..protocol.completion import Completion
from ..protocol.events import (
    AttemptStarted,
    Event,
    Heartbeat,
    ReasoningDelta,
    ResponseStarted,
    Seam,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
    Waiting,
)
from ..protocol.runs import Run, runs_of
from .phases import Course, Phase, PhaseKind
from .quantiles import DurationSketch
from .segments import Segment, billed, estimated_prompt_tokens, summed

__all__ = ["PriceOf", "StreamMeter", "StreamRecord", "TimelineEntry"]

PriceOf = Callable[[str, Usage, datetime], Cost | None]
"""Model, tokens, time → what they cost, or None for unknown: ``policy.pricing.cost_of`` has this shape."""


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a call: seconds since the call began, and since the event before it."""

    at_s: float
    gap_s: float
    kind: str
    chars: int = 0
    text: str = ""


class StreamRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One call, flat. None = unknown, 0 = measured zero. Times are seconds; ``started_at`` is UTC.

    Tokens and cost are the billable ones: the segments of a resumed answer add up. ``tokens_estimated`` is true where a
    segment broke before it reported and its part was estimated; a cost that rests on it is an estimate too.

    ============== ==========================================================================================
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
        return self.outcome in _PROPER_ENDS

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


_PROPER_ENDS: Final = frozenset(("complete", "truncated", "filtered"))

_WAITS: Final[Mapping[str, PhaseKind]] = {
    "concurrency": "wait_concurrency",
    "rate": "wait_rate",
    "retry_after": "wait_retry_after",
    "backoff": "wait_backoff",
}


class StreamMeter:
    """Measures one call. Times are seconds of one monotonic clock; only the wall-clock start is a datetime.

    The engine calls ``add`` with each batch, ``opened`` when a response's headers are in, ``received`` for bytes that
    held no whole event, and ``record`` once at the end. Memory does not grow with the answer unless ``timeline`` is on.
    """

    def __init__(
        self,
        *,
        call_id: str,
        started_at: datetime,
        now_s: float,
        run_id: str | None = None,
        endpoint: str | None = None,
        mode: str | None = None,
        timeline: bool = False,
    ) -> None:
        if started_at.tzinfo is None:
            raise ValueError("started_at needs a time zone: use datetime.now(UTC)")
        self.call_id = call_id
        self.run_id = run_id
        self.endpoint = endpoint
        self.mode = mode
        self.started_at = started_at.astimezone(UTC)
        self.started_s = now_s
        self.body_bytes: int | None = None
        self.wire_bytes: int | None = None
        self.chunks = 0
        self.heartbeats = 0
        self.attempts = 0
        self.connect_s: float | None = None
        self.ttfb_s: float | None = None
        self.queue_s: float | None = None
        self.ttft_s: float | None = None
        self.answer_s: float | None = None
        self.thinking_s: float | None = None
        self.gaps = DurationSketch()
        self.waits_s: dict[str, float] = {}
        self._segments: list[Segment] = []
        self._steps: dict[str, int] = {}
        self._seams = 0
        self._last_delta_s: float | None = None
        self._waiting: tuple[str, float] | None = None
        self._thinking_since_s: float | None = None
        self._last_thought_s = now_s
        self._queued_since_s: float | None = None
        self._queue_seen = False
        self._response = ResponseStarted()
        self._course = Course(now_s)
        self._timeline: list[TimelineEntry] | None = [] if timeline else None

    def opened(self, now_s: float, *, connect_s: float | None = None) -> None:
        """The headers of a response, of any status, are in; ``connect_s`` is 0 for a connection that was reused."""
        self._end_wait(now_s)
        if self.ttfb_s is None:
            self.ttfb_s = now_s - self.started_s
        if connect_s is not None:
            self.connect_s = (self.connect_s or 0.0) + connect_s
        self._course.enter("first_token", now_s)
        self._queued_since_s = now_s
        self._queue_seen = False
        if self.queue_s is None:
            self.queue_s = 0.0

    def received(self, *, body_bytes: int | None = None, wire_bytes: int | None = None) -> None:
        """Bytes that came: of the body as decoded, and as they were on the wire (compressed, framed)."""
        if body_bytes is not None:
            self.body_bytes = (self.body_bytes or 0) + body_bytes
        if wire_bytes is not None:
            self.wire_bytes = (self.wire_bytes or 0) + wire_bytes

    def add(self, events: Sequence[Event], now_s: float, runs: Sequence[Run] | None = None) -> None:
        """Take the events that arrived at ``now_s``, in order; ``runs`` are theirs where the caller has them already."""
        answer = reasoning = chars = 0
        for event, count in runs_of(events) if runs is None else runs:
            kind = type(event)
            if kind is TextDelta:
                answer += count
                chars += len(event.text)  # type: ignore[union-attr]
            elif kind is ReasoningDelta:
                reasoning += count
                chars += len(event.text)  # type: ignore[union-attr]
            elif kind is ToolCallDelta:
                answer += 1
                chars += len(event.arguments)  # type: ignore[union-attr]
            else:
                if answer or reasoning:  # they belong to the segment before this event
                    self._add_pieces(answer, reasoning, chars, now_s)
                    answer = reasoning = chars = 0
                self._add_other(event, now_s)
        if answer or reasoning:
            self._add_pieces(answer, reasoning, chars, now_s)
        if self._timeline is not None:
            self._draw(self._timeline, events, now_s)

    def _add_pieces(self, answer: int, reasoning: int, chars: int, now_s: float) -> None:
        count = answer + reasoning
        segment = self._segment(now_s)
        segment.answer += answer
        segment.reasoning += reasoning
        segment.chars += chars
        segment.last_s = now_s
        self.chunks += count
        if segment.first_s is None:
            segment.first_s = now_s
            self._end_wait(now_s)
            self._end_queue(now_s)
        if self._last_delta_s is None:
            self.ttft_s = now_s - self.started_s
        else:
            self.gaps.add(now_s - self._last_delta_s)
        self._last_delta_s = now_s
        if count > 1:
            self.gaps.add_zeros(count - 1)
        if reasoning:
            self._course.piece("thinking", now_s)
            if self._thinking_since_s is None:
                self._thinking_since_s = now_s
            self._last_thought_s = now_s
        if answer:
            self._course.piece("answer", now_s)
            if self.answer_s is None:
                self.answer_s = now_s - self.started_s
            if self._thinking_since_s is not None:
                self._end_thinking(now_s)

    def _segment(self, now_s: float) -> Segment:
        if not self._segments:
            self._segments.append(Segment("first", now_s))
        segment = self._segments[-1]
        segment.responded = True
        return segment

    def _add_other(self, event: Event, now_s: float) -> None:
        match event:
            case Heartbeat():
                self.heartbeats += 1
                self._queue_seen = True
                self._course.heartbeat()
                return
            case Waiting(reason="queue"):
                return  # the host's queue: measured from its comments
            case Waiting(reason=reason):
                self._end_queue(now_s)
                self._course.enter(_WAITS[reason], now_s)
                if self._waiting is None or self._waiting[0] != reason:
                    self._end_wait(now_s)
                    self._waiting = (reason, now_s)
                return
            case AttemptStarted():
                self._begin_attempt(event, now_s)
            case ResponseStarted():
                self._response = event
                self._segment(now_s)
                self._end_queue(now_s)
                self._course.responding(now_s)
            case UsageReport(usage=usage):
                self._segment(now_s).usage = usage
            case Seam():
                self._seams += 1
                self._course.seam(now_s)
            case _:
                pass
        self._end_wait(now_s)

    def _begin_attempt(self, event: AttemptStarted, now_s: float) -> None:
        self._end_queue(now_s)
        self._course.enter("request", now_s)
        if self._thinking_since_s is not None:
            self._end_thinking(self._last_thought_s)
        self.attempts = event.attempt
        self._steps[event.strategy] = self._steps.get(event.strategy, 0) + 1
        self._segments.append(Segment(event.strategy, now_s))
        self._queued_since_s = None
        self._queue_seen = False
        if event.endpoint:
            self.endpoint = event.endpoint

    def _end_wait(self, now_s: float) -> None:
        if self._waiting is not None:
            reason, since_s = self._waiting
            self._waiting = None
            self.waits_s[reason] = self.waits_s.get(reason, 0.0) + now_s - since_s

    def _end_queue(self, now_s: float) -> None:
        if self._queued_since_s is not None and self._queue_seen:
            self.queue_s = (self.queue_s or 0.0) + now_s - self._queued_since_s
        self._queued_since_s = None

    def _end_thinking(self, now_s: float) -> None:
        assert self._thinking_since_s is not None
        self.thinking_s = (self.thinking_s or 0.0) + now_s - self._thinking_since_s
        self._thinking_since_s = None

    def _draw(self, timeline: list[TimelineEntry], events: Sequence[Event], now_s: float) -> None:
        at_s = now_s - self.started_s
        for event in events:
            text = ""
            match event:
                case TextDelta(text=text) | ReasoningDelta(text=text) | ToolCallDelta(arguments=text):
                    pass
                case Waiting(detail=text) | Seam(detail=text) | Heartbeat(comment=text):
                    pass
            gap_s = at_s - timeline[-1].at_s if timeline else at_s
            kind = str(event.__struct_config__.tag)
            timeline.append(TimelineEntry(at_s=at_s, gap_s=gap_s, kind=kind, chars=len(text), text=text))

    @property
    def generation_s(self) -> float | None:
        """Seconds of generating so far, summed over segments; None before the first piece."""
        spans = [s.last_s - s.first_s for s in self._segments if s.first_s is not None]
        return math.fsum(spans) if spans else None

    @property
    def chunks_per_s(self) -> float | None:
        """Pieces a second while generating, so far; None before there are two."""
        return self._rate(self.chunks)

    def _rate(self, count: int | None) -> float | None:
        generating_s = self.generation_s
        heads = sum(s.first_s is not None for s in self._segments)
        return (count - heads) / generating_s if generating_s and count is not None and count > heads else None

    def usage(self) -> Usage:
        """The billable tokens of all segments so far; the prompt is unknown until a segment has reported."""
        return summed([usage for usage, _ in billed(self._segments, lambda: None)])

    def _cost(
        self, bills: list[tuple[Usage, Segment]], model: str, price: PriceOf | None
    ) -> tuple[Decimal | None, Cost | None]:
        """The amount, and the cost it comes from. Nothing answered costs nothing, whatever the price."""
        if not bills:
            return Decimal(0), None
        if price is None:
            return None, None
        costs = []
        for usage, segment in bills:
            ends = [price(model, usage, self._clock(at_s)) for at_s in (segment.started_s, segment.last_s)]
            if ends[0] is None or ends[1] is None:
                return None, None
            # Whether the start or the end of a request decides its tariff is not documented: at most the dearer one.
            first, last = sorted((ends[0], ends[1]), key=lambda cost: cost.amount)
            costs.append(last if first.amount == last.amount else replace(last, estimated=True))
        cost = total(costs, costs[0].currency)
        return (None, None) if cost is None else (cost.amount, cost)

    def _clock(self, at_s: float) -> datetime:
        return self.started_at + timedelta(seconds=at_s - self.started_s)

    def record(self, completion: Completion, *, now_s: float, price: PriceOf | None = None) -> StreamRecord:
        """The record of the call, which ended at ``now_s``. ``price`` None: the cost is unknown."""
        self._end_wait(now_s)
        self._end_queue(now_s)
        if self._thinking_since_s is not None:
            self._end_thinking(self._last_thought_s)
        request, error = completion.request, completion.error
        bills = billed(self._segments, lambda: estimated_prompt_tokens(request))
        usage = summed([tokens for tokens, _ in bills])
        amount, cost = self._cost(bills, completion.model or request.model, price)
        waits = {f"wait_{reason}_s": seconds for reason, seconds in self.waits_s.items()}
        return StreamRecord(
            run_id=self.run_id,
            call_id=self.call_id,
            started_at=self.started_at,
            endpoint=self.endpoint,
            model=request.model,
            response_model=completion.model,
            completion_id=completion.id,
            mode=self.mode,
            think=request.options.get("think"),
            outcome=completion.outcome,
            finish_reason=completion.finish_reason,
            error_type=type(error).__name__ if error is not None else None,
            status=getattr(error, "status", None),
            prompt_sha256=request.digest(),
            attempts=self.attempts,
            retries=self._steps.get("retry", 0),
            resumes=self._steps.get("resume", 0),
            continuations=self._steps.get("continue", 0),
            restarts=self._steps.get("restart", 0),
            seams=self._seams,
            waited_s=math.fsum(waits.values()),
            **waits,
            connect_s=self.connect_s,
            ttfb_s=self.ttfb_s,
            queue_s=self.queue_s,
            ttft_s=self.ttft_s,
            answer_s=self.answer_s,
            thinking_s=self.thinking_s if self.thinking_s is not None or not self.chunks else 0.0,
            generation_s=self.generation_s,
            total_s=now_s - self.started_s,
            chunks=self.chunks,
            chars=len(completion.text),
            reasoning_chars=len(completion.reasoning),
            body_bytes=self.body_bytes,
            wire_bytes=self.wire_bytes,
            heartbeats=self.heartbeats,
            chunks_per_s=self.chunks_per_s,
            tokens_per_s=self._rate(usage.completion_tokens),
            gap_p50_s=self.gaps.quantile_s(0.5),
            gap_p99_s=self.gaps.quantile_s(0.99),
            gap_max_s=self.gaps.max_s if self.gaps.n else None,
            gap_n=self.gaps.n,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            cache_hit_tokens=usage.cache_hit_tokens,
            cache_miss_tokens=usage.cache_miss_tokens,
            tokens_estimated=usage.estimated,
            cost=amount,
            currency=None if cost is None else cost.currency,
            cost_estimated=None if cost is None else cost.estimated,
            peak=None if cost is None else cost.peak,
            price_date=None if cost is None else cost.price_date,
            phases=self._course.end(now_s),
            timeline=None if self._timeline is None else tuple(self._timeline),
        )
