"""A sweep on its way: which trial next → a call → the journal, through a window and never a coroutine for each trial.

A thin loop. A few lanes take units from the queue one after the other; what became of one is on disk before the lane
takes the next, in the same commit that takes it. So whatever is killed and whenever, no answer is paid for twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from ...metrics.spending import Hold, in_currency
from ...policy.causes import concerns_all, is_passing, status_of
from ...protocol.completion import Completion
from ...protocol.errors import BudgetExceeded, ConfigurationError, DeepSeekError
from ...protocol.events import Event, has_pieces
from ...protocol.measured import Cost
from ...protocol.outcome import RESUMABLE, WHOLE
from ...text.messages import Message
from ..batched import Batched
from .accounts import Payer
from .elsewhere import Elsewhere
from .standing import Shut, States, SweepStanding, WorkerStanding
from .store import SweepStore
from .till import LOOK_S, Till, TrialPurse
from .units import OPEN, Bill, Claim, TrialState, TrialUnit, Verdict


class SweepBroken(DeepSeekError):
    """Call after call failed, so the rest was not asked."""


class TrialOrder(Protocol):
    """Which unit is asked next, see ``policy.schedule.Schedule``."""

    def next(self, now_s: float) -> TrialUnit | float | None:
        """The next one; the seconds until there may be one; None when all have been given out."""

    def back(self, item: TrialUnit) -> None:
        """One that was given out is not asked now: it is the next one again."""

    def answering(self, item: TrialUnit, now_s: float) -> None:
        """An answer has begun."""

    def unasked(self, item: TrialUnit) -> None:
        """There will be no answer: nobody need wait for it."""

    def billed(self, item: TrialUnit, hit_tokens: int | None, now_s: float) -> None:
        """What an answered one found in the host's cache; None where the host does not say."""

    def ended(self, item: TrialUnit, now_s: float, *, failed: bool, again: bool = True) -> bool:
        """What became of one that was asked. Whether it will be asked again; never, unless ``again``."""

    def round_of(self, item: TrialUnit) -> int:
        """In which round it is, from 0."""

    @property
    def broken(self) -> bool:
        """Whether so many failed one after the other that the rest is not worth asking."""


@dataclass(slots=True, kw_only=True)
class SweepWork:
    """What the loop is given. ``begin`` makes the call of a unit that goes on from a completion, if one is given, with its
    purse and under its id; ``most`` is what it may cost if it is sent now; ``hold`` sets that aside in the session's own budget,
    or raises BudgetExceeded."""

    sweep_id: str
    store: SweepStore
    payer: Payer
    order: TrialOrder
    units: Sequence[TrialUnit]
    begin: Callable[[TrialUnit, Completion | None, TrialPurse], Batched]
    most: Callable[[TrialUnit], Cost | None]
    hold: Callable[[TrialUnit, Mapping[str, Decimal]], Hold]
    window: Callable[[], int]
    """How many calls may exist at once."""
    at_once: Callable[[], int]
    """How many requests run at the moment, of whoever shares the limit."""
    workers: Callable[[], Sequence[WorkerStanding]] = tuple
    """What those do who ask, where this process does not."""
    shut: Callable[[], Shut | None] | None = None
    """Until when no call may begin; it gives None while they may. Asked at every look, for a machine may have slept."""
    widened: contextlib.AbstractContextManager[None] = field(default_factory=contextlib.nullcontext)


