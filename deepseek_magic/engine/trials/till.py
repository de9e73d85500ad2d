"""Where the lanes of a sweep get their money: a call that its budget does not allow yet waits until others have ended.

A few may wait to go on with an answer that has begun, and of those that wait to begin one looks and the others stand behind
it. All of them are woken by what changes, never by a clock, unless the money is held by another kernel.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from ...metrics.spending import Hold, Legs
from ...policy.budget import may_come
from ...protocol.errors import BudgetExceeded
from ...protocol.measured import Cost
from .accounts import Payer
from .store import SweepStore
from .units import Bill, Claim, Claimed, TrialUnit, Verdict

LOOK_S: Final = 0.5
"""So often the journal is asked what another kernel has made of the trials, or of the money, that it took."""


class TrialPurse:
    """The money of one call; see ``engine.segment.Purse``. ``hold`` is what is set aside of the session's own budget."""

    def __init__(self, till: Till, bill: Bill, hold: Hold) -> None:
        self.hold = hold
        self._till = till
        self._held = bill
        self._legs = Legs()

    @property
    def call_id(self) -> str:
        """Which call it is of."""
        return self._held.call_id

    async def reserve(self, call_id: str, most: Cost | None) -> None:
        """See ``engine.segment.Purse``."""
        wanted = Bill(self.call_id, self._legs.put(call_id, most))
        if any(amount > self._held.amounts.get(currency, -1) for currency, amount in wanted.amounts.items()):
            await self._till.more(wanted, self.hold)
            self._held = wanted

    def settle(self, call_id: str, cost: Cost | None) -> None:
        """See ``engine.segment.Purse``."""
        self._legs.put(call_id, cost)

    @property
    def bill(self) -> Bill:
        """What the call has cost so far, or may have."""
        return Bill(self.call_id, self._legs.amounts, self._legs.unknown)


class Till:
    """The money of one run of a sweep; on the engine's loop. ``hold`` sets a call's price aside in the session's own budget,
    or raises BudgetExceeded; ``is_over`` says that nothing more is to be asked, ``may_begin`` whether another call may be begun
    now."""

    def __init__(
        self,
        store: SweepStore,
        sweep_id: str,
        payer: Payer,
        hold: Callable[[TrialUnit, Mapping[str, Decimal]], Hold],
        is_over: Callable[[], bool],
        may_begin: Callable[[], bool],
    ) -> None:
        self._store = store
        self._sweep_id = sweep_id
        self._payer = payer
        self._hold = hold
        self._is_over = is_over
        self._may_begin = may_begin
        self._under_way = 0
        self._pausing = 0
        self._first = asyncio.Lock()
        self._change = asyncio.Event()

    def changed(self) -> None:
        """A call has ended, or all is to end: who waits looks again."""
        self._change.set()
        self._change = asyncio.Event()

    async def ended(self, verdicts: Sequence[Verdict]) -> None:
        """Write what has become of units."""
        await self._step(verdicts, None)

    async def claim(
        self, verdicts: Sequence[Verdict], claim: Callable[[], Claim]
    ) -> tuple[Claimed, TrialPurse | None] | None:
        """Write what has become of units, and take the next one as soon as there is money for it: then with its purse.

        It is ``refused`` where there never will be. None when it may not begin before."""
        if self._pausing:  # an answer that has begun goes first
            await self.ended(verdicts)
        else:
            found = await self._try(verdicts, claim())
            if found[0].refused is None or not may_come(found[0].refused):
                return found
        async with self._first:
            while self._may_begin():
                change = self._change
                if not self._pausing:
                    found = await self._try((), claim())
                    if found[0].refused is None or not may_come(found[0].refused):
                        return found
                await self._wait(change)
        return None

    async def _try(self, verdicts: Sequence[Verdict], claim: Claim) -> tuple[Claimed, TrialPurse | None]:
        try:
            hold = self._hold(claim.unit, claim.bill.amounts)
        except BudgetExceeded as error:
            await self.ended(verdicts)
            return Claimed(False, "waiting", refused=error), None
        with contextlib.ExitStack() as unless_taken:
            unless_taken.enter_context(hold)
            claimed = await self._step(verdicts, claim)
            assert claimed is not None
            if not claimed.taken:
                return claimed, None
            unless_taken.pop_all()
        return claimed, TrialPurse(self, claim.bill, hold)

    async def _step(self, verdicts: Sequence[Verdict], claim: Claim | None) -> Claimed | None:
        claimed = None
        if verdicts or claim is not None:
            claimed = await self._store.step(self._sweep_id, verdicts, claim, self._payer)
        self._under_way += (claimed is not None and claimed.taken) - len(verdicts)
        if verdicts:
            self.changed()
        return claimed

    async def _wait(self, change: asyncio.Event) -> None:
        """Until a call of ours has ended; another kernel's money is looked for by the clock."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if self._under_way else LOOK_S):
                await change.wait()

    async def more(self, bill: Bill, hold: Hold) -> None:
        """Set aside more for a call under way, in both budgets. Raises BudgetExceeded where there is not so much, and where
        nothing is left that could end."""
        self._pausing += 1
        try:
            while True:
                change = self._change
                error = await self._put_aside(bill, hold)
                if error is None:
                    return
                if not may_come(error) or self._is_over() or self._under_way <= self._pausing:
                    raise error
                await change.wait()
        finally:
            self._pausing -= 1

    async def _put_aside(self, bill: Bill, hold: Hold) -> BudgetExceeded | None:
        try:
            hold.put(bill.amounts)
        except BudgetExceeded as error:
            return error
        return await self._store.put_aside(self._payer, bill)
