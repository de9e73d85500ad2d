"""Which of several endpoints begins to answer soonest, by the calls that were made anyway: nothing is sent to find out.

The time to the first token is what counts. A round trip is a tenth of it, and the host with the shortest one may well be
the slow one: simulated, choosing by it picked the wrong host every time (``python -m tests.policy.nearer``).
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from ...protocol.chat import Request
from ...protocol.measured import StreamRecord

LAST_CALLS: Final = 10
RECENT_S: Final = 3600.0
"""An endpoint is judged by so many of its last calls, and none that is older."""

ELSEWHERE: Final = 1 / 50
"""So many calls ask another endpoint than the fastest first: what was slow an hour ago may have become fast."""
UNSEEN: Final = 1 / 5
"""And so many as long as there is one of which nothing is known: at one in fifty, who asks ten times an hour would never
learn of it."""

Place = tuple[str, str, str | None]
"""Base URL, model and thinking setting: what has a speed of its own."""


def place_at(base_url: str, request: Request) -> Place:
    """The place that a request goes to."""
    return base_url, request.model, request.options.get("think")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenCall:
    """What is remembered of a call that has ended.

    ``at_s``: when it began, in seconds since the epoch; two requests for one answer have the same. ``first_s``: the
    seconds to its first token without the waiting on this side; of one that was given up for another, how long it had
    been silent; None where that tells nothing. ``output`` is how many tokens it wrote; ``warm``: most of its prompt came from
    the host's cache.
    """

    call_id: str
    at_s: float
    place: Place
    first_s: float | None
    used: bool = True
    cost: Decimal | None = None
    currency: str | None = None
    output: int | None = None
    warm: bool = False

    @classmethod
    def of(cls, record: StreamRecord, base_url: str) -> SeenCall:
        """The call of a record."""
        return cls(
            call_id=record.call_id,
            at_s=record.started_at.timestamp(),
            place=(base_url, record.model, record.think),
            first_s=_first_s(record),
            used=record.used,
            cost=record.cost,
            currency=record.currency,
            output=record.completion_tokens if record.has_proper_end else None,
            warm=2 * (record.cache_hit_tokens or 0) > (record.prompt_tokens or 0),
        )


def _first_s(record: StreamRecord) -> float | None:
    """A second request counts from the start of the first, so its times say nothing of its endpoint."""
    if record.purpose != "ask":
        return None
    if record.ttft_s is None:
        return None if record.used else record.total_s - record.waited_s
    # A retry was the endpoint's doing, and so were the waits that came with it.
    return record.ttft_s if record.attempts > 1 else max(0.0, record.ttft_s - record.waited_s)


def firsts_s(calls: Sequence[SeenCall], place: Place, *, since_s: float, last: int) -> list[float]:
    """The ``last`` times to the first token that are known of a place since then, newest first. ``calls`` are oldest first."""
    recent = itertools.takewhile(lambda call: call.at_s >= since_s, reversed(calls))
    there = (call.first_s for call in recent if call.place == place and call.first_s is not None)
    return list(itertools.islice(there, last))


def typical_s(calls: Sequence[SeenCall], place: Place, now_s: float) -> tuple[float | None, int]:
    """The median time to the first token of the last calls there, and how many they are; None for none. ``calls`` are
    oldest first."""
    last = firsts_s(calls, place, since_s=now_s - RECENT_S, last=LAST_CALLS)
    return (statistics.median(last) if last else None), len(last)


def fastest_first(typical: Sequence[float | None], u: float) -> list[int]:
    """The places in ``typical`` in the order to try, the fastest first; None is one of which nothing is known.

    ``u`` is uniform in [0, 1). Now and then it has another one asked first: rather one of which nothing is known. As long
    as nothing is known of any, they stay in the order that they were named in.
    """
    known = sorted((i for i, seconds in enumerate(typical) if seconds is not None), key=lambda i: typical[i] or 0.0)
    unknown = [i for i, seconds in enumerate(typical) if seconds is None]
    order = known + unknown
    others = (unknown or known[1:]) if known else []
    share = UNSEEN if unknown else ELSEWHERE
    if others and u < share:
        chosen = others[int(u / share * len(others))]
        order.remove(chosen)
        order.insert(0, chosen)
    return order
