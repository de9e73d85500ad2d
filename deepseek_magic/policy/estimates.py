"""What a request will take, before it is sent: tokens by a rule of thumb, and the range its price lies in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from ..protocol.chat import ChatMessage, Request
from ..protocol.events import Usage
from .pricing import PRICES, Cost, PriceTable, estimate_tokens

MAX_TOKENS: Final = 65_536
MAX_TOKENS_BY_THINKING: Final = {"off": 8_192, "max": 131_072}
"""DeepSeek's own limits where none was given (page "create chat completion", November 2026)."""

IMAGE_TOKENS: Final = 1_024
"""At most so many for one image, after the server has made it smaller (the same page)."""

TEMPLATE_TOKENS: Final = 32
"""At most so many more that the host writes around a prompt's messages."""

MESSAGE_TOKENS: Final = 8
"""And so many around each of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """``prompt_tokens`` is a guess, ``max_tokens`` the limit of the answer. The costs are None when the price is unknown.

    ``least``: all of the prompt comes from the cache and no answer. ``most``: none of it does, and the longest answer.
    """

    prompt_tokens: int
    max_tokens: int | None = None
    least: Cost | None = None
    most: Cost | None = None


def prompt_tokens(messages: Iterable[ChatMessage]) -> int:
    """About how many tokens messages have, with each image at its most."""
    tokens = 0
    for message in messages:
        for part in ({"text": message.content},) if isinstance(message.content, str) else message.content:
            tokens += IMAGE_TOKENS if part.get("type") == "image_url" else estimate_tokens(str(part.get("text") or ""))
    return tokens


def prompt_tokens_at_most(request: Request) -> int:
    """As many tokens as the prompt can have, whatever it is written in: none is less than a byte of its text."""
    tokens = TEMPLATE_TOKENS + MESSAGE_TOKENS * len(request.messages)
    tools = request.options.get("tools")
    tokens += len(msgspec.json.encode(tools)) if tools else 0
    for message in request.messages:
        for part in ({"text": message.content},) if isinstance(message.content, str) else message.content:
            tokens += IMAGE_TOKENS if part.get("type") == "image_url" else _bytes(str(part.get("text") or ""))
        tokens += _bytes(message.reasoning_content or "")
        tokens += len(msgspec.json.encode(message.tool_calls)) if message.tool_calls else 0
    return tokens


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def estimate(
    request: Request, at: datetime, *, endpoint: str = "deepseek", prices: PriceTable = PRICES, continuations: int = 0
) -> Estimate:
    """The estimate for a request sent at ``at`` (with a time zone), to an endpoint by its name in the price table.

    An answer that is continued at its length, up to ``continuations`` times, can be so many times longer; each time the
    prompt and the answer so far are sent, and billed, once more.
    """
    prompt = prompt_tokens(request.messages)

    def cost(sent: int, hit: int, out: int) -> Cost | None:
        usage = Usage(prompt_tokens=sent, completion_tokens=out, cache_hit_tokens=hit, cache_miss_tokens=sent - hit)
        return prices.cost_of(request.model, usage, at, endpoint=endpoint)

    sent, longest = tokens_at_most(request, prompt, continuations)
    most = cost(sent, 0, longest)
    return Estimate(prompt_tokens=prompt, max_tokens=longest, least=cost(prompt, prompt, 0), most=most)


def tokens_at_most(request: Request, prompt: int, continuations: int) -> tuple[int, int]:
    """The most tokens that are sent, and that are answered, of a prompt with so many tokens."""
    longest = request.options.get("max_tokens")
    if longest is None:
        longest = MAX_TOKENS_BY_THINKING.get(request.options.get("think", ""), MAX_TOKENS)
    answers = 1 + continuations
    return answers * prompt + longest * continuations * answers // 2, answers * longest
