"""Which trial is asked next: the same inputs in every setting, what begins alike after its first, what failed at the end."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_magic.policy.limits.leading import BUILD_S, MISSES, WAIT_S, Beginning, Leading
from deepseek_magic.policy.schedule import (
    MAX_OPEN,
    MOST_OPEN,
    Schedule,
    SchedulePolicy,
    window,
)
from deepseek_magic.protocol.experiments.plan import Plan, Trial


def a_plan(rows: int = 3, repeats: int = 1, **grid: Any) -> Plan:
    prompt = grid.pop("prompt", "Say {n}")
    return Plan.of(prompt, rows=[{"n": n} for n in range(rows)], grid=grid, repeats=repeats)


def scheduled(plan: Plan, leading: Leading | None = None, begins: str = "", **policy: Any) -> Schedule[int]:
    """``begins``: for each setting, or each trial if there are as many, what its prompts begin with; a blank: nothing long."""

    def beginning(number: int) -> Beginning | None:
        name = begins[number if len(begins) == len(plan) else plan.trial(number).setting] if begins else " "
        return None if name == " " else Beginning(("here", "m"), name.encode())

    return Schedule(range(len(plan)), plan.trial, beginning, leading=leading, policy=SchedulePolicy(**policy))


def all_asked(schedule: Schedule[int], now_s: float = 0.0) -> list[int]:
    """The items as they come when each is answered at once."""
    found: list[int] = []
    while (item := schedule.next(now_s)) is not None:
        if isinstance(item, int):
            found.append(item)
            assert not schedule.ended(item, now_s, failed=False)
        else:
            now_s += item
    return found


@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 4), st.sampled_from(["", "    ", "aaaa", "abab"]))
def test_each_trial_comes_once_and_whenever_it_is_stopped_all_settings_have_the_same_inputs(
    rows: int, repeats: int, settings: int, begins: str
) -> None:
    plan = a_plan(rows, repeats, seed=range(settings))
    asked = all_asked(scheduled(plan, begins=begins[:settings]))
    assert sorted(asked) == list(range(len(plan)))
    for stop in range(len(asked) + 1):
        seen = Counter(plan.trial(number).setting for number in asked[:stop])
        counts = [seen[setting] for setting in range(settings)]
        assert max(counts) - min(counts) <= 1


def test_repeats_come_after_all_inputs() -> None:
    plan = a_plan(2, 2, seed=[1, 2])
    places = [(t.repeat, t.row, t.setting) for t in map(plan.trial, all_asked(scheduled(plan)))]
    assert places == [(r, i, s) for r in range(2) for i in range(2) for s in range(2)]


def test_settings_that_begin_alike_are_asked_one_after_the_other() -> None:
    asked = all_asked(scheduled(plan := a_plan(2, seed=range(4)), begins="abab"))
    places = [(t.row, t.setting) for t in map(plan.trial, asked)]
    assert places == [(0, 0), (0, 1), (0, 2), (0, 3), *((1, setting) for setting in (0, 2, 1, 3))]


def test_they_are_asked_in_order_again_when_all_that_waited_may_go() -> None:
    plan = a_plan(3, seed=range(2))
    schedule = scheduled(plan, begins="ab")
    assert [schedule.next(0.0), schedule.next(0.0)] == [0, 3]
    assert schedule.next(0.0) == WAIT_S
    places = [plan.trial(int(schedule.next(WAIT_S) or 0)) for _ in range(4)]
    assert [(t.row, t.setting) for t in places] == [(1, 0), (1, 1), (2, 0), (2, 1)]


def test_what_begins_alike_waits_for_its_leader_and_for_the_cache_but_not_for_ever() -> None:
    plan = a_plan(3)
    schedule = scheduled(plan, begins="a")
    assert schedule.next(100.0) == 0
    assert schedule.next(101.0) == WAIT_S - 1
    schedule.answering(0, 101.0)
    assert schedule.next(101.0) == BUILD_S
    assert [schedule.next(101.0 + BUILD_S) for _ in range(3)] == [1, 2, None]

    schedule = scheduled(plan, begins="a")
    assert schedule.next(100.0) == 0
    assert schedule.next(100.0) == WAIT_S
    assert [schedule.next(100.0 + WAIT_S) for _ in range(2)] == [1, 2]


@pytest.mark.parametrize("how", ["failed", "unasked", "back"])
def test_a_leader_that_does_not_begin_is_not_waited_for_and_nobody_waits_twice(how: str) -> None:
    schedule = scheduled(a_plan(4), begins="a", pauses_s=(50.0,))
    assert schedule.next(0.0) == 0
    assert schedule.next(0.0) == WAIT_S
    if how == "failed":
        assert schedule.ended(0, 1.0, failed=True)
    elif how == "unasked":
        schedule.unasked(0)
    else:
        schedule.back(0)
    assert [schedule.next(1.0) for _ in range(4 if how == "back" else 3)] == [0, 1, 2, 3][how != "back" :]
    assert schedule.next(1.0) == (50.0 if how == "failed" else None)


def test_each_group_waits_for_its_own_leader_and_what_is_alone_or_short_for_nobody() -> None:
    schedule = scheduled(a_plan(8), begins="aab cb a")
    assert [schedule.next(0.0), schedule.next(5.0)] == [0, 2]
    assert [schedule.next(5.0) for _ in range(3)] == [3, 4, 6], "what waits holds up nobody else"
    assert schedule.next(5.0) == WAIT_S - 5
    schedule.answering(2, 5.0)
    assert schedule.next(5.0 + BUILD_S) == 5
    assert schedule.next(5.0 + BUILD_S) == WAIT_S - 5 - BUILD_S
    assert [schedule.next(WAIT_S) for _ in range(3)] == [1, 7, None]


def test_one_that_waits_and_one_that_comes_again_are_both_waited_for() -> None:
    schedule = scheduled(a_plan(3), begins=" aa", pauses_s=(3.0,))
    assert [schedule.next(0.0), schedule.next(0.0)] == [0, 1]
    assert schedule.next(0.0) == WAIT_S
    schedule.ended(0, 0.0, failed=True)
    assert schedule.next(0.0) == 3.0
    assert schedule.next(3.0) == 0
    schedule.ended(0, 4.0, failed=True)
    schedule.answering(1, 4.0)
    assert schedule.next(4.5) == BUILD_S - 0.5
    assert schedule.next(9.0) == 2


def test_where_followers_find_nothing_nobody_leads_any_more() -> None:
    leading = Leading()
    schedule = scheduled(a_plan(MISSES + 1), leading, begins="a")
    assert schedule.next(0.0) == 0
    assert isinstance(schedule.next(0.0), float)
    schedule.ended(0, 0.0, failed=False)
    schedule.billed(0, 0, 0.0)
    for number in range(1, MISSES + 1):
        assert schedule.next(BUILD_S) == number
        schedule.ended(number, BUILD_S, failed=False)
        schedule.billed(number, 0, BUILD_S)
    other = scheduled(a_plan(3), leading, begins="b")
    assert [other.next(5.0) for _ in range(4)] == [0, 1, 2, None]
    short = scheduled(a_plan(1), leading)
    assert short.next(5.0) == 0
    short.billed(0, 0, 5.0)


def test_what_failed_comes_again_at_the_end_after_a_pause_and_at_most_in_three_rounds() -> None:
    schedule = scheduled(a_plan(3))
    assert schedule.next(0.0) == 0
    assert schedule.ended(0, 1.0, failed=True)
    assert schedule.round_of(0) == 1
    assert [schedule.next(1.0), schedule.next(1.0)] == [1, 2]
    schedule.ended(1, 2.0, failed=False)
    assert schedule.ended(2, 3.0, failed=True)
    assert schedule.next(3.0) == 3.0
    assert schedule.next(6.0) == 0
    assert schedule.ended(0, 6.0, failed=True)
    assert schedule.next(7.0) == 1.0
    assert schedule.next(8.0) == 2
    schedule.ended(2, 8.0, failed=False)
    assert schedule.next(8.0) == 18.0
    assert schedule.next(26.0) == 0
    assert not schedule.ended(0, 27.0, failed=True)
    assert schedule.next(1000.0) is None
    assert (schedule.round_of(0), schedule.round_of(1), schedule.round_of(2)) == (3, 0, 1)


def test_while_most_of_what_comes_again_is_answered_there_are_more_rounds() -> None:
    schedule = scheduled(a_plan(6), pauses_s=(0.0,))
    for number in range(6):
        assert schedule.next(0.0) == number
        assert schedule.ended(number, 0.0, failed=True)
    assert schedule.next(0.0) == 0
    assert schedule.ended(0, 0.0, failed=True)
    for number in range(1, 6):
        assert schedule.next(0.0) == number
        assert not schedule.ended(number, 0.0, failed=False)
    went_on = []
    while schedule.next(0.0) == 0:
        went_on.append(schedule.ended(0, 0.0, failed=True))
    assert went_on == [True, True, True, False], "four of nine had failed, then five of ten"


def test_at_most_eight_rounds_however_well_the_others_fare() -> None:
    schedule = scheduled(a_plan(40), pauses_s=(0.0,), in_a_row=100)
    asked = 0
    while (found := schedule.next(0.0)) is not None:
        assert not isinstance(found, float)
        asked += found == 0
        schedule.ended(found, 0.0, failed=found == 0 or schedule.round_of(found) == 0)
    assert asked == 8


def test_a_later_round_may_be_over_before_an_earlier_one() -> None:
    schedule = scheduled(a_plan(2), rounds=3, pauses_s=(5.0, 1.0))
    assert [schedule.next(0.0), schedule.next(0.0)] == [0, 1]
    schedule.ended(0, 0.0, failed=True)
    assert schedule.next(5.0) == 0
    schedule.ended(1, 5.0, failed=True)
    schedule.ended(0, 5.0, failed=True)
    assert [schedule.next(10.0), schedule.next(10.0)] == [0, 1]


def test_what_would_only_fail_again_is_not_asked_again() -> None:
    schedule = scheduled(a_plan(1))
    assert schedule.next(0.0) == 0
    assert not schedule.ended(0, 0.0, failed=True, again=False)
    assert schedule.next(1000.0) is None


def test_a_last_pause_serves_all_rounds_after_it() -> None:
    schedule = scheduled(a_plan(1), rounds=4, pauses_s=(1.0, 2.0))
    for pause_s in (1.0, 2.0, 2.0):
        assert schedule.next(0.0) == 0
        assert schedule.ended(0, -10.0, failed=True)
        assert schedule.next(-10.0) == pause_s


def test_failures_in_a_row_break_it_off_and_one_answer_begins_the_count_anew() -> None:
    schedule = scheduled(a_plan(10), in_a_row=3)
    for number, failed in enumerate([True, True, False, True, True]):
        assert schedule.next(0.0) == number
        schedule.ended(number, 0.0, failed=failed)
        assert not schedule.broken
    schedule.ended(5, 0.0, failed=True, again=False)
    assert schedule.broken


def test_rows_that_fail_for_good_do_not_break_off_their_own_last_rounds() -> None:
    schedule = scheduled(a_plan(30), in_a_row=3)
    now_s = 0.0
    for number in range(30):
        assert schedule.next(now_s) == number
        schedule.ended(number, now_s, failed=number % 2 == 0)
    while (found := schedule.next(now_s)) is not None:
        if type(found) is float:
            now_s += found
        else:
            schedule.ended(int(found), now_s, failed=True)
        assert not schedule.broken


@pytest.mark.parametrize(
    ("limiter", "concurrency", "calls"),
    [(4, None, 16), (100, None, MAX_OPEN), (4, 8, 8), (4, 100, 16), (1000, 5000, MOST_OPEN), (0, None, 1)],
)
def test_the_window_follows_the_limiter(limiter: int, concurrency: int | None, calls: int) -> None:
    assert window(limiter, concurrency) == calls


def test_more_calls_exist_than_run_where_the_limiter_keeps_to_the_number() -> None:
    assert window(64, 64, gated=True) == 96
    assert window(4, 64, gated=True) == 16
    assert window(64, 64, per_slot=1, gated=True) == 64


def test_an_item_may_be_anything_that_knows_its_trial() -> None:
    plan = a_plan(2)
    order: Schedule[str] = Schedule(["b", "a"], {"a": plan.trial(0), "b": plan.trial(1)}.__getitem__)
    assert [order.next(0.0), order.next(0.0)] == ["a", "b"]
    assert isinstance(plan.trial(0), Trial)


def test_one_that_is_given_back_is_the_next_one_and_leads_when_it_is_asked() -> None:
    schedule = scheduled(a_plan(2), begins="a")
    assert schedule.next(0.0) == 0
    schedule.back(0)
    assert schedule.next(100.0) == 0
    assert schedule.next(100.0) == WAIT_S


def test_one_that_is_given_back_when_its_answer_had_begun_is_the_next_again() -> None:
    schedule = scheduled(a_plan(2), begins="a")
    assert schedule.next(0.0) == 0
    schedule.answering(0, 0.0)
    schedule.back(0)
    assert schedule.next(BUILD_S) == 0
