"""What a request will take, before it is sent."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from deepseek_magic.policy.estimates import (
    IMAGE_TOKENS,
    MESSAGE_TOKENS,
    TEMPLATE_TOKENS,
    estimate,
    prompt_tokens_at_most,
)
from deepseek_magic.protocol.chat import Request

QUIET = datetime(2026, 11, 21, 2, tzinfo=UTC)  # a Saturday
PEAK = datetime(2026, 11, 23, 2, tzinfo=UTC)  # a Monday, 10 in the morning in Beijing


def test_the_price_lies_between_a_cached_prompt_and_the_longest_answer() -> None:
    guess = estimate(Request.of("x" * 1000, max_tokens=100), QUIET)
    assert (guess.prompt_tokens, guess.max_tokens) == (300, 100)
    assert guess.least is not None
    assert guess.most is not None
    assert guess.least.amount == Decimal(300) * Decimal("0.003") / 10**6
    assert guess.most.amount == (300 * Decimal("0.15") + 100 * Decimal("0.60")) / 10**6


def test_the_tariff_is_that_of_the_hour() -> None:
    request = Request.of("x", max_tokens=100)
    quiet, peak = estimate(request, QUIET).most, estimate(request, PEAK).most
    assert quiet is not None
    assert peak is not None
    assert peak.amount == 2 * quiet.amount


@pytest.mark.parametrize(("think", "longest"), [("off", 8_192), ("high", 65_536), ("max", 131_072), (None, 65_536)])
def test_without_a_limit_the_apis_own_counts(think: str | None, longest: int) -> None:
    assert estimate(Request.of("x", think=think), QUIET).max_tokens == longest


def test_a_model_without_a_price_has_tokens_but_no_price() -> None:
    guess = estimate(Request.of("x" * 10, model="somebody-else"), QUIET)
    assert guess.prompt_tokens == 3
    assert guess.least is guess.most is None


def test_an_answer_that_is_gone_on_with_can_be_as_many_times_longer_and_sends_itself_along() -> None:
    guess = estimate(Request.of("x" * 1000, max_tokens=100), QUIET, continuations=2)
    assert guess.max_tokens == 300
    assert guess.most is not None
    sent = 300 + (300 + 100) + (300 + 200)
    assert guess.most.amount == (sent * Decimal("0.15") + 300 * Decimal("0.60")) / 10**6


def test_no_prompt_has_more_tokens_than_its_bytes() -> None:
    frame = TEMPLATE_TOKENS + MESSAGE_TOKENS
    assert prompt_tokens_at_most(Request.of("abc")) == frame + 3
    assert prompt_tokens_at_most(Request.of("中文")) == frame + 6
    picture = [{"type": "text", "text": "ab"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    assert prompt_tokens_at_most(Request.of([{"role": "user", "content": picture}])) == frame + 2 + IMAGE_TOKENS
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    turns = [{"role": "user", "content": "ab"}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    called = prompt_tokens_at_most(Request.of(turns, tools=[tool]))
    assert called > frame + MESSAGE_TOKENS + 2 + len(msgspec.json.encode([call]))
