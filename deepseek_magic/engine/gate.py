"""The queue in front of a server: ``policy.limits.limiter`` says when a request may start, callers wait here for it, in order.

One gate for each endpoint and key, shared by every cell, panel, client and thread of the process: a limit that a server
counts per account is of no use when each part of the program counts alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Final

from ..policy.limits.limiter import Limiter, LimitPolicy, Pause, Slot, SlotEnd, Standing
from ..protocol.errors import APIStatusError
from ..text.messages import Message
from .calls import HTTPAnswer
from .hosts.keys import Key

TOLD_PLACES: Final = (0, 1, 2, 4, 9, 19, 49, 99, 199, 499, 999, 1999, 4999)
"""Who comes to one of these places is woken, to show it: waking all at each change was half of the CPU of 32 short calls."""
READ_S: Final = 0.25
"""Nobody reads a place that changes again sooner; the first two are woken at once, because it may be their turn."""
LOST_S: Final = 5.0
"""The second in line looks so often whether the first is still there: its loop may have been closed under it."""


class Ticket:
    """A place in the queue. ``tokens`` is the estimated cost of the request that waits."""

    __slots__ = ("_awake", "loop", "second", "tokens")

    def __init__(self, tokens: float) -> None:
        self.tokens = tokens
        self.second = False
        """Whether it was the second in line when it asked last."""
        self.loop = asyncio.get_running_loop()
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """Have the waiter ask again; from any thread."""
        with contextlib.suppress(RuntimeError):  # no loop runs in this thread
            if asyncio.get_running_loop() is self.loop:
                self._awake.set()  # through the loop's own socket it is a system call: a sixth of 32 short calls
                return
        with contextlib.suppress(RuntimeError):  # closed between the question and the call
            self.loop.call_soon_threadsafe(self._awake.set)

    async def turn(self, timeout_s: float | None) -> None:
        """Wait until it is worth asking again: at most ``timeout_s`` seconds, or until one's place is worth showing."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOST_S if timeout_s is None and self.second else timeout_s):
                await self._awake.wait()
        self._awake.clear()


