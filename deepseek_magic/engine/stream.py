"""The streaming loop: one request → events → completion, whatever the network does in between.

A thin loop: a ``Segment`` brings events and says how it ended, ``policy.recovery`` says what to do about that. All that
the consumer is given goes at once into the completion and the meter, so at every moment they agree.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Protocol

from ..metrics.record import StreamMeter
from ..metrics.row import Origin, StreamRecord
from ..policy.attempts import Delivered, Ending, RefusedWays, Spent, Way
from ..policy.causes import burdens
from ..policy.deadlines import happening_of
from ..policy.recovery import Accept, Continue, GiveUp, Restart, Resume, Step, decide
from ..policy.seams import DeltaCount, remaining_max_tokens
from ..protocol.chat import Request
from ..protocol.completion import Accumulator, Completion
from ..protocol.errors import AuthenticationError, DeepSeekError, IncompleteStream
from ..protocol.events import (
    Event,
    Finish,
    ReasoningDelta,
    Seam,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from ..protocol.outcome import AT_LENGTH, verdict
from ..protocol.runs import runs_of
from ..text.messages import Message
from .attempt import StreamPosition
from .batched import Batched
from .hosts import keys
from .hosts.endpoints import Endpoint
from .segment import Another, Segment, Terms
from .watch import Watch

__all__ = ["Earlier", "Keeper", "Stream", "pieces_of"]

LONGEST_TOLD_PAUSE_S: Final = 10.0
"""A stream's own ``retry:`` is honoured up to here."""
_REFUSED: Final = RefusedWays()
"""Which ways on servers have refused; one memory for all calls of the process."""


