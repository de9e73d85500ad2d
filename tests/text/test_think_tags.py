"""A thought between tags in the answer: taken out, wherever the pieces are cut, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_magic.text.extract import code_of, read_json
from deepseek_magic.text.think_tags import ThinkTags, without_thought

# text: (thought, answer)
WHOLE = {
    "<think>\nr {x}\n</think>\n\na": ("r {x}\n", "a"),
    " \n<think>r</think>a": ("r", "a"),
    "<think>\n\n</think>\n\na": ("", "a"),
    "<think>r</think>": ("r", ""),
    "<think>r</thin": ("r</thin", ""),
    "<think>1 </ 2</think>  a": ("1 </ 2", "  a"),
    "<think>r</think>a <think>b</think>": ("r", "a <think>b</think>"),
    "\n a": ("", "\n a"),
    "<thin": ("", "<thin"),
    "<thinking>a": ("", "<thinking>a"),
    "a <think>b</think>": ("", "a <think>b</think>"),
    "": ("", ""),
}


def read(pieces: list[str]) -> tuple[str, str]:
    tags = ThinkTags()
    said = [tags.feed(piece) for piece in pieces]
    said.append(tags.close())
    return "".join(thought for thought, _ in said), "".join(answer for _, answer in said)


@pytest.mark.parametrize("text", WHOLE)
def test_a_thought_at_the_start_is_taken_out_whole_and_character_by_character(text: str) -> None:
    assert read([text]) == read(list(text)) == WHOLE[text]


@given(st.lists(st.sampled_from(["<think>", "</think>", "<", "think>", "/", "a", "\n", " "])))
def test_where_the_pieces_are_cut_makes_no_difference_and_nothing_is_lost(pieces: list[str]) -> None:
    thought, answer = read(pieces)
    text = "".join(pieces)
    assert (thought, answer) == read([text])
    bare = str.maketrans("", "", "\n ")
    rest = text.replace("<think>", "", 1).replace("</think>", "", 1) if text.lstrip().startswith("<think>") else text
    assert (thought + answer).translate(bare) == rest.translate(bare)


def test_code_and_json_follow_a_thought_whose_opening_tag_nobody_saw() -> None:
    assert read_json('They want {x}.\n</think>\n\n{"x": 1}') == {"x": 1}
    assert code_of("```\nold\n```\n</think>\n```python\nnew\n```") == "new"
    assert without_thought("`<think>` ends with `</think>`") == "`<think>` ends with `</think>`"
