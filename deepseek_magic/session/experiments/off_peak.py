"""Waiting for DeepSeek's half tariff: when the calls of a sweep may begin, by the wall clock at every look.

A machine that slept, or a kernel that was started again, finds the hour that it is; nothing is kept of the wait.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from ...engine.trials.standing import Shut
from ...policy.pricing import next_tariff
from ...protocol.errors import ConfigurationError
from ...protocol.options import Option
from ...text.messages import Message

if TYPE_CHECKING:
    from ..state import Session
    from .running import PreparedSweep

AT: Final = Option(
    name="at",
    kind="choice",
    flags=("--at",),
    choices=("off-peak",),
    help=Message("wait for DeepSeek's half tariff, and pause at peak hours; the plan says when it begins"),
)


def beginning(session: Session, prepared: PreparedSweep, now: datetime, at: Any) -> datetime:
    """When the calls of a prepared sweep may begin: ``now`` (with a time zone), or ``at`` "off-peak" once it is.

    Raises ConfigurationError for another ``at``, and where nothing has a tariff that changes with the hour.
    """
    if at is None:
        return now
    AT.check(at)
    prices = session.log.prices
    found = [prices.price_of(first.request.model, now, endpoint=first.endpoint.price_list) for first in prepared.first]
    if all(price is None or price.peak_factor == 1 for price in found):
        raise ConfigurationError(
            Message(
                "{place} has no half tariff that is known here, so there is nothing to wait for.",
                place=prepared.first[0].endpoint.title,
            ),
            hint=Message("Leave out --at off-peak, and it is sent at once."),
        )
    return next_tariff(now, prices.holidays, peak=False)


def shutter(session: Session, prepared: PreparedSweep, at: Any) -> Callable[[], Shut | None] | None:
    """What a sweep asks before each call; None where it asks nothing. Raises as ``beginning`` does."""
    beginning(session, prepared, session.wall(), at)
    holidays = session.log.prices.holidays

    def look() -> Shut | None:
        now = session.wall()
        until = next_tariff(now, holidays, peak=False)
        return Shut(until, (until - now).total_seconds()) if until > now else None

    return look if at is not None else None
