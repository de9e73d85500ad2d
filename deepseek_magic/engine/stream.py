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

from ..metrics.billing import UNSEEN_TOKENS
from ..metrics.record import StreamMeter
from ..policy.attempts import Delivered, Ending, RefusedWays, Spent
from ..policy.causes import is_class_rule
from ..policy.deadlines import happening_of
from ..policy.recovery import Accept, Continue, GiveUp, Restart, Resume, Step, decide
from ..policy.token_allowance import TokenAllowance
from ..protocol.chat import Request
from ..protocol.completion import Accumulator, Completion
from ..protocol.errors import AuthenticationError, DeepSeekError, IncompleteStream
from ..protocol.events import Event, Finish, ReasoningDelta, TextDelta, has_pieces
from ..protocol.outcome import AT_LENGTH, verdict
from ..protocol.runs import runs_of
from ..text.messages import Message
from .batched import Batched
from .hosts import keys
from .segment import Another, Segment, Terms
from .several.seen import SEEN
from .stop import Watch

_REFUSED: Final = RefusedWays()
"""Which ways on servers have refused; one memory for all calls of the process."""


class Keeper(Protocol):
    """Who writes down what streams bring: notified in order, on the loop of the stream, and expected not to wait."""

    def began(self, stream: Stream) -> None:
        """Its first request is about to be sent."""

    def taken(self, stream: Stream) -> None:
        """Its answer is given to somebody after all, which was not known when it began."""

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

    ``keeper`` is given everything that the consumer is given. ``began`` is when the call was begun whose answer it may become,
    where that was earlier: the wall clock then, and the seconds since; its record counts from there.
    """

    def __init__(
        self,
        request: Request,
        terms: Terms,
        before: Earlier | None = None,
        *,
        keeper: Keeper | None = None,
        call_id: str | None = None,
        began: tuple[datetime, float] | None = None,
    ) -> None:
        super().__init__()
        self.request = request
        self.call_id = call_id or uuid.uuid4().hex
        """Names the call in its record and in the journal."""
        self.terms = terms
        self._keeper = keeper
        self._began = began
        self.used = True
        """Whether somebody is given the answer. If not, its record says so at the end, and its words are kept nowhere."""
        self.paired = False
        """Whether a second request was sent for its answer: of either, if both are stopped before a word, as much is presumed."""
        self.unheard_tokens = UNSEEN_TOKENS
        self._answer = Accumulator(request)
        self._completion: Completion | None = None
        self._watch: Watch | None = None
        self._meter: StreamMeter | None = None
        self._anomalies: list[str] = []
        self._can = terms.can(request)
        self._allowance = TokenAllowance(
            request.options.get("max_tokens"), token_each=terms.endpoint.continuing == "deepseek_prefix"
        )
        self._over = asyncio.Event()
        self._before = before
        if before is not None:
            if isinstance(before.step, Continue):
                self._allowance.begin_with(before.step)
            self._answer.seams = before.completion.seams
            for event in pieces_of(before.completion):
                self._answer.add(event)

    @property
    def working(self) -> bool:
        """Whether a task waits inside the call right now."""
        return self._watch is not None and self._watch.working

    @property
    def completion(self) -> Completion:
        """See Batched."""
        if self._completion is None:
            raise RuntimeError("the stream has not ended yet")
        return self._completion

    @property
    def began(self) -> tuple[datetime, float] | None:
        """When it began, by the wall clock, and how many seconds ago that is; None before."""
        if self._meter is None or self._watch is None:
            return None
        return self._meter.started_at, self._watch.now_s - self._meter.started_s

    async def discard(self) -> None:
        """Close it, as one of whose answer nothing was given out."""
        self.used = False
        await self.aclose()

    def delivered(self, segment: Segment | None = None) -> Delivered:
        """What the consumer has of this answer; ``segment`` is what has just ended."""
        answer = self._answer
        return Delivered.of(
            text=answer.text,
            reasoning=answer.reasoning,
            new_chars=0 if segment is None else segment.new_chars,
            tool_open=answer.tool_open,
            ids_seen=segment is not None and segment.ids_seen,
            tokens_left=self._allowance.left(answer.text_chars + answer.reasoning_chars),
            rewinding=self.terms.rewind,
        )

    async def aclose(self) -> None:
        """See Batched."""
        self._ready = iter(())
        if self._watch is not None and self._watch.working:
            self._watch.stop()
            await self._over.wait()
            return
        await self._source.aclose()
        if self._completion is None:
            self._stopped()

    async def _run(self) -> AsyncGenerator[list[Event], None]:
        terms = self.terms
        watch = self._watch = Watch(terms.timeouts)
        started_at, since_s = self._began or (datetime.now(UTC), 0.0)
        meter = self._meter = StreamMeter(
            call_id=self.call_id,
            started_at=started_at,
            now_s=watch.now_s - since_s,
            origin=terms.origin,
            endpoint=terms.endpoint.name,
            host=terms.endpoint.host,
            timeline=terms.timeline,
        )
        before = self._before
        at_length = before is not None and before.completion.outcome == "truncated"
        refused = _REFUSED.of(terms.endpoint.address, self.request.model, _now_s())
        spent = Spent(refused=refused, at_length=at_length)
        segment = Segment(terms, self._answer, meter, step=before.step if before is not None else None, refused=refused)
        had = pieces_of(before.completion) if before is not None else []
        if self._keeper is not None:
            self._keeper.began(self)
            self._keeper.brought(self, had)
        if had and before is not None and not before.given_out:
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
                assert segment.ending is not None
                if segment.sent and segment.ending.opened:
                    meter.taken()
                step = self._decide(segment.ending, self.delivered(segment), spent)
                if isinstance(step, Accept):
                    if step.finish_reason is not None:
                        last: list[Event] = [Finish(reason=step.finish_reason)]
                        watch.leave(self._take(last, segment, watch))
                        yield last
                    self._end(interrupted=step.outcome == "interrupted")
                    return
                if isinstance(step, GiveUp):
                    raise self._failure(segment, step)
                spent = step.spent
                segment = self._next(step, segment)
        except GeneratorExit:
            if segment.sent:
                meter.taken()
            raise  # by aclose, which makes the completion, or by the garbage collector, and then nobody wants one
        except BaseException as error:
            if segment.sent and not isinstance(error, Exception):
                meter.taken()
            if self._completion is None and not isinstance(error, Exception):
                self._stopped()
            elif self._completion is None:  # what no attempt had come to: a request that cannot be written, for one
                self._end(error=error if isinstance(error, DeepSeekError) else None)
            raise
        finally:
            watch.close()
            self._over.set()

    def _take(self, batch: list[Event], segment: Segment, watch: Watch) -> float:
        """Fold a batch into the answer and the record, and move the deadlines by what it brought; the time it is now.

        All that is done for a batch is done here, with its text joined once and the clock read once: a token that comes
        alone pays for each step, and fifty that come together should not pay fifty times.
        """
        now_s, runs = segment.came_s(watch), runs_of(batch)
        events = [event for event, _ in runs]
        if self._keeper is not None:
            self._keeper.brought(self, events)
        answer = self._answer
        self._allowance.add(batch, text_chars=answer.text_chars, reasoning_chars=answer.reasoning_chars)
        for event in events:
            self._answer.add(event)
        assert self._meter is not None
        self._meter.add(batch, now_s, runs)
        happening = happening_of(events)
        if happening is not None:
            # Not by what happened last: a piece of the answer and its end may come in one read.
            segment.brought = segment.brought or has_pieces(events)
            watch.told(happening, now_s)
        return now_s if segment.is_here else watch.now_s

    def _decide(self, ending: Ending, delivered: Delivered, spent: Spent) -> Step:
        terms = self.terms
        u, may_repeat = terms.chance(), terms.gate.may_repeat
        step = decide(ending, delivered, terms.recovery, spent, u, can=self._can, may_repeat=may_repeat)
        _REFUSED.learn(terms.endpoint.address, self.request.model, step.spent, ending, _now_s())
        return step

    def _stopped(self) -> None:
        """The call was ended from outside while nothing of it ran: by its user, or with its task."""
        step = self._decide(Ending(kind="stopped"), self.delivered(), Spent())
        assert isinstance(step, Accept)
        self._end(interrupted=step.outcome == "interrupted")

    def _next(self, step: Another, before: Segment) -> Segment:
        answer, ending = self._answer, before.ending
        assert self._meter is not None
        assert ending is not None
        if isinstance(step, Continue):
            step = self._allowance.grant(
                step,
                at_length=ending.finish_reason == AT_LENGTH,
                text_chars=answer.text_chars,
                reasoning_chars=answer.reasoning_chars,
            )
        return Segment(
            self.terms,
            answer,
            self._meter,
            step=step,
            reason="retry_after" if ending.retry_after_s else "backoff",
            resumed=before if isinstance(step, Resume) else None,
            refused=step.spent.refused,
        )

    def _failure(self, segment: Segment, step: GiveUp) -> DeepSeekError:
        """The error that ends the call, with its completion."""
        ending = segment.ending
        assert ending is not None
        error = ending.error
        if error is None:
            error = IncompleteStream(step.why)
        elif self._answer.attempts > 1 or ending.retry_after_s:
            # What happened is said by the error itself.
            error.hint = Message("{then} {hint}", then=step.then or step.why, hint=error.hint or Message("Ask again."))
        error.hint = error.hint or ("" if is_class_rule(error) else Message("Ask again."))
        error.change_said(keys.mask)
        if isinstance(error, AuthenticationError):
            keys.forget(self.terms.endpoint)
        self._end(error=error)
        return error

    def _end(self, *, interrupted: bool = False, error: DeepSeekError | None = None) -> None:
        # A Stop that comes when the last word and its reason are there interrupts nothing.
        whole = verdict(self._answer.finish_reason, has_answer=self._answer.has_answer) != "incomplete"
        completion = self._answer.completion(
            interrupted=interrupted and not whole, error=error, anomalies=tuple(dict.fromkeys(self._anomalies))
        )
        if self._meter is not None and self._watch is not None:
            self._meter.used = self.used
            unheard = interrupted and not self._meter.chunks
            early = self.terms.origin.purpose == "ahead"
            self._meter.given_up = not self.used or (unheard and (self.paired or early))
            self._meter.unheard_tokens = self.unheard_tokens
            record = self._meter.record(completion, now_s=self._watch.now_s, price=self.terms.price)
            completion = replace(completion, record=record, usage=record.usage, cost=record.paid)
            if not self.used:
                completion = replace(completion, text="", reasoning="", tool_calls=())
            SEEN.note(record, self.terms.endpoint.base_url)
            if self.terms.purse is not None:
                counted = self._meter.counted(completion.request, completion.model, self.terms.price)
                self.terms.purse.settle(self.call_id, counted)
        self._completion = completion
        if error is not None:
            error.completion = completion
        if self._keeper is not None and self._meter is not None:
            self._keeper.ended(self)


def pieces_of(completion: Completion) -> list[Event]:
    """The words of an answer, as events."""
    pieces: list[Event] = [ReasoningDelta(text=completion.reasoning)] if completion.reasoning else []
    return [*pieces, TextDelta(text=completion.text)] if completion.text else pieces


def _now_s() -> float:
    return asyncio.get_running_loop().time()
