"""Which trial of a plan is asked next, which one again, and when to stop asking.

The order makes a sweep that is stopped worth reading, and cheap:

    1. of trials whose prompts begin alike over a long stretch, one is asked first and the others wait for it, so that they
       find its beginning in the host's cache (see ``limits.leading``); meanwhile others are asked
    2. then input after input, each in every setting before the next; repeats come after all inputs, because another input
       tells more than another answer. So whenever it is stopped, the settings have been asked the same inputs
    3. what failed after the engine's own attempts comes again at the end, after a pause, in at most ``rounds`` rounds; in
       up to ``most_rounds`` while most of what comes again is answered, so that a bad network loses nothing
    4. when ``in_a_row`` trials failed one after the other, the rest is not worth asking

Pure: times are one monotonic clock's, and what a trial is called is the caller's.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from ..protocol.experiments.plan import Trial
from .limits.leading import Beginning, Leading

PER_SLOT: Final = 4
MAX_OPEN: Final = 64
MOST_OPEN: Final = 2_000
"""Calls that exist at once: for each that the limiter lets run some that are ready to follow it, by default at most
``MAX_OPEN``, and never more than ``MOST_OPEN``."""

Item = TypeVar("Item", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulePolicy:
    """``rounds``: how often a trial is asked, the first time included, and ``most_rounds`` where asking again helps.
    ``pauses_s``: before the second round and the later ones."""

    rounds: int = 3
    most_rounds: int = 8
    pauses_s: tuple[float, ...] = (5.0, 20.0)
    in_a_row: int = 20


RESTING_SHARE: Final = 2
"""Of so many calls one more may exist that gets ready or rests: between two trials, or before it asks again."""


def window(limiter: int, concurrency: int | None = None, *, per_slot: int = PER_SLOT, gated: bool = False) -> int:
    """How many calls may exist at once, where the limiter lets ``limiter`` of them run; ``concurrency`` is the user's word.

    ``per_slot`` 1: none that would be sent later, when it may be too late for it. ``gated``: the limiter lets no more than
    ``concurrency`` run, so that of those that exist not all need be sent.
    """
    most = concurrency or MAX_OPEN
    if gated and per_slot > 1:
        most += most // RESTING_SHARE
    return max(1, min(per_slot * limiter, most, MOST_OPEN))


class Schedule(Generic[Item]):
    """The order of ``items``, whose trials ``trial_of`` tells, and ``beginning_of`` what their prompts begin with.
    ``leading`` is shared by all that is asked at the same time."""

    def __init__(
        self,
        items: Iterable[Item],
        trial_of: Callable[[Item], Trial],
        beginning_of: Callable[[Item], Beginning | None] = lambda _: None,
        *,
        leading: Leading | None = None,
        policy: SchedulePolicy = SchedulePolicy(),
    ) -> None:
        self._policy = policy
        self._leading = leading or Leading()
        self._failed_in_a_row = 0
        self._asked_again = self._failed_again = 0
        self._round: dict[Item, int] = {}
        self._later: tuple[deque[tuple[float, Item]], ...] = tuple(
            deque() for _ in range(max(policy.rounds, policy.most_rounds))
        )
        """By the round that comes next. In each they are in the order of their times, for its pause is the same for all."""
        items = list(items)
        begins = {item: begun for item in items if (begun := beginning_of(item)) is not None}
        asked = Counter(begins.values())
        self._begins = {item: begun for item, begun in begins.items() if asked[begun] > 1}
        self._leaders: set[Item] = set()
        self._waiting: dict[Beginning, list[Item]] = {}
        self._waited: set[Item] = set()
        order = self._in_order(items, trial_of)
        self._place = {item: place for place, item in enumerate(order)}
        self._fresh = deque(order)
        self._ready: list[tuple[int, Item]] = []
        """Those that come before the fresh ones, because they had their turn: a heap by place."""

    def _in_order(self, items: list[Item], trial_of: Callable[[Item], Trial]) -> list[Item]:
        first_of: dict[Beginning, int] = {}
        for item, begun in self._begins.items():
            setting = trial_of(item).setting
            first_of[begun] = min(setting, first_of.get(begun, setting))

        def place(item: Item) -> tuple[int, int, int, int]:
            trial, begun = trial_of(item), self._begins.get(item)
            beside = trial.setting if begun is None else first_of[begun]
            return trial.repeat, trial.row, beside, trial.setting

        return sorted(items, key=place)

    def next(self, now_s: float) -> Item | float | None:
        """The next one to ask; the seconds until there may be one; None when all have been given out."""
        wait_s = self._released(now_s)
        while self._ready or self._fresh:
            item = heapq.heappop(self._ready)[1] if self._ready else self._fresh.popleft()
            begun = self._begins.get(item)
            if begun is not None:
                own_s = 0.0 if item in self._waited else self._leading.wait_s(begun, now_s)
                if own_s > 0:
                    self._waiting.setdefault(begun, []).append(item)
                    self._waited.add(item)
                    wait_s = min(own_s, wait_s or own_s)
                    continue
                if self._leading.goes(begun, now_s):
                    self._leaders.add(item)
            return item
        waiting = [queue for queue in self._later if queue]
        if not waiting:
            return wait_s
        soonest = min(waiting, key=lambda queue: queue[0][0])
        ready_s, item = soonest[0]
        if ready_s > now_s:
            return min(ready_s - now_s, wait_s or ready_s - now_s)
        soonest.popleft()
        return item

    def _released(self, now_s: float) -> float | None:
        """Put back those whose leader need not be waited for any more; the seconds until the next of the others may go."""
        soonest_s: float | None = None
        for begun in [*self._waiting]:
            if (wait_s := self._leading.wait_s(begun, now_s)) > 0:
                soonest_s = min(wait_s, soonest_s or wait_s)
            else:
                for item in self._waiting.pop(begun):
                    self._push(item)
        return soonest_s

    def back(self, item: Item) -> None:
        """One that was given out is not asked now: it is the next one again."""
        self.unasked(item)
        self._push(item)

    def _push(self, item: Item) -> None:
        heapq.heappush(self._ready, (self._place[item], item))

    def answering(self, item: Item, now_s: float) -> None:
        """An answer has begun, so the host has read its prompt: others that begin alike need not wait much longer."""
        if item in self._leaders:
            self._leading.begun(self._begins[item], now_s)

    def unasked(self, item: Item) -> None:
        """It will have no answer, or none of it has begun: nobody need wait for it."""
        if item in self._leaders:
            self._leaders.discard(item)
            self._leading.gone(self._begins[item])

    def billed(self, item: Item, hit_tokens: int | None, now_s: float) -> None:
        """What an answered one found in the host's cache; None where the host does not say."""
        begun = self._begins.get(item)
        if begun is not None and item not in self._leaders:
            self._leading.billed(begun, hit_tokens, now_s)

    def ended(self, item: Item, now_s: float, *, failed: bool, again: bool = True) -> bool:
        """What became of one that was asked. Whether it will be asked again; never, unless ``again``.

        ``again`` is False for a failure that would only be repeated, as a refused request.
        """
        if failed:
            self.unasked(item)
        else:
            self.answering(item, now_s)
        if item in self._round:
            self._asked_again += 1
            self._failed_again += failed
        if not failed:
            self._failed_in_a_row = 0
            return False
        done = self._round[item] = self._round.get(item, 0) + 1
        if done == 1:  # in later rounds failures are among themselves, which says nothing about the rest
            self._failed_in_a_row += 1
        if not again or done >= self._most_rounds:
            return False
        pauses = self._policy.pauses_s
        self._later[done].append((now_s + pauses[min(done, len(pauses)) - 1], item))
        return True

    @property
    def _most_rounds(self) -> int:
        helps = 2 * self._failed_again < self._asked_again
        return max(self._policy.rounds, self._policy.most_rounds if helps else 0)

    @property
    def broken(self) -> bool:
        """Whether so many failed one after the other that the rest is not worth asking."""
        return self._failed_in_a_row >= self._policy.in_a_row

    def round_of(self, item: Item) -> int:
        """In which round it is, from 0."""
        return self._round.get(item, 0)
