"""Who is asked first, by what was seen of the last calls; and that no world makes second requests cost more than their share."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_magic.policy.several.hedging import (
    DAY_S,
    KNOWN_CALLS,
    PAID_CALLS,
    SOONEST_S,
    allowance,
    calls_until,
    cheapest_first,
    dearest,
    is_warm,
    late_after_s,
    likely_usage,
    longest_output,
)
from deepseek_magic.policy.several.nearest import (
    ELSEWHERE,
    LAST_CALLS,
    RECENT_S,
    UNSEEN,
    SeenCall,
    fastest_first,
    place_at,
    typical_s,
)
from deepseek_magic.protocol.chat import ChatMessage, Request
from deepseek_magic.protocol.measured import StreamRecord
from tests.policy.nearer import SHARE, WORLDS, Outcome, lives

HERE, THERE = ("https://a", "m", None), ("https://b", "m", None)


def seen(number: int = 0, **changes: Any) -> SeenCall:
    given: dict[str, Any] = {"call_id": str(number), "at_s": float(number), "place": HERE, "first_s": 1.0}
    return SeenCall(**{**given, **changes})


def record(**changes: Any) -> StreamRecord:
    given: dict[str, Any] = {
        "call_id": "c",
        "started_at": datetime.fromtimestamp(50, UTC),
        "model": "m",
        "purpose": "ask",
        "outcome": "complete",
        "total_s": 9.0,
        "ttft_s": 4.0,
        "waited_s": 1.5,
        "attempts": 1,
        "completion_tokens": 7,
    }
    return StreamRecord(**{**given, **changes})


def test_what_is_remembered_of_a_call_is_when_its_endpoint_began_without_our_own_waiting() -> None:
    call = SeenCall.of(record(cost=Decimal(2), currency="USD"), "https://a")
    assert call == seen(call_id="c", at_s=50.0, first_s=2.5, cost=Decimal(2), currency="USD", output=7)
    assert SeenCall.of(record(attempts=2), "u").first_s == 4.0  # its failing was the endpoint's doing
    assert SeenCall.of(record(purpose="hedge"), "u").first_s is None
    assert SeenCall.of(record(ttft_s=None), "u").first_s is None
    assert SeenCall.of(record(ttft_s=None, used=False, outcome="interrupted"), "u").first_s == 7.5
    assert SeenCall.of(record(outcome="incomplete"), "u").output is None
    request = Request.of("hi", model="m", think="off")
    assert place_at("https://a", request) == ("https://a", "m", "off")


def test_an_endpoint_is_judged_by_the_median_of_its_last_calls_and_none_that_is_an_hour_old() -> None:
    slow_once = [seen(i, first_s=9.0) for i in range(20)] + [seen(20 + i, first_s=float(i)) for i in range(LAST_CALLS)]
    assert typical_s(slow_once, HERE, 30) == (4.5, 10)
    assert typical_s(slow_once, THERE, 30) == (None, 0)
    assert typical_s(slow_once, HERE, 27 + RECENT_S) == (8.0, 3)
    assert typical_s([seen(1), seen(2, first_s=None), seen(3, place=THERE)], HERE, 30) == (1.0, 1)


def test_the_fastest_is_asked_first_and_the_unknown_last() -> None:
    assert fastest_first([2.0, None, 1.0, 1.0], 0.9) == [2, 3, 0, 1]
    assert fastest_first([None, None], 0.0) == [0, 1]  # nothing is known: as they were named
    assert fastest_first([1.0], 0.0) == [0]


@given(st.lists(st.none() | st.floats(0.1, 9), min_size=1, max_size=6), st.floats(0, 1, exclude_max=True))
def test_every_endpoint_stays_in_the_list_and_only_one_comes_forward(typical: list[float | None], u: float) -> None:
    order, usual = fastest_first(typical, u), fastest_first(typical, 0.999)
    assert sorted(order) == list(range(len(typical)))
    assert [i for i in order if i != order[0]] == [i for i in usual if i != order[0]]
    if u >= UNSEEN:
        assert order == usual


def test_one_call_in_fifty_looks_elsewhere_and_more_while_one_is_unknown() -> None:
    draws = [i / 10_000 for i in range(10_000)]
    firsts = [fastest_first([1.0, 2.0, 3.0], u)[0] for u in draws]
    assert [firsts.count(i) for i in range(3)] == [9800, 100, 100]
    assert sum(fastest_first([1.0, None], u)[0] for u in draws) == UNSEEN * 10_000
    assert ELSEWHERE < UNSEEN


def test_late_is_what_nineteen_in_twenty_are_not_and_never_before_a_second() -> None:
    calls = [seen(i, first_s=float(i)) for i in range(1, 101)]
    assert late_after_s(calls, HERE, 101) == 95.0
    assert late_after_s(calls[: KNOWN_CALLS - 1], HERE, 101) is None
    assert late_after_s(calls, THERE, 101) is None
    assert late_after_s(calls, HERE, 101 + DAY_S) is None
    assert late_after_s([seen(i, first_s=0.01) for i in range(50)], HERE, 50) == SOONEST_S


def test_an_answer_is_reckoned_half_as_long_again_as_the_longest_of_the_last() -> None:
    calls = [seen(1, output=5), seen(2, output=90, place=THERE), seen(3), seen(4, output=70)]
    assert longest_output(calls) == 135
    assert longest_output([seen(1)]) is None


def test_the_allowance_is_a_share_of_what_was_paid_less_what_was_thrown_away() -> None:
    paid = [seen(i, cost=Decimal(1), currency="USD") for i in range(100)]
    assert allowance(paid, "USD", 0.05) == Decimal(5)
    assert allowance(paid, "CNY", 0.05) == 0
    assert allowance([], "USD", 0.05) == 0
    lost = seen(50, call_id="lost", cost=Decimal("0.5"), currency="USD", used=False)
    assert allowance([*paid[:50], lost, *paid[50:]], "USD", 0.05) == 4  # as dear as what was used instead of it
    assert allowance([*paid, dataclasses.replace(lost, cost=Decimal(2))], "USD", 0.05) == 3
    assert allowance([*paid, dataclasses.replace(lost, at_s=50.5)], "USD", 0.05) == Decimal("4.5")
    assert allowance([*paid, seen(7, cost=None, currency=None)], "USD", 0.05) == 5
    many = [seen(i, cost=Decimal(1), currency="USD") for i in range(3 * PAID_CALLS)]
    assert allowance([lost, *many], "USD", 0.05) == Decimal(str(SHARE)) * PAID_CALLS  # that loss is too long ago


def test_a_second_request_counts_its_prompt_and_the_longest_answer() -> None:
    turns = [ChatMessage(role=role, content="x" * 100) for role in ("user", "assistant", "user")]
    cold = likely_usage(Request.of(turns), 500, warm=False)
    warm = likely_usage(Request.of(turns), 500, warm=True)
    assert (cold.prompt_tokens, cold.cache_hit_tokens, cold.cache_miss_tokens) == (90, 0, 90)
    assert (warm.prompt_tokens, warm.cache_hit_tokens, warm.cache_miss_tokens) == (90, 60, 30)
    assert (warm.completion_tokens, warm.total_tokens, warm.estimated) == (500, 590, True)
    assert likely_usage(Request.of("hi", max_tokens=20), 500, warm=True).completion_tokens == 20
    assert likely_usage(Request.of("hi"), 500, warm=True).cache_hit_tokens == 0


def test_a_place_is_warm_if_most_of_its_last_prompt_came_from_the_cache() -> None:
    warm = SeenCall.of(record(prompt_tokens=100, cache_hit_tokens=51), "u")
    cold = SeenCall.of(record(prompt_tokens=100, cache_hit_tokens=50), "u")
    assert (warm.warm, cold.warm, SeenCall.of(record(), "u").warm) == (True, False, False)
    calls = [seen(1, warm=True), seen(2, warm=False, used=False), seen(3, warm=False, place=THERE)]
    assert is_warm(calls, HERE)
    assert not is_warm(calls, THERE)
    assert not is_warm([], HERE)


def test_it_goes_where_it_costs_least_and_elsewhere_where_it_costs_the_same() -> None:
    one, two = Decimal(1), Decimal(2)
    assert cheapest_first([one, one, two], 0) == [1, 0, 2]
    assert cheapest_first([one, two, None], 0) == [0, 1]
    assert cheapest_first([None], 0) == []


@pytest.mark.parametrize("name", WORLDS)
def test_second_requests_never_cost_more_than_their_share(name: str) -> None:
    """Though hosts bill each of them whole; the full table: ``python -m tests.policy.nearer``."""
    for outcome in lives(WORLDS[name], "fastest and hedged", seeds=12, calls=250):
        assert outcome.extra <= Decimal(str(SHARE)) * outcome.paid


def pooled(name: str, mode: str) -> Outcome:
    found = list(lives(WORLDS[name], mode, seeds=1, calls=2000))
    return Outcome(
        waited_s=[s for each in found for s in each.waited_s],
        hedged=sum(each.hedged for each in found),
        at_other_host=sum(each.at_other_host for each in found),
    )


def test_what_it_brings_is_what_the_table_says() -> None:
    far, fastest = (pooled("near host slow, far host fast", mode) for mode in ("first named", "fastest"))
    assert fastest.at(0.5) < 0.6 * far.at(0.5)
    plain, hedged = (pooled("three alike, no spells", mode) for mode in ("first named", "hedged"))
    assert hedged.at(0.99) < 0.8 * plain.at(0.99)
    assert 0.02 < hedged.hedged / len(hedged.waited_s) < 0.06
    assert hedged.at_other_host == hedged.hedged


def test_a_long_conversation_is_asked_again_only_where_its_beginning_is_cached() -> None:
    cached, dearer = pooled("long cached history", "hedged"), pooled("the others are dearer", "hedged")
    assert cached.hedged > 0
    assert dearer.hedged > 0
    assert cached.at_other_host == dearer.at_other_host == 0


def test_how_many_calls_are_missing_for_a_second_request_follows_from_what_they_cost() -> None:
    calls = [
        *(seen(number, cost=Decimal(number), currency="USD") for number in (1, 4, 1)),
        seen(4, cost=Decimal(9), currency="CNY"),
        seen(5, cost=Decimal(8), currency="USD", used=False),
        seen(6),
    ]
    assert dearest(calls, "USD") == 4
    assert dearest([], "USD") == 0
    assert calls_until(calls, "USD", 0.05, Decimal("0.25")) == 3  # 5 % of 2 a call
    assert calls_until([], "USD", 0.05, Decimal(1)) == 0
