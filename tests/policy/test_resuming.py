"""Whether an answer of an earlier call can be continued, and from where."""

from __future__ import annotations

import pytest

from deepseek_magic.policy.attempts import Abilities
from deepseek_magic.policy.resuming import going_on
from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.completion import Completion
from deepseek_magic.protocol.errors import ConfigurationError

CAN = Abilities(style="deepseek_prefix", reasoning=True)
REQUEST = Request.of("Count to ten.")


def answer(text: str = "", reasoning: str = "", outcome: str = "interrupted") -> Completion:
    return Completion(request=REQUEST, text=text, reasoning=reasoning, outcome=outcome)  # type: ignore[arg-type]


@pytest.mark.parametrize("outcome", ["complete", "filtered"])
def test_an_answer_that_is_over_is_not_continued(outcome: str) -> None:
    with pytest.raises(ConfigurationError):
        going_on(answer("One two three four five.", outcome=outcome), can=CAN)


@pytest.mark.parametrize("outcome", ["interrupted", "incomplete", "truncated"])
def test_an_answer_is_continued_before_its_last_word_with_its_whole_thought(outcome: str) -> None:
    step = going_on(answer("One two three four five", "Counting is easy.", outcome), can=CAN)
    assert step is not None
    assert (step.text_chars, step.reasoning_chars) == (len("One two three four"), len("Counting is easy."))


def test_a_thought_is_continued_inside_itself() -> None:
    step = going_on(answer(reasoning="Let me think about this"), can=CAN)
    assert step is not None
    assert (step.text_chars, step.reasoning_chars) == (0, len("Let me think about"))


def test_an_answer_that_had_hardly_begun_is_asked_for_again() -> None:
    assert going_on(answer("One"), can=CAN) is None


def test_where_the_endpoint_cannot_continue_that_is_the_error() -> None:
    with pytest.raises(ConfigurationError, match="endpoint"):
        going_on(answer("One two three four five."), can=Abilities(style="none"))


def test_the_step_says_how_much_had_arrived() -> None:
    for text, place in (("是", "1 character"), ("是的", "2 characters")):
        step = going_on(answer(text, reasoning="Let me think about this"), can=CAN)
        assert step is not None
        assert str(step.why) == f"Continuing after {place}, where the answer ended."
