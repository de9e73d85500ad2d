"""Who answers soonest: what the journal knows of earlier calls, and the sentences about it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import msgspec

from ...metrics.tables import counted
from ...policy.pricing import PriceTable
from ...policy.several.hedging import (
    DAY_S,
    KNOWN_CALLS,
    allowance,
    calls_until,
    dearest,
    late_after_s,
    longest_output,
)
from ...policy.several.nearest import Place, SeenCall, firsts_s, place_at, typical_s
from ...protocol.events import Usage
from ...protocol.measured import Cost, StreamRecord
from ...text.messages import Message
from ..client import Addressed
from ..hosts.endpoints import Endpoint
from ..journal.reader import Journal
from .seen import KEPT_CALLS, PURPOSES, SEEN

MILLION: Final = 1_000_000
LOOK_AGAIN_S: Final = 60.0
"""The calls of other kernels are known so soon."""
LONGEST_CALL_S: Final = 3600.0
"""A call is in the journal under the time at which it began, and known only when it has ended."""

_CALLS: Final = """
    SELECT base_url, record FROM calls
    WHERE started_at >= ? AND purpose IN (?, ?) AND record IS NOT NULL AND base_url IS NOT NULL
    ORDER BY started_at DESC LIMIT ?
"""


class SeenBefore:
    """Reads the calls of the last day, of all kernels of this machine, into the memory of this process; again once a minute, and
    then only what is new."""

    def __init__(self) -> None:
        self._looked: datetime | None = None

    def look(self, journal: Journal, now: datetime) -> None:
        """Look, if it is time to. A journal that cannot be read is no news."""
        if not journal.enabled or (self._looked is not None and now - self._looked < timedelta(seconds=LOOK_AGAIN_S)):
            return
        back_s = DAY_S if self._looked is None else LONGEST_CALL_S
        since = (self._looked or now) - timedelta(seconds=back_s)
        self._looked = now
        try:
            rows = journal.stored(_CALLS, (since.astimezone(UTC).isoformat(), *PURPOSES, KEPT_CALLS))
        except sqlite3.Error:  # damaged, locked, or of an older version that knew no purposes
            return
        records = ((msgspec.json.decode(record, type=StreamRecord), base_url) for base_url, record in rows)
        SEEN.add(SeenCall.of(record, base_url) for record, base_url in records)


def notices(
    addressed: Sequence[Addressed], named: Endpoint, typed: Mapping[str, Any], prices: PriceTable, now: datetime
) -> Iterator[Message]:
    """That another endpoint than the one ``named`` first is asked first, how soon either answered lately, and what it costs; and
    which of the ``typed`` settings has no effect here."""
    if typed.get("prefer") == "fastest" and len(addressed) == 1:
        yield Message("--prefer has no effect with one endpoint; name several, separated by commas.")
    if typed.get("hedge"):
        yield from _no_second(addressed, prices, now)
    first = addressed[0].endpoint
    if first != named:
        other = next(each for each in addressed if each.endpoint == named)
        values: dict[str, Message | str] = {
            "place": first.title,
            "lately": _lately(addressed[0], prices, now),
            "named": named.title,
            "before": _lately(other, prices, now),
        }
        here_s, there_s = (_typical_s(each, now) for each in (addressed[0], other))
        if here_s is None or (there_s is not None and here_s > there_s):
            yield Message(
                "{place} was asked first, to learn how soon it begins now (first token so far: {lately}), and not {named} (first token: {before}).",
                **values,
            )
        else:
            yield Message(
                "{place} was asked first (first token: {lately}), and not {named} (first token: {before}).", **values
            )


def _typical_s(addressed: Addressed, now: datetime) -> float | None:
    place = place_at(addressed.endpoint.base_url, addressed.request)
    return typical_s(SEEN.calls, place, now.timestamp())[0]


def _no_second(addressed: Sequence[Addressed], prices: PriceTable, now: datetime) -> Iterator[Message]:
    """Why there will be no second request, whatever is known of earlier calls."""
    first, usage = addressed[0], Usage(prompt_tokens=1, completion_tokens=1)
    if first.request.options.get("tools"):
        yield Message("--hedge has no effect with tools: what a model calls must not be called twice.")
    elif any(each.endpoint.tape is not None for each in addressed):
        yield Message("--hedge has no effect while a tape is recorded or played.")
    elif prices.cost_of(first.request.model, usage, now, endpoint=first.endpoint.price_list) is None:
        place = {"model": first.request.model, "place": first.endpoint.title}
        yield Message("--hedge has no effect, because the price of {model} at {place} is not known.", **place)


def _lately(addressed: Addressed, prices: PriceTable, now: datetime) -> Message:
    endpoint, request = addressed.endpoint, addressed.request
    first = _first_token(place_at(endpoint.base_url, request), now)
    return Message("{lately}, {price}", lately=first, price=_price(prices, request.model, now, endpoint))


def _first_token(place: Place, now: datetime) -> Message:
    seconds, calls = typical_s(SEEN.calls, place, now.timestamp())
    if seconds is None:
        return Message("unknown")
    return Message("after {seconds} s (median of {calls})", seconds=f"{seconds:.2f}", calls=counted(calls))


def _price(prices: PriceTable, model: str, now: datetime, endpoint: Endpoint) -> Message:
    """What a million tokens cost now, of a prompt that is not cached and of an answer."""
    costs = [
        prices.cost_of(model, Usage(prompt_tokens=sent, completion_tokens=out), now, endpoint=endpoint.price_list)
        for sent, out in ((MILLION, 0), (0, MILLION))
    ]
    if costs[0] is None or costs[1] is None:
        return Message("price unknown")
    names = {"prompt": f"{costs[0].amount.normalize():f}", "answer": f"{costs[1].amount.normalize():f}"}
    return Message("{prompt} in and {answer} out a million tokens, {currency}", currency=costs[0].currency, **names)


def _setting(place: Place) -> Message:
    """What has figures of its own at an address."""
    think = Message("think not set") if place[2] is None else Message("think = {think}", think=place[2])
    return Message("{model}, {think}", model=place[1], think=think)


def _second(place: Place | None, endpoint: Endpoint, share: float, now: datetime, prices: PriceTable) -> Message:
    """When a second request would be sent there, and what is left for it."""
    calls, at_s = SEEN.calls, now.timestamp()
    model = endpoint.default_model if place is None else place[1]
    usage = Usage(prompt_tokens=1, completion_tokens=longest_output(calls) or 0)
    price = None if model is None else prices.cost_of(model, usage, now, endpoint=endpoint.price_list)
    if model is not None and price is None:
        return Message("no second requests, for the price is unknown")
    if place is None or price is None or (late_s := late_after_s(calls, place, at_s)) is None:
        known = 0 if place is None else len(firsts_s(calls, place, since_s=at_s - DAY_S, last=KNOWN_CALLS))
        return Message(
            "no second requests before {count} calls of one model and thinking setting are known ({known} now{of})",
            count=KNOWN_CALLS,
            known=known,
            of="" if place is None else Message(" of {setting}", setting=_setting(place)),
        )
    left = Cost(amount=max(Decimal(0), allowance(calls, price.currency, share)), currency=price.currency)
    need = Cost(amount=max(price.amount, dearest(calls, price.currency)), currency=price.currency)
    if need.amount > left.amount and (more := calls_until(calls, left.currency, share, need.amount - left.amount)):
        return Message(
            "no second request yet: one may cost {left}, and an answer costs up to {need}; some {count} calls more",
            left=left.rounded,
            need=need.rounded,
            count=more,
        )
    return Message(
        "a second request after {seconds} s ({setting}), while they cost less than {left}",
        seconds=f"{late_s:.2f}",
        setting=_setting(place),
        left=left.rounded,
    )


def lately(
    endpoints: Sequence[Endpoint], now: datetime, prices: PriceTable, share: float = 0.0
) -> dict[Endpoint, Message]:
    """How soon the last calls of each endpoint began, for the doctor: of the model that was asked last there. ``share``: of the
    money, that second requests may cost."""
    calls, found = SEEN.calls, dict[Endpoint, tuple[Place | None, float | None]]()
    for endpoint in endpoints:
        place = next((call.place for call in reversed(calls) if call.place[0] == endpoint.base_url), None)
        found[endpoint] = place, None if place is None else typical_s(calls, place, now.timestamp())[0]
    known = [seconds for _, seconds in found.values() if seconds is not None]
    findings = {}
    for endpoint, (place, seconds) in found.items():
        said = Message("no call in the last hour")
        if place is not None and seconds is not None:
            said = Message(
                "{lately} of {model}, {price}",
                lately=_first_token(place, now),
                model=place[1],
                price=_price(prices, place[1], now, endpoint),
            )
            if len(known) > 1 and seconds == min(known):
                said = Message("{lately}; the soonest of these", lately=said)
        if share:
            said = Message("{lately}; {second}", lately=said, second=_second(place, endpoint, share, now, prices))
        findings[endpoint] = said
    return findings
