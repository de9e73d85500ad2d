"""One segment of an answer: wait for the turn, send what the step asks for, join what comes to what was there.

A call is one segment when nothing breaks. How a segment ended is a value; what follows from it is decided in ``stream``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Protocol

from ..metrics.billing import PriceOf, most_of
from ..metrics.record import StreamMeter
from ..metrics.row import Origin
from ..policy.attempts import Abilities, Ending, RecoveryPolicy, Way
from ..policy.deadlines import Timeouts, happening_of
from ..policy.estimates import prompt_tokens
from ..policy.limits.limiter import Pause, Slot, SlotEnd
from ..policy.recovery import Continue, Restart, Resume, Retry
from ..protocol.chat import Request
from ..protocol.completion import Accumulator
from ..protocol.errors import APIStatusError, InsufficientBalance, ReadTimeout
from ..protocol.events import AttemptStarted, Event, Seam, Strategy, Waiting, WaitReason
from ..protocol.measured import Cost
from ..text.messages import Message
from .attempt import Attempt, Attempting, Exchanges, StreamPosition
from .calls import HTTPAnswer, HTTPCall, Transport
from .gate import Gate, Ticket
from .hosts.endpoints import Endpoint
from .hosts.keys import Key
from .silence import with_silences
from .splice import Splice
from .stop import Watch

Another = Retry | Resume | Continue | Restart
_STRATEGIES: Final[dict[type[Another], Strategy]] = {
    Retry: "retry",
    Resume: "resume",
    Continue: "continue",
    Restart: "restart",
}
_WAIT_WORDS: Final[dict[WaitReason, Message]] = {
    "concurrency": Message("waiting for a free place"),
    "rate": Message("slowing down for the server's limit"),
    "retry_after": Message("the server asked for a pause"),
}


class Purse(Protocol):
    """Who pays for a call. An answer that breaks takes several requests, and each costs money."""

    async def reserve(self, call_id: str, most: Cost | None) -> None:
        """Set aside so much for the requests of a call so far and for the next one. Raises BudgetExceeded, and it is not sent.

        None: the price is unknown."""

    def settle(self, call_id: str, cost: Cost | None) -> None:
        """The call is over, and this is what counts of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the calls of one client share. ``chance`` gives numbers uniform in [0, 1), ``wall`` is the clock of the
    tariffs; ``purse`` and ``exchanges`` are of one call alone. ``unread_s``: behind its first words what comes may be left unread
    so long, where many are; 0.0: somebody waits for each piece."""

    endpoint: Endpoint
    key: Key | None
    transport: Transport
    gate: Gate
    recovery: RecoveryPolicy
    timeouts: Timeouts
    rewind: bool
    timeline: bool
    price: PriceOf | None
    chance: Callable[[], float]
    wall: Callable[[], datetime]
    origin: Origin = field(default_factory=Origin)
    purse: Purse | None = None
    alone: bool = False
    """The answer must be one of its own: what stands between, such as the relay of a class, may share none."""
    exchanges: Exchanges | None = None
    """Who has the exchanges, if not this process by its ``transport`` and ``key``."""
    unread_s: float = 0.0

    def can(self, request: Request) -> Abilities:
        """How an answer to ``request`` may be continued here."""
        style = self.endpoint.continuing
        return Abilities.of(request, style=style, reasoning=style == "deepseek_prefix", rewind=self.rewind)


class Segment:
    """One request of a call, and the wait before it.

    ``step`` is what was decided after the segment before it (None for the first), ``reason`` why that one waits.
    ``resumed`` is the segment whose stream a Resume takes up. ``refused`` are the ways that the server does not know.
    ``ending`` is None until ``batches`` is over; after a cancellation, ``cut_off`` makes it. Whoever takes the batches
    sets ``brought`` when one held a piece of the answer.
    """

    def __init__(
        self,
        terms: Terms,
        answer: Accumulator,
        meter: StreamMeter,
        *,
        step: Another | None = None,
        reason: WaitReason = "backoff",
        resumed: Segment | None = None,
        refused: Collection[Way] = (),
    ) -> None:
        self.ending: Ending | None = None
        self._terms = terms
        self._answer = answer
        self._meter = meter
        self._step = step
        self._reason: WaitReason = reason
        self._refused = refused
        self._strategy: Strategy = "first" if step is None else _STRATEGIES[type(step)]
        self._attempt: Attempting | None = None
        self.brought = False
        self._rests = False
        self._position = StreamPosition()
        self._sent: Request | None = None
        self._splice: Splice | None = None
        self._joins = step if isinstance(step, Continue | Restart) else None
        self._began_as = self._strategy
        if resumed is not None:  # the same stream goes on: what was asked, and where its text joins, stay as they were
            self._position, self._sent, self._splice = resumed._position, resumed._sent, resumed._splice
            self._joins = resumed._joins if self._splice is not None and self._splice.pending else None
            self._began_as = resumed._began_as
        self._held_before = _held(self._splice)
        self._began_chars = answer.text_chars + answer.reasoning_chars

    @property
    def anomalies(self) -> list[str]:
        """Oddities that harmed nothing."""
        return [*(self._attempt.anomalies if self._attempt else ()), *(self._splice.anomalies if self._splice else ())]

    async def batches(self, watch: Watch) -> AsyncGenerator[list[Event], None]:
        """Everything that happens, in order: waits, the attempt, its events as they are to be delivered."""
        gate = self._terms.gate
        watch.told("waiting")
        if (step := self._step) is not None:
            tries = {"attempt": step.attempt, "of_attempts": step.of_attempts}
            yield [Waiting(reason=self._reason, seconds=step.delay_s, detail=step.why, **tries)]
            await asyncio.sleep(step.delay_s * self._terms.endpoint.pace)
            if self._terms.endpoint.pace != 1:
                watch.skip(step.delay_s * (1 - self._terms.endpoint.pace))
        if self._terms.purse is not None:
            await self._terms.purse.reserve(self._meter.call_id, self._cost_at_most())
        if (why := gate.blocked()) is not None:
            said = Message(
                "Nothing was sent, because the server refused a moment ago for lack of money or quota: {why}", why=why
            )
            self.ending = Ending(kind="status", status=402, error=InsufficientBalance(said, status=402))
            return
        ticket = Ticket(prompt_tokens(self._answer.request.messages))
        gate.line_up(ticket, ahead=step is not None)
        slot: Slot | None = None
        try:
            shown: Message | None = None
            while isinstance(got := gate.enter(ticket), Pause):
                detail = _WAIT_WORDS[got.reason]
                if ahead := gate.ahead_of(ticket):
                    detail = Message("{reason}, {ahead} before this one", reason=detail, ahead=ahead)
                if detail != shown:
                    shown = detail
                    yield [Waiting(reason=got.reason, seconds=got.seconds, detail=detail)]
                await ticket.turn(None if got.seconds is None else got.seconds * self._terms.endpoint.pace)
            slot = got
            number, name = self._answer.attempts + 1, self._terms.endpoint.name
            yield [AttemptStarted(attempt=number, strategy=self._strategy, endpoint=name)]
            if isinstance(step, Resume):
                yield [Seam(kind="resumed", detail=step.why)]
            watch.told("sent")
            attempt = self._prepare(slot, watch)
            async with contextlib.aclosing(attempt.batches()) as batches:
                if self._splice is None:
                    async for batch in batches:
                        yield batch
                        self._heard(attempt)
                else:
                    async with contextlib.aclosing(self._joined(batches, self._splice, watch)) as joined:
                        async for batch in joined:
                            yield batch
                            self._heard(attempt)
            self.ending = self.ending or attempt.ending
            if self.ending is not None:
                asked = self._sent is not None and self._sent.asks_usage
                # A stream that was resumed ends as what it was.
                strategy = self._ended_as if self.ending.kind == "finished" else self.ending.strategy
                self.ending = replace(self.ending, pause_s=attempt.retry_s, asked_usage=asked, strategy=strategy)
        finally:
            gate.leave(ticket)
            if slot is not None:
                self._leave(slot)

    def _heard(self, attempt: Attempting) -> None:
        """A batch was taken. The first words are waited for in any case: they are measured, and they free others."""
        if self._terms.unread_s and self.brought and not self._rests and attempt.answer is not None:
            self._rests = True
            attempt.answer.leave_unread(self._terms.unread_s)

    def _cost_at_most(self) -> Cost | None:
        """What the call's requests so far count for, and this one may cost."""
        request, price = self._answer.request, self._terms.price
        most = most_of(self._request(), price, self._terms.wall())
        if most is None or not self._answer.attempts:
            return most
        before = self._meter.counted(request, self._answer.response.model, price)
        return None if before is None else replace(most, amount=most.amount + before.amount)

    async def _joined(
        self, batches: AsyncGenerator[list[Event]], splice: Splice, watch: Watch
    ) -> AsyncGenerator[list[Event], None]:
        """The batches as they join what was there; what is held back for an echo comes out when none comes."""
        async with contextlib.aclosing(with_silences(batches, lambda: splice.patience_s(watch.now_s))) as arriving:
            async for batch in arriving:
                joined = splice.release() if batch is None else splice.feed(batch, watch.now_s)
                if joined:
                    yield joined
                elif batch and (happening := happening_of(batch)) is not None:
                    # Held back or dropped, it is a sign of life all the same; what is delivered is reported by its taker.
                    watch.told(happening)
                if splice.diverged:  # what differs is the repetition, not the stream that was resumed
                    self.ending = Ending(kind="diverged", strategy=self._began_as)
                    return
                if splice.stopped:
                    self.ending = Ending(kind="finished", strategy=self._strategy, finish_reason="stop")
                    return

    def _prepare(self, slot: Slot, watch: Watch) -> Attempting:
        step = self._step
        sent = self._sent = self._request()
        if isinstance(step, Continue | Restart):
            answer, rewind = self._answer, self._terms.rewind
            self._splice = Splice(step, sent=sent, text=answer.text, reasoning=answer.reasoning, rewind=rewind)

        def on_answer(answer: HTTPAnswer, error: APIStatusError | None) -> None:
            recorded_at: datetime | None = getattr(answer, "recorded_at", None)
            self._meter.opened(self.came_s(watch), connect_s=answer.connect_s or 0.0, recorded_at=recorded_at)
            self._terms.gate.answered(slot, answer, error, self._terms.chance())

        call, position, exchanges = self._call(sent, watch), self._position, self._terms.exchanges
        if exchanges is None:
            transport = self._terms.transport
            self._attempt = Attempt(transport, call, strategy=self._strategy, position=position, on_answer=on_answer)
        else:
            endpoint = self._terms.endpoint
            self._attempt = exchanges.exchange(
                call,
                call_id=self._meter.call_id,
                endpoint=endpoint,
                strategy=self._strategy,
                position=position,
                watched=not self._terms.unread_s,
                on_answer=on_answer,
            )
        return self._attempt

    def came_s(self, watch: Watch) -> float:
        """When that happened which the exchange has told last, by the call's own clock."""
        return watch.now_s - (0.0 if self._attempt is None else self._attempt.late_s)

    def cut_off(self, watch: Watch) -> None:
        """The segment was ended by the call's own clock or Stop."""
        passed, watch.passed = watch.passed, None
        if watch.stopped:
            self.ending = Ending(kind="stopped", strategy=self._strategy)
        elif self._attempt is not None and self._attempt.finish_reason is not None:
            self._attempt.anomalies.append("missing_done")
            reason = self._attempt.finish_reason
            self.ending = Ending(kind="finished", strategy=self._ended_as, finish_reason=reason)
        else:
            assert passed is not None
            said, hint = Message("{what}.", what=passed.what), Message("Ask again.")
            late = ReadTimeout(said, deadline=passed.name, what=passed.what, hint=hint)
            self.ending = Ending.of(late, strategy=self._strategy)

    def _request(self) -> Request:
        step, answer = self._step, self._answer
        if isinstance(step, Continue):
            request = answer.request.continued(
                text=answer.text[: step.text_chars],
                reasoning=answer.reasoning[: step.reasoning_chars],
                style=self._terms.endpoint.continuing,
                max_tokens=step.max_tokens,
            )
        else:
            request = self._sent or answer.request
        return request.without_usage() if "stream_options" in self._refused and request.asks_usage else request

    def _call(self, request: Request, watch: Watch) -> HTTPCall:
        endpoint, timeouts = self._terms.endpoint, self._terms.timeouts
        headers = {"accept": "text/event-stream", "content-type": "application/json"}
        if self._terms.alone:
            headers["cache-control"] = "no-cache"
        if isinstance(self._step, Resume) and self._position.last_id is not None:
            headers["last-event-id"] = self._position.last_id
        return HTTPCall(
            method="POST",
            url=endpoint.continue_url if request.messages[-1].prefix else endpoint.chat_url,
            headers=headers,
            body=request.encoded(),
            key=self._terms.key,
            connect_s=timeouts.connect_s,
            read_s=timeouts.longest_read_s,
            place=endpoint,
            skip=watch.skip,
        )

    @property
    def is_here(self) -> bool:
        """Whether this process has the exchange."""
        return self._terms.exchanges is None

    @property
    def sent(self) -> bool:
        """Whether its request has gone out."""
        return self._attempt is not None

    @property
    def _ended_as(self) -> Strategy:
        """What a stream that has ended well counts as. Until it has brought a word a resumed one is what it began as, and
        may be an empty response; after that it is none, whatever the rest of it brings."""
        return self._strategy if self._splice is None or self._splice.spoke else self._began_as

    @property
    def ids_seen(self) -> bool:
        """Whether its stream may be taken up again by the last id."""
        return self._position.last_id is not None

    @property
    def new_chars(self) -> int:
        """What this request brought: shown, held back, or dropped as the same again; measured from where it took the
        answer up. A stop string across the seam is something, too: it takes back what stood before."""
        held = _held(self._splice) - self._held_before  # less than nothing where it came out, or was an echo, only now
        if not self.brought:
            return max(0, held)
        step, chars = self._joins, self._answer.text_chars + self._answer.reasoning_chars
        if isinstance(step, Continue):
            began = step.text_chars + step.reasoning_chars
        elif isinstance(step, Restart) and not step.compare:
            began = 0
        else:
            began = self._began_chars
        return max(0, max(0, chars - began) + held) or int(self._answer.tool_open)  # a call alone has no text

    def _leave(self, slot: Slot) -> None:
        attempt, ending = self._attempt, self.ending or (self._attempt.ending if self._attempt else None)
        if attempt is not None and attempt.answer is not None:
            answer = attempt.answer
            self._meter.received(
                body_bytes=answer.body_bytes, wire_bytes=answer.wire_bytes, read_every_s=answer.read_every_s
            )
        outcome: SlotEnd = "failed"
        if ending is not None:
            outcome = "done" if ending.kind == "finished" else "failed" if ending.opened else "refused"
        usage = self._answer.usage if outcome == "done" else None
        self._terms.gate.ended(slot, outcome, tokens=usage.total_tokens if usage is not None else None)


def _held(splice: Splice | None) -> int:
    return splice.held_chars + splice.agreed_chars + splice.stopped if splice is not None else 0
