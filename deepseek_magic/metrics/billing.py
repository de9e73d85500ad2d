"""The segments of one call: the tokens each is billed for, and what those cost.

A call that breaks and is resumed consists of segments. Each is billed separately: what the host reported is taken as it is;
a segment that broke before it could report is estimated and marked so. Nothing is invented where nothing is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from ..policy.estimates import prompt_tokens
from ..policy.pricing import TOKENS_PER_CHAR, Cost, total
from ..protocol.chat import Request
from ..protocol.events import Strategy, Usage

PriceOf = Callable[[str, Usage, datetime], Cost | None]
"""Model, tokens, time → what they cost, or None for unknown: ``PriceTable.cost_of`` has this shape."""

_COUNTS: Final = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "reasoning_tokens",
    "cache_hit_tokens",
    "cache_miss_tokens",
)


TOKEN_CHARS: Final = 8
"""Pieces that are longer than this on average hold several tokens each."""


class MeteredSegment:
    """What one attempt delivered, with its times in the meter's clock, and what the host says it counts.

    ``responded`` tells an attempt that began to answer from one that failed before: only the first is billed.
    """

    def __init__(self, strategy: Strategy, started_s: float) -> None:
        self.strategy = strategy
        self.started_s = started_s
        self.responded = False
        self.first_s: float | None = None
        self.last_s = started_s
        self.answer = 0
        self.reasoning = 0
        self.chars = 0
        self.usage: Usage | None = None


def _responses(segments: Sequence[MeteredSegment]) -> list[MeteredSegment]:
    """One segment for each response: a resumed one is still the response that it resumes."""
    responses: list[MeteredSegment] = []
    for segment in segments:
        if not segment.responded:
            continue
        if segment.strategy != "resume" or not responses:
            responses.append(segment)
            continue
        before, whole = responses[-1], MeteredSegment(responses[-1].strategy, responses[-1].started_s)
        whole.last_s = segment.last_s
        whole.answer = before.answer + segment.answer
        whole.reasoning = before.reasoning + segment.reasoning
        whole.chars = before.chars + segment.chars
        whole.usage = segment.usage or before.usage
        responses[-1] = whole
    return responses


def billed(
    segments: Sequence[MeteredSegment], prompt_estimate: Callable[[], int | None]
) -> list[tuple[Usage, MeteredSegment]]:
    """The tokens of each response, reported or estimated.

    The output of a response without a report is the number of its pieces (one token each on api.deepseek.com, within 3);
    where the pieces are so long that they must be bundles, it is what their length suggests. Its prompt is taken from a response of the
    same call that did report, less or plus the text that a continuation sends along; ``prompt_estimate`` is asked only
    if no response reported.
    """
    responses = _responses(segments)
    carried, sent_along = [], 0
    for response in responses:
        sent_along = sent_along if response.strategy == "continue" else 0
        carried.append(sent_along)
        sent_along += _output(response)
    if all(_reported(r) for r in responses):
        return [(r.usage, r) for r in responses if r.usage is not None]
    counted = [
        r.usage.prompt_tokens - extra
        for r, extra in zip(responses, carried, strict=True)
        if r.usage is not None and r.usage.prompt_tokens is not None
    ]
    prompt = max(0, counted[0]) if counted else prompt_estimate()
    return [
        (r.usage if _reported(r) and r.usage is not None else _estimate(r, prompt, extra), r)
        for r, extra in zip(responses, carried, strict=True)
    ]


def _reported(response: MeteredSegment) -> bool:
    return response.usage is not None and response.usage.completion_tokens is not None


def _output(response: MeteredSegment) -> int:
    if response.usage is not None and response.usage.completion_tokens is not None:
        return response.usage.completion_tokens
    pieces = response.answer + response.reasoning
    one_token_each = response.chars <= pieces * TOKEN_CHARS
    return pieces if one_token_each else math.ceil(response.chars * TOKENS_PER_CHAR)


def _estimate(response: MeteredSegment, prompt: int | None, extra: int) -> Usage:
    output = _output(response)
    prompt_tokens = None if prompt is None else prompt + extra
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=output,
        total_tokens=None if prompt_tokens is None else prompt_tokens + output,
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


def estimated_prompt_tokens(request: Request) -> int:
    """About how many tokens the messages of a request have."""
    return prompt_tokens(request.messages)


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
