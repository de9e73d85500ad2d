"""The segments of one call: the tokens each is billed for, and what those cost.

A call that breaks and is resumed consists of segments. Each is billed separately: what the host reported is taken as it is;
a segment that broke before it could report is estimated and marked so. Nothing is invented where nothing is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import msgspec

from ..policy.budget import CURRENCY
from ..policy.estimates import prompt_tokens_at_most, tokens_at_most
from ..policy.pricing import TOKENS_PER_CHAR, Cost, total
from ..protocol.chat import Request
from ..protocol.events import Strategy, Usage

PriceOf = Callable[[str, Usage, datetime], Cost | None]
"""Model, tokens, time → what they cost, or None for unknown: ``PriceTable.cost_of`` has this shape."""

_COUNTS: Final = tuple(name for name in Usage.__struct_fields__ if name != "estimated")

TOKEN_CHARS: Final = 8
"""Pieces that are longer than this on average hold several tokens each."""

UNSEEN_TOKENS: Final = 256
"""A server writes on until it notices that nobody listens. So many tokens more than came, some seconds of writing, does a
budget count of a response that broke off."""

LONGEST_CALL: Final = timedelta(minutes=10)
"""DeepSeek closes a connection after so long (page "rate limit"): a request may end in the tariff of that time."""


@dataclass(slots=True)
class MeteredSegment:
    """What one attempt delivered, with its times in the meter's clock, and what the host says it counts.

    ``responded`` tells an attempt that began to answer from one that failed before: only the first is billed. ``taken``:
    the server did not refuse it, so that it may have begun to write.
    """

    strategy: Strategy
    started_s: float
    last_s: float
    responded: bool = False
    taken: bool = False
    first_s: float | None = None
    answer: int = 0
    reasoning: int = 0
    chars: int = 0
    usage: Usage | None = None

    @property
    def reported(self) -> Usage | None:
        """What the host counts; None where it does not tell how many tokens the segment wrote."""
        return self.usage if self.usage is not None and self.usage.completion_tokens is not None else None

    @property
    def output(self) -> int:
        """The tokens that it wrote: as reported; else one a piece, or what their length suggests where they are bundles."""
        if self.usage is not None and self.usage.completion_tokens is not None:
            return self.usage.completion_tokens
        pieces = self.answer + self.reasoning
        return pieces if self.chars <= pieces * TOKEN_CHARS else math.ceil(self.chars * TOKENS_PER_CHAR)


def _responses(segments: Sequence[MeteredSegment]) -> list[MeteredSegment]:
    """One segment for each response: a resumed one is still the response that it resumes."""
    responses: list[MeteredSegment] = []
    for segment in segments:
        if not segment.responded:
            continue
        if segment.strategy != "resume" or not responses:
            responses.append(segment)
            continue
        before = responses[-1]
        responses[-1] = replace(
            before,
            last_s=segment.last_s,
            answer=before.answer + segment.answer,
            reasoning=before.reasoning + segment.reasoning,
            chars=before.chars + segment.chars,
            usage=segment.usage or before.usage,
        )
    return responses


def billed(
    segments: Sequence[MeteredSegment], prompt_estimate: Callable[[], int | None]
) -> list[tuple[Usage, MeteredSegment]]:
    """The tokens of each response, reported or estimated.

    The output of a response without a report is the number of its pieces (one token each on api.deepseek.com, within 3).
    Its prompt is taken from a response of the same call that did report, less or plus the text that a continuation sends
    along; ``prompt_estimate`` is asked only if no response reported.
    """
    responses = _responses(segments)
    carried, sent_along = [], 0
    for response in responses:
        sent_along = sent_along if response.strategy == "continue" else 0
        carried.append(sent_along)
        sent_along += response.output
    counted = [
        r.usage.prompt_tokens - extra
        for r, extra in zip(responses, carried, strict=True)
        if r.usage is not None and r.usage.prompt_tokens is not None
    ]
    prompt: int | None = None
    if any(r.reported is None for r in responses):
        prompt = max(0, counted[0]) if counted else prompt_estimate()
    return [(r.reported or _estimate(r, prompt, extra), r) for r, extra in zip(responses, carried, strict=True)]


def _estimate(response: MeteredSegment, prompt: int | None, extra: int) -> Usage:
    sent = None if prompt is None else prompt + extra
    return Usage(
        prompt_tokens=sent,
        completion_tokens=response.output,
        total_tokens=None if sent is None else sent + response.output,
        reasoning_tokens=response.reasoning,
        estimated=True,
    )


def summed(usages: Sequence[Usage]) -> Usage:
    """The sum of several reports; a count that one of them does not know is unknown in the sum."""
    if len(usages) == 1:
        return usages[0]
    sums: dict[str, int | None] = {}
    for name in _COUNTS if usages else ():
        counts = [getattr(usage, name) for usage in usages]
        sums[name] = None if None in counts else sum(counts)
    return Usage(**sums, estimated=any(usage.estimated for usage in usages))


def charged(
    bills: Sequence[tuple[Usage, MeteredSegment]], model: str, price: PriceOf | None, clock: Callable[[float], datetime]
) -> tuple[Decimal | None, Cost | None]:
    """The amount, and the cost it comes from; ``clock`` tells the time of day of a segment's seconds.

    Nothing answered costs nothing, whatever the price.
    """
    if not bills:
        return Decimal(0), None
    if price is None:
        return None, None
    costs = []
    for usage, segment in bills:
        ends = [price(model, usage, clock(at_s)) for at_s in (segment.started_s, segment.last_s)]
        if ends[0] is None or ends[1] is None:
            return None, None
        # Whether the start or the end of a request decides its tariff is not documented: at most the dearer one.
        first, last = sorted((ends[0], ends[1]), key=lambda cost: cost.amount)
        costs.append(last if first.amount == last.amount else replace(last, estimated=True))
    cost = total(costs, costs[0].currency)
    return (None, None) if cost is None else (cost.amount, cost)


def most_of(request: Request, price: PriceOf | None, at: datetime) -> Cost | None:
    """The most that one request sent at ``at`` may cost: nothing of it cached, the longest answer, the dearer tariff. None
    where its price is unknown."""
    if price is None:
        return None
    prompt = prompt_tokens_at_most(request)
    choices = (request.options.get("extra_body") or {}).get("n") or 1
    longest = choices * tokens_at_most(request, prompt, 0)[1]
    usage = Usage(prompt_tokens=prompt, completion_tokens=longest, cache_hit_tokens=0, cache_miss_tokens=prompt)
    ends = [price(request.model, usage, when) for when in (at, at + LONGEST_CALL)]
    return None if ends[0] is None or ends[1] is None else max((ends[0], ends[1]), key=lambda cost: cost.amount)


def counted(
    segments: Sequence[MeteredSegment],
    request: Request,
    model: str,
    price: PriceOf | None,
    clock: Callable[[float], datetime],
) -> Cost | None:
    """What a budget counts of the segments of one call: as reported; where that is missing, as much as it can have been."""
    bills = presumed(segments, lambda: prompt_tokens_at_most(request), tokens_at_most(request, 0, 0)[1])
    amount, cost = charged(bills, model, price, clock)
    return Cost(amount=Decimal(0), currency=CURRENCY) if amount is not None and cost is None else cost


def presumed(
    segments: Sequence[MeteredSegment], prompt_estimate: Callable[[], int | None], longest: int
) -> list[tuple[Usage, MeteredSegment]]:
    """The same as ``billed`` for requests that were given up: the server may have begun to write before it had said a word,
    and may write on, ``longest`` tokens at most."""
    segments = [
        segment if segment.responded or not segment.taken else replace(segment, responded=True) for segment in segments
    ]
    return [
        (_with_unseen(usage, longest) if response.reported is None else usage, response)
        for usage, response in billed(segments, prompt_estimate)
    ]


def _with_unseen(usage: Usage, longest: int) -> Usage:
    came = usage.completion_tokens or 0
    return msgspec.structs.replace(usage, completion_tokens=max(came, min(came + UNSEEN_TOKENS, longest)))
