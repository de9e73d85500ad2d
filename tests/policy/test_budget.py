"""Whether one more call may be sent, and what is said when it may not."""

from __future__ import annotations

from decimal import Decimal

import pytest

from deepseek_magic.policy.budget import dollars, may_come, refusal
from deepseek_magic.text.language import use


def judged(cap: str, spent: str = "0", held: str = "0", most: str = "0", unknown_calls: int = 0) -> str | None:
    error = refusal(
        Decimal(cap), spent=Decimal(spent), held=Decimal(held), most=Decimal(most), unknown_calls=unknown_calls
    )
    return None if error is None else str(error)


def test_a_call_that_could_go_over_the_budget_is_refused_with_the_arithmetic() -> None:
    said = judged("0.040", spent="0.012", most="0.030")
    assert said is not None
    assert "spent $0.012 + up to $0.03 for this call > $0.04." in said
    assert "nothing was sent" in said
    assert "--max-tokens" in said


def test_a_call_that_fits_to_the_last_cent_is_sent() -> None:
    assert judged("0.042", spent="0.012", most="0.030") is None
    assert judged("0.0419999", spent="0.012", most="0.030") is not None


def test_what_calls_under_way_may_cost_counts_too() -> None:
    assert judged("0.05", spent="0.012", held="0.008", most="0.03") is None
    said = judged("0.05", spent="0.012", held="0.0175", most="0.03")
    assert said is not None
    assert "spent $0.012 + up to $0.0175 for calls under way + up to $0.03 for this call > $0.05" in said


def test_a_budget_of_nothing_allows_what_is_free() -> None:
    assert judged("0") is None
    assert judged("0", most="0.000001") is not None


def test_calls_of_unknown_cost_are_named_and_not_guessed() -> None:
    said = judged("0.01", spent="0.001", most="0.02", unknown_calls=2)
    assert said is not None
    assert "spent $0.001 and 2 of unknown cost + up to $0.02 for this call" in said


def test_the_refusal_is_told_in_chinese_too() -> None:
    error = refusal(Decimal("0.05"), spent=Decimal("0.01"), held=Decimal("0.02"), most=Decimal("0.03"), unknown_calls=2)
    assert error is not None
    use("zh")
    try:
        (said,) = error._render_traceback_()
    finally:
        use("en")
    assert said == (
        "BudgetExceeded: 超出预算，因此没有发送：已花费 $0.01 及 2 次费用未知的调用 + 进行中的调用最多 $0.02"
        " + 本次调用最多 $0.03 > $0.05。减小 --max-tokens 可降低费用，提高 --budget 则允许发送。"
    )


def test_the_error_carries_its_figures() -> None:
    error = refusal(Decimal(1), spent=Decimal("0.5"), held=Decimal("0.25"), most=Decimal("0.75"), unknown_calls=0)
    assert error is not None
    assert (error.cap, error.spent, error.held, error.most) == (1, Decimal("0.5"), Decimal("0.25"), Decimal("0.75"))


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0", "$0.00"),
        ("0.04", "$0.04"),
        ("0.0395", "$0.0395"),
        ("0.012345", "$0.0123"),
        ("0.0000073", "$0.0000073"),
        ("1.5", "$1.50"),
        ("12.345", "$12.34"),
        ("1234.5", "$1,234.50"),
    ],
)
def test_an_amount_is_shown_with_its_cents_and_three_digits(amount: str, shown: str) -> None:
    assert dollars(Decimal(amount)) == shown


def test_an_answer_that_has_begun_is_not_continued_over_the_budget_and_may_be_once_others_end() -> None:
    sums = {"spent": Decimal(1), "held": Decimal(1), "most": Decimal(1), "unknown_calls": 0}
    error = refusal(Decimal(2), **sums, begun=True)  # type: ignore[arg-type]
    assert error is not None
    assert "was not continued" in str(error)
    assert may_come(error)
    never = refusal(Decimal("1.5"), **sums)  # type: ignore[arg-type]
    assert never is not None
    assert not may_come(never)
