"""When the same question is sent a second time because its first token is late, and what that may cost.

Late is what nineteen calls in twenty are not. The cap counts money and not requests: a second request for a long
conversation at a host that does not have it in its cache costs fifty times as much as one that does. And a cap matters most
when everything is slow together, where second requests help nobody and add to the load.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from ...protocol.chat import Request
from ...protocol.events import Usage
from ..estimates import prompt_tokens
from .nearest import Place, SeenCall, firsts_s

LATE_SHARE: Final = 0.95
KNOWN_CALLS: Final = 20
"""Fewer have no 95th percentile."""
SOONEST_S: Final = 1.0
"""No question is sent again sooner, however fast its endpoint was."""
DAY_S: Final = 86_400.0
LATE_CALLS: Final = 200
"""What is late is told by so many of the last calls at a place, and none that is older than a day."""
LONGER: Final = 1.5
"""An answer may be so many times as long as the longest of the last."""
PAID_CALLS: Final = 1000
"""A share of the money of so many calls may be spent. Of few, it would never hold what one long answer may cost."""


def late_after_s(calls: Sequence[SeenCall], place: Place, now_s: float) -> float | None:
    """After how many seconds without a token a call there is late; None where too few calls are known. ``calls`` are
    oldest first."""
    known = sorted(firsts_s(calls, place, since_s=now_s - DAY_S, last=LATE_CALLS))
    return None if len(known) < KNOWN_CALLS else max(SOONEST_S, known[math.ceil(LATE_SHARE * len(known)) - 1])


def longest_output(calls: Sequence[SeenCall]) -> int | None:
    """As many tokens as the next answer is likely not to exceed; None where no answer is known. ``calls`` are oldest first.

    Wherever they were asked: how long an answer gets depends on the question. What one had more than was reckoned with
    would be spent beyond the share.
    """
    known = (call.output for call in reversed(calls) if call.output is not None)
    longest = max(itertools.islice(known, LATE_CALLS), default=None)
    return None if longest is None else math.ceil(longest * LONGER)


def allowance(calls: Sequence[SeenCall], currency: str, share: float) -> Decimal:
    """What second requests may still cost: so large a share of the money that the last calls cost, less what those among
    them did whose answer was not used.

    Whether a host bills a request that nobody listens to any more is not documented: each counts as much as the answer that
    was used instead of it, or as its own estimate if that is more. ``calls`` are oldest first.
    """
    money = [call for call in calls if call.currency == currency and call.cost is not None]
    used = [call for call in money if call.used][-PAID_CALLS:]
    instead = {call.at_s: call.cost for call in used}
    since_s = used[0].at_s if used else -math.inf
    left = Decimal(str(share)) * sum((call.cost or Decimal(0) for call in used), Decimal(0))
    for call in money:
        if not call.used and call.at_s >= since_s:
            left -= max(call.cost or Decimal(0), instead.get(call.at_s) or Decimal(0))
    return left


def dearest(calls: Sequence[SeenCall], currency: str) -> Decimal:
    """What the dearest of the last answers cost: what the next one is likely not to exceed. ``calls`` are oldest first."""
    costs = [call.cost for call in calls if call.currency == currency and call.cost is not None and call.used]
    return max(costs[-LATE_CALLS:], default=Decimal(0))


def calls_until(calls: Sequence[SeenCall], currency: str, share: float, missing: Decimal) -> int:
    """After how many calls more like those before them the share allows for so much that is ``missing``; 0 where none has
    cost anything."""
    costs = [call.cost for call in calls if call.currency == currency and call.cost is not None and call.used]
    each = Decimal(str(share)) * sum(costs, Decimal(0)) / max(1, len(costs))
    return math.ceil(missing / each) if each else 0


def is_warm(calls: Sequence[SeenCall], place: Place) -> bool:
    """Whether a place had the beginning of its last prompt in its cache. ``calls`` are oldest first."""
    return next((call.warm for call in reversed(calls) if call.place == place and call.used), False)


def likely_usage(request: Request, longest: int, *, warm: bool) -> Usage:
    """The tokens that one of two requests counts for before its answer is there; ``warm``: its host has the conversation so
    far in its cache, as it has for a second request that goes where the first one went."""
    said = [message.role for message in request.messages]
    known = len(said) - said[::-1].index("assistant") if warm and "assistant" in said else 0
    prompt, hit = prompt_tokens(request.messages), prompt_tokens(request.messages[:known])
    written = min(longest, request.options.get("max_tokens") or longest)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=written,
        total_tokens=prompt + written,
        cache_hit_tokens=hit,
        cache_miss_tokens=prompt - hit,
        estimated=True,
    )


def cheapest_first(costs: Sequence[Decimal | None], first: int) -> list[int]:
    """The places in ``costs``, which are those of a second request there, in the order in which it is tried; where its cost
    is unknown it is not sent. ``first`` has the first request: where it costs the same, another host is taken, whose trouble
    is its own. Which of the two is thrown away is not known yet, so either has to fit into the allowance.
    """
    known = [i for i, cost in enumerate(costs) if cost is not None]
    return sorted(known, key=lambda i: (costs[i] or Decimal(0), i == first))
