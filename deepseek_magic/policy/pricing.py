"""What an answer costs, by a dated price table; unknown rather than wrong.

Every price has the dates between which it is known to hold, and the calendar of Chinese holidays the years that it
covers. Outside of them, and for models that are not in the table, the cost is None. Decimal arithmetic throughout: the
figure is the one the price list gives, to the last digit. It is no invoice.

Source: api-docs.deepseek.com, quick_start/pricing, read in October 2026.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from ..protocol.events import Usage
from ..protocol.measured import Cost as Cost
from ..protocol.models import resolve_model

PLAY_MONEY: Final = "demo USD"
"""What the demo server's answers would cost if the model that it imitates had written them. Nobody pays it, so it has a
name of its own, and sums by currency keep it apart."""

MILLION: Final = Decimal(1_000_000)
BEIJING: Final = timezone(timedelta(hours=8), "Asia/Shanghai")
"""China has one time zone and no summer time since 1991."""

PEAK_HOURS: Final = (range(9, 12), range(14, 18))
"""09:00-12:00 and 14:00-18:00 in Beijing, Monday to Friday except public holidays; the end is not part of it."""


def _days(month: int, first: int, last: int) -> set[date]:
    return {date(2026, month, day) for day in range(first, last + 1)}


HOLIDAYS: Final[Mapping[int, frozenset[date]]] = MappingProxyType(
    {
        2026: frozenset(
            _days(1, 1, 3)  # New Year
            | _days(2, 15, 23)  # Spring Festival
            | _days(4, 4, 6)  # Qingming
            | _days(5, 1, 5)  # Labour Day
            | _days(6, 19, 21)  # Dragon Boat Festival
            | _days(9, 25, 27)  # Mid-Autumn Festival
            | _days(10, 1, 7)  # National Day
        )
    }
)
"""Public holidays of mainland China by year, from the General Office of the State Council's notice on the holidays of
2026 (4 November 2025). Its make-up working days fall on weekends, which the price list never counts as peak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one model costs per million tokens, off-peak, between two dates (Beijing's, both included).

    At peak it is ``peak_factor`` times that; 1 for hosts without a peak. ``last`` None: until it is replaced.
    ``endpoint`` is the name of the one that asks this price; "custom" is any base URL that has no name.
    """

    model: str
    endpoint: str = "deepseek"
    currency: str
    cache_hit: Decimal
    cache_miss: Decimal
    output: Decimal
    peak_factor: Decimal = Decimal(1)
    first: date
    last: date | None = None
    source: str = ""

    def holds_on(self, day: date) -> bool:
        """Whether this price is known to hold on a day."""
        return self.first <= day and (self.last is None or day <= self.last)


def is_peak(at: datetime, holidays: Mapping[int, frozenset[date]] = HOLIDAYS) -> bool | None:
    """Whether ``at`` (with a time zone) lies in peak hours; None for a year whose holidays are not known.

    A weekend is never peak, in any year. Raises ValueError for a time without zone.
    """
    there = _in_beijing(at)
    if there.weekday() >= 5 or not any(there.hour in hours for hours in PEAK_HOURS):
        return False
    days = holidays.get(there.year)
    return None if days is None else there.date() not in days


def next_tariff(at: datetime, holidays: Mapping[int, frozenset[date]] = HOLIDAYS, *, peak: bool) -> datetime:
    """The first moment from ``at`` (with a time zone) on at which it is peak, or else is not; Beijing's time.

    Hours of which nobody knows, in a year whose holidays are not known, count as peak: who waits for the half tariff must
    not be surprised.
    """
    there = _in_beijing(at)
    bounds = sorted(hour for hours in PEAK_HOURS for hour in (hours.start, hours.stop))
    while (is_peak(there, holidays) is not False) is not peak:
        whole = there.replace(minute=0, second=0, microsecond=0)
        later = [hour for hour in bounds if hour > there.hour]
        there = whole.replace(hour=later[0]) if later else whole.replace(hour=bounds[0]) + timedelta(days=1)
    return there


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTable:
    """Prices and the holidays they depend on. ``PRICES.with_prices(...)`` makes one that knows more.

    Where an endpoint asks several currencies for a model, costs are given in ``currency``, else in the one there is.
    """

    prices: tuple[Price, ...]
    holidays: Mapping[int, frozenset[date]] = field(default_factory=lambda: HOLIDAYS)
    currency: str = "USD"

    def with_prices(self, *prices: Price) -> PriceTable:
        """This table with more prices; where two hold, the one that was added last is taken."""
        return replace(self, prices=(*self.prices, *prices))

    def with_holidays(self, year: int, days: Iterable[date]) -> PriceTable:
        """This table with the public holidays of one more year."""
        return replace(self, holidays={**self.holidays, year: frozenset(days)})

    def in_currency(self, currency: str) -> PriceTable:
        """This table, telling costs in ``currency`` wherever it has a price in that."""
        return replace(self, currency=currency)

    def price_of(self, model: str, at: datetime, *, endpoint: str = "deepseek") -> Price | None:
        """The price of a model at a time; None when it is not known. Retired names are billed as what serves them."""
        named = [p for p in self.prices if p.endpoint == endpoint]
        if not named:
            return None
        day = _in_beijing(at).date()
        here = [p for p in named if p.holds_on(day)]
        known = [p for p in here if p.model == model]
        if here and not known:
            served_by = resolve_model(model).id
            known = [p for p in here if p.model == served_by]
        found = [p for p in known if p.currency == self.currency] or known
        return found[-1] if found else None

    def cost_of(self, model: str, usage: Usage, at: datetime, *, endpoint: str = "deepseek") -> Cost | None:
        """What these tokens cost at this time; None when model, date, tariff or token counts are unknown.

        Reasoning is part of the completion tokens and billed as output. Where the host did not tell cache hits from
        misses, all of the prompt counts as missed and the cost is marked as estimated: it is at most that.
        """
        price = self.price_of(model, at, endpoint=endpoint)
        prompt, completion = usage.prompt_tokens, usage.completion_tokens
        if price is None or completion is None:
            return None
        peak = is_peak(at, self.holidays) if price.peak_factor != 1 else False
        if peak is None:
            return None
        hit, miss = usage.cache_hit_tokens, usage.cache_miss_tokens
        told = hit is not None and miss is not None
        if hit is None or miss is None:
            if prompt is None:
                return None
            hit, miss = 0, prompt
        tokens = hit * price.cache_hit + miss * price.cache_miss + completion * price.output
        return Cost(
            amount=tokens * (price.peak_factor if peak else 1) / MILLION,
            currency=price.currency,
            peak=peak,
            price_date=price.first,
            estimated=usage.estimated or not told,
        )


def total(costs: Iterable[Cost | None], currency: str = "USD") -> Cost | None:
    """The sum of costs; None as soon as one of them is unknown or in another currency. No costs are a measured zero."""
    costs = list(costs)
    known = [cost for cost in costs if cost is not None and cost.currency == currency]
    if len(known) < len(costs):
        return None
    peaks, dates = {cost.peak for cost in known}, {cost.price_date for cost in known}
    return Cost(
        amount=sum((cost.amount for cost in known), Decimal(0)),
        currency=currency,
        peak=peaks.pop() if len(peaks) == 1 else None,
        price_date=dates.pop() if len(dates) == 1 else None,
        estimated=any(cost.estimated for cost in known),
    )


def _in_beijing(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("a price needs a time with a zone: use datetime.now(UTC)")
    return at.astimezone(BEIJING)


def _deepseek(model: str, currency: str, cache_hit: str, cache_miss: str, output: str, first: date) -> Price:
    return Price(
        model=model,
        currency=currency,
        cache_hit=Decimal(cache_hit),
        cache_miss=Decimal(cache_miss),
        output=Decimal(output),
        peak_factor=Decimal(2),
        first=first,
        last=date(2026, 12, 31),  # no further than the holidays are known
        source="https://api-docs.deepseek.com/quick_start/pricing",
    )


_FLASH_SINCE: Final = date(2026, 9, 10)
_PRO_SINCE: Final = date(2026, 9, 22)
"""The first day on which the price is attested, not the day on which it was set."""

_DEEPSEEKS: Final = (
    _deepseek("deepseek-flash", "USD", "0.003", "0.15", "0.60", _FLASH_SINCE),
    _deepseek("deepseek-flash", "CNY", "0.02", "1", "4", _FLASH_SINCE),
    _deepseek("deepseek-v4-pro", "USD", "0.022", "0.66", "1.98", _PRO_SINCE),
    _deepseek("deepseek-v4-pro", "CNY", "0.15", "4.5", "13.5", _PRO_SINCE),
)
_DEMO: Final = tuple(
    replace(price, endpoint="demo", currency=PLAY_MONEY) for price in _DEEPSEEKS if price.currency == "USD"
)

PRICES: Final = PriceTable(prices=(*_DEEPSEEKS, *_DEMO))
"""DeepSeek's own prices, and the demo's. Those of other hosts are not kept here: users add them by ``with_prices``."""

_CHINESE_CHARS: Final = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff]")
TOKENS_PER_CHAR: Final = 0.3
TOKENS_PER_CHINESE_CHAR: Final = 0.6


def count_chinese(text: str) -> int:
    """How many of its characters are Chinese, punctuation included."""
    return len(_CHINESE_CHARS.findall(text))


def estimate_tokens(text: str) -> int:
    """About how many tokens a text has: an estimate, never a count.

    DeepSeek's rule of thumb (page "token usage"): 0.3 for an English character, 0.6 for a Chinese one. Real counts of
    mixed text differ by some 20 %.
    """
    chinese = count_chinese(text)
    return math.ceil(chinese * TOKENS_PER_CHINESE_CHAR + (len(text) - chinese) * TOKENS_PER_CHAR)
