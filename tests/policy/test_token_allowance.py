"""What is left of ``max_tokens`` when an answer is written in several segments."""

from __future__ import annotations

import pytest

from deepseek_magic.policy.recovery import Continue
from deepseek_magic.policy.token_allowance import DeltaCount, TokenAllowance
from deepseek_magic.protocol.events import Event, Heartbeat, ReasoningDelta, Seam, TextDelta, ToolCallDelta

THOUGHT: list[Event] = [ReasoningDelta(text="Hm"), ReasoningDelta(text=" so")]
WORDS: list[Event] = [TextDelta(text="one "), TextDelta(text="two "), TextDelta(text="three")]


def counted(*batches: list[Event], limit: int | None = 10, token_each: bool = True) -> TokenAllowance:
    allowance, chars, thought = TokenAllowance(limit, token_each=token_each), 0, 0
    for batch in batches:
        allowance.add(batch, text_chars=chars, reasoning_chars=thought)
        chars += sum(len(event.text) for event in batch if isinstance(event, TextDelta))
        thought += sum(len(event.text) for event in batch if isinstance(event, ReasoningDelta))
    return allowance


def step(text_chars: int, max_tokens: int | None = None) -> Continue:
    return Continue(text_chars=text_chars, reasoning_chars=5, max_tokens=max_tokens, why="")


def test_without_a_limit_nothing_is_counted() -> None:
    assert counted(WORDS, limit=None).left(13) is None


def test_a_delta_is_a_token_where_the_host_sends_them_so_and_else_characters_are() -> None:
    tool: list[Event] = [Heartbeat(comment=""), ToolCallDelta(index=0, arguments="{}")]
    assert counted(THOUGHT, WORDS, tool).left(18) == 10 - 6
    assert counted(THOUGHT, WORDS, token_each=False).left(0) == 10


def test_what_a_seam_takes_back_was_not_used() -> None:
    assert counted(THOUGHT, WORDS, [Seam(kind="continued", at_chars=8)]).left(13) == 10 - 4
    assert counted(THOUGHT, WORDS, [Seam(kind="restarted")]).left(0) == 10


def test_a_rewind_takes_whole_deltas_back_and_shortens_the_one_that_it_tears() -> None:
    count = DeltaCount()
    for chars in (3, 4, 5):
        count.add(chars)
    assert [count.within(chars) for chars in (0, 4, 5, 9, 12)] == [0, 0, 1, 2, 3]
    count.take_back(7)
    assert (count.total, count.within(2)) == (2, 1)
    count.take_back(100)
    assert count.total == 0


@pytest.mark.parametrize(("chars", "left"), [(10, 96), (9, 97), (900, -200)])
def test_where_no_tokens_are_counted_three_characters_are_one(chars: int, left: int) -> None:
    assert counted(WORDS, limit=100, token_each=False).left(chars) == left


def test_a_chinese_character_counts_for_more_than_a_letter() -> None:
    chinese: list[Event] = [TextDelta(text="流式输出边生成边显示")]
    assert counted(chinese, limit=100, token_each=False).left(10) == 94
    half: list[Event] = [TextDelta(text="流式输出边 one"), ReasoningDelta(text=" two, t")]
    assert counted(half, limit=100, token_each=False).left(16) == 93


def test_tokens_behind_the_prefix_are_granted_again() -> None:
    granted = counted(THOUGHT, WORDS).grant(step(8, 5), at_length=False, text_chars=13, reasoning_chars=5)
    assert granted.max_tokens == 5 + 1
    estimated = counted(WORDS, token_each=False)
    assert estimated.grant(step(8, 5), at_length=False, text_chars=13, reasoning_chars=5).max_tokens == 5


def test_beyond_its_length_an_answer_has_as_much_again() -> None:
    allowance = counted(THOUGHT, WORDS)
    allowance.grant(step(13), at_length=True, text_chars=13, reasoning_chars=5)
    assert allowance.left(18) == 10


def test_an_answer_of_an_earlier_call_was_paid_by_that() -> None:
    allowance = TokenAllowance(10, token_each=False)
    allowance.begin_with(step(13, 7))
    assert allowance.left(18) == 7
