"""Which failures make the next endpoint worth asking, and how long one that failed is asked last."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepseek_magic.policy.attempts import Abilities, Delivered, RecoveryPolicy
from deepseek_magic.policy.causes import is_down
from deepseek_magic.policy.failover import (
    ATTEMPTS_BEFORE_THE_NEXT,
    DOWN_FOR_S,
    DownEndpoints,
    patience,
    taking_over,
)
from deepseek_magic.policy.recovery import Continue, Restart, Retry
from deepseek_magic.protocol.errors import (
    APIStatusError,
    ConfigurationError,
    ConnectTimeout,
    DeepSeekError,
    Disconnected,
    IncompleteStream,
    ProtocolError,
)

ALL = Abilities(style="deepseek_prefix", reasoning=True)
TEXT = Delivered.of(text="One two three, and so on to the end", new_chars=0, tokens_left=7)


@pytest.mark.parametrize(
    "error",
    [
        *(APIStatusError("no", status=status) for status in (402, 429, 500, 502, 503, 504)),
        *(kind("no") for kind in (ConnectTimeout, Disconnected, IncompleteStream)),
    ],
)
def test_a_server_that_is_down_or_has_no_quota_left_is_a_reason_to_ask_the_next(error: DeepSeekError) -> None:
    assert is_down(error)


@pytest.mark.parametrize(
    "error",
    [
        None,
        *(APIStatusError("no", status=status) for status in (400, 401, 404, 413, 422)),
        *(kind("no") for kind in (ConfigurationError, ProtocolError)),
    ],
)
def test_what_the_user_must_repair_is_not(error: DeepSeekError | None) -> None:
    assert not is_down(error)


def test_one_that_failed_goes_to_the_end_of_the_line_for_a_while() -> None:
    down, urls = DownEndpoints(), ["a", "b", "c"]
    assert down.order(urls, 0.0) == [0, 1, 2]
    down.note("a", Disconnected("no"), 10.0)
    assert down.order(urls, 10.0 + DOWN_FOR_S - 1) == [1, 2, 0]
    assert down.order(urls, 10.0 + DOWN_FOR_S) == [0, 1, 2]
    for url in urls:
        down.note(url, Disconnected("no"), 80.0)
    assert down.order(urls, 81.0) == [0, 1, 2]
    down.note("b", None, 82.0)
    assert down.order(urls, 83.0) == [1, 0, 2]


@pytest.mark.parametrize(
    ("delivered", "can", "step"),
    [
        (Delivered(), ALL, Retry),
        (Delivered(), replace(ALL, style="none", rewind=False), Retry),
        (TEXT, ALL, Continue),
        (TEXT, replace(ALL, rewind=False), Continue),
        (TEXT, replace(ALL, style="none"), Restart),
        (TEXT, replace(ALL, json_mode=True), Restart),
        (TEXT, replace(ALL, style="none", rewind=False), None),
        (replace(TEXT, tool_open=True), ALL, Restart),
        (replace(TEXT, tokens_left=0), ALL, Restart),
    ],
)
def test_half_an_answer_is_gone_on_with_or_begun_anew_or_left(
    delivered: Delivered, can: Abilities, step: type | None
) -> None:
    taken = taking_over(delivered, can=can, why="Down.")
    assert type(taken) is (step or type(None))
    if isinstance(taken, Continue):
        assert taken.text_chars == delivered.text_kept_chars
        assert taken.max_tokens == 7


def test_only_the_last_endpoint_is_tried_as_hard_as_the_policy_allows() -> None:
    policy = RecoveryPolicy()
    assert patience(policy, last=True) is policy
    assert patience(policy, last=False).attempts == ATTEMPTS_BEFORE_THE_NEXT
    once = RecoveryPolicy(attempts=1, resumes=0)
    assert patience(once, last=False) == once
