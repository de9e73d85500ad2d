"""The second request for an answer: whether it may be sent, and where. How long to wait and what it may cost is decided in
``policy.several.hedging``; here the figures, the free slots and the budget are looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from ...metrics.billing import most_of
from ...policy.estimates import prompt_tokens
from ...policy.several.hedging import allowance, cheapest_first, is_warm, late_after_s, likely_usage, longest_output
from ...policy.several.nearest import place_at
from ...protocol.chat import Request
from ...protocol.errors import BudgetExceeded
from ...protocol.measured import Cost
from ..segment import Terms
from ..stream import Keeper, Stream
from .seen import SEEN, SeenCalls

Leg = tuple[Request, Terms]
"""What one endpoint would be asked, and on which terms."""


class SecondRequests:
    """What may be asked a second time of ``legs``: at most ``share`` of the money is spent on it."""

    def __init__(
        self, legs: Sequence[Leg], share: float, *, keeper: Keeper | None = None, seen: SeenCalls | None = None
    ) -> None:
        self.seen = seen or SEEN
        self._legs = legs
        self._share = share
        self._keeper = keeper
        self._lasting = {terms.endpoint.base_url: terms.recovery for _, terms in legs}

    def late_after_s(self, first: Stream) -> float | None:
        """After how many seconds without a token ``first`` is late; None where that is not known, or none may be sent."""
        if first.request.options.get("tools"):  # what a model has called must not be called twice
            return None
        place = place_at(first.terms.endpoint.base_url, first.request)
        return late_after_s(self.seen.calls, place, first.terms.wall().timestamp())

    def adopt(self, second: Stream) -> Stream:
        """A second stream that has become the answer: from now on what breaks of it is repaired."""
        second.used = True
        if self._keeper is not None:
            self._keeper.taken(second)
        second.terms = replace(second.terms, recovery=self._lasting[second.terms.endpoint.base_url])
        return second

    async def second(self, first: Stream) -> tuple[Stream, Cost] | None:
        """The second stream, and what the one of the two that is thrown away may cost; None where no endpoint has a free slot for it, it would keep
        somebody waiting, its price is unknown, or it costs more than it may."""
        calls, at = self.seen.calls, first.terms.wall()
        longest = longest_output(calls)
        if longest is None or first.terms.gate.waiting:
            return None
        urls = [terms.endpoint.base_url for _, terms in self._legs]
        here = urls.index(first.terms.endpoint.base_url)
        place = place_at(first.terms.endpoint.base_url, first.request)
        lost = self._cost(here, longest, at, warm=is_warm(calls, place))
        if lost is None:
            return None
        costs = [self._cost(number, longest, at, warm=number == here) for number in range(len(self._legs))]
        amounts = [None if cost is None or cost.currency != lost.currency else cost.amount for cost in costs]
        for number in cheapest_first(amounts, here):
            cost, (request, terms) = costs[number], self._legs[number]
            assert cost is not None
            dearer = max(cost, lost, key=lambda each: each.amount)
            left = allowance(calls, cost.currency, self._share) - self.seen.held(cost.currency)
            if dearer.amount > left or not terms.gate.has_room(prompt_tokens(request.messages)):
                continue
            # One try: while it is only a second chance, a wait between two tries is worth less than the first request.
            once = replace(terms, recovery=replace(terms.recovery, attempts=1))
            once = replace(once, origin=replace(terms.origin, purpose="hedge"))
            stream = Stream(request, once, keeper=self._keeper, began=first.began)
            stream.used = False
            for each in (first, stream):  # whichever is given up, it was reckoned with no more
                each.paired = True
                each.unheard_tokens = min(longest, each.request.options.get("max_tokens") or longest)
            if terms.purse is not None:
                try:
                    await terms.purse.reserve(stream.call_id, most_of(request, terms.price, at))
                except BudgetExceeded:
                    return None
            return stream, dearer
        return None

    def _cost(self, number: int, longest: int, at: datetime, *, warm: bool) -> Cost | None:
        request, terms = self._legs[number]
        usage = likely_usage(request, longest, warm=warm)
        return None if terms.price is None else terms.price(request.model, usage, at)
