"""What all requests of a plan would take together: at least, as expected, at most, and at DeepSeek's other tariff.

What one call may cost at most is the right question for a budget; asked of a thousand, it is a hundred times what they will
cost. So a plan is also told what to expect, by the length of earlier answers.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple

from ..protocol.chat import Request
from ..protocol.experiments.outlook import CostRange, OffPeak, Outlook
from ..protocol.measured import Cost
from ..text.messages import Message
from .budget import CURRENCY
from .estimates import TEMPLATE_TOKENS, prompt_tokens, tokens_at_most
from .pricing import MILLION, PRICES, Price, PriceTable, is_peak, next_tariff

SPREAD: Final = Decimal("1.5")
"""Real counts of a prompt differ from the rule of thumb; over all of a plan by less than this factor, either way."""


class Usual(NamedTuple):
    """The median of ``n`` earlier answers' completion tokens."""

    tokens: int
    n: int


def usual_lengths(answers: Iterable[tuple[str, str | None, int | None]]) -> dict[tuple[str, str | None], Usual]:
    """By model and thinking setting how long answers usually are, from (model, think, completion tokens) of earlier ones."""
    found: dict[tuple[str, str | None], list[int]] = defaultdict(list)
    for model, think, tokens in answers:
        if tokens is not None:
            found[model, think].append(tokens)
    return {key: Usual(round(statistics.median(counts)), len(counts)) for key, counts in found.items()}


class PlannedRequest(NamedTuple):
    """A request of a plan and how often it is sent; ``price_list``: the endpoint's name in the price table.

    ``quoted``: as many tokens as the answers of others that its prompt will hold may have, at most and as expected.
    """

    request: Request
    price_list: str
    calls: int = 1
    continuations: int = 0
    quoted: tuple[int, int | None] = (0, 0)


@dataclass(slots=True)
class _Tokens:
    """Of all calls to one model: as few as can be, as expected, and as many as can be."""

    calls: int = 0
    least_prompt: Decimal = Decimal(0)
    prompt: int = 0
    most_prompt: Decimal = Decimal(0)
    most_answer: int = 0
    answer: int | None = 0


def outlook(
    requests: Iterable[PlannedRequest],
    usual: Mapping[tuple[str, str | None], Usual],
    at: datetime,
    *,
    prices: PriceTable = PRICES,
    reused: int = 0,
    shared: int = 0,
    visible: float | None = None,
    waits_s: float | None = None,
    notices: Iterable[Message | str] = (),
) -> Outlook:
    """What all of a plan's calls would take if they were sent at ``at`` (with a time zone).

    ``waits_s``: of a plan that waits for the half tariff, how long that is. The other arguments are passed on. Where no answer of a model and thinking setting is known, nothing is expected.
    """
    by_model: dict[tuple[str, str], _Tokens] = defaultdict(_Tokens)
    learnt: dict[tuple[str, str | None], int] = {}
    for planned in requests:
        request, model = planned.request, planned.request.model
        prompt = prompt_tokens(request.messages)
        sent, longest = tokens_at_most(request, prompt, planned.continuations)
        tokens, times = by_model[model, planned.price_list], planned.calls
        tokens.calls += times
        tokens.least_prompt += times * prompt / SPREAD
        at_most, expected = planned.quoted
        tokens.prompt += times * (prompt + (expected or 0))
        tokens.most_prompt += times * ((sent + at_most) * SPREAD + TEMPLATE_TOKENS * (1 + planned.continuations))
        tokens.most_answer += times * longest
        key = (model, request.options.get("think"))
        known = usual.get(key)
        if known is None or tokens.answer is None or expected is None:
            tokens.answer = None
        else:
            learnt[key] = known.n
            tokens.answer += times * min(known.tokens, longest)
    peak = is_peak(at, prices.holidays)
    priced = {key: prices.price_of(key[0], at, endpoint=key[1]) for key in by_model}
    two_tariffs = any(price is not None and price.peak_factor != 1 for price in priced.values())
    unpriced = sum(by_model[key].calls for key, price in priced.items() if _unknown(price, peak))
    ranges = [
        _range([(by_model[key], price) for key, price in priced.items()], peak=tariff) for tariff in (peak, not peak)
    ]
    return Outlook(
        calls=sum(tokens.calls for tokens in by_model.values()),
        reused=reused,
        shared=shared,
        cost=ranges[0],
        other=ranges[1] if two_tariffs and peak is not None else None,
        peak=peak,
        unpriced=unpriced,
        earlier=sum(learnt.values()),
        visible=visible,
        off_peak=None if waits_s is None else OffPeak(waits_s, at, next_tariff(at, prices.holidays, peak=True)),
        notices=tuple(notices),
    )


def _unknown(price: Price | None, peak: bool | None) -> bool:
    return price is None or (peak is None and price.peak_factor != 1)


def _range(priced: Iterable[tuple[_Tokens, Price | None]], *, peak: bool | None) -> CostRange:
    """The sums at a tariff over the calls whose price is known; without amounts where none is, or in several currencies."""
    least = expected = most = Decimal(0)
    told, first, knows_expected, unknown = set[str](), None, True, 0
    for tokens, price in priced:
        if price is None or _unknown(price, peak):
            unknown += 1
            continue
        factor = (price.peak_factor if peak else 1) / MILLION
        least += tokens.least_prompt * price.cache_hit * factor
        most += (tokens.most_prompt * price.cache_miss + tokens.most_answer * price.output) * factor
        if tokens.answer is None:
            knows_expected = False
        else:
            expected += (tokens.prompt * price.cache_miss + tokens.answer * price.output) * factor
        told.add(price.currency)
        first = price.first
    if len(told) > 1 or (unknown and not told):
        return CostRange()
    currency = told.pop() if told else CURRENCY

    def cost(amount: Decimal) -> Cost:
        return Cost(amount=amount, currency=currency, peak=peak, price_date=first)

    return CostRange(least=cost(least), expected=cost(expected) if knows_expected else None, most=cost(most))
