"""Every header dialect on a recorded or documented sample, and the numbers that lie."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_magic.policy.limits.ratelimit_headers import (
    concurrency_limit,
    headers_in_body,
    read_budgets,
    retry_after_s,
    should_retry,
)

NOW = 1_800_000_000.0
DATE = "Fri, 15 Jan 2027 08:00:00 GMT"  # NOW as HTTP writes it


def read(headers: Any) -> list[tuple[Any, ...]]:
    budgets = read_budgets(headers, NOW)
    return [(b.dimension, b.limit, b.remaining, b.reset_s and round(b.reset_s, 6), b.kind, b.window_s) for b in budgets]


@pytest.mark.parametrize(
    ("headers", "budgets"),
    [
        pytest.param(
            {
                "x-ratelimit-limit-requests": "5000",
                "x-ratelimit-remaining-requests": "4999",
                "x-ratelimit-reset-requests": "12ms",
                "x-ratelimit-limit-tokens": "160000",
                "x-ratelimit-remaining-tokens": "159976",
                "x-ratelimit-reset-tokens": "9ms",
            },
            [("requests", 5000, 4999, 0.012, "bucket", None), ("tokens", 160000, 159976, 0.009, "bucket", None)],
            id="OpenAI",
        ),
        pytest.param(
            {
                "X-RateLimit-Limit-Requests": "60",
                "X-RateLimit-Remaining-Requests": "1",
                "X-RateLimit-Reset-Requests": "6m0s",
            },
            [("requests", 60, 1, 360.0, "bucket", None)],
            id="OpenAI minutes, any case",
        ),
        pytest.param(
            {"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "1h2m3s"},
            [("tokens", None, 5, 3723.0, "bucket", None)],
            id="hours",
        ),
        pytest.param(
            {"x-ratelimit-limit-tokens": "-1", "x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "0"},
            [],
            id="Azure does not know",
        ),
        pytest.param(
            {
                "x-ratelimit-limit-tokens": "18000",
                "x-ratelimit-remaining-tokens": "17997",
                "x-ratelimit-reset-tokens": "2m59.56s",
            },
            [("tokens", 18000, 17997, 179.56, "bucket", None)],
            id="Groq",
        ),
        pytest.param(
            {
                "x-ratelimit-limit-requests-day": "1440",
                "x-ratelimit-remaining-requests-day": "100",
                "x-ratelimit-reset-requests-day": "33011.38",
                "x-ratelimit-limit-tokens-minute": "60000",
                "x-ratelimit-remaining-tokens-minute": "6",
                "x-ratelimit-reset-tokens-minute": "11.4",
            },
            [
                ("requests-day", 1440, 100, 33011.38, "window", 86400.0),
                ("tokens-minute", 60000, 6, 11.4, "window", 60.0),
            ],
            id="Cerebras",
        ),
        pytest.param(
            {
                "x-ratelimit-limit": "60",
                "x-ratelimit-remaining": "56",
                "x-ratelimit-reset": "1800000100",
                "x-ratelimit-used": "4",
                "x-ratelimit-resource": "core",
            },
            [("requests", 60, 56, 100.0, "window", None)],
            id="GitHub",
        ),
        pytest.param(
            {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1800000100000"},
            [("requests", 50, 0, 100.0, "window", None)],
            id="OpenRouter",
        ),
        pytest.param(
            {
                "anthropic-ratelimit-input-tokens-limit": "40000",
                "anthropic-ratelimit-input-tokens-remaining": "39000",
                "anthropic-ratelimit-input-tokens-reset": "2027-01-15T08:00:30Z",
            },
            [("input-tokens", 40000, 39000, 30.0, "window", None)],
            id="Anthropic",
        ),
        pytest.param(
            {
                "x-tokenlimit-limit": "100",
                "x-tokenlimit-remaining": "7",
                "x-tokenlimit-reset": "3",
            },
            [("tokens", 100, 7, 3.0, "window", None)],
            id="Together",
        ),
        pytest.param(
            {"RateLimit-Limit": "10, 10;w=1", "RateLimit-Remaining": "9", "RateLimit-Reset": "1"},
            [("requests", 10, 9, 1.0, "window", 1.0)],
            id="IETF up to 06",
        ),
        pytest.param(
            {"RateLimit": "limit=100, remaining=50, reset=5"},
            [("requests", 100, 50, 5.0, "window", None)],
            id="IETF 07",
        ),
        pytest.param(
            {
                "RateLimit": '"burst";r=50;t=30, "day";r=7',
                "RateLimit-Policy": '"burst";q=100;w=60,"day";q=1000;w=86400',
            },
            [("burst", 100, 50, 30.0, "window", 60.0), ("day", 1000, 7, None, "window", 86400.0)],
            id="IETF 10",
        ),
        pytest.param(
            {"ratelimit": '"api";r=998;t=180', "ratelimit-policy": '"fixed window";"api";q=1000;w=300'},
            [("api", 1000, 998, 180.0, "window", 300.0)],
            id="Hugging Face",
        ),
        pytest.param({}, [], id="DeepSeek"),
        pytest.param(
            [("x-ratelimit-remaining", "9"), ("x-ratelimit-remaining", "3"), ("x-ratelimit-limit", "10")],
            [("requests", 10, 3, None, "window", None)],
            id="repeated lines: the smaller remainder",
        ),
        pytest.param(
            {"x-ratelimit-remaining": "9, 3"}, [("requests", None, 3, None, "window", None)], id="joined lines"
        ),
        pytest.param(
            {"x-ratelimit-remaining": "1", "x-ratelimit-reset": "1700000000"},
            [("requests", None, 1, 0.0, "window", None)],
            id="past",
        ),
        pytest.param(
            {"x-ratelimit-remaining": "nan", "x-ratelimit-limit": "inf", "x-ratelimit-reset": "-5"}, [], id="no numbers"
        ),
        pytest.param(
            {"x-ratelimit-limit": "0", "x-ratelimit-remaining": "0"},
            [("requests", 0, 0, None, "window", None)],
            id="zero is a number",
        ),
        pytest.param(
            {"x-ratelimit-remaining": "1", "x-ratelimit-reset": "1e17"},
            [("requests", None, 1, None, "window", None)],
            id="absurd reset",
        ),
    ],
)
def test_a_dialect_is_read(headers: Any, budgets: list[tuple[Any, ...]]) -> None:
    assert read(headers) == budgets


@pytest.mark.parametrize("skew_s", [-7200.0, 0.0, 7200.0])
def test_an_absolute_reset_is_measured_by_the_servers_own_clock(skew_s: float) -> None:
    headers = {"x-ratelimit-remaining": "1", "x-ratelimit-reset": "1800000060", "Date": DATE}
    assert [b.reset_s for b in read_budgets(headers, NOW + skew_s)] == [60.0]


def test_a_buckets_refill_rate_is_visible_in_one_response() -> None:
    headers = {
        "x-ratelimit-limit-tokens": "160000",
        "x-ratelimit-remaining-tokens": "159976",
        "x-ratelimit-reset-tokens": "9ms",
    }
    (budget,) = read_budgets(headers, NOW)
    assert budget.refill_per_s == pytest.approx(2667, rel=0.01)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "40000000"}, 40_000_000.0),  # more than a year: too long, and not unknown
        ({"retry-after": "20s"}, 20.0),
        ({"retry-after": "2m59.56s"}, 179.56),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:30 GMT"}, 30.0),
        ({"retry-after": "Fri, 15 Jan 2027 09:00:30 GMT", "date": "Fri, 15 Jan 2027 09:00:00 GMT"}, 30.0),
        ({"retry-after": "Fri, 15 Jan 2021 08:00:30 GMT"}, 0.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "3, 9"}, 9.0),
        ([("retry-after", "3"), ("retry-after", "9")], 9.0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "9", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "9", "x-ms-retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "9", "retry-after-ms": "x"}, 9.0),
        ({"retry-after": "3600"}, 3600.0),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: Any, seconds: float | None) -> None:
    assert retry_after_s(headers, NOW) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(("value", "said"), [("true", True), ("FALSE", False), ("perhaps", None)])
def test_the_servers_own_word_on_retrying_is_read(value: str, said: bool | None) -> None:
    assert should_retry({"X-Should-Retry": value}) is said
    assert should_retry({}) is None


def test_limit_headers_inside_a_429s_body_are_found() -> None:
    body = (
        '{"error":{"code":429,"metadata":{"headers":{"X-RateLimit-Remaining":"0","X-RateLimit-Reset":1800000100000}}}}'
    )
    assert read(headers_in_body(body)) == [("requests", None, 0, 100.0, "window", None)]
    for broken in (
        "",
        "[]",
        "{}",
        '{"error":"no"}',
        '{"error":{"metadata":null}}',
        '{"error":{"metadata":{"headers":1}}}',
    ):
        assert headers_in_body(broken) == {}


@pytest.mark.parametrize(
    ("message", "limit"),
    [
        (
            "Too many requests. Your current concurrency is 26, which exceeds your concurrency limit of 25 "
            "based on your remaining balance. Please top up your balance to restore your concurrency.",
            25,
        ),
        ("... concurrency limit of 5", 5),
        ("Rate limit reached for TPM", None),
    ],
)
def test_a_429_of_deepseek_tells_its_limit_in_words(message: str, limit: int | None) -> None:
    assert concurrency_limit(message) == limit


NAMES = st.sampled_from(
    [
        "x-ratelimit-limit",
        "x-ratelimit-remaining-tokens",
        "x-ratelimit-reset",
        "ratelimit",
        "ratelimit-policy",
        "ratelimit-limit",
        "retry-after",
        "date",
        "anthropic-ratelimit-tokens-reset",
    ]
)
VALUES = st.text('0123456789.,;="-+eTZ: smhwqrt', max_size=24) | st.text(max_size=12) | st.floats().map(str)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6), st.floats(0, 4e9))
def test_no_header_whatever_it_holds_gives_a_negative_or_endless_number(
    headers: list[tuple[str, str]], now: float
) -> None:
    numbers = [retry_after_s(headers, now)]
    for b in read_budgets(headers, now):
        numbers += [b.limit, b.remaining, b.reset_s, b.refill_per_s]
    assert all(n is None or 0 <= n < float("inf") for n in numbers)


def test_only_a_bucket_refills() -> None:
    window, bucket, full = (
        read_budgets({"x-ratelimit-limit-requests": "10", "x-ratelimit-remaining-requests": left, reset: "4s"}, NOW)[0]
        for left, reset in (("8", "x-other"), ("8", "x-ratelimit-reset-requests"), ("10", "x-ratelimit-reset-requests"))
    )
    assert (window.refill_per_s, bucket.refill_per_s, full.refill_per_s) == (None, 0.5, None)


@pytest.mark.parametrize("when", ["2027-13-45T00:00:00Z", "2027-01-15 08:00:99"])
def test_a_date_that_does_not_exist_is_no_reset(when: str) -> None:
    assert retry_after_s({"retry-after": when}, NOW) is None


def test_a_word_without_a_value_says_nothing() -> None:
    (budget,) = read_budgets({"ratelimit": '"api";r=5;odd;t=3'}, NOW)
    assert (budget.dimension, budget.remaining, budget.reset_s) == ("api", 5, 3)
