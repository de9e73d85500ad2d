"""A flight: one answer of the provider, given to all who asked for it, each from where they are.

Its frames stay in memory, so a reader is no more than a place in a list: one who was cut off goes on behind the id that they had,
one who comes late begins at the front, and a slow one holds up nobody. When the last reader has gone, the provider is
left after a pause in which a reader who was cut off may come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from array import array
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from ..engine.batched import Batched
from ..engine.several.prefix import PrefixPlace
from ..policy.budget import CURRENCY
from ..protocol.completion import Completion
from ..protocol.errors import DeepSeekError
from ..protocol.measured import Cost
from .accounts import Accounts
from .clock import RulesClock
from .frames import PIECES, Framer, whole
from .refusals import Refusal, by_error, restarting

NONCE_BYTES: Final = 9
LANGUAGE_OF_FRAMES: Final = "en"


class FlightPurse:
    """Who pays for a flight's requests: see ``engine.segment.Purse``. Each endpoint that is asked has a part of its own."""

    def __init__(self, accounts: Accounts, clock: RulesClock, flight: str, first: Cost | None) -> None:
        self._accounts = accounts
        self._clock = clock
        self._flight = flight
        self._parts: dict[str, Cost | None] = {}
        self.first = first
        """What was set aside before the first request."""

    async def reserve(self, call_id: str, most: Cost | None) -> None:
        """See ``Purse``. A price that nobody knows was judged when the flight began."""
        self._parts[call_id] = most
        if (total := self.total) is not None:
            await self._accounts.more(self._flight, total, self._clock.now())

    def settle(self, call_id: str, cost: Cost | None) -> None:
        """See ``Purse``. What has no known cost counts as much as was set aside."""
        self._parts[call_id] = cost or self._parts.get(call_id)

    @property
    def total(self) -> Cost | None:
        """What its requests count for so far; None where a price is not known."""
        parts = [part for part in self._parts.values() if part is not None]
        if len(parts) < len(self._parts) or not parts:
            return None if self._parts else Cost(amount=_ZERO, currency=self.first.currency if self.first else CURRENCY)
        paid = [part for part in parts if part.amount] or parts
        return Cost(amount=sum((part.amount for part in parts), _ZERO), currency=paid[0].currency)


_ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlownAnswer:
    """What is known of an answer that ended in an earlier run of the relay. ``ended_s`` is in the monotonic clock."""

    frames: list[bytes]
    at_s: array[float]
    answer: bytes
    chars: int
    cost: Cost | None
    ended_s: float
    students: set[str]