class Keeper(Protocol):
    """Who writes down what streams bring: told in order, on the loop of the stream, and expected not to wait."""

    def began(self, stream: Stream) -> None:
        """Its first request is about to be sent."""

    def brought(self, stream: Stream, events: list[Event]) -> None:
        """A batch, neighbouring text joined, before the consumer has it."""

    def ended(self, stream: Stream) -> None:
        """Its completion is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """An answer that had begun before this call, and the step that takes it up.

    ``given_out``: the consumer has it already; otherwise it is given out once more, first and in one batch, so that the
    whole answer passes there.
    """

    completion: Completion
    step: Continue | Restart
    given_out: bool = False


class Stream(Batched):
    """One endpoint's answer to one request, whatever breaks in between. ``before`` is what it begins with, if anything.

    ``keeper`` is told everything that the consumer is given.
    """

    def __init__(
        self, request: Request, terms: Terms, before: Earlier | None = None, *, keeper: Keeper | None = None
    ) -> None:
        super().__init__()
        self.request = request
        self.call_id = uuid.uuid4().hex
        """Names the call in its record and in the journal."""
        self._terms = terms
        self._keeper = keeper
        self._answer = Accumulator(request)
        self._completion: Completion | None = None
        self._watch: Watch | None = None
        self._meter: StreamMeter | None = None
        self._anomalies: list[str] = []
        self._max_tokens: int | None = request.options.get("max_tokens")
        self._deltas = {"text": DeltaCount(), "reasoning": DeltaCount()}
        self._paid_chars = 0
        """Of the answer, how much an earlier token budget paid for."""
        self._over = asyncio.Event()
        self._before = before
        if before is not None:
            self._take_up(before)

    @property
    def endpoint(self) -> Endpoint:
        """Who is asked."""
        return self._terms.endpoint

    @property
    def origin(self) -> Origin:
        """Where the call comes from."""
        return self._terms.origin

    @property
    def working(self) -> bool:
        """Whether a task waits inside the call right now."""
        return self._watch is not None and self._watch.working

    @property
    def completion(self) -> Completion:
        """What the call amounts to, once it is over, also after an error or a Stop. Raises RuntimeError before."""
        if self._completion is None:
            raise RuntimeError("the stream has not ended yet")
        return self._completion

    def delivered(self) -> Delivered:
        """What the consumer has of this answer."""
        answer = self._answer
        return Delivered.of(
            text=answer.text,
            reasoning=answer.reasoning,
            new_chars=0,
            tool_open=answer.tool_open,
            tokens_left=self._tokens_left(),
            rewinding=self._terms.rewind,
        )

    async def aclose(self) -> None:
        """Stop: close the connection, keep what has arrived; the outcome is "interrupted" if it was still running.

        May be called from any task of the loop, also while another one waits for the next event.
        """
        self._ready = iter(())
        if self._watch is not None and self._watch.working:
            self._watch.stop()
            await self._over.wait()
            return
        await self._source.aclose()
        if self._completion is None:
            self._end(interrupted=True)

    def _take_up(self, before: Earlier) -> None:
        completion, step = before.completion, before.step
        if isinstance(step, Continue):
            self._paid_chars = step.text_chars + step.reasoning_chars
            self._max_tokens = step.max_tokens or self._max_tokens
        self._answer.seams = completion.seams
        for event in pieces_of(completion):
            self._answer.add(event)

    async def _run(self) -> AsyncGenerator[list[Event], None]:
        terms = self._terms
        watch = self._watch = Watch(terms.timeouts)
        meter = self._meter = StreamMeter(
            call_id=self.call_id,
            started_at=datetime.now(UTC),
            now_s=watch.now_s,
            origin=terms.origin,
            endpoint=terms.endpoint.name,
            timeline=terms.timeline,
        )
        terms.gate.first_request()
        before = self._before
        segment = Segment(terms, self._answer, meter, step=before.step if before is not None else None)
        at_length = before is not None and before.completion.outcome == "truncated"
        spent = Spent(refused=self._refused_before(), at_length=at_length)
        if self._keeper is not None:
            self._keeper.began(self)
        if before is not None:
            had = pieces_of(before.completion)
            if self._keeper is not None:
                self._keeper.brought(self, had)
            if not before.given_out and had:
                yield had
        watch.enter()
        try:
            while True:
                try:
                    async with contextlib.aclosing(segment.batches(watch)) as batches:
                        async for batch in batches:
                            watch.leave(self._take(batch, segment, watch))
                            yield batch
                            watch.enter()
                except asyncio.CancelledError:
                    if not watch.claims():
                        raise
                    segment.cut_off(watch)
                self._anomalies += segment.anomalies
                step = self._decide(segment, spent)
                if isinstance(step, Accept):
                    if step.finish_reason is not None:
                        last: list[Event] = [Finish(reason=step.finish_reason)]
                        watch.leave(self._take(last, segment, watch))
                        yield last
                    self._end(interrupted=step.outcome == "interrupted")
                    return
                if isinstance(step, GiveUp):
                    raise self._failure(segment, step.why)
                spent = step.spent
                segment = self._next(step, segment)
        except GeneratorExit:
            raise  # by aclose, which makes the completion, or by the garbage collector, and then nobody wants one
        except BaseException as error:
            if self._completion is None:
                known = error if isinstance(error, DeepSeekError) else None
                self._end(interrupted=not isinstance(error, Exception), error=known)
            raise
        finally:
            watch.close()
            self._over.set()

    def _take(self, batch: list[Event], segment: Segment, watch: Watch) -> float:
        """Fold a batch into the answer and the record, and move the deadlines by what it brought; the time it came.

        All that is done for a batch is done here, with its text joined once and the clock read once: a token that comes
        alone pays for each step, and fifty that come together should not pay fifty times.
        """
        now_s, runs = watch.now_s, runs_of(batch)
        events = [event for event, _ in runs]
        if self._keeper is not None:
            self._keeper.brought(self, events)
        if self._max_tokens is not None:
            self._count(batch)
        for event in events:
            self._answer.add(event)
        assert self._meter is not None
        self._meter.add(batch, now_s, runs)
        happening = happening_of(events)
        if happening is not None:
            # Not by what happened last: a piece of the answer and its end may come in one read.
            segment.brought = segment.brought or any(type(event) in _PIECES for event in events)
            watch.told(happening, now_s)
        return now_s

    def _count(self, batch: list[Event]) -> None:
        """On api.deepseek.com a delta is a token (measured: within 3 of an answer). Call it before the batch is folded."""
        text, reasoning = self._deltas["text"], self._deltas["reasoning"]
        chars = {"text": self._answer.text_chars, "reasoning": self._answer.reasoning_chars}
        for event in batch:
            match event:
                case TextDelta(text=piece):
                    text.add(len(piece))
                    chars["text"] += len(piece)
                case ReasoningDelta(text=piece):
                    reasoning.add(len(piece))
                    chars["reasoning"] += len(piece)
                case ToolCallDelta():
                    text.add(0)
                case Seam(kind="restarted"):
                    self._deltas = {"text": DeltaCount(), "reasoning": DeltaCount()}
                    text, reasoning = self._deltas["text"], self._deltas["reasoning"]
                    chars = {"text": 0, "reasoning": 0}
                case Seam():
                    for channel, at in (("text", event.at_chars), ("reasoning", event.reasoning_at_chars)):
                        if at is not None:
                            self._deltas[channel].take_back(max(0, chars[channel] - at))
                            chars[channel] = min(at, chars[channel])

    # what follows

    def _decide(self, segment: Segment, spent: Spent) -> Step:
        terms, ending = self._terms, segment.ending
        assert ending is not None
        can = terms.can(self.request)
        step = decide(ending, segment.delivered(self._tokens_left()), terms.recovery, spent, terms.chance(), can=can)
        now_s = asyncio.get_running_loop().time()
        _REFUSED.learn(terms.endpoint.base_url, self.request.model, step.spent, ending, now_s)
        if burdens(ending.status) and not isinstance(step, Accept | GiveUp) and not terms.gate.may_repeat():
            return GiveUp(why="Too many requests were repeated in the last minute.", spent=step.spent)
        return step

    def _refused_before(self) -> frozenset[Way]:
        return _REFUSED.of(self._terms.endpoint.base_url, self.request.model, asyncio.get_running_loop().time())

    def _tokens_left(self) -> int | None:
        chars = self._answer.text_chars + self._answer.reasoning_chars - self._paid_chars
        one_each = self._terms.endpoint.continuing == "deepseek_prefix"
        deltas = sum(count.total for count in self._deltas.values())
        return remaining_max_tokens(self._max_tokens, chars=chars, deltas=deltas if one_each else None)

    def _renew_budget(self, step: Continue) -> None:
        """The answer has used up its ``max_tokens`` and goes on with as many again."""
        self._deltas = {"text": DeltaCount(), "reasoning": DeltaCount()}
        self._paid_chars = step.text_chars + step.reasoning_chars

    def _written_anew(self, step: Continue) -> int:
        """The tokens behind the prefix: paid once more, but not twice part of the answer."""
        if self._terms.endpoint.continuing != "deepseek_prefix":
            return 0
        answer = self._answer
        text = self._deltas["text"].within(max(0, answer.text_chars - step.text_chars))
        return text + self._deltas["reasoning"].within(max(0, answer.reasoning_chars - step.reasoning_chars))

    def _next(self, step: Another, before: Segment) -> Segment:
        assert self._meter is not None
        assert before.ending is not None
        position: StreamPosition | None = None
        if isinstance(step, Resume):
            position = before.position
            told_s = min(before.retry_s or 0.0, LONGEST_TOLD_PAUSE_S)
            step = replace(step, delay_s=max(step.delay_s, told_s))
        elif isinstance(step, Continue) and before.ending.finish_reason == AT_LENGTH:
            self._renew_budget(step)
        elif isinstance(step, Continue) and step.max_tokens is not None:
            step = replace(step, max_tokens=step.max_tokens + self._written_anew(step))
        return Segment(
            self._terms,
            self._answer,
            self._meter,
            step=step,
            reason="retry_after" if before.ending.retry_after_s else "backoff",
            position=position,
        )

    # the end

    def _failure(self, segment: Segment, why: str) -> DeepSeekError:
        """The error that ends the call, with its completion."""
        ending: Ending | None = segment.ending
        error = ending.error if ending is not None else None
        if error is None:
            error = IncompleteStream(why, hint="Ask again.")
        elif self._answer.attempts > 1 or (ending is not None and ending.retry_after_s):
            # Its first half says what happened, which the error itself says better.
            rest = why.rpartition("; ")[2]
            error.hint = f"{rest[:1].upper()}{rest[1:]} {error.hint}".strip()
        error.hint = error.hint or "Ask again."
        said = error.message
        error.message = said.mapped(keys.mask) if isinstance(said, Message) else keys.mask(said)
        error.args = (error.message,)
        if isinstance(error, AuthenticationError):
            keys.forget(self._terms.endpoint)
        self._end(error=error)
        return error

    def _end(self, *, interrupted: bool = False, error: DeepSeekError | None = None) -> None:
        # A Stop that comes when the last word and its reason are there interrupts nothing.
        whole = verdict(self._answer.finish_reason, has_answer=self._answer.has_answer) != "incomplete"
        completion = self._answer.completion(
            interrupted=interrupted and not whole, error=error, anomalies=tuple(dict.fromkeys(self._anomalies))
        )
        if self._meter is not None and self._watch is not None:
            record = self._meter.record(completion, now_s=self._watch.now_s, price=self._terms.price)
            completion = replace(completion, record=record, usage=_usage(record), cost=record.paid)
        self._completion = completion
        if error is not None:
            error.completion = completion
        if self._keeper is not None and self._meter is not None:
            self._keeper.ended(self)


def pieces_of(completion: Completion) -> list[Event]:
    """The words of an answer, as events."""
    pieces: list[Event] = [ReasoningDelta(text=completion.reasoning)] if completion.reasoning else []
    return [*pieces, TextDelta(text=completion.text)] if completion.text else pieces


_PIECES: Final = frozenset({TextDelta, ReasoningDelta, ToolCallDelta})


def _usage(record: StreamRecord) -> Usage:
    """The tokens of all segments, as the record adds them up."""
    prompt, completion = record.prompt_tokens, record.completion_tokens
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=None if prompt is None or completion is None else prompt + completion,
        reasoning_tokens=record.reasoning_tokens,
        cache_hit_tokens=record.cache_hit_tokens,
        cache_miss_tokens=record.cache_miss_tokens,
        estimated=record.tokens_estimated,
    )