class SweepRun:
    """A sweep that is being asked. ``run`` on the engine's loop; the rest from any thread."""

    def __init__(self, work: SweepWork, states: Mapping[int, TrialState]) -> None:
        self._work = work
        self._began_as = states
        self._states = States(work.units, states)
        self._till: Till | None = None
        self._lanes: set[asyncio.Task[None]] = set()
        self._open: set[Batched] = set()
        self._silent: set[TrialUnit] = set()
        self._elsewhere = Elsewhere(work.store, work.sweep_id, work.units, self._states)
        self._cost: dict[str, Decimal] = {}
        self._asked = self._reused = self._running = 0
        self._pause_s: float | None = None
        self._shut: Shut | None = None
        self._shut_since_s: float | None = None
        self._shut_s = 0.0
        self._began_s = time.monotonic()
        self._ended_s: float | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken: asyncio.Event | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._unpaid: BudgetExceeded | None = None
        self.stopping = False
        self.error: DeepSeekError | None = None
        """What ended the sweep before all was asked."""

    # any thread

    @property
    def standing(self) -> SweepStanding:
        """How far it is."""
        now_s = self._ended_s if self._ended_s is not None else time.monotonic()
        since_s = self._shut_since_s
        shut_s = self._shut_s + (0 if since_s is None else now_s - since_s)
        return SweepStanding(
            states=dict(self._states.counts),
            asked=self._asked,
            reused=self._reused,
            running=min(self._running, self._work.at_once()),
            cost=dict(self._cost),
            elapsed_s=now_s - self._began_s - shut_s,
            pause_s=self._pause_s,
            shut=self._shut,
            stopping=self.stopping,
            ended=self._ended_s is not None,
            workers=self._work.workers(),
        )

    @property
    def unpaid(self) -> BudgetExceeded | None:
        """Why trials were not asked, if the budget forbade it."""
        return self._unpaid

    def stop(self) -> None:
        """Begin nothing more, and end what is under way as a Stop of its own ends it: what has come stays."""
        self.stopping = True
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # closed: nothing runs any more
                loop.call_soon_threadsafe(self._close_open)

    # the engine's loop

    def _close_open(self) -> None:
        for stream in self._open:
            task = asyncio.ensure_future(stream.aclose())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        if self._woken is not None:
            self._woken.set()
        if self._till is not None:
            self._till.changed()

    async def run(self) -> None:
        """Ask until all is asked, or a Stop, or what no trial can get past; ``error`` is that. Raises JournalLost."""
        self._loop, self._woken = asyncio.get_running_loop(), asyncio.Event()
        work = self._work
        self._till = Till(work.store, work.sweep_id, work.payer, work.hold, lambda: self._is_over, self._may_begin)
        try:
            with work.widened:
                await self._adopt()
                while not self._is_over and await self._go_on():
                    pass
                await self._all_lanes()
        finally:
            for lane in self._lanes:
                lane.cancel()
            await asyncio.gather(*self._lanes, return_exceptions=True)
            self._ended_s = time.monotonic()

    @property
    def _is_over(self) -> bool:
        return self.stopping or self.error is not None

    async def _adopt(self) -> None:
        work = self._work
        for adopted in await asyncio.wrap_future(work.store.adopt(work.sweep_id, work.units, work.payer)):
            self._states[adopted.unit] = "done"
            self._reused += adopted.reused

    async def _go_on(self) -> bool:
        """Open lanes where there is room, and wait until that may have changed. False when all is done."""
        assert self._woken is not None
        ready: TrialUnit | float | None = None
        while len(self._lanes) < self._work.window():
            ready = self._next()
            if not isinstance(ready, TrialUnit):
                break
            lane = asyncio.get_running_loop().create_task(self._lane(ready))
            self._lanes.add(lane)
        self._pause_s = ready if isinstance(ready, float) and not self._lanes and self._shut is None else None
        self._note_shut()
        if self._lanes:
            # Who waits for a leader may go before any lane is free again.
            look_s = min(ready, LOOK_S) if isinstance(ready, float) else None
            await asyncio.wait(self._lanes, timeout=look_s, return_when=asyncio.FIRST_COMPLETED)
            self._sweep_lanes()
        elif isinstance(ready, float) or self._elsewhere:
            pause_s = min(ready, LOOK_S) if isinstance(ready, float) and self._elsewhere else ready
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s if isinstance(pause_s, float) else LOOK_S):
                    await self._woken.wait()
            await self._elsewhere.look()
        else:
            return False
        return True

    def _note_shut(self) -> None:
        """Count the time in which nothing is asked because nothing may begin."""
        idle, now_s = self._shut is not None and not self._lanes, time.monotonic()
        if self._shut_since_s is not None and not idle:
            self._shut_s += now_s - self._shut_since_s
            self._shut_since_s = None
        elif idle and self._shut_since_s is None:
            self._shut_since_s = now_s

    def _sweep_lanes(self) -> None:
        for lane in [lane for lane in self._lanes if lane.done()]:
            self._lanes.discard(lane)
            lane.result()

    async def _all_lanes(self) -> None:
        while self._lanes:
            await asyncio.wait(self._lanes)
            self._sweep_lanes()

    def _next(self) -> TrialUnit | float | None:
        """The order's next that has no answer yet; while none may begin, the seconds until the next look."""
        self._shut = None
        while True:
            returned = self._elsewhere.returned
            found = returned.popleft() if returned else self._work.order.next(time.monotonic())
            if not isinstance(found, TrialUnit):
                return found
            if self._states[found] == "done":
                continue
            if self._is_shut(found):
                return LOOK_S
            return found

    def _may_begin(self) -> bool:
        return not self._is_over and (self._work.shut is None or self._work.shut() is None)

    def _is_shut(self, unit: TrialUnit) -> bool:
        """Whether it may not begin now; then it is the next one again."""
        self._shut = self._work.shut() if self._work.shut is not None else None
        if self._shut is None:
            return False
        self._work.order.back(unit)
        return True

    async def _lane(self, unit: TrialUnit | None) -> None:
        """Ask one unit after the other, until there is none for now or the window has become too small for this lane."""
        assert self._till is not None
        ended: list[Verdict] = []
        while unit is not None and not self._is_over:
            found = await self._till.claim(ended, functools.partial(self._claim, unit))
            ended = []
            if found is None:
                self._work.order.back(unit)
                break
            claimed, purse = found
            if purse is not None:
                self._states[unit] = "running"
                with purse.hold:
                    ended = [await self._ask(unit, claimed.call_id, purse)]
            elif claimed.refused is not None:
                self._unpaid = claimed.refused
                self._states[unit] = "unpaid"
                self._work.order.unasked(unit)
                await self._work.store.refuse(self._work.sweep_id, unit)
            else:
                self._elsewhere.leave(unit, claimed.state)
            unit = self._following()
        await self._till.ended(ended)

    def _claim(self, unit: TrialUnit) -> Claim:
        """The claim of a unit at the price of the moment. It may be taken in the state in which this run found it: what failed
        before it began, but not what failed elsewhere since."""
        began_as = self._began_as[unit.trials[0]]
        states = ("waiting", began_as) if began_as in OPEN else ("waiting",)
        return Claim(unit, states, Bill(uuid.uuid4().hex, in_currency(self._work.most(unit))))

    def _following(self) -> TrialUnit | None:
        if len(self._lanes) > self._work.window():
            return None
        found = None if self._is_over else self._next()
        return found if isinstance(found, TrialUnit) else None

    async def _ask(self, unit: TrialUnit, earlier: str | None, purse: TrialPurse) -> Verdict:
        """Have the unit answered, from where an earlier call of it broke off if there was one."""
        before = await asyncio.to_thread(self._begun, earlier) if earlier is not None else None
        stream = self._begun_stream(unit, before, purse)
        self._open.add(stream)
        self._silent.add(unit)
        self._running += 1
        try:
            if self.stopping:
                await stream.aclose()
                completion = stream.completion
            else:
                completion = await stream.run(lambda events: self._heard(unit, events))
        finally:
            self._running -= 1
            self._open.discard(stream)
            self._silent.discard(unit)
        self._asked += 1
        record = completion.record
        if record is not None and (cost := record.shown_cost) is not None and record.currency is not None:
            self._cost[record.currency] = self._cost.get(record.currency, Decimal(0)) + cost
        return self._judge(unit, completion, purse.bill)

    def _heard(self, unit: TrialUnit, events: Sequence[Event]) -> None:
        if unit in self._silent and has_pieces(events):
            self._silent.discard(unit)
            self._work.order.answering(unit, time.monotonic())

    def _begun(self, call_id: str) -> Completion | None:
        entry = self._work.store.journal.get(call_id)
        if entry is None or not (entry.completion.text or entry.completion.reasoning):
            return None
        return entry.completion if entry.completion.outcome in RESUMABLE else None

    def _begun_stream(self, unit: TrialUnit, before: Completion | None, purse: TrialPurse) -> Batched:
        if before is not None:
            with contextlib.suppress(ConfigurationError):  # it cannot be continued here: then from its beginning
                return self._work.begin(unit, before, purse)
        return self._work.begin(unit, None, purse)

    def _judge(self, unit: TrialUnit, completion: Completion, bill: Bill) -> Verdict:
        """What an ended call makes of its unit."""
        error, now_s, order = completion.error, time.monotonic(), self._work.order
        call_id = bill.call_id if completion.record is None else completion.record.call_id
        state: TrialState = "waiting"
        if error is None and completion.outcome in WHOLE:
            order.ended(unit, now_s, failed=False)
            order.billed(unit, None if completion.usage is None else completion.usage.cache_hit_tokens, now_s)
            state = "done"
        elif isinstance(error, BudgetExceeded):
            order.unasked(unit)
            self._unpaid, state = error, "unpaid"
        elif error is not None and concerns_all(error):
            self.error = self.error or error
        elif error is not None:
            if not order.ended(unit, now_s, failed=True, again=is_passing(error, status=status_of(error))):
                state = "failed"
            if order.broken and self.error is None:
                said = Message("So many calls failed in a row that the sweep was stopped; the last one: {why}")
                self.error = SweepBroken(said.filled(why=error.message), hint=error.hint)
        self._states[unit] = state
        return Verdict(unit, state, order.round_of(unit), call_id, None if error is None else str(error), bill)