class Flight:
    """One answer under way, or one that has ended and is kept for who comes late.

    ``key`` tells what is asked; ``shared`` whether others may join. ``begun`` is set once there is something to tell: a piece of the
    answer, its end, or its failure. ``most`` is what its first request may cost. ``at_s`` is when each frame came, in a clock that
    only their distances are read from.
    """

    def __init__(
        self, key: str, *, nonce: str, model: str, shared: bool, most: Cost | None = None, created: int | None = None
    ) -> None:
        self.most = most
        self.key = key
        self.nonce = nonce
        self.model = model
        self.shared = shared
        self.created = int(time.time()) if created is None else created
        self.frames: list[bytes] = []
        self.at_s = array("d")
        self.bytes = 0
        self.begun = asyncio.Event()
        self.over = asyncio.Event()
        self.failure: Refusal | None = None
        self.completion: Completion | None = None
        self.cost: Cost | None = None
        self.has_pieces = False
        self.readers = 0
        self.left_s: float | None = time.monotonic()
        """Since when nobody reads, in the monotonic clock; None while somebody does."""
        self.ended_s: float | None = None
        self.students: set[str] = set()
        self.answer: bytes = b""
        self.chars = 0
        self._framer = Framer(nonce, model, self.created)
        self._news = asyncio.Event()
        self._spoke_s = time.monotonic()
        self._stream: Batched | None = None
        self.stopped: Refusal | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def completion_id(self) -> str:
        """The answer's id, for clients."""
        return self._framer.completion_id

    def start(
        self,
        stream: Batched,
        purse: FlightPurse,
        among: PrefixPlace,
        ended: Callable[[Flight, Cost | None], Awaitable[None]],
        keep: Callable[[Flight], Awaitable[None]],
    ) -> None:
        """Ask the provider, when it is its turn ``among`` those that begin alike. ``ended`` is told the flight and what it counts
        for, before its readers know that it is over; ``keep`` is given it when it is over and has its whole answer."""
        self._stream = stream
        self._task = asyncio.get_running_loop().create_task(self._fly(stream, purse, among, ended, keep))

    def flown(self, answer: FlownAnswer) -> None:
        """It had ended before this run of the relay."""
        self.frames, self.at_s, self.answer, self.chars = answer.frames, answer.at_s, answer.answer, answer.chars
        self.bytes = sum(map(len, answer.frames))
        self.cost, self.ended_s, self.students = answer.cost, answer.ended_s, answer.students
        self.has_pieces = True
        self.over.set()
        self.begun.set()

    async def news(self) -> None:
        """Wait until there are more frames, or no more will come."""
        await self._news.wait()

    def enter(self) -> None:
        """One more reader."""
        self.readers += 1
        self.left_s = None

    def leave(self) -> None:
        """One reader less."""
        self.readers -= 1
        if not self.readers:
            self.left_s = time.monotonic()

    def beat(self, silent_s: float) -> None:
        """Give its readers a sign of life, if nothing has come for so long."""
        now_s = time.monotonic()
        if not self.over.is_set() and now_s - self._spoke_s >= silent_s:
            self._put(self._framer.comment("keep-alive"))
            self._tell()

    async def stop(self, why: Refusal) -> None:
        """End it: leave the provider, keep what has come. Its readers are told ``why``."""
        self.stopped = why
        if self._stream is not None and not self.over.is_set():
            await self._stream.aclose()
        if self._task is not None:
            await asyncio.wait((self._task,))

    async def _fly(
        self,
        stream: Batched,
        purse: FlightPurse,
        among: PrefixPlace,
        ended: Callable[[Flight, Cost | None], Awaitable[None]],
        keep: Callable[[Flight], Awaitable[None]],
    ) -> None:
        failure: Refusal | None = None
        try:
            async with contextlib.aclosing(stream):
                await among.turn(lambda: self.stopped is None)
                async for batch in stream.batches():
                    among.heard(batch)
                    for event in batch:
                        frame = self._framer.of(event)
                        if frame is not None:
                            self._put(frame)
                        if isinstance(event, PIECES) and not self.has_pieces:
                            self.has_pieces = True
                            self.begun.set()
                    self._tell()
            self.completion = stream.completion
        except DeepSeekError as error:
            self.completion, failure = error.completion, by_error(error)
        except BaseException:
            failure = restarting()
            raise
        finally:
            failure = self.stopped or failure
            among.over(self.completion)
            self.cost = purse.total
            try:
                await ended(self, self.cost)
            finally:  # whatever becomes of the file, nobody waits for ever
                self._end(failure)
        if self.answer:
            with contextlib.suppress(Refusal):
                await keep(self)

    def _end(self, failure: Refusal | None) -> None:
        self.failure = failure
        if failure is not None:
            self._put(self._framer.error(failure.body(LANGUAGE_OF_FRAMES)))
        elif self.completion is not None:
            self.chars = len(self.completion.text)
            self.answer = whole(self.completion, id=self.completion_id, created=self.created)
            for frame in self._framer.end(self.completion):
                self._put(frame)
        self.ended_s = time.monotonic()
        self.over.set()
        self.begun.set()
        self._news.set()

    def _put(self, frame: bytes) -> None:
        self.frames.append(frame)
        self.bytes += len(frame)
        self._spoke_s = time.monotonic()
        self.at_s.append(self._spoke_s)

    def _tell(self) -> None:
        self._news.set()
        self._news.clear()


def new_nonce() -> str:
    """A name that no other flight has, in this run of the relay or another."""
    return secrets.token_urlsafe(NONCE_BYTES)
