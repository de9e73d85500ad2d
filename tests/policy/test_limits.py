"""The limiter on a virtual clock: rates, what servers' budgets do to the pace, refusals, storms."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_magic.policy.limits.buckets import EMPTY_WAIT_MAX_S, SLOWEST_GAP_S, Allowance, TokenBucket
from deepseek_magic.policy.limits.concurrency import ConcurrencyWindow
from deepseek_magic.policy.limits.limiter import BREAK_S, Limiter, LimitPolicy, Pause, RetryBudget, Slot
from deepseek_magic.policy.limits.ratelimit_headers import Budget
from deepseek_magic.protocol.errors import APIStatusError, ConfigurationError, status_error

EPOCH = 1_800_000_000.0


def too_many(limit: int | None = None, **more: Any) -> APIStatusError:
    text = f"which exceeds your concurrency limit of {limit}." if limit is not None else "Rate limit reached"
    return status_error(429, text, **more)


def answer(limiter: Limiter, slot: Slot, now: float, status: int = 200, **more: Any) -> None:
    limiter.observe(slot, now, status=status, now_epoch_s=EPOCH + now, **more)


def one_call(limiter: Limiter, now: float, **more: Any) -> None:
    slot = limiter.started(now)
    answer(limiter, slot, now, **more)
    limiter.ended(slot, now, "done")


# the bucket of one's own


def test_a_bucket_lets_a_burst_through_and_then_its_rate() -> None:
    limiter = Limiter(LimitPolicy(requests_per_s=2.0, burst=3, concurrency=100))
    now, starts = 0.0, []
    for _ in range(6):
        while (pause := limiter.may_start(now)) is not None:
            assert pause.reason == "rate"
            assert pause.seconds is not None
            now += pause.seconds
        starts.append(now)
        one_call(limiter, now)
    assert starts == pytest.approx([0, 0, 0, 0.5, 1.0, 1.5])


@given(
    rate=st.floats(0.1, 50),
    capacity=st.floats(1, 20),
    waits=st.lists(st.floats(0, 3), max_size=40),
    eager=st.booleans(),
)
def test_a_bucket_never_gives_more_than_its_burst_and_its_rate(
    rate: float, capacity: float, waits: list[float], eager: bool
) -> None:
    bucket, now, taken = TokenBucket(rate, capacity, 0.0), 0.0, 0
    for wait in waits:
        now += bucket.wait_s(now) if eager else wait
        if bucket.wait_s(now) <= 1e-9:
            bucket.take(now)
            taken += 1
        assert taken <= capacity + rate * now + 1e-6
        assert bucket.level(now) <= bucket.capacity


def test_a_bucket_is_settled_with_what_was_really_used() -> None:
    bucket = TokenBucket(1.0, 100.0, 0.0)
    bucket.take(0.0, 60.0)
    bucket.settle(0.0, 60.0, 10.0)
    assert bucket.level(0.0) == 90.0
    bucket.settle(0.0, 0.0, 120.0)
    assert bucket.wait_s(0.0, 5.0) == pytest.approx(35.0)


def test_a_cost_above_the_capacity_waits_for_a_full_bucket_not_for_ever() -> None:
    bucket = TokenBucket(1.0, 10.0, 0.0)
    bucket.take(0.0, 4.0)
    assert bucket.wait_s(0.0, 50.0) == pytest.approx(4.0)


# budgets of servers


def window(
    remaining: float | None, *, limit: float | None = 100.0, reset_s: float | None = 30.0, **more: Any
) -> Budget:
    return Budget(dimension="requests", limit=limit, remaining=remaining, reset_s=reset_s, **more)


def allowance(said: Budget, **more: Any) -> Allowance:
    known = Allowance(0.2, 0.0, **more)
    known.update(said, 0.0)
    return known


@pytest.mark.parametrize(
    ("said", "pace"),
    [
        (window(20), math.inf),
        (window(100), math.inf),
        # 100 in 60 s; half of the time is left
        (window(19, window_s=60.0), 20 / 30),
        (window(10, window_s=60.0), 11 / 30),
        (window(10, reset_s=3.0, window_s=60.0), 11 / 3),
        (window(5, reset_s=30.0, window_s=60.0), 6 / 30),
        (window(0, window_s=60.0), 0.0),
        # no reset told: a minute is assumed
        (window(10, reset_s=None), 100 / 60 * 0.5),
        # a bucket shows its refill: 90 missing, full in 45 s
        (window(10, reset_s=45.0, kind="bucket"), 2.0 * 0.5),
        # what is not known, or not possible, changes nothing
        (window(None), math.inf),
        (window(5, limit=None), math.inf),
        (window(0, limit=0.0), math.inf),
    ],
)
def test_below_a_fifth_the_pace_falls_with_what_remains(said: Budget, pace: float) -> None:
    assert allowance(said).pace_per_s(0.0) == pytest.approx(pace)


def test_the_users_own_rate_falls_in_the_same_proportion() -> None:
    assert allowance(window(10, reset_s=3.0, window_s=60.0), own_per_s=0.5).pace_per_s(0.0) == pytest.approx(0.25)


@given(
    low=st.floats(0, 100),
    more=st.floats(0, 100),
    reset_s=st.none() | st.floats(0, 1e5),
    window_s=st.none() | st.floats(1, 1e5),
)
def test_less_remaining_never_means_a_faster_pace(
    low: float, more: float, reset_s: float | None, window_s: float | None
) -> None:
    paces = [
        allowance(window(r, reset_s=reset_s, window_s=window_s)).pace_per_s(0.0) for r in (low, min(100.0, low + more))
    ]
    assert paces[0] <= paces[1] * (1 + 1e-9)


@given(
    remaining=st.floats(0, 100), limit=st.floats(0, 1e9), reset_s=st.none() | st.floats(0, 1e8), cost=st.floats(0, 1e9)
)
def test_no_budget_whatever_it_says_holds_a_request_for_longer_than_a_minute(
    remaining: float, limit: float, reset_s: float | None, cost: float
) -> None:
    waited = allowance(window(remaining, limit=limit, reset_s=reset_s)).wait_s(0.0, cost)
    assert 0 <= waited <= EMPTY_WAIT_MAX_S
    if remaining > 0:
        assert waited <= SLOWEST_GAP_S


def test_an_empty_window_is_waited_for_until_its_reset() -> None:
    empty = allowance(window(0, reset_s=7.0))
    assert empty.wait_s(0.0) == 7.0
    assert empty.wait_s(7.0) == 0.0
    assert empty.fraction(7.0) == 1.0


def test_within_a_window_the_remainder_never_rises_and_in_the_next_it_does() -> None:
    known = allowance(window(50))
    known.take(1.0)
    known.update(window(60, reset_s=29.0), 1.0)
    assert known.remaining == 49
    known.update(window(100, reset_s=60.0), 31.0)
    assert known.remaining == 100


def test_a_bucket_refills_between_responses() -> None:
    known = allowance(window(10, reset_s=45.0, kind="bucket"))
    assert known.fraction(5.0) == pytest.approx(0.2)
    assert known.wait_s(5.0) == 0.0


LIES = [
    {"x-ratelimit-limit-requests": "-1", "x-ratelimit-remaining-requests": "-1", "x-ratelimit-reset-requests": "0"},
    {"x-ratelimit-limit": "0", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "3600"},
    {"x-ratelimit-limit": "60", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1700000000"},
    {"x-ratelimit-limit": "60", "x-ratelimit-remaining": "nan", "x-ratelimit-reset": "nan"},
    {"x-ratelimit-limit": "", "x-ratelimit-remaining": "none", "x-ratelimit-reset": "soon"},
    {"x-ratelimit-remaining": "0"},
    {"ratelimit": '"a";r=0;t=x', "ratelimit-policy": "broken"},
    {
        "x-ratelimit-limit": "60",
        "x-ratelimit-remaining": "60",
        "x-ratelimit-reset": "1800000000",
        "date": "Fri, 15 Jan 2027 03:00:00 GMT",
    },
]


@pytest.mark.parametrize("headers", LIES)
def test_a_header_that_lies_stalls_nothing(headers: dict[str, str]) -> None:
    limiter = Limiter(LimitPolicy())
    one_call(limiter, 0.0, headers=headers)
    pause = limiter.may_start(0.0)
    assert pause is None or (pause.seconds or 0.0) <= 1.0


def test_tokens_are_reserved_by_estimate_and_settled_by_use() -> None:
    limiter = Limiter(LimitPolicy(concurrency=10))
    headers = {
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "1000",
        "x-ratelimit-reset-tokens": "60",
    }
    one_call(limiter, 0.0, headers=headers)
    slot = limiter.started(1.0, tokens=900)
    assert limiter.standing(1.0).fraction == pytest.approx(0.1)
    assert limiter.may_start(1.0, 100) is not None
    limiter.ended(slot, 2.0, "done", tokens=100)
    assert limiter.standing(2.0).fraction == pytest.approx(0.9)
    assert limiter.may_start(2.0, 100) is None


def test_a_refused_request_gives_its_reserved_tokens_back() -> None:
    limiter = Limiter(LimitPolicy(concurrency=10))
    one_call(limiter, 0.0, headers={"x-ratelimit-limit-tokens": "1000", "x-ratelimit-remaining-tokens": "1000"})
    limiter.ended(limiter.started(1.0, tokens=900), 2.0, "refused")
    assert limiter.standing(2.0).fraction == 1.0


def test_an_empty_bucket_is_waited_for_until_one_request_fits() -> None:
    bucket = allowance(window(0, limit=10, reset_s=5, kind="bucket"))
    assert (bucket.refill_per_s, bucket.wait_s(0.0)) == (2.0, 0.5)


def test_what_remains_unknown_is_not_counted() -> None:
    unknown = allowance(window(None))
    unknown.take(0.0)
    unknown.settle(0.0, 1, 0)
    assert unknown.remaining is None
    without_limit = allowance(window(5, limit=None))
    without_limit.settle(0.0, 2, 1)
    assert without_limit.remaining == 6


def test_an_answer_to_a_request_that_is_over_still_tells_of_the_budget() -> None:
    limiter = Limiter(LimitPolicy())
    slot = limiter.started(0.0)
    limiter.ended(slot, 0.0, "failed")
    for remaining in ("50", "40"):
        headers = {"x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": remaining}
        answer(limiter, slot, 0.0, headers=headers)
    standing = limiter.standing(0.0)
    assert (standing.running, standing.fraction) == (0, 0.4)


def test_each_request_that_is_sent_adds_its_share_to_the_repetitions() -> None:
    limiter = Limiter(LimitPolicy(retry_share=0.1, retries_per_minute=2))
    assert [limiter.retries.spend(0.0) for _ in range(3)] == [True, True, False]
    for _ in range(11):
        limiter.started(0.0)
    assert [limiter.retries.spend(0.0) for _ in range(2)] == [True, False]


# refusals


def test_the_window_closes_to_the_told_limit_at_once() -> None:
    limiter = Limiter(LimitPolicy(concurrency=32))
    slot = limiter.started(0.0)
    answer(limiter, slot, 0.1, 429, error=too_many(5), u=0.9)
    limiter.ended(slot, 0.1, "refused")
    assert (limiter.window.size, limiter.window.known) == (5, 5)
    assert limiter.may_start(0.1) is None  # a told number needs no freeze


def test_a_window_whose_cap_is_raised_grows_at_once_unless_it_was_made_smaller() -> None:
    w = ConcurrencyWindow(4)
    w.recap(16)
    assert (w.cap, w.size) == (16, 16)
    w.refused(0.0, sent_at_s=0.0, accepted=15)
    eased = w.size
    assert eased < 16
    w.recap(32)
    assert (w.cap, w.size) == (32, eased)
    w.recap(1)
    assert w.size == 1


def test_one_decrease_an_epoch_however_many_were_refused() -> None:
    w = ConcurrencyWindow(32)
    for now in (1.0, 1.1, 1.2):
        w.refused(now, sent_at_s=0.5, accepted=30)
    assert w.size == 16
    w.refused(2.0, sent_at_s=1.5, accepted=15)
    assert w.size == 8


def test_a_smaller_told_limit_counts_even_within_an_epoch() -> None:
    w = ConcurrencyWindow(64)
    for now, told in ((1.0, 39), (1.1, 25), (1.2, 20), (1.3, 25)):
        w.refused(now, sent_at_s=0.5, accepted=10, told=told)
    assert w.size == 20


def test_refused_within_the_told_limit_the_window_gives_way_by_one() -> None:
    w = ConcurrencyWindow(8)
    w.refused(1.0, sent_at_s=0.0, accepted=5, told=5)
    w.refused(3.0, sent_at_s=2.0, accepted=4, told=5)
    assert w.size == 4


def test_a_known_limit_is_respected_before_more_is_tried_and_longer_after_each_failed_try() -> None:
    w = ConcurrencyWindow(8)
    now, tries = 0.0, []
    w.refused(now, sent_at_s=-1.0, accepted=3, told=3)
    while len(tries) < 4:
        now += 1.0
        w.succeeded(now, sent_at_s=now, full=True)
        if w.size > 3:
            tries.append(now)
            w.refused(now, sent_at_s=now, accepted=3, told=3)
    gaps = [b - a for a, b in itertools.pairwise([0.0, *tries])]
    assert gaps == sorted(gaps)
    assert gaps[0] >= 30
    assert gaps[-1] >= 8 * 30


def test_an_opened_limit_is_found_again_slowly() -> None:
    w = ConcurrencyWindow(32)
    w.refused(0.0, sent_at_s=-1.0, accepted=5, told=5)
    sizes = []
    for _ in range(1000):
        w.succeeded(100.0, sent_at_s=99.0, full=True)
        sizes.append(w.size)
    assert sizes[-1] == 32
    assert sizes[4] <= 6
    assert all(b - a <= 1 for a, b in itertools.pairwise(sizes))


def test_a_window_does_not_grow_by_what_proves_nothing() -> None:
    w = ConcurrencyWindow(8)
    w.overloaded(0.0, sent_at_s=-1.0)
    assert w.size == 6
    w.succeeded(100.0, sent_at_s=99.0, full=False)
    w.succeeded(100.0, sent_at_s=-1.0, full=True)
    assert w.size == 6


@given(st.lists(st.tuples(st.sampled_from(["refuse", "told", "busy", "ok"]), st.integers(0, 9)), max_size=60))
def test_the_window_stays_between_one_and_its_cap(steps: list[tuple[str, int]]) -> None:
    w = ConcurrencyWindow(6)
    for now, (step, number) in enumerate(steps):
        match step:
            case "refuse":
                w.refused(float(now), sent_at_s=now - number, accepted=number)
            case "told":
                w.refused(float(now), sent_at_s=now - 0.5, accepted=3, told=number)
            case "busy":
                w.overloaded(float(now), sent_at_s=now - number)
            case _:
                w.succeeded(now * 10.0, sent_at_s=now * 10.0 - number, full=True)
        assert 1 <= w.size <= 6


def test_retry_after_freezes_every_call_and_nothing_starts_early() -> None:
    limiter = Limiter(LimitPolicy(concurrency=4))
    slot = limiter.started(0.0)
    answer(limiter, slot, 0.0, 429, error=too_many(), headers={"retry-after": "7"}, u=0.0)
    limiter.ended(slot, 0.0, "refused")
    assert limiter.may_start(0.0) == Pause(seconds=7.0, reason="retry_after")
    assert limiter.may_start(6.99) is not None
    assert limiter.may_start(7.0) is None


def test_the_spread_of_a_freeze_is_added_to_what_was_told() -> None:
    limiter = Limiter(LimitPolicy())
    answer(limiter, limiter.started(0.0), 0.0, 503, headers={"retry-after": "20"}, u=0.999)
    assert 20.0 <= limiter.standing(0.0).frozen_s <= 21.0


def test_a_shorter_freeze_does_not_end_a_longer_one() -> None:
    limiter = Limiter(LimitPolicy())
    for told in ("30", "1"):
        answer(limiter, limiter.started(0.0), 0.0, 503, headers={"retry-after": told})
    assert limiter.standing(0.0).frozen_s == 30.0


def test_a_success_sent_before_a_refusal_does_not_lift_it() -> None:
    limiter = Limiter(LimitPolicy(concurrency=16))
    *accepted, older, refused = [limiter.started(0.0) for _ in range(6)]
    for slot in accepted:
        answer(limiter, slot, 0.5)
    answer(limiter, refused, 1.0, 429, error=too_many())
    answer(limiter, older, 1.1)
    for slot in (*accepted, older, refused):
        limiter.ended(slot, 1.2, "failed")
    asking = limiter.started(5.0)
    assert limiter.may_start(5.0) == Pause(seconds=None, reason="concurrency")  # one asks for all
    answer(limiter, asking, 5.1)
    assert limiter.may_start(5.1) is None


def test_a_busy_service_eases_the_window_once_an_epoch() -> None:
    limiter = Limiter(LimitPolicy(concurrency=100))
    for slot in [limiter.started(1.0) for _ in range(5)]:
        answer(limiter, slot, 1.1, 503, error=status_error(503, "busy"))
    assert limiter.window.size == 80
    answer(limiter, limiter.started(2.0), 2.1, 503, error=status_error(503, "busy"))
    assert limiter.window.size == 64


def test_a_busy_service_eases_the_window_and_a_success_elsewhere_changes_nothing() -> None:
    limiter = Limiter(LimitPolicy(concurrency=10))
    slot = limiter.started(1.0)
    answer(limiter, slot, 1.1, 503, error=status_error(503, "busy"), headers={"retry-after": "2"})
    assert limiter.window.size == 8
    assert limiter.standing(1.1).frozen_s == pytest.approx(2.0)


def test_a_slot_is_taken_until_its_stream_ends_and_freed_once() -> None:
    limiter = Limiter(LimitPolicy(concurrency=2))
    one, two = limiter.started(0.0), limiter.started(0.0)
    for slot in (one, two):
        answer(limiter, slot, 0.1)
    assert limiter.may_start(0.2) == Pause(seconds=None, reason="concurrency")
    limiter.ended(one, 0.3, "failed")
    limiter.ended(one, 0.3, "failed")
    assert limiter.may_start(0.3) is None
    assert limiter.standing(0.3).running == 1


def test_only_a_few_requests_wait_for_their_status_at_once() -> None:
    limiter = Limiter(LimitPolicy(concurrency=32))
    slots = []
    while limiter.may_start(0.0) is None:
        slots.append(limiter.started(0.0))
    assert len(slots) == 4
    answer(limiter, slots[0], 0.1)
    assert limiter.may_start(0.1) is None


def test_a_rule_of_a_class_refuses_one_call_and_blocks_no_other() -> None:
    limiter = Limiter(LimitPolicy())
    slot = limiter.started(0.0)
    said = "The budget of a student for a day does not allow it."
    answer(limiter, slot, 0.0, 402, error=status_error(402, said, type="class_rule", code="budget.student.day"))
    limiter.ended(slot, 0.0, "refused")
    assert limiter.blocked(0.0) is None


def test_a_used_up_balance_fails_calls_at_once_for_a_while_and_a_success_lifts_it() -> None:
    limiter = Limiter(LimitPolicy())
    slot = limiter.started(0.0)
    answer(limiter, slot, 0.0, 402, error=status_error(402, "Insufficient Balance"))
    limiter.ended(slot, 0.0, "refused")
    assert "Insufficient Balance" in str(limiter.blocked(1.0))
    assert limiter.blocked(BREAK_S) is None
    one_call(limiter, 1.0)
    assert limiter.blocked(1.0) is None


def test_repetitions_are_a_share_of_the_requests_and_a_few_a_minute() -> None:
    retries = RetryBudget(LimitPolicy(retry_share=0.1, retries_per_minute=10), 0.0)
    assert sum(retries.spend(0.0) for _ in range(50)) == 10
    assert sum(retries.spend(60.0) for _ in range(50)) == 10
    for _ in range(30):
        retries.requested(60.0)
    assert sum(retries.spend(60.0) for _ in range(50)) == 3


@pytest.mark.parametrize(
    "wrong", [{"requests_per_s": 0}, {"burst": 0}, {"low_water": 1.5}, {"concurrency": 0}, {"retry_share": -1}]
)
def test_a_limit_out_of_bounds_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        LimitPolicy(**wrong)


# storms, on a virtual clock

RTT_S = 0.05


class Storm:
    """A server with a moving concurrency limit and a client that queues fairly; events in time order."""

    def __init__(
        self, policy: LimitPolicy, limit: Callable[[float], int], *, tells: bool = True, seed: int = 0
    ) -> None:
        self.limiter = Limiter(policy)
        self.limit, self.tells = limit, tells
        self.chance = random.Random(seed)
        self.retry_after: str | None = None
        self.now = 0.0
        self.starts: list[float] = []
        self.refusals = self.done = self.running = self.most_running = 0
        self._order = itertools.count()
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._queue: list[tuple[float, int]] = []  # duration, tries
        self._wake_s: float | None = None

    def at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._later, (when, next(self._order), act))

    def run(self, durations: list[float]) -> float:
        self._queue = [(d, 0) for d in durations]
        self.open_gate()
        while self._later:
            self.now, _, act = heapq.heappop(self._later)
            act()
            self.open_gate()
        assert not self._queue
        return self.now

    def open_gate(self) -> None:
        while self._queue:
            pause = self.limiter.may_start(self.now, waiting=len(self._queue))
            if pause is not None:
                if pause.seconds is not None and (self._wake_s is None or self._wake_s <= self.now):
                    self._wake_s = self.now + pause.seconds + 1e-6
                    self.at(self._wake_s, lambda: None)
                return
            self.send(*self._queue.pop(0))

    def send(self, duration: float, tries: int) -> None:
        slot = self.limiter.started(self.now)
        self.starts.append(self.now)
        self.at(self.now + RTT_S / 2, lambda: self.arrive(slot, duration, tries))

    def arrive(self, slot: Slot, duration: float, tries: int) -> None:
        limit = self.limit(self.now)
        if self.running >= limit:
            self.refusals += 1
            self.at(self.now + RTT_S / 2, lambda: self.refuse(slot, duration, tries, limit))
            return
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.at(self.now + RTT_S / 2, lambda: answer(self.limiter, slot, self.now))
        self.at(self.now + duration, lambda: self.finish(slot))

    def refuse(self, slot: Slot, duration: float, tries: int, limit: int) -> None:
        headers = {"retry-after": self.retry_after} if self.retry_after else {}
        error = too_many(limit if self.tells else None)
        answer(self.limiter, slot, self.now, 429, error=error, headers=headers, u=self.chance.random())
        self.limiter.ended(slot, self.now, "refused")
        assert tries < 4, "a task used up its five attempts"
        self.at(self.now + 0.75 + self.chance.random() / 4, lambda: self._queue.insert(0, (duration, tries + 1)))

    def finish(self, slot: Slot) -> None:
        self.running -= 1
        self.done += 1
        self.limiter.ended(slot, self.now, "done")


def ideal_s(durations: list[float], limit: Callable[[float], int]) -> float:
    """When a client that knows the limit at every moment would be done: each task starts as soon as there is room."""
    running: list[float] = []
    now = 0.0
    for duration in durations:
        while len(running) >= limit(now):
            now = max(now, heapq.heappop(running))
        heapq.heappush(running, now + duration)
    return max(running)


def lowered(from_limit: int, to_limit: int, at_s: float) -> Callable[[float], int]:
    return lambda now: from_limit if now < at_s else to_limit


@pytest.mark.parametrize("tells", [True, False], ids=["limit told", "limit not told"])
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_a_storm_settles_when_the_limit_is_lowered_under_it(tells: bool, seed: int, spread: float) -> None:
    chance = random.Random(seed)
    durations = [2.0 * (1 + spread * (chance.random() - 0.5)) for _ in range(64)]
    limit = lowered(32, 5, at_s=1.0)
    storm = Storm(LimitPolicy(concurrency=32), limit, tells=tells, seed=seed)
    took_s = storm.run(durations)
    assert storm.done == 64
    assert took_s <= 1.25 * ideal_s(durations, limit)
    assert storm.refusals < 0.10 * len(storm.starts)


def test_a_storm_against_a_limit_that_was_always_low_learns_it_in_a_handful() -> None:
    storm = Storm(LimitPolicy(concurrency=32), lambda now: 5)
    took_s = storm.run([2.0] * 64)
    assert took_s <= 1.25 * ideal_s([2.0] * 64, lambda now: 5)
    assert storm.refusals < 0.10 * len(storm.starts)


def test_after_a_freeze_no_herd_comes() -> None:
    storm = Storm(LimitPolicy(concurrency=50), lambda now: 0 if now < 0.5 else 50)
    storm.retry_after, storm.tells = "1", False
    storm.run([1.0] * 50)
    first_s = min(s for s in storm.starts if s > 1.0)
    assert sum(first_s <= s < first_s + 0.1 for s in storm.starts) <= 5
    assert storm.done == 50


@given(seed=st.integers(0, 10_000), limit=st.integers(1, 12), concurrency=st.integers(1, 16))
def test_a_queue_always_drains_and_never_exceeds_its_cap(seed: int, limit: int, concurrency: int) -> None:
    chance = random.Random(seed)
    storm = Storm(LimitPolicy(concurrency=concurrency), lambda now: limit, tells=chance.random() < 0.5, seed=seed)
    storm.run([0.2 + chance.random() for _ in range(20)])
    assert storm.done == 20
    assert storm.most_running <= min(limit, concurrency)


ADMITTED, WINDOW_S = 50, 5.0
Says = Callable[[int, float, float], dict[str, str]]


class Turnstile(Storm):
    """A server that admits so many requests in each window, and says what remains, and when the next one begins."""

    def __init__(self, policy: LimitPolicy, says: Says) -> None:
        super().__init__(policy, lambda now: 10**6)
        self.says = says
        self._admitted: dict[int, int] = {}

    def arrive(self, slot: Slot, duration: float, tries: int) -> None:
        number = int(self.now // WINDOW_S)
        left = ADMITTED - self._admitted.get(number, 0)
        reset_at_s = (number + 1) * WINDOW_S
        headers = self.says(max(0, left - 1), reset_at_s - self.now, EPOCH + reset_at_s)
        if not left:
            self.refusals += 1
            self.retry_after = f"{reset_at_s - self.now:.2f}"
            error = too_many()
            told = headers | {"retry-after": self.retry_after}
            self.at(self.now + RTT_S / 2, lambda: self.turn_away(slot, duration, tries, error, told))
            return
        self._admitted[number] = ADMITTED - left + 1
        self.at(self.now + RTT_S / 2, lambda: answer(self.limiter, slot, self.now, headers=headers))
        self.running += 1
        self.at(self.now + duration, lambda: self.finish(slot))

    def turn_away(
        self, slot: Slot, duration: float, tries: int, error: APIStatusError, headers: dict[str, str]
    ) -> None:
        answer(self.limiter, slot, self.now, 429, error=error, headers=headers)
        self.limiter.ended(slot, self.now, "refused")
        self._queue.insert(0, (duration, tries + 1))


def in_seconds(left: int, reset_s: float, _: float) -> dict[str, str]:
    return {"x-ratelimit-limit": "50", "x-ratelimit-remaining": str(left), "x-ratelimit-reset": str(round(reset_s))}


def as_a_time(left: int, _: float, reset_at_s: float) -> dict[str, str]:
    return {"x-ratelimit-limit": "50", "x-ratelimit-remaining": str(left), "x-ratelimit-reset": str(reset_at_s)}


def as_openai_does(left: int, reset_s: float, _: float) -> dict[str, str]:
    names = ("limit", "remaining", "reset")
    said = ("50", str(left), f"{reset_s:.3f}s")
    return {f"x-ratelimit-{name}-requests": value for name, value in zip(names, said, strict=True)}


@pytest.mark.parametrize("says", [in_seconds, as_a_time, as_openai_does])
@pytest.mark.parametrize("duration", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("concurrency", [64, 200])
def test_windows_that_a_server_tells_are_used_whole(says: Says, duration: float, concurrency: int) -> None:
    turnstile = Turnstile(LimitPolicy(concurrency=concurrency), says)
    took_s = turnstile.run([duration] * 200)
    assert turnstile.done == 200
    assert took_s <= 1.1 * (3 * WINDOW_S + duration)  # the last fifty are admitted when the fourth window begins
    assert turnstile.refusals <= 0.06 * 200


def test_a_refusal_for_a_budget_that_is_used_up_says_nothing_about_how_many_may_run_at_once() -> None:
    limiter = Limiter(LimitPolicy(concurrency=32))
    slot = limiter.started(0.0)
    used_up = {"x-ratelimit-limit": "50", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "5"}
    answer(limiter, slot, 0.1, 429, error=too_many(), headers=used_up)
    limiter.ended(slot, 0.1, "refused")
    assert limiter.window.size == 32
    assert limiter.may_start(0.1) == Pause(seconds=pytest.approx(5.0), reason="rate")
    assert limiter.may_start(5.2) is None
    limiter.started(5.2)
    assert limiter.may_start(5.2) == Pause(seconds=None, reason="concurrency"), "one asks for all"


def test_what_is_enough_for_all_who_wait_is_not_spread() -> None:
    low = allowance(window(10, window_s=60.0))
    low.take(0.0)
    assert low.wait_s(0.0) > 0
    assert low.wait_s(0.0, wanted=10) > 0
    assert low.wait_s(0.0, wanted=9) == 0


def test_a_server_that_accepts_is_asked_by_more_at_once_until_it_refuses() -> None:
    limiter = Limiter(LimitPolicy(concurrency=64))

    def unanswered_at_once() -> int:
        slots: list[Slot] = []
        while limiter.may_start(0.0) is None:
            slots.append(limiter.started(0.0))
        for slot in slots:
            limiter.ended(slot, 0.0, "failed")
        return len(slots)

    def answered(status: int) -> None:
        slot = limiter.started(0.0)
        limiter.observe(slot, 0.0, status=status, now_epoch_s=0.0)
        limiter.ended(slot, 0.0, "done" if status == 200 else "failed")

    assert unanswered_at_once() == 4
    for _ in range(160):
        answered(200)
    assert unanswered_at_once() == 20
    answered(500)
    assert unanswered_at_once() == 4


def test_where_others_send_an_even_flow_is_not_held_back_by_statuses_that_come_late() -> None:
    limiter = Limiter(LimitPolicy(concurrency=64))
    limiter.far = True

    def unanswered_at_once(now_s: float) -> int:
        slots: list[Slot] = []
        while limiter.may_start(now_s) is None:
            slots.append(limiter.started(now_s))
        for slot in slots:
            limiter.ended(slot, now_s, "failed")
        return len(slots)

    assert unanswered_at_once(0.0) == 4
    for began_s in (0.0, 1.0):
        slot = limiter.started(began_s)
        limiter.observe(slot, began_s + 0.05, status=200, now_epoch_s=0.0)
        limiter.ended(slot, began_s + 0.5, "done")
    assert unanswered_at_once(2.0) == 20  # three times the tenth of 64 that wait for their status at any moment
    limiter.far = False
    assert unanswered_at_once(2.0) == 4
