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
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from ..policy.estimates import prompt_tokens
from ..protocol.chat import Request
from ..protocol.completion import Completion
from ..protocol.errors import NotOnTape
from ..protocol.events import (
    AttemptStarted,
    Event,
    Heartbeat,
    ReasoningDelta,
    ResponseStarted,
    Seam,
    TextDelta,
    ToolCallDelta,
    UsageReport,
    Waiting,
)
from ..protocol.measured import TAPE, Cost, StreamRecord, TimelineEntry
from ..protocol.runs import Run, runs_of
from .billing import UNSEEN_TOKENS, MeteredSegment, PriceOf, billed, charged, counted, presumed, summed
from .phases import PHASES, Course
from .quantiles import DurationSketch
from .row import Origin

_WAITS: Final = {kind.removeprefix("wait_"): kind for kind in PHASES if kind.startswith("wait_")}
_STEPS: Final = {"retry": "retries", "resume": "resumes", "continue": "continuations", "restart": "restarts"}
"""The column that counts each strategy."""

_AS_MEASURED: Final = (
    *(
        "call_id",
        "started_at",
        "endpoint",
        "host",
        "attempts",
        "seams",
        "connect_s",
        "ttfb_s",
        "queue_s",
        "ttft_s",
        "answer_s",
    ),
    *("generation_s", "chunks", "body_bytes", "wire_bytes", "heartbeats", "chunks_per_s", "read_every_s"),
)
"""What a record takes from its meter as it is."""
_ORIGIN: Final = tuple(field.name for field in fields(Origin))
COUNTED: Final = ("prompt_tokens", "completion_tokens", "reasoning_tokens", "cache_hit_tokens", "cache_miss_tokens")


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
        origin: Origin | None = None,
        endpoint: str | None = None,
        host: str | None = None,
        timeline: bool = False,
    ) -> None:
        if started_at.tzinfo is None:
            raise ValueError("started_at needs a time zone: use datetime.now(UTC)")
        self.call_id = call_id
        self.origin = origin or Origin()
        self.endpoint = endpoint
        self.host = host
        self.started_at = started_at.astimezone(UTC)
        self.started_s = now_s
        self.body_bytes: int | None = None
        self.wire_bytes: int | None = None
        self.read_every_s = 0.0
        self.chunks = 0
        self.used = True
        """Whether anybody is given the answer."""
        self.given_up = False
        """Whether the server may have written what nobody has heard: then as much is presumed."""
        self.unheard_tokens = UNSEEN_TOKENS
        """As many tokens, at most, as an answer that was given up is taken to have had."""
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
        self._segments: list[MeteredSegment] = []
        self._steps = dict.fromkeys(_STEPS.values(), 0)
        self.seams = 0
        self._last_delta_s: float | None = None
        self._waiting: tuple[str, float] | None = None
        self._thinking_since_s: float | None = None
        self._last_thought_s = now_s
        self._queued_since_s: float | None = None
        self._queue_seen = False
        self._course = Course(now_s)
        self._timeline: list[TimelineEntry] | None = [] if timeline else None
        self._answered = self._recorded = 0

    @property
    def replayed(self) -> bool:
        """Whether all that answered was a tape: nothing of it is paid again."""
        return 0 < self._answered == self._recorded

    def opened(self, now_s: float, *, connect_s: float, recorded_at: datetime | None = None) -> None:
        """The headers of a response, of any status, are in; ``connect_s`` is 0 for a connection that was reused, ``recorded_at``
        the time at which a recorded one was asked."""
        self._end_wait(now_s)
        if recorded_at is not None and not self._answered:
            self.started_at = recorded_at.astimezone(UTC)
        self._answered += 1
        self._recorded += recorded_at is not None
        if self.ttfb_s is None:
            self.ttfb_s = now_s - self.started_s
        self.connect_s = (self.connect_s or 0.0) + connect_s
        self._course.enter("first_token", now_s)
        self._queued_since_s = now_s
        self._queue_seen = False
        self.queue_s = self.queue_s or 0.0

    def received(
        self, *, body_bytes: int | None = None, wire_bytes: int | None = None, read_every_s: float = 0.0
    ) -> None:
        """Bytes that came: of the body as decoded, and as they were on the wire (compressed, framed); and how long they may
        have been left unread."""
        self.read_every_s = max(self.read_every_s, read_every_s)
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

    def _segment(self, now_s: float) -> MeteredSegment:
        if not self._segments:
            self._segments.append(MeteredSegment("first", now_s, now_s))
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
                self._segment(now_s)
                self._end_queue(now_s)
                self._course.responding(now_s)
            case UsageReport(usage=usage):
                self._segment(now_s).usage = usage
            case Seam():
                self.seams += 1
                self._course.seam(now_s)
        self._end_wait(now_s)

    def _begin_attempt(self, event: AttemptStarted, now_s: float) -> None:
        self._end_queue(now_s)
        self._course.enter("request", now_s)
        self._end_thinking(self._last_thought_s)
        self.attempts = event.attempt
        if event.strategy in _STEPS:
            self._steps[_STEPS[event.strategy]] += 1
        self._segments.append(MeteredSegment(event.strategy, now_s, now_s))
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
        if self._thinking_since_s is not None:
            self.thinking_s = (self.thinking_s or 0.0) + now_s - self._thinking_since_s
            self._thinking_since_s = None

    def _draw(self, timeline: list[TimelineEntry], events: Sequence[Event], now_s: float) -> None:
        at_s = now_s - self.started_s
        for event in events:
            text = ""
            match event:
                case TextDelta(text=text) | ReasoningDelta(text=text):
                    pass
                case ToolCallDelta(arguments=text) | Heartbeat(comment=text):
                    pass
                case Waiting(detail=detail) | Seam(detail=detail):
                    text = str(detail)
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

    def taken(self) -> None:
        """The server did not refuse the last request, even if nothing came of it."""
        if self._segments:
            self._segments[-1].taken = True

    def counted(self, request: Request, model: str | None, price: PriceOf | None) -> Cost | None:
        """What a budget counts of the call so far; None for a price that is unknown."""
        cost = counted(self._segments, request, model or request.model, price, self._clock)
        return replace(cost, amount=Decimal(0)) if cost is not None and self.replayed else cost

    def _clock(self, at_s: float) -> datetime:
        return self.started_at + timedelta(seconds=at_s - self.started_s)

    def record(self, completion: Completion, *, now_s: float, price: PriceOf | None = None) -> StreamRecord:
        """The record of the call, which ended at ``now_s``. ``price`` None: the cost is unknown."""
        self._end_wait(now_s)
        self._end_queue(now_s)
        self._end_thinking(self._last_thought_s)
        request, error = completion.request, completion.error
        if self.given_up:
            bills = presumed(self._segments, lambda: prompt_tokens(request.messages), self.unheard_tokens)
        else:
            bills = billed(self._segments, lambda: prompt_tokens(request.messages))
        usage = summed([tokens for tokens, _ in bills])
        amount, cost = charged(bills, completion.model or request.model, price, self._clock)
        waits = {f"wait_{reason}_s": seconds for reason, seconds in self.waits_s.items()}
        known: dict[str, Any] = {name: getattr(self, name) for name in _AS_MEASURED}
        known |= {name: getattr(self.origin, name) for name in _ORIGIN} | self._steps | waits
        known |= {name: getattr(usage, name) for name in COUNTED}
        known |= {name: getattr(cost, name, None) for name in ("currency", "peak", "price_date")}
        known["cost"] = amount
        if self.replayed or isinstance(error, NotOnTape):
            known |= {
                "endpoint": TAPE,
                "host": None,
                "cost": None if amount is None else Decimal(0),
                "recorded_cost": amount,
            }
        return StreamRecord(
            **known,
            model=request.model,
            response_model=completion.model,
            completion_id=completion.id,
            think=request.options.get("think"),
            outcome=completion.outcome,
            used=self.used,
            finish_reason=completion.finish_reason,
            error_type=type(error).__name__ if error is not None else None,
            status=getattr(error, "status", None),
            prompt_sha256=request.digest(),
            waited_s=math.fsum(waits.values()),
            thinking_s=self.thinking_s if self.thinking_s is not None or not self.chunks else 0.0,
            total_s=now_s - self.started_s,
            chars=len(completion.text),
            reasoning_chars=len(completion.reasoning),
            tokens_per_s=self._rate(usage.completion_tokens),
            gap_p50_s=self.gaps.quantile_s(0.5),
            gap_p99_s=self.gaps.quantile_s(0.99),
            gap_max_s=self.gaps.max_s if self.gaps.n else None,
            gap_n=self.gaps.n,
            tokens_estimated=usage.estimated,
            cost_estimated=None if cost is None else cost.estimated or self.given_up,
            phases=self._course.end(now_s),
            timeline=None if self._timeline is None else tuple(self._timeline),
        )