class Gate:
    """A fair queue around a limiter. Only the first in the queue may ask the limiter. Its time goes by so many times as
    slowly as ``pace`` says; at 0 nobody waits."""

    def __init__(self, policy: LimitPolicy, pace: float = 1.0) -> None:
        self._lock = threading.Lock()
        self._pace = pace
        self._limiter = Limiter(policy, self._now_s)
        self._queue: deque[Ticket] = deque()
        self._used_s = self._shown_s = self._now_s
        self._wishes: list[tuple[int, bool]] = []

    @property
    def _now_s(self) -> float:
        return time.monotonic() / (self._pace or 1.0)

    @contextlib.contextmanager
    def widened(self, concurrency: int | None, *, far: bool = False) -> Iterator[None]:
        """Let up to ``concurrency`` requests run at once inside the block, if that is more than the policy's own number. ``far``:
        others send them."""
        wish = concurrency or 0, far
        self._wishes.append(wish)
        self._recap()
        try:
            yield
        finally:
            self._wishes.remove(wish)
            self._recap()

    def _recap(self) -> None:
        with self._lock:
            wider = [concurrency for concurrency, _ in self._wishes]
            self._limiter.window.recap(max(self._limiter.policy.concurrency, *wider, 1))
            self._limiter.far = any(far for _, far in self._wishes)
            self._wake()

    @property
    def standing(self) -> Standing:
        """The state of the limiter."""
        with self._lock:
            return self._limiter.standing(self._now_s)

    @property
    def waiting(self) -> int:
        """How many requests stand in line."""
        with self._lock:
            return len(self._queue)

    @property
    def idle_s(self) -> float:
        """For how many seconds nobody has waited here, been let through or ended; 0 while somebody does."""
        with self._lock:
            now_s = self._now_s
            busy = bool(self._queue) or self._limiter.standing(now_s).running > 0
            return 0.0 if busy else now_s - self._used_s

    def line_up(self, ticket: Ticket, *, ahead: bool = False) -> None:
        """Join the queue; ``ahead`` for an answer that broke and goes on: it had its turn."""
        with self._lock:
            self._used_s = self._now_s
            if ahead:
                self._queue.appendleft(ticket)
            else:
                self._queue.append(ticket)

    def enter(self, ticket: Ticket) -> Slot | Pause:
        """A slot if the ticket's request may be sent now, which takes it off the queue; else the reason to wait."""
        with self._lock:
            while self._queue[0].loop.is_closed():  # nobody can be waiting any more
                self._queue.popleft()
            if self._queue[0] is not ticket:
                ticket.second = self._queue[1] is ticket
                return Pause(seconds=None, reason="concurrency")
            now_s = self._now_s
            pause = self._limiter.may_start(now_s, ticket.tokens, waiting=len(self._queue))
            if pause is not None and self._pace > 0:
                return pause
            self._queue.popleft()
            slot = self._limiter.started(now_s, ticket.tokens)
            self._move_up()
            return slot

    def has_room(self, tokens: float) -> bool:
        """Whether one more request could start now, and nobody waits who would be kept waiting by it."""
        with self._lock:
            now_s = self._now_s
            idle = not self._queue and self._limiter.blocked(now_s) is None
            return idle and self._limiter.may_start(now_s, tokens) is None

    def ahead_of(self, ticket: Ticket) -> int:
        """How many requests are to start before this one."""
        with self._lock:
            return self._queue.index(ticket)

    def leave(self, ticket: Ticket) -> None:
        """Wait no longer."""
        with self._lock, contextlib.suppress(ValueError):
            self._queue.remove(ticket)
            self._move_up()

    def blocked(self) -> Message | str | None:
        """Why no request makes sense at the moment, in the server's words; None when one does."""
        with self._lock:
            return self._limiter.blocked(self._now_s)

    def may_repeat(self) -> bool:
        """Take one repetition of a refused request from the budget; False when it is used up."""
        with self._lock:
            return self._limiter.retries.spend(self._now_s) or self._pace == 0

    def answered(self, slot: Slot, answer: HTTPAnswer, error: APIStatusError | None, u: float) -> None:
        """The response's status and headers are there."""
        status, headers, now_epoch_s = answer.status, answer.headers, time.time()
        with self._lock:
            self._limiter.observe(
                slot, self._now_s, status=status, headers=headers, error=error, now_epoch_s=now_epoch_s, u=u
            )
            self._wake()

    def ended(self, slot: Slot, outcome: SlotEnd, *, tokens: int | None = None) -> None:
        """The request is over, however it ended."""
        with self._lock:
            self._used_s = self._now_s
            self._limiter.ended(slot, self._used_s, outcome, tokens=tokens)
            self._wake()

    def _wake(self) -> None:
        if self._queue:
            self._queue[0].wake()

    def _move_up(self) -> None:
        """Places have changed by one, which those who came to a round one are shown."""
        now_s = self._now_s
        shown = now_s - self._shown_s >= READ_S
        if shown:
            self._shown_s = now_s
        for place in TOLD_PLACES if shown else TOLD_PLACES[:2]:
            if place >= len(self._queue):
                break
            self._queue[place].wake()


FORGOTTEN_AFTER_S: Final = 900.0
"""A gate that was idle so long has learnt nothing that still holds: no limit is respected for longer than ten minutes."""

_GATES: Final[dict[tuple[str, Key | None, LimitPolicy], Gate]] = {}
_GATES_LOCK: Final = threading.Lock()


def gate_of(base_url: str, key: Key | None, policy: LimitPolicy, *, pace: float = 1.0) -> Gate:
    """The gate of this process for an address, a key and a policy; ``pace`` is that of the address."""
    place = (base_url, key, policy)
    with _GATES_LOCK:
        gate = _GATES.get(place)
        if gate is None:
            for old in [each for each, known in _GATES.items() if known.idle_s > FORGOTTEN_AFTER_S]:
                del _GATES[old]
            gate = _GATES[place] = Gate(policy, pace)
        return gate
