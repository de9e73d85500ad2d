"""What an answer costs: the price list's own examples, the peak hours, and everything that makes it unknown."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_magic.policy.pricing import (
    HOLIDAYS,
    PRICES,
    Cost,
    Price,
    estimate_tokens,
    is_peak,
    next_tariff,
    total,
)
from deepseek_magic.protocol.events import Usage

BEIJING = timezone(timedelta(hours=8))
SATURDAY = datetime(2026, 11, 21, 10, tzinfo=BEIJING)
MONDAY_PEAK = datetime(2026, 11, 23, 10, tzinfo=BEIJING)
MILLION_EACH = Usage(
    prompt_tokens=2_000_000, completion_tokens=1_000_000, cache_hit_tokens=1_000_000, cache_miss_tokens=1_000_000
)
PRICE_LIST = [  # model, currency, cache hit, cache miss, output: off-peak, per million tokens
    ("deepseek-flash", "USD", "0.003", "0.15", "0.60"),
    ("deepseek-flash", "CNY", "0.02", "1", "4"),
    ("deepseek-v4-pro", "USD", "0.022", "0.66", "1.98"),
    ("deepseek-v4-pro", "CNY", "0.15", "4.5", "13.5"),
]


def amount(cost: Cost | None) -> Decimal:
    assert cost is not None
    return cost.amount


@pytest.mark.parametrize(("model", "currency", "hit", "miss", "output"), PRICE_LIST)
def test_a_million_tokens_of_each_kind_cost_what_the_list_says_and_twice_that_at_peak(
    model: str, currency: str, hit: str, miss: str, output: str
) -> None:
    off_peak = PRICES.in_currency(currency).cost_of(model, MILLION_EACH, SATURDAY)
    assert off_peak is not None
    assert off_peak.amount == Decimal(hit) + Decimal(miss) + Decimal(output)
    assert (off_peak.currency, off_peak.peak, off_peak.estimated) == (currency, False, False)
    peak = PRICES.in_currency(currency).cost_of(model, MILLION_EACH, MONDAY_PEAK)
    assert peak is not None
    assert peak.amount == 2 * off_peak.amount
    assert peak.peak is True


def test_reasoning_is_billed_once_as_output() -> None:
    plain = Usage(prompt_tokens=0, completion_tokens=1000, cache_hit_tokens=0, cache_miss_tokens=0)
    thought = Usage(
        prompt_tokens=0, completion_tokens=1000, reasoning_tokens=900, cache_hit_tokens=0, cache_miss_tokens=0
    )
    assert PRICES.cost_of("deepseek-flash", plain, SATURDAY) == PRICES.cost_of("deepseek-flash", thought, SATURDAY)


@pytest.mark.parametrize(
    ("hour", "minute", "peak"),
    [
        (8, 59, False),
        (9, 0, True),
        (11, 59, True),
        (12, 0, False),
        (13, 59, False),
        (14, 0, True),
        (17, 59, True),
        (18, 0, False),
        (0, 0, False),
    ],
)
def test_peak_is_beijings_working_time_and_its_end_is_not_part_of_it(hour: int, minute: int, peak: bool) -> None:
    there = datetime(2026, 11, 23, hour, minute, tzinfo=BEIJING)
    assert is_peak(there) is peak
    assert is_peak(there.astimezone(UTC)) is peak


@pytest.mark.parametrize(
    ("at", "ends", "begins"),
    [
        (datetime(2026, 11, 23, 10, 30), datetime(2026, 11, 23, 12), datetime(2026, 11, 23, 10, 30)),
        (datetime(2026, 11, 23, 12, 59), datetime(2026, 11, 23, 12, 59), datetime(2026, 11, 23, 14)),
        (datetime(2026, 11, 23, 17, 59, 59), datetime(2026, 11, 23, 18), datetime(2026, 11, 23, 17, 59, 59)),
        (datetime(2026, 11, 23, 23, 30), datetime(2026, 11, 23, 23, 30), datetime(2026, 11, 24, 9)),
        (datetime(2026, 11, 27, 18), datetime(2026, 11, 27, 18), datetime(2026, 11, 30, 9)),  # over a weekend
        (datetime(2026, 9, 30, 20), datetime(2026, 9, 30, 20), datetime(2026, 10, 8, 9)),  # over National Day
        (datetime(2027, 2, 10, 10), datetime(2027, 2, 10, 12), datetime(2027, 2, 10, 10)),  # nobody knows: as at peak
        (datetime(2026, 12, 31, 18), datetime(2026, 12, 31, 18), datetime(2027, 1, 1, 9)),
    ],
)
def test_the_half_tariff_and_the_peak_begin_at_these_moments(at: datetime, ends: datetime, begins: datetime) -> None:
    for zone in (BEIJING, UTC, timezone(timedelta(hours=-11, minutes=-30))):
        there = at.replace(tzinfo=BEIJING).astimezone(zone)
        assert next_tariff(there, peak=False) == ends.replace(tzinfo=BEIJING)
        assert next_tariff(there, peak=True) == begins.replace(tzinfo=BEIJING)


@pytest.mark.parametrize("day", [date(2026, 10, 1), date(2026, 10, 7), date(2026, 9, 25)])
def test_a_public_holiday_is_never_peak(day: date) -> None:
    assert is_peak(datetime(day.year, day.month, day.day, 10, tzinfo=BEIJING)) is False


@pytest.mark.parametrize("day", [date(2026, 10, 10), date(2026, 9, 20), date(2026, 11, 22)])
def test_a_weekend_is_never_peak_even_where_the_holiday_is_made_up_for(day: date) -> None:
    assert is_peak(datetime(day.year, day.month, day.day, 10, tzinfo=BEIJING)) is False


def test_the_holidays_of_2026_are_those_of_the_notice() -> None:
    assert len(HOLIDAYS[2026]) == 3 + 9 + 3 + 5 + 3 + 3 + 7
    first_days = {date(2026, 1, 1), date(2026, 2, 15), date(2026, 4, 4), date(2026, 5, 1), date(2026, 6, 19)}
    assert first_days <= HOLIDAYS[2026]


def test_a_working_day_of_a_year_without_a_calendar_is_unknown_and_its_nights_are_not() -> None:
    assert is_peak(datetime(2027, 2, 10, 10, tzinfo=BEIJING)) is None
    assert is_peak(datetime(2027, 2, 10, 20, tzinfo=BEIJING)) is False


@pytest.mark.parametrize(
    ("model", "at"),
    [
        ("gpt-oss", SATURDAY),
        ("deepseek/deepseek-v4.1-flash", SATURDAY),
        ("deepseek-flash", datetime(2026, 9, 9, 20, tzinfo=BEIJING)),
        ("deepseek-flash", datetime(2027, 1, 1, 20, tzinfo=BEIJING)),
        ("deepseek-flash", datetime(2025, 1, 1, tzinfo=UTC)),
    ],
)
def test_what_is_not_in_the_table_is_unknown(model: str, at: datetime) -> None:
    assert PRICES.cost_of(model, MILLION_EACH, at) is None


def test_a_host_without_any_price_has_none_at_any_time() -> None:
    assert PRICES.price_of("deepseek-flash", SATURDAY, endpoint="nowhere") is None


def test_the_validity_of_a_price_begins_and_ends_by_beijings_calendar() -> None:
    assert PRICES.cost_of("deepseek-flash", MILLION_EACH, datetime(2026, 9, 9, 15, 59, tzinfo=UTC)) is None
    assert PRICES.cost_of("deepseek-flash", MILLION_EACH, datetime(2026, 9, 9, 16, 0, tzinfo=UTC)) is not None


@pytest.mark.parametrize("usage", [Usage(), Usage(prompt_tokens=5), Usage(completion_tokens=5)])
def test_unknown_tokens_cost_an_unknown_amount(usage: Usage) -> None:
    assert PRICES.cost_of("deepseek-flash", usage, SATURDAY) is None


def test_a_prompt_whose_cache_hits_were_not_told_costs_at_most_a_missed_one() -> None:
    cost = PRICES.cost_of("deepseek-flash", Usage(prompt_tokens=1_000_000, completion_tokens=0), SATURDAY)
    assert cost is not None
    assert (cost.amount, cost.estimated) == (Decimal("0.15"), True)


def test_retired_names_cost_what_serves_them() -> None:
    assert PRICES.cost_of("deepseek-reasoner", MILLION_EACH, SATURDAY) == PRICES.cost_of(
        "deepseek-flash", MILLION_EACH, SATURDAY
    )


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        PRICES.cost_of("deepseek-flash", MILLION_EACH, datetime(2026, 11, 21))


def test_a_user_adds_prices_and_the_last_one_that_holds_wins() -> None:
    ours = Price(
        model="house-model",
        currency="EUR",
        cache_hit=Decimal(0),
        cache_miss=Decimal(1),
        output=Decimal(2),
        first=date(2020, 1, 1),
    )
    dearer = Price(
        model="house-model",
        currency="EUR",
        cache_hit=Decimal(0),
        cache_miss=Decimal(1),
        output=Decimal(3),
        first=date(2026, 1, 1),
        last=date(2026, 12, 31),
    )
    table = PRICES.with_prices(ours, dearer)
    assert amount(table.cost_of("house-model", MILLION_EACH, SATURDAY)) == 4
    assert amount(table.cost_of("house-model", MILLION_EACH, datetime(2031, 5, 5, 3, tzinfo=UTC))) == 3
    assert table.cost_of("house-model", MILLION_EACH, datetime(2019, 5, 5, tzinfo=UTC)) is None
    assert PRICES.cost_of("house-model", MILLION_EACH, SATURDAY) is None


def test_a_user_adds_a_years_holidays_and_prices_for_it() -> None:
    next_year = datetime(2027, 2, 10, 10, tzinfo=BEIJING)
    price = PRICES.price_of("deepseek-flash", SATURDAY)
    assert price is not None
    newer = Price(
        model="deepseek-flash",
        currency="USD",
        cache_hit=price.cache_hit,
        cache_miss=price.cache_miss,
        output=price.output,
        peak_factor=Decimal(2),
        first=date(2027, 1, 1),
    )
    table = PRICES.with_prices(newer)
    assert table.cost_of("deepseek-flash", MILLION_EACH, next_year) is None
    working = table.with_holidays(2027, []).cost_of("deepseek-flash", MILLION_EACH, next_year)
    holiday = table.with_holidays(2027, [next_year.date()]).cost_of("deepseek-flash", MILLION_EACH, next_year)
    assert amount(working) == 2 * amount(holiday)


def test_a_sum_with_an_unknown_part_is_unknown() -> None:
    known = PRICES.cost_of("deepseek-flash", MILLION_EACH, SATURDAY)
    assert total([known, None]) is None
    assert total([known, PRICES.in_currency("CNY").cost_of("deepseek-flash", MILLION_EACH, SATURDAY)]) is None
    assert total([]) == Cost(amount=Decimal(0), currency="USD")


def test_a_sum_over_both_tariffs_has_no_tariff_and_one_estimate_makes_it_an_estimate() -> None:
    peak = PRICES.cost_of("deepseek-flash", MILLION_EACH, MONDAY_PEAK)
    off_peak = PRICES.cost_of("deepseek-flash", Usage(prompt_tokens=1, completion_tokens=1), SATURDAY)
    both = total([peak, off_peak])
    assert both is not None
    assert both.peak is None
    assert both.estimated
    assert both.amount == amount(peak) + amount(off_peak)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_no_digit_is_lost(hit: int, miss: int, completion: int) -> None:
    usage = Usage(prompt_tokens=hit + miss, completion_tokens=completion, cache_hit_tokens=hit, cache_miss_tokens=miss)
    micro = 3 * hit + 150 * miss + 600 * completion  # thousandths of a millionth of a dollar
    assert amount(PRICES.cost_of("deepseek-flash", usage, SATURDAY)) * 10**9 == micro


def test_money_reads_well() -> None:
    assert str(Cost(amount=Decimal("0.0001500"), currency="USD")) == "0.00015 USD"
    assert str(Cost(amount=Decimal("120"), currency="CNY", estimated=True)) == "≈ 120 CNY"


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a" * 10, 3), ("你好" * 5, 6), ("你好, world", 4)])
def test_tokens_are_estimated_by_the_rule_of_thumb(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


@pytest.mark.parametrize(
    ("amount", "said"),
    [("0.000241537", "0.000242 USD"), ("12.3456", "12.35 USD"), ("1234.5", "1234.5 USD"), ("0", "0 USD")],
)
def test_a_rounded_cost_has_three_digits_or_cents_and_no_exponent(amount: str, said: str) -> None:
    assert Cost(amount=Decimal(amount), currency="USD").rounded == said
    assert str(Cost(amount=Decimal(amount), currency="USD")) == f"{amount} USD"


def test_costs_are_told_in_the_currency_that_is_asked_for() -> None:
    cost = PRICES.in_currency("CNY").cost_of("deepseek-flash", MILLION_EACH, datetime(2026, 11, 21, 20, tzinfo=UTC))
    assert cost is not None
    assert cost.currency == "CNY"
