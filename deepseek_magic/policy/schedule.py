"""Which trial of a plan is asked next, which one again, and when to stop asking.

The order makes a sweep that is stopped worth reading, and cheap:

    1. of settings whose prompts begin alike, one trial is asked first and the others wait for it, so that they find its
       beginning in the host's cache (0.003 against 0.15 dollars a million tokens)
    2. then input after input, each in every setting before the next; repeats come after all inputs, because another input
       tells more than another answer. So whenever it is stopped, the settings have been asked the same inputs
    3. what failed after the engine's own attempts comes again at the end, after a pause, in at most ``rounds`` rounds; in
       up to ``most_rounds`` while most of what comes again is answered, so that a bad network loses nothing
    4. when ``in_a_row`` trials failed one after the other, the rest is not worth asking

Pure: times are one monotonic clock's, and what a trial is called is the caller's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from ..protocol import template
from ..protocol.experiments.plan import Plan, Setting, Trial
from ..protocol.models import DEFAULT_MODEL, resolve_model
from .pricing import estimate_tokens

CACHED_TOKENS: Final = 64
"""A shorter beginning is not kept by DeepSeek (announcement of context caching, 2024), and waiting for it gains nothing."""

WARM_S: Final = 10.0
"""The others wait so long at most for the first of their group: its beginning is read long before its answer ends."""

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


def window(limiter: int, concurrency: int | None = None, *, per_slot: int = PER_SLOT) -> int:
    """How many calls may exist at once, where the limiter lets ``limiter`` of them run; ``concurrency`` is the user's word.

    ``per_slot`` 1: none that would be sent later, when it may be too late for it.
    """
    return max(1, min(per_slot * limiter, concurrency or MAX_OPEN, MOST_OPEN))


def beginnings(plan: Plan) -> tuple[Hashable | None, ...]:
    """For each setting what its prompts begin with, equal where the host's cache may serve one from the other.

    None where nothing that long is the same for all inputs: a beginning ends at the first brace that a column fills.
    """
    return tuple(_beginning(setting, plan.columns) for setting in plan.settings)


def _beginning(setting: Setting, columns: Sequence[str]) -> Hashable | None:
    options = setting.options
    model = resolve_model(str(options.get("model") or DEFAULT_MODEL)).id
    system = str(options.get("system") or "")
    same, whole = template.beginning(system, columns)
    if whole:
        same += "\n" + template.beginning(setting.template.text, columns)[0]
    if estimate_tokens(same) < CACHED_TOKENS:
        return None
    # What stands in the body before the messages, or changes how they are written, is part of what is kept.
    others = ("think", "tools", "user_id", "endpoint", "base_url", "template", "schema")
    return (model, same, *(repr(options.get(name)) for name in others))


class Schedule(Generic[Item]):
    """The order of ``items``, whose trials ``trial_of`` tells; ``groups`` has the beginning of each setting."""

    def __init__(
        self,
        items: Iterable[Item],
        trial_of: Callable[[Item], Trial],
        groups: Sequence[Hashable | None],
        *,
        policy: SchedulePolicy = SchedulePolicy(),
    ) -> None:
        self._policy = policy
        self._groups = groups
        self._trial_of = trial_of
        self._failed_in_a_row = 0
        self._asked_again = self._failed_again = 0
        self._round: dict[Item, int] = {}
        self._later: tuple[deque[tuple[float, Item]], ...] = tuple(
            deque() for _ in range(max(policy.rounds, policy.most_rounds))
        )
        """By the round that comes next. In each they are in the order of their times, for its pause is the same for all."""
        self._warming: dict[Item, float | None] = {}
        self._fresh = self._in_order(list(items))

    def _in_order(self, items: list[Item]) -> deque[Item]:
        first_of = {group: place for place, group in reversed(list(enumerate(self._groups))) if group is not None}
        beside = [first_of.get(group, place) for place, group in enumerate(self._groups)]

        def place(item: Item) -> tuple[int, int, int, int]:
            trial = self._trial_of(item)
            return trial.repeat, trial.row, beside[trial.setting], trial.setting

        items.sort(key=place)
        firsts: dict[Hashable, Item] = {}
        asked: dict[Hashable, int] = {}
        for item in items:
            group = self._group_of(item)
            if group is not None:
                firsts.setdefault(group, item)
                asked[group] = asked.get(group, 0) + 1
        self._warming = {item: None for group, item in firsts.items() if asked[group] > 1}
        return deque([*self._warming, *(item for item in items if item not in self._warming)])

    def next(self, now_s: float) -> Item | float | None:
        """The next one to ask; the seconds until there may be one; None when all have been given out."""
        if self._fresh:
            item = self._fresh[0]
            if item not in self._warming and (wait_s := self._cold_s(item, now_s)) > 0:
                return wait_s
            if item in self._warming:
                self._warming[item] = now_s
            return self._fresh.popleft()
        waiting = [queue for queue in self._later if queue]
        if not waiting:
            return None
        soonest = min(waiting, key=lambda queue: queue[0][0])
        ready_s, item = soonest[0]
        if ready_s > now_s:
            return ready_s - now_s
        soonest.popleft()
        return item

    def back(self, item: Item) -> None:
        """One that was given out is not asked now: it is the next one again."""
        if item in self._warming:
            self._warming[item] = None
        self._fresh.appendleft(item)

    def _group_of(self, item: Item) -> Hashable | None:
        return self._groups[self._trial_of(item).setting]

    def _cold_s(self, item: Item, now_s: float) -> float:
        """How long the beginning of ``item`` is still waited for."""
        for first, began_s in self._warming.items():
            if began_s is not None and self._group_of(first) == self._group_of(item):
                return began_s + WARM_S - now_s
        return 0.0

    def answering(self, item: Item) -> None:
        """An answer has begun, so the host has read its prompt: others that begin alike need not wait any longer."""
        self._warming.pop(item, None)

    def ended(self, item: Item, now_s: float, *, failed: bool, again: bool = True) -> bool:
        """What became of one that was asked. Whether it will be asked again; never, unless ``again``.

        ``again`` is False for a failure that would only be repeated, as a refused request.
        """
        self.answering(item)
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
