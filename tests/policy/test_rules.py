"""What a class allows, and the sentence that refuses the rest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from deepseek_magic.policy.rules import (
    Hours,
    Rules,
    allows,
    applied,
    begins,
    closed,
    never_back,
    opens,
    parse_hours,
    too_large,
    too_many,
    unaffordable,
)
from deepseek_magic.protocol.errors import RuleBroken
from deepseek_magic.protocol.options import Options

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 11, 30, 9, 30, tzinfo=BERLIN)


def hours(*lines: str) -> tuple[Hours, ...]:
    found = tuple(map(parse_hours, lines))
    assert None not in found
    return tuple(line for line in found if line is not None)


@pytest.mark.parametrize(
    ("line", "at", "is_open"),
    [
        ("Mon-Fri 08:00-18:00", MONDAY, True),
        ("Mon-Fri 08:00-09:30", MONDAY, False),  # the last minute is not part of it
        ("Mon-Fri 09:30-09:31", MONDAY, True),
        ("sat,sun 08:00-18:00", MONDAY, False),
        ("Sat-Tue 8:00-18:00", MONDAY, True),  # over the end of a week
        ("Fri-Sun 08:00-18:00", MONDAY, False),
        ("Mon 00:00-24:00", MONDAY.replace(hour=23, minute=59), True),
        ("08:00-10:00", MONDAY, True),
        ("2026-11-30 09:00-11:00", MONDAY, True),
        ("2026-12-01 09:00-11:00", MONDAY, False),
    ],
)
def test_a_class_is_open_in_its_hours(line: str, at: datetime, is_open: bool) -> None:
    assert (closed(Rules(hours=hours(line)), at) is None) is is_open


@pytest.mark.parametrize(
    "line",
    [
        "",
        "always",
        "Mon 08:00",
        "Mon Tue 08:00-09:00",
        "Mon 18:00-08:00",  # a night is two lines
        "Mon 08:00-08:00",
        "Mon 08:60-09:00",
        "Mon 08:00-24:01",
        "Mon 8-9",
        "Mon 08:0-09:00",
        "Mon 08:00-09:00-10:00",
        "Moon 08:00-09:00",
        "Mon-Moon 08:00-09:00",
        "2026-13-01 08:00-09:00",
    ],
)
def test_what_is_no_line_of_hours_is_none(line: str) -> None:
    assert parse_hours(line) is None


def test_a_class_without_hours_never_closes() -> None:
    assert closed(Rules(), MONDAY) is None


def test_a_closed_class_says_when_it_opens_and_whom_to_ask() -> None:
    rules = Rules(name="Physics", contact="ann@example.org", hours=hours("Tue 08:15-09:00", "Wed 07:00-09:00"))
    refused = closed(rules, MONDAY)
    assert refused is not None
    assert refused.rule == "class.hours"
    assert str(refused) == (
        "The class is closed now and opens on 2026-12-01 08:15 (rule class.hours of Physics). "
        "Ask ann@example.org if that is wrong."
    )


def test_where_it_does_not_open_within_a_week_no_time_is_told() -> None:
    rules = Rules(hours=hours("2026-12-24 08:00-09:00"))
    assert opens(rules, MONDAY) is None
    assert str(closed(rules, MONDAY)) == "The class is closed now (rule class.hours of the class)."


def test_what_is_fixed_is_filled_in_and_nothing_else_is_allowed() -> None:
    rules = Rules(fixed=Options(temperature=0, think="off"))
    assert applied(rules, Options()) == Options(temperature=0, think="off")
    assert applied(rules, Options(temperature=0.0)) == Options(temperature=0, think="off")
    with pytest.raises(
        RuleBroken, match=r"temperature is fixed at 0 \(rule fixed\.temperature of the class\)"
    ) as broken:
        applied(rules, Options(temperature=1))
    assert broken.value.rule == "fixed.temperature"
    with pytest.raises(RuleBroken, match="think is fixed at off"):
        applied(rules, Options(think="high"))
    with pytest.raises(RuleBroken, match="temperature is fixed at 0"):
        applied(rules, Options(extra_body={"temperature": 2}))
    assert applied(rules, Options(extra_body={"top_k": 2}))["think"] == "off"


def test_models_are_allowed_by_any_of_their_names_and_the_first_is_the_default() -> None:
    rules = Rules(models=("deepseek-flash", "maker/other"))
    assert applied(rules, Options())["model"] == "deepseek-flash"
    assert applied(rules, Options(model="flash"))["model"] == "flash"
    assert allows(Rules(), "whatever")
    with pytest.raises(RuleBroken, match="pro is not among the models deepseek-flash, maker/other"):
        applied(rules, Options(model="pro"))


def test_a_length_is_filled_in_and_bounded() -> None:
    rules = Rules(max_tokens=100)
    assert applied(rules, Options())["max_tokens"] == 100
    assert applied(rules, Options(max_tokens=99))["max_tokens"] == 99
    with pytest.raises(RuleBroken, match="At most 100 is allowed for max_tokens, not 101"):
        applied(rules, Options(max_tokens=101))


@pytest.mark.parametrize(
    "options", [{"tools": [{"type": "function"}]}, {"extra_body": {"tools": [1]}}, {"extra_body": {"functions": [1]}}]
)
def test_tools_may_be_off_in_whatever_field_they_come(options: dict[str, object]) -> None:
    assert applied(Rules(), Options(**options)) == Options(**options)
    with pytest.raises(RuleBroken, match=r"limits\.tools"):
        applied(Rules(tools=False), Options(**options))
    assert applied(Rules(tools=False), Options()) == Options()


def test_a_sweep_has_a_size() -> None:
    assert too_large(Rules(), 10**6) is None
    assert too_large(Rules(sweep_calls=10), 10) is None
    assert "11 calls, and at most 10" in str(too_large(Rules(sweep_calls=10), 11))


def test_a_student_has_so_many_calls_at_once() -> None:
    assert too_many(Rules(at_once=2), 1) is None
    assert "2 of your calls are under way already (rule limits.at_once" in str(too_many(Rules(at_once=2), 2))


def test_a_day_and_a_week_begin_at_the_midnight_of_the_class() -> None:
    at = datetime(2026, 12, 2, 0, 30, tzinfo=BERLIN)  # 23:30 of the day before in UTC
    assert begins("day", at) == datetime(2026, 12, 2, tzinfo=BERLIN)
    assert begins("week", at) == datetime(2026, 11, 30, tzinfo=BERLIN)
    assert begins("course", at) is None


def test_a_budget_is_of_a_payer_and_a_period_and_is_kept_to_the_last_cent() -> None:
    rules = Rules(name="P", budgets={("student", "day"): Decimal("0.05"), ("class", "course"): Decimal(1)})
    spent = {"day": Decimal("0.02")}
    assert unaffordable(rules, "student", spent=spent, most=Decimal("0.03")) is None  # type: ignore[arg-type]
    assert unaffordable(rules, "class", spent={}, most=Decimal(1)) is None
    refused = unaffordable(rules, "student", spent=spent, most=Decimal("0.031"))  # type: ignore[arg-type]
    assert str(refused) == (
        "The budget of a student for a day does not allow it: $0.02 used + up to $0.031 for this call > $0.05 "
        "(rule budget.student.day of P)."
    )
    refused = unaffordable(rules, "class", spent={"course": Decimal(1)}, most=Decimal("0.000001"))
    assert refused is not None
    assert refused.rule == "budget.class.course"


def test_what_has_no_known_price_fits_no_budget() -> None:
    refused = unaffordable(Rules(budgets={("class", "week"): Decimal(9)}), "class", spent={}, most=None)
    assert refused is not None
    assert "price of this model is not known" in str(refused)


def test_a_clock_that_is_set_back_counts_on_from_where_it_was() -> None:
    latest = datetime(2026, 12, 1, 12, tzinfo=UTC)
    passed = timedelta(minutes=5)
    assert never_back(latest - timedelta(days=1), latest, passed) == latest + passed
    assert never_back(latest + timedelta(days=1), latest, passed) == latest + timedelta(days=1)
