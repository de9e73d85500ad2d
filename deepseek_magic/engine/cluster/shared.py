"""In the scheduler: one limiter for all drivers of a cluster that ask the same address with the same key.

A key is known here by a digest, which its workers tell.

The place of a request is free when its driver says that it is over, as of one whose worker died, or when that driver is gone: then
a moment later, for the workers end its requests only when the scheduler lets go of its tasks.
"""

from __future__ import annotations

import asyncio
import pickle
import random
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from distributed import SchedulerPlugin

from ...policy.limits.limiter import Limiter, LimitPolicy, Pause, Slot, SlotEnd
from ...protocol.errors import APIStatusError

GATE: Final = "deepseek-magic-limits"
ENTER: Final = "deepseek_magic_enter"
TELL: Final = "deepseek_magic_tell"
GIVEN_UP_MAX: Final = 1000
"""So many requests are remembered that were given up before they asked for a place."""
GONE_S: Final = 0.5
"""So long after a driver is gone its places are free: by then the server has seen its connections end."""


@dataclass(slots=True, eq=False)
class Waiter:
    """A request that waits for its place, or has it."""

    attempt: str
    client: str
    let_in: asyncio.Future[None]
    slot: Slot | None = None


@dataclass(slots=True)
class Place:
    """What is known of one address and key: its limiter, who waits and who is in, and how many each driver would have at once."""

    limiter: Limiter
    queue: deque[Waiter] = field(default_factory=deque)
    inside: dict[str, Waiter] = field(default_factory=dict)
    wishes: dict[str, int] = field(default_factory=dict)
    timer: asyncio.TimerHandle | None = None


class ClusterLimits(SchedulerPlugin):  # type: ignore[misc]  # distributed has no types for its users
    """The limiters of a cluster, by the address that is asked and the digest of the key."""

    name = GATE
    idempotent = True

    async def start(self, scheduler: Any) -> None:
        """Distributed's hook: the scheduler has the plugin now."""
        self._places: dict[tuple[str, str], Place] = {}
        self._clients = scheduler.clients
        self._given_up: deque[str] = deque(maxlen=GIVEN_UP_MAX)
        scheduler.handlers[ENTER] = self.enter
        scheduler.handlers[TELL] = self.tell

    async def enter(self, address: str, account: str, attempt: str, client: str, wish: int) -> str:
        """Wait for a place. Messages overtake each other: who is gone, or wants none any more, would keep it for ever."""
        if client not in self._clients or attempt in self._given_up:
            return "OK"
        place = self._places.setdefault((address, account), Place(Limiter(LimitPolicy(), time.monotonic())))
        place.limiter.far = True
        place.wishes[client] = wish
        place.limiter.window.recap(max((place.limiter.policy.concurrency, *place.wishes.values())))
        waiter = Waiter(attempt, client, asyncio.get_running_loop().create_future())
        place.queue.append(waiter)
        self._let_in(place)
        try:
            await waiter.let_in
        except asyncio.CancelledError:
            self._leave(place, waiter, "failed")
            raise
        return "OK"

    async def tell(self, address: str, account: str, attempt: str, what: bytes) -> str:
        """What has become of a request: an ``Answered``, or how it ended."""
        place = self._places.get((address, account))
        if place is None:
            self._given_up.append(attempt)
            return "OK"
        told, waiter = pickle.loads(what), place.inside.get(attempt)
        if isinstance(told, Answered):
            if waiter is not None and waiter.slot is not None:
                place.limiter.observe(
                    waiter.slot,
                    time.monotonic(),
                    status=told.status,
                    headers=told.headers,
                    error=told.error,
                    now_epoch_s=time.time(),
                    u=random.random(),
                )
            self._let_in(place)
        else:
            found = waiter or next((each for each in place.queue if each.attempt == attempt), None)
            if found is not None:
                self._leave(place, found, told)
            else:
                self._given_up.append(attempt)
        return "OK"

    def remove_client(self, scheduler: Any, client: str) -> None:
        """Distributed's hook: a driver is gone."""
        for place in self._places.values():
            place.wishes.pop(client, None)
            place.limiter.window.recap(max((place.limiter.policy.concurrency, *place.wishes.values())))
            for waiter in [each for each in place.queue if each.client == client]:
                self._leave(place, waiter, "failed")
            for waiter in [each for each in place.inside.values() if each.client == client]:
                asyncio.get_running_loop().call_later(GONE_S, self._leave, place, waiter, "failed")

    def _leave(self, place: Place, waiter: Waiter, outcome: SlotEnd) -> None:
        if waiter in place.queue:
            place.queue.remove(waiter)
            waiter.let_in.cancel()
        if place.inside.pop(waiter.attempt, None) is not None and waiter.slot is not None:
            place.limiter.ended(waiter.slot, time.monotonic(), outcome)
        self._let_in(place)

    def _let_in(self, place: Place) -> None:
        if place.timer is not None:
            place.timer.cancel()
            place.timer = None
        while place.queue:
            now_s, waiter = time.monotonic(), place.queue[0]
            pause = place.limiter.may_start(now_s)
            if isinstance(pause, Pause):
                if pause.seconds is not None:
                    place.timer = asyncio.get_running_loop().call_later(pause.seconds, self._let_in, place)
                return
            place.queue.popleft()
            waiter.slot = place.limiter.started(now_s)
            place.inside[waiter.attempt] = waiter
            waiter.let_in.set_result(None)


class Admission(NamedTuple):
    """What is let in: an attempt, by the address that it asks and the digest of the key."""

    address: str
    account: str
    attempt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The status and the headers of a response, and the error that it is."""

    status: int
    headers: dict[str, str]
    error: APIStatusError | None
