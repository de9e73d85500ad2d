"""What a single call costs: at the endpoint that may answer it, from a tape, and with a second request."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from ...engine.several.seen import SEEN
from ...policy.budget import CURRENCY
from ...policy.pricing import PLAY_MONEY
from ...policy.several.hedging import DAY_S, KNOWN_CALLS, allowance
from ...policy.several.nearest import Place, firsts_s, place_at
from ...protocol.experiments.outlook import CostRange, Outlook
from ...protocol.measured import Cost
from ...session.prepared import Prepared


def free(made: Prepared) -> CostRange:
    """What answers of the journal or of a tape cost."""
    nothing = Cost(amount=Decimal(0), currency=PLAY_MONEY if made.endpoint.price_list == "demo" else CURRENCY)
    return CostRange(least=nothing, expected=nothing, most=nothing)


def wherever(places: Sequence[Outlook]) -> Outlook:
    """What one call costs that is sent to one of these, the first of which has its currency."""
    first = places[0]
    alike = [
        each.cost for each in places if each.cost.most and first.cost.most and _alike(each.cost.most, first.cost.most)
    ]
    if len(alike) < len(places):
        return first
    expected = [each.expected for each in alike if each.expected is not None]
    return replace(
        first,
        cost=CostRange(
            least=min((each.least for each in alike if each.least), key=_amount, default=None),
            expected=max(expected, key=_amount) if len(expected) == len(alike) else None,
            most=max((each.most for each in alike if each.most), key=_amount, default=None),
        ),
    )


def _alike(one: Cost, other: Cost) -> bool:
    return one.currency == other.currency


def _amount(cost: Cost) -> Decimal:
    return cost.amount


class SecondRequestCosts:
    """What second requests may cost at most while a notebook runs. Each call gives them a share of its own cost, and they
    spend what was given before; so what the first ones may spend, the later ones may not spend again."""

    def __init__(self) -> None:
        self._given: defaultdict[str, Decimal] = defaultdict(Decimal)
        """What the calls so far cost at most, by currency."""
        self._taken: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._asked: Counter[Place] = Counter()

    def most(self, made: Prepared, dearest: Cost, at: datetime) -> Decimal:
        """What a second request for the next call may cost, which itself costs as much as ``dearest`` at most."""
        share, currency = float(made.options.get("hedge") or 0), dearest.currency
        place = place_at(made.endpoint.base_url, made.request)
        calls, amount = SEEN.calls, Decimal(0)
        known = len(firsts_s(calls, place, since_s=at.timestamp() - DAY_S, last=KNOWN_CALLS)) + self._asked[place]
        if share and known >= KNOWN_CALLS and not made.request.options.get("tools"):
            left = (
                allowance(calls, currency, share) + Decimal(str(share)) * self._given[currency] - self._taken[currency]
            )
            amount = max(Decimal(0), min(dearest.amount, left))
        self._asked[place] += 1
        self._given[currency] += dearest.amount
        self._taken[currency] += amount
        return amount
