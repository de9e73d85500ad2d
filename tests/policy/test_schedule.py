"""Which trial is asked next: the same inputs in every setting, what begins alike after its first, what failed at the end."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_magic.policy.schedule import (
    MAX_OPEN,
    MOST_OPEN,
    WARM_S,
    Schedule,
    SchedulePolicy,
    beginnings,
    window,
)
from deepseek_magic.protocol.experiments.plan import Plan, Trial

LONG = "You are a patient teacher of physics who explains every step and never skips one. " * 5


def a_plan(rows: int = 3, repeats: int = 1, **grid: Any) -> Plan:
    prompt = grid.pop("prompt", "Say {n}")
    return Plan.of(prompt, rows=[{"n": n} for n in range(rows)], grid=grid, repeats=repeats)


def scheduled(plan: Plan, **policy: Any) -> Schedule[int]:
    return Schedule(range(len(plan)), plan.trial, beginnings(plan), policy=SchedulePolicy(**policy))


def all_asked(schedule: Schedule[int], now_s: float = 0.0) -> list[int]:
    """The items as they come when each is answered at once."""
    found = []
    while isinstance(item := schedule.next(now_s), int):
        found.append(item)
        assert not schedule.ended(item, now_s, failed=False)
    assert item is None
    return found


@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_each_trial_comes_once_and_whenever_it_is_stopped_all_settings_have_the_same_inputs(
    rows: int, repeats: int, settings: int, long: bool
) -> None:
    plan = a_plan(rows, repeats, seed=range(settings), prompt=LONG * long + "{n}")
    asked = all_asked(scheduled(plan))
    assert sorted(asked) == list(range(len(plan)))
    for stop in range(len(asked) + 1):
        seen = Counter(plan.trial(number).setting for number in asked[:stop])
        counts = [seen[setting] for setting in range(settings)]
        assert max(counts) - min(counts) <= 1


def test_repeats_come_after_all_inputs() -> None:
    plan = a_plan(2, 2, seed=[1, 2])
    places = [(t.repeat, t.row, t.setting) for t in map(plan.trial, all_asked(scheduled(plan)))]
    assert places == [(r, i, s) for r in range(2) for i in range(2) for s in range(2)]


def test_settings_that_begin_alike_are_asked_one_after_the_other_and_one_of_them_first() -> None:
    plan = a_plan(2, seed=[1, 2], system={"a": f"a {LONG}", "b": f"b {LONG}"})
    names = [
        (t.row, plan.settings[t.setting].names["system"], plan.settings[t.setting].names["seed"])
        for t in map(plan.trial, all_asked(scheduled(plan)))
    ]
    assert names[:2] == [(0, "a", "1"), (0, "b", "1")]
    assert names[2:] == [(0, "a", "2"), (0, "b", "2"), *((1, s, n) for s in "ab" for n in "12")]


def test_what_begins_alike_waits_for_its_first_answer_but_not_for_ever() -> None:
    plan = a_plan(3, prompt=LONG + "{n}")
    schedule = scheduled(plan)
    assert schedule.next(100.0) == 0
    assert schedule.next(101.0) == WARM_S - 1
    schedule.answering(0)
    assert schedule.next(101.0) == 1

    schedule = scheduled(plan)
    assert schedule.next(100.0) == 0
    assert schedule.next(100.0 + WARM_S) == 1

    schedule = scheduled(plan)
    assert schedule.next(0.0) == 0
    schedule.ended(0, 1.0, failed=True)
    assert schedule.next(1.0) == 1


def test_each_group_waits_for_its_own_first() -> None:
    schedule = scheduled(a_plan(2, system={"a": f"a {LONG}", "b": f"b {LONG}"}))
    assert [schedule.next(0.0), schedule.next(5.0)] == [0, 2]
    assert schedule.next(WARM_S) == 1
    assert schedule.next(WARM_S) == 5.0


def test_what_is_short_or_asked_once_waits_for_nothing() -> None:
    for plan in (a_plan(3), a_plan(1, prompt=LONG), a_plan(1, system=[f"{n} {LONG}" for n in range(3)])):
        schedule = scheduled(plan)
        assert [schedule.next(0.0) for _ in range(len(plan))] == list(range(len(plan)))
        assert schedule.next(0.0) is None


def test_only_what_the_host_can_keep_makes_a_group() -> None:
    def groups(**grid: Any) -> int:
        return len(set(beginnings(a_plan(**grid))) - {None})

    assert groups(prompt=LONG + "{n}", temperature=[0, 1], max_tokens=[5, 6]) == 1
    assert groups(prompt=LONG + "{n}", model=["flash", "pro"]) == 2
    assert groups(prompt=LONG + "{n}", think=["off", "high"]) == 2
    assert groups(prompt={"a": LONG + "{n} a", "b": LONG + "{n} b"}) == 1
    assert groups(prompt={"a": "{n}" + LONG, "b": "{other}" + LONG}) == 1, "what no column fills is the same for all"
    assert groups(system=["{n} " + LONG]) == 0
    assert groups(system=[LONG], prompt={"a": "x {n}", "b": "y {n}"}) == 2
    assert groups(prompt="{n}") == 0


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


def test_an_item_may_be_anything_that_knows_its_trial() -> None:
    plan = a_plan(2)
    order: Schedule[str] = Schedule(["b", "a"], {"a": plan.trial(0), "b": plan.trial(1)}.__getitem__, beginnings(plan))
    assert [order.next(0.0), order.next(0.0)] == ["a", "b"]
    assert isinstance(plan.trial(0), Trial)


def test_one_that_is_given_back_is_the_next_one_and_warms_its_group_when_it_is_asked() -> None:
    schedule = scheduled(a_plan(2, seed=[1, 2], prompt=LONG + "{n}"))
    first = schedule.next(0.0)
    assert isinstance(first, int)
    schedule.back(first)
    assert schedule.next(100.0) == first
    assert schedule.next(100.0) == WARM_S


def test_one_that_is_given_back_when_its_answer_had_begun_is_the_next_again() -> None:
    plan = a_plan(2)
    order = Schedule([*range(len(plan))], plan.trial, beginnings(plan))
    first = order.next(0.0)
    assert isinstance(first, int)
    order.answering(first)
    order.back(first)
    assert order.next(0.0) == first
