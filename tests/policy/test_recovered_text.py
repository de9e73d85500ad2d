"""Decision, rewinding, prefix request and seam together: a broken answer comes out as the whole one, to the character.

The server is DeepSeek's contract as a function: it answers with what follows the prefix, drops the newlines in front of a
continuation when it does not think, and goes on inside the thought when only a thought is given.
"""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deepseek_magic.policy.attempts import Abilities, Delivered, Ending, RecoveryPolicy, Spent
from deepseek_magic.policy.recovery import (
    Accept,
    Continue,
    GiveUp,
    Restart,
    Retry,
    decide,
)
from deepseek_magic.policy.seams import EchoFilter
from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.completion import Accumulator, Completion
from deepseek_magic.protocol.events import Finish, ReasoningDelta, Seam, TextDelta

WORDS = st.text("ab 你好。\n-`\u0301", min_size=1, max_size=60).map(lambda t: f"a{t}b")
POLICY = RecoveryPolicy(attempts=50, resumes=50)


def server(request: Request, thought: str, text: str, *, echo: bool) -> tuple[str, str]:
    """What the server still has to say: reasoning and text."""
    last = request.messages[-1]
    if not last.prefix:
        return thought, text
    assert isinstance(last.content, str)
    assert text.startswith(last.content)
    if not last.content and last.reasoning_content:
        assert thought.startswith(last.reasoning_content)
        return (last.reasoning_content if echo else "") + thought[len(last.reasoning_content) :], text
    rest = text[len(last.content) :]
    if request.options.get("think") == "off":
        rest = rest.lstrip("\n")
    return "", (last.content if echo else "") + rest


def answer_over_a_bad_line(
    thought: str, text: str, cuts: list[int], *, can: Abilities, think: str, echo: bool = False
) -> Completion:
    first = request = Request.of("Tell me.", think=think)
    got, spent, seam = Accumulator(first), Spent(), None
    strategy, prefix, thought_prefix = "first", "", ""
    for cut in [*cuts, 10_000]:
        reasoning, rest = server(request, thought, text, echo=echo)
        arriving = [ReasoningDelta(text=c) for c in reasoning] + [TextDelta(text=c) for c in rest]
        strip, thought_strip, new = EchoFilter(prefix), EchoFilter(thought_prefix), 0
        for event in arriving[:cut]:
            piece = (strip if isinstance(event, TextDelta) else thought_strip).feed(event.text)
            if piece:
                if seam is not None:  # the old text stands until something takes its place
                    got.add(seam)
                    seam = None
                got.add(type(event)(text=piece))
                new += len(piece)
        if cut >= len(arriving):
            for kind, held in ((ReasoningDelta, thought_strip.release()), (TextDelta, strip.release())):
                if held:
                    if seam is not None:
                        got.add(seam)
                        seam = None
                    got.add(kind(text=held))
                    new += len(held)
            got.add(Finish(reason="stop"))
            ending = Ending(kind="finished", finish_reason="stop", strategy=strategy)  # type: ignore[arg-type]
        else:
            ending = Ending(kind="reset", strategy=strategy)  # type: ignore[arg-type]
        delivered = Delivered.of(
            text=got.text, reasoning=got.reasoning, new_chars=new + len(strip.held + thought_strip.held)
        )
        step = decide(ending, delivered, POLICY, spent, 0.5, can=can)
        spent = step.spent
        match step:
            case Accept() | GiveUp():
                break
            case Retry():
                request, strategy, prefix, thought_prefix = first, "retry", "", ""
            case Restart():
                request, strategy, prefix, thought_prefix = first, "restart", "", ""
                seam = Seam(kind="restarted", at_chars=0, reasoning_at_chars=0)
            case Continue():
                prefix, thought_prefix = got.text[: step.text_chars], got.reasoning[: step.reasoning_chars]
                request = first.continued(text=prefix, reasoning=thought_prefix, style="deepseek_prefix")
                thought_prefix = "" if prefix else thought_prefix
                strategy = "continue"
                seam = Seam(kind="continued", at_chars=step.text_chars, reasoning_at_chars=step.reasoning_chars)
    assert isinstance(step, Accept), step.why
    return got.completion()


@pytest.mark.parametrize(
    "can",
    [
        Abilities(style="deepseek_prefix", reasoning=True),
        Abilities(style="deepseek_prefix", reasoning=False),
        Abilities(style="none"),
        Abilities(style="deepseek_prefix", reasoning=True, json_mode=True),
    ],
    ids=["prefix", "prefix of text only", "no prefix", "JSON mode"],
)
@pytest.mark.parametrize("echo", [False, True], ids=["", "echoing gateway"])
@settings(max_examples=40, deadline=None)
@given(thought=WORDS, text=WORDS, cuts=st.lists(st.integers(1, 40), max_size=4))
@example(thought="a", text="line1\nline2", cuts=[5])
@example(thought="a", text="line1\nline2", cuts=[8])
@example(thought="a", text="line1\n\n- b 你好", cuts=[7, 3])
def test_a_broken_answer_comes_out_whole(can: Abilities, echo: bool, thought: str, text: str, cuts: list[int]) -> None:
    thinking = answer_over_a_bad_line(thought, text, cuts, can=can, think="high", echo=echo)
    assert (thinking.text, thinking.reasoning, thinking.outcome) == (text, thought, "complete")
    plain = answer_over_a_bad_line("", text, cuts, can=can, think="off", echo=echo)
    assert (plain.text, plain.reasoning, plain.outcome) == (text, "", "complete")


@given(text=WORDS, at=st.integers(1, 60))
@example(
    text="ab`````````````\nab", at=17
)  # the whole continuation is the beginning of the prefix, so it is held to the end
def test_a_cut_at_every_character_is_joined_without_loss_or_repetition(text: str, at: int) -> None:
    can = Abilities(style="deepseek_prefix", reasoning=True)
    assert answer_over_a_bad_line("", text, [min(at, len(text) - 1)], can=can, think="off").text == text
