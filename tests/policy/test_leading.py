"""Who goes first of calls that begin alike, for how long the others wait, and when it is given up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_magic.policy.limits import leading
from deepseek_magic.policy.limits.leading import (
    BUILD_S,
    KEPT_S,
    LEAD_TOKENS,
    MISSES,
    WAIT_S,
    Beginning,
    Leading,
    beginning,
)
from deepseek_magic.protocol.chat import ChatMessage, Request

LONG = "You are a patient teacher of physics who explains every step and never skips one. " * 120
A, B = (Beginning(("here", "m"), name) for name in (b"a", b"b"))


def begins(prompt: Any = "x", *, base_url: str = "http://here", **options: Any) -> Beginning | None:
    return beginning(Request.of(prompt, **{"model": "deepseek-flash", **options}), base_url)


def test_only_a_long_beginning_is_one() -> None:
    assert begins("Say it.") is None
    assert begins(LONG) is not None
    assert begins("x", system=LONG) is not None
    at_most = round(LEAD_TOKENS / 0.3)
    assert begins("x" * (at_most - 300)) is None
    assert begins("x" * (at_most + 300)) is not None
    assert begins("学" * (at_most // 2 + 300)) is not None, "a Chinese character is twice as many tokens"


def test_what_begins_alike_is_equal_and_what_the_host_keeps_apart_is_not() -> None:
    assert begins(LONG + "one") == begins(LONG + "two", temperature=1, max_tokens=5)
    assert begins("one", system=LONG) == begins("two", system=LONG)
    for other in (
        begins("!" + LONG),
        begins(LONG, system="short"),
        begins(LONG, think="off"),
        begins(LONG, user_id="me"),
        begins(LONG, base_url="http://there"),
        begins(LONG, model="deepseek-v4-pro"),
        begins((ChatMessage(role="system", content=LONG),)),
    ):
        assert other != begins(LONG)
        assert other is not None


def test_images_belong_to_what_a_prompt_begins_with() -> None:
    def with_image(data: str) -> Beginning | None:
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
        return begins((ChatMessage(role="user", content=(image, {"type": "text", "text": LONG})),))

    assert with_image("AAAA") == with_image("AAAA") != with_image("BBBB")


def test_the_first_leads_and_others_wait_until_its_answer_has_begun_and_the_cache_is_built() -> None:
    rule = Leading()
    assert rule.wait_s(None, 0.0) == rule.wait_s(A, 0.0) == 0.0
    assert rule.goes(A, 0.0)
    assert rule.wait_s(A, 1.0) == WAIT_S - 1
    assert rule.wait_s(B, 1.0) == 0.0
    rule.begun(A, 2.0)
    rule.begun(A, 3.0)
    assert rule.wait_s(A, 3.0) == BUILD_S - 1
    assert rule.wait_s(A, 2.0 + BUILD_S) == 0.0
    assert not rule.goes(A, 2.0 + BUILD_S)
    rule.gone(A)
    assert not rule.goes(A, 2.0 + BUILD_S), "its beginning has been read, however it ended"


def test_a_leader_is_waited_for_only_so_long_and_not_when_it_has_failed() -> None:
    rule = Leading()
    assert rule.goes(A, 0.0)
    assert rule.wait_s(A, WAIT_S) == 0.0
    rule.gone(A)
    rule.gone(A)
    rule.begun(A, 1.0)
    assert rule.wait_s(A, 1.0) == 0.0
    assert rule.goes(A, 1.0)


def test_after_an_hour_another_one_leads() -> None:
    rule = Leading()
    assert rule.goes(A, 0.0)
    rule.begun(A, 0.0)
    assert not rule.goes(A, BUILD_S + KEPT_S - 1)
    assert rule.goes(A, BUILD_S + KEPT_S)


def test_it_leads_no_more_where_followers_find_nothing_until_one_finds_it_or_an_hour_is_over() -> None:
    rule = Leading()
    assert rule.goes(A, 0.0)
    rule.billed(A, 0, 0.0)
    rule.begun(A, 0.0)
    for hit in (0, None, 0):
        assert rule.wait_s(A, 0.0) > 0
        rule.billed(A, hit, 0.0)
    assert rule.wait_s(A, 0.0) == 0.0, "who waits already may go, too"
    assert rule.goes(B, 1.0)
    assert rule.wait_s(B, 1.0) == 0.0
    rule.billed(A, LEAD_TOKENS, 2.0)
    assert rule.wait_s(B, 2.0) > 0
    for _ in range(MISSES):
        rule.billed(A, 0, 3.0)
    assert rule.wait_s(B, 3.0) == 0.0
    assert rule.goes(Beginning(A.place, b"c"), 4.0 + KEPT_S)
    assert rule.wait_s(Beginning(A.place, b"c"), 4.0 + KEPT_S) > 0


def test_it_remembers_so_many_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leading, "_MOST_GROUPS", 2)
    rule = Leading()
    for name in "abc":
        assert rule.goes(Beginning(("here", "m"), name.encode()), 0.0)
    assert rule.goes(A, 0.0)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 20), st.booleans()), max_size=30))
def test_nobody_waits_longer_than_it_takes(steps: list[tuple[str, float, bool]]) -> None:
    rule, now_s = Leading(), 0.0
    for name, later_s, begun in steps:
        now_s += later_s
        of = Beginning(("here", "m"), name.encode())
        wait_s = rule.wait_s(of, now_s)
        assert 0.0 <= wait_s <= WAIT_S + 1e-9
        if not wait_s:
            rule.goes(of, now_s)
        if begun:
            rule.begun(of, now_s)
