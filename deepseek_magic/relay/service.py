"""The relay above HTTP: who may ask what, which flight they board, and what goes on beside it each second."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import time
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Final

from ..engine.calls import UNREAD_SOON_S
from ..engine.client import Addressed, Client
from ..engine.hosts.classroom import Classroom
from ..engine.journal.reader import Journal
from ..engine.several.prefix import PrefixPlace
from ..engine.stream import Stream
from ..metrics.billing import most_of
from ..policy.limits.leading import Leading, beginning
from ..policy.rules import applied, closed, too_many
from ..protocol.chat import Request
from ..protocol.errors import DeepSeekError, RuleBroken
from ..protocol.events import Event
from ..protocol.measured import Cost
from ..text.messages import Message
from .accounts import Accounts
from .asked import Posted
from .board import Board
from .clock import RulesClock
from .file import RelayFile
from .flight import Flight, FlightPurse, new_nonce
from .frames import place_after
from .refusals import Refusal, by_error, by_rule, restarting, stopped
from .roster import Door, Person
from .stored import StoredAnswers

GRACE_S: Final = 15.0
"""After the last reader has gone the provider is left, unless one comes back within this time."""
KEEP_S: Final = 3600.0
KEEP_BYTES: Final = 64 * 2**20
"""Answers that have ended are kept for who comes late: so long, and so much of them."""
SILENT_S: Final = 10.0
TICK_S: Final = 1.0
_USER_ID_CHARS: Final = 16


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Boarded:
    """A place in a flight: what a reader is given first is the frame number ``place``. ``again``: they were cut off, and it is
    the same call; ``lost``: they named an answer that is not kept, so this one begins at its front."""

    flight: Flight
    place: int
    shared: bool
    again: bool
    lost: bool = False


class TextKeeper:
    """Writes questions and answers down, where the class says so; see ``engine.stream.Keeper``."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def began(self, stream: Stream) -> None:
        """See ``engine.stream.Keeper``."""
        place = stream.terms.endpoint
        self._journal.begin(stream.call_id, stream.request, place.name, base_url=place.base_url)

    def taken(self, stream: Stream) -> None:
        """See ``engine.stream.Keeper``. Each of its calls is for somebody from the beginning."""

    def brought(self, stream: Stream, events: list[Event]) -> None:
        """See ``engine.stream.Keeper``."""
        self._journal.append(stream.call_id, events)

    def ended(self, stream: Stream) -> None:
        """See ``engine.stream.Keeper``."""
        self._journal.end(stream.call_id, stream.completion, stream.completion.record)


