"""What a whole plan would take: sums over its requests, by the tariff of the hour and by the other one."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from deepseek_magic.policy.estimates import TEMPLATE_TOKENS
from deepseek_magic.policy.plan_costs import SPREAD, PlannedRequest, Usual, outlook, usual_lengths
from deepseek_magic.policy.pricing import PRICES
from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.experiments.outlook import CostRange, Outlook

QUIET = datetime(2026, 11, 21, 2, tzinfo=UTC)  # a Saturday
PEAK = datetime(2026, 11, 23, 2, tzinfo=UTC)  # a Monday, 10 in the morning in Beijing
UNKNOWN = datetime(2027, 11, 22, 2, tzinfo=UTC)  # a Monday of a year without prices
M = 10**6


def asked(calls: int = 1, *, price_list: str = "deepseek", continuations: int = 0, **options: Any) -> PlannedRequest:
    options.setdefault("max_tokens", 100)
    request = Request.of("x" * 1000, **options)  # 300 tokens by the rule of thumb
    return PlannedRequest(request, price_list, calls, continuations)


def amounts(cost: CostRange) -> tuple[Decimal | None, ...]:
    return tuple(None if each is None else each.amount for each in (cost.least, cost.expected, cost.most))


def test_a_plan_costs_what_all_of_its_calls_cost() -> None:
    usual = {("deepseek-flash", None): Usual(40, 7)}
    made = outlook([asked(10), asked(5)], usual, QUIET, reused=3, shared=2, visible=0.3, notices=["Look."])
    least = 15 * 300 / SPREAD * Decimal("0.003") / M
    expected = 15 * (300 * Decimal("0.15") + 40 * Decimal("0.60")) / M
    most = 15 * ((300 * SPREAD + TEMPLATE_TOKENS) * Decimal("0.15") + 100 * Decimal("0.60")) / M
    assert amounts(made.cost) == (least, expected, most)
    assert made.other is not None
    assert amounts(made.other) == (2 * least, 2 * expected, 2 * most)
    assert (made.calls, made.earlier, made.peak, made.unpriced) == (15, 7, False, 0)
    assert (made.reused, made.shared, made.visible, made.notices) == (3, 2, 0.3, ("Look.",))
    at_peak = outlook([asked(10), asked(5)], usual, PEAK)
    assert (at_peak.cost, at_peak.other, at_peak.peak) == (made.other, made.cost, True)


def test_nothing_is_expected_of_a_setting_that_was_never_asked() -> None:
    usual = {("deepseek-flash", "off"): Usual(40, 7)}
    assert outlook([asked(think="off")], usual, QUIET).cost.expected is not None
    for requests in ([asked(think="off"), asked(think="high")], [asked(), asked(think="off")]):
        made = outlook(requests, usual, QUIET)
        assert made.cost.expected is None
        assert made.cost.least is not None


def test_no_answer_is_expected_to_be_longer_than_its_limit() -> None:
    usual = {("deepseek-flash", None): Usual(4000, 7)}
    assert outlook([asked()], usual, QUIET) == outlook([asked()], {("deepseek-flash", None): Usual(100, 7)}, QUIET)


def test_an_answer_that_is_continued_may_be_longer_and_sends_itself_along() -> None:
    once, twice = outlook([asked()], {}, QUIET), outlook([asked(continuations=1)], {}, QUIET)
    assert once.cost.most is not None
    assert twice.cost.most is not None
    more = (300 + 100) * SPREAD + TEMPLATE_TOKENS
    assert twice.cost.most.amount - once.cost.most.amount == (more * Decimal("0.15") + 100 * Decimal("0.60")) / M


def test_the_answers_that_a_prompt_will_hold_count_as_its_own() -> None:
    usual = {("deepseek-flash", None): Usual(40, 7)}
    plain, quoting = (
        outlook([asked(2)], usual, QUIET).cost,
        outlook([asked(2)._replace(quoted=(500, 60))], usual, QUIET).cost,
    )
    assert None not in (plain.expected, plain.most, quoting.expected, quoting.most)
    assert plain.least == quoting.least
    assert quoting.expected is not None
    assert plain.expected is not None
    assert quoting.expected.amount - plain.expected.amount == 2 * 60 * Decimal("0.15") / M
    assert quoting.most is not None
    assert plain.most is not None
    assert quoting.most.amount - plain.most.amount == 2 * 500 * SPREAD * Decimal("0.15") / M
    assert outlook([asked(2)._replace(quoted=(500, None))], usual, QUIET).cost.expected is None


def test_a_price_that_is_not_known_is_said() -> None:
    made, known = outlook([asked(4), asked(3, model="somebody-else")], {}, QUIET), outlook([asked(4)], {}, QUIET)
    assert (made.cost, made.other, made.unpriced, made.calls) == (known.cost, known.other, 3, 7)
    none = outlook([asked(3, model="somebody-else")], {}, QUIET)
    assert (none.cost, none.other, none.unpriced) == (CostRange(), None, 3)
    assert outlook([asked(2)], {}, UNKNOWN).unpriced == 2


def test_where_the_holidays_of_a_year_are_not_known_at_peak_hours_the_price_is_not() -> None:
    from dataclasses import replace

    later = tuple(replace(price, last=None) for price in PRICES.prices)
    made = outlook([asked(2)], {}, UNKNOWN, prices=replace(PRICES, prices=later))
    assert (made.cost, made.other, made.peak, made.unpriced) == (CostRange(), None, None, 2)


def test_play_money_and_dollars_are_not_added() -> None:
    made = outlook([asked(), asked(price_list="demo")], {}, QUIET)
    assert (made.cost, made.unpriced) == (CostRange(), 0)
    demo = outlook([asked(price_list="demo")], {}, QUIET)
    assert demo.cost.most is not None
    assert demo.cost.most.currency == "demo USD"


def test_a_plan_without_calls_costs_nothing() -> None:
    made = outlook([], {}, QUIET, reused=5)
    assert made == Outlook(calls=0, reused=5, peak=False, cost=made.cost)
    assert amounts(made.cost) == (0, 0, 0)


def test_answers_are_usually_as_long_as_their_median() -> None:
    seen = [("flash", None, 10), ("flash", None, 30), ("flash", None, 500), ("flash", "off", 7), ("pro", None, None)]
    assert usual_lengths(seen) == {("flash", None): Usual(30, 3), ("flash", "off"): Usual(7, 1)}
