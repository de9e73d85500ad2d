"""Whether a session may afford one more call: what is spent, what calls under way may still cost, and what this one may.

A cap is in US dollars; what the demo server answers is counted apart, in its play money. The costs are those of the
price table, the most that a call may cost is its estimate with nothing cached and the longest answer: a promise about the
budget, not about DeepSeek's invoice. What has no known price cannot be counted; that is said, and nothing is guessed.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from ..protocol.errors import BudgetExceeded
from ..text.messages import Message
from .pricing import PLAY_MONEY

CURRENCY: Final = "USD"
COUNTED: Final = (CURRENCY, PLAY_MONEY)
"""Each has the whole cap to itself: who tries things out on the demo has spent nothing."""

SIGNIFICANT_DIGITS: Final = 3
CENT_DIGITS: Final = 2


def refusal(
    cap: Decimal, *, spent: Decimal, held: Decimal, most: Decimal, unknown_calls: int, begun: bool = False
) -> BudgetExceeded | None:
    """The error for a call that may cost ``most``, when that could be over ``cap``; None when the call may be sent.

    ``held`` is what other calls under way may still cost. ``unknown_calls`` are those whose cost nobody knows: they are
    not counted and named in the error. ``begun``: a part of the call was sent, and ``most`` has its cost, too.
    """
    if spent + held + most <= cap:
        return None
    amount: Message | str = dollars(spent)
    if unknown_calls:
        amount = Message("{amount} and {count} of unknown cost", amount=amount, count=f"{unknown_calls:,}")
    if held:
        sums = Message("spent {spent} + up to {held} for calls under way + up to {most} for this call")
        sums = sums.filled(spent=amount, held=dollars(held), most=dollars(most))
    else:
        sums = Message("spent {spent} + up to {most} for this call", spent=amount, most=dollars(most))
    said = Message("Over the budget, so nothing was sent: {sum} > {cap}.")
    if begun:
        said = Message("Over the budget, so the answer was not continued: {sum} > {cap}.")
    return BudgetExceeded(
        said.filled(sum=sums, cap=dollars(cap)),
        hint=Message("A lower --max-tokens makes the call cheaper, a higher --budget allows it."),
        cap=cap,
        spent=spent,
        held=held,
        most=most,
    )


def dollars(amount: Decimal) -> str:
    """An amount with at least its cents, and as many digits below as three significant ones need."""
    below = max(CENT_DIGITS, SIGNIFICANT_DIGITS - 1 - amount.adjusted()) if amount else CENT_DIGITS
    text = f"{amount:,.{below}f}"
    whole, _, fraction = text.partition(".")
    return f"${whole}.{fraction.rstrip('0').ljust(CENT_DIGITS, '0')}"


def may_come(error: BudgetExceeded) -> bool:
    """Whether the call may still be allowed once others have ended and have cost less than they might have."""
    return error.spent + error.most <= error.cap