class ClassService:
    """One class with its provider. Belongs to the loop on which it is ``running``. ``replay_pace``: who comes late is given
    a whole answer in so many times the time that it took; 0, at once."""

    def __init__(
        self,
        classroom: Classroom,
        client: Client,
        file: RelayFile,
        door: Door,
        *,
        grace_s: float = GRACE_S,
        replay_pace: float = 0.0,
    ) -> None:
        self.classroom = classroom
        self.client = client
        self.door = door
        self.file = file
        self.clock = RulesClock(file)
        self.accounts = Accounts(file, classroom)
        self.board = Board(file)
        self.stored = StoredAnswers(file, texts=classroom.rules.keep == "texts")
        self.grace_s = grace_s
        self.replay_pace = replay_pace
        self.leading = Leading()
        """Which of several flights that begin alike goes first."""
        self.stopped = False
        self._closing = False
        self.flights: dict[str, Flight] = {flight.nonce: flight for flight in self.stored.load(KEEP_S)}
        self._shared: dict[str, Flight] = {flight.key: flight for flight in self.flights.values() if flight.shared}
        self._boarding: Counter[str] = Counter()
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look after flights and readers meanwhile; at the end leave the provider and write down what is left."""
        ticking = asyncio.get_running_loop().create_task(self._tick())
        try:
            yield
        finally:
            ticking.cancel()
            await asyncio.wait((ticking,))
            await self.close()
            with contextlib.suppress(Refusal):
                await self.board.keep()
                await self.clock.keep()
            await self.client.aclose()

    async def stop_flights(self, why: Refusal) -> None:
        """End all that is under way."""
        await asyncio.gather(*(flight.stop(why) for flight in self.flights.values() if not flight.over.is_set()))

    async def close(self) -> None:
        """Take no more calls and end those under way, for the relay ends: clients are told to come again."""
        self._closing = True
        await self.stop_flights(restarting())

    async def stop(self, everybody: bool) -> None:
        """The teacher's stop for everybody: nothing is sent any more, and what is under way ends; or all may ask again."""
        self.stopped = everybody
        if everybody:
            await self.stop_flights(stopped())

    async def board_flight(self, asker: Person, asked: Posted, *, alone: bool, last_id: str | None) -> Boarded:
        """A place for a request: in the flight that its id names, in one that answers the same question, or in a new one.

        ``alone``: no answer to somebody else will do. Raises Refusal, and nothing has been sent or charged.
        """
        try:
            addressed = self._addressed(asked.request)
            key = _key(addressed)
            if last_id is not None and (back := self._back(asker, key, last_id)) is not None:
                return back
            self._check(asker)
            self._boarding[asker.name] += 1
            try:
                flight, shared = await self._flight(asker, addressed, key, alone=alone)
            finally:
                self._boarding[asker.name] -= 1
        except RuleBroken as error:
            raise by_rule(error) from None
        except DeepSeekError as error:
            raise by_error(error) from None
        return Boarded(flight=flight, place=0, shared=shared, again=False, lost=last_id is not None)

    def _addressed(self, request: Request) -> tuple[Addressed, ...]:
        """The request as the class has it, for each endpoint. Raises RuleBroken."""
        options = applied(self.classroom.rules, request.options)
        addressed = self.client.addressed(dataclasses.replace(request, options=options))
        name = hashlib.sha256(self.classroom.rules.name.encode()).hexdigest()[:_USER_ID_CHARS]
        return tuple(
            # One name for the whole class: another one is another prefix cache.
            dataclasses.replace(
                each,
                request=dataclasses.replace(
                    each.request, options=each.request.options.replace(user_id=f"class-{name}")
                ),
            )
            if each.endpoint.name in ("deepseek", "demo")
            else each
            for each in addressed
        )

    def _check(self, asker: Person) -> None:
        if self._closing:
            raise restarting()
        if self.stopped:
            raise stopped()
        now = self.classroom.local(self.clock.now())
        shut = closed(self.classroom.rules, now)
        if shut is not None:
            raise shut

    def _back(self, asker: Person, key: str, last_id: str) -> Boarded | None:
        """The place behind an id. None for an id that this relay does not know: the answer begins anew, under another id."""
        found = place_after(last_id)
        flight = self.flights.get(found[0]) if found is not None else None
        if found is None or flight is None or asker.name not in flight.students:
            return None
        if flight.key != key or found[1] > len(flight.frames):
            said = Message("Last-Event-ID is of another question: this answer cannot be taken up by it.")
            raise Refusal(status=409, message=said, type="invalid_request_error", code="last_event_id")
        return Boarded(flight=flight, place=found[1], shared=True, again=True)

    async def _flight(
        self, asker: Person, addressed: Sequence[Addressed], key: str, *, alone: bool
    ) -> tuple[Flight, bool]:
        rules, now = self.classroom.rules, self.clock.now()
        if alone or not rules.share:
            self._check_count(asker)
            return await self._begin(asker, addressed, key, shared=False), False
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            flight = self._shared.get(key)
            if flight is None:
                self._check_count(asker)
                return await self._begin(asker, addressed, key, shared=True), False
        if flight.nonce not in self.board.flights_of(asker.name) and not flight.over.is_set():
            self._check_count(asker)
        over = flight.over.is_set()
        await self.accounts.join(flight.nonce, asker.name, flight.cost if over else flight.most, now, held=not over)
        if flight.over.is_set() and not over:
            await self.accounts.settle(flight.nonce, flight.cost)  # it ended meanwhile
        flight.students.add(asker.name)
        return flight, True

    def _check_count(self, asker: Person) -> None:
        # Those who are being let in count, too: fifty that come at the same moment find nobody before them.
        count = len(self.board.flights_of(asker.name)) + self._boarding[asker.name] - 1
        many = too_many(self.classroom.rules, count)
        if many is not None:
            raise many

    async def _begin(self, asker: Person, addressed: Sequence[Addressed], key: str, *, shared: bool) -> Flight:
        request, endpoint, now = addressed[0].request, addressed[0].endpoint, self.clock.now()

        def price(model: str, usage: object, at: object) -> Cost | None:
            return self.client.prices.cost_of(model, usage, at, endpoint=endpoint.price_list)  # type: ignore[arg-type]

        most = most_of(request, price, now)
        nonce = new_nonce()
        await self.accounts.begin(nonce, asker.name, most, now)
        flight = Flight(key, nonce=nonce, model=request.model, shared=shared, most=most)
        flight.students.add(asker.name)
        purse = FlightPurse(self.accounts, self.clock, nonce, most)
        self.flights[nonce] = flight
        if shared:
            self._shared[key] = flight
        self.board.upstream += 1
        try:
            stream = self.client.begin(addressed, call_id=nonce, purse=purse, unread_s=UNREAD_SOON_S)
        except DeepSeekError:  # of a key that is missing: nothing was sent
            self._forget(flight)
            await self.accounts.settle(nonce, purse.total)
            raise
        among = PrefixPlace(self.leading, beginning(request, endpoint.base_url))
        flight.start(stream, purse, among, self._ended, self.stored.keep)
        return flight

    async def _ended(self, flight: Flight, cost: Cost | None) -> None:
        if flight.completion is None or flight.completion.error is not None or flight.stopped:
            self._unshare(flight)
        await self.accounts.settle(flight.nonce, cost)

    def _unshare(self, flight: Flight) -> None:
        if self._shared.get(flight.key) is flight:
            del self._shared[flight.key]

    def _forget(self, flight: Flight) -> None:
        self._unshare(flight)
        self.flights.pop(flight.nonce, None)

    async def _tick(self) -> None:
        count = 0
        while True:
            await asyncio.sleep(TICK_S)
            count += 1
            self.board.drop_the_stuck()
            await asyncio.gather(*(flight.stop(restarting()) for flight in self._abandoned()))
            for flight in self.flights.values():
                flight.beat(SILENT_S)
            with contextlib.suppress(Refusal):  # of a disk that takes nothing: each student who asks is told
                await self._let_go()
                await self.board.keep()
                if count % 10 == 0:
                    await self.clock.keep()

    def _abandoned(self) -> list[Flight]:
        """Flights under way whose last reader has been gone for the time of grace."""
        now_s = time.monotonic()
        found = []
        for flight in self.flights.values():
            if not flight.over.is_set() and flight.left_s is not None and now_s - flight.left_s >= self.grace_s:
                self._unshare(flight)
                found.append(flight)
        return found

    async def _let_go(self) -> None:
        """Forget answers that have been kept long enough, or are too many; never one that somebody reads."""
        now_s = time.monotonic()
        ended = sorted(
            (f for f in self.flights.values() if f.ended_s is not None and not f.readers),
            key=lambda f: f.ended_s or 0.0,
        )
        total, gone = sum(flight.bytes for flight in ended), []
        for flight in ended:
            if now_s - (flight.ended_s or 0.0) > KEEP_S or total > KEEP_BYTES:
                total -= flight.bytes
                self._forget(flight)
                gone.append(flight)
        await self.stored.forget(gone)


def _key(addressed: Sequence[Addressed]) -> str:
    """What makes two requests the same: where they go, and every byte of the body that is sent there."""
    digest = hashlib.sha256()
    for each in addressed:
        digest.update(f"{each.endpoint.base_url} {each.request.digest()}\n".encode())
    return digest.hexdigest()
