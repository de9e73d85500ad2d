"""Text that is still being written is cut only where the parts look as the whole does."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_magic.protocol.markdown import Segmenter, safe
from deepseek_magic.text.segmenter import FIRST_SEGMENT_CHARS, SEGMENTS_MAX, ShownSegment
from tests.text.judges import RENDERERS, visible
from tests.work import calls_made

render = RENDERERS["markdown-it"]

FILLER = "A sentence that takes its room. " * 20
CODE = "```python\n" + "print('<b>', 1 < 2)\n" * 60 + "```"
TABLE = "| a | b |\n|---|---|\n" + "| 1 | `x|y` |\n" * 40
LIST = "\n".join(f"{n}. item {n} of **many** and `code`" for n in range(1, 30))
NESTED = "- one\n\n  more\n\n  ```sh\n  ls <dir>\n\n  cd\n  ```\n- two\n  - three\n\n    text\n- four"
FORMULA = "\\[\n\\begin{aligned}\na &= b \\\\\n&= c\n\\end{aligned}\n\\]"
INDENTED = "code:\n\n    a\n\n    b <c>"
QUOTE = "> quoted\n> ```\n> <x>\n> ```\n> end"
BLOCKS = [
    "# Title",
    FILLER,
    CODE,
    TABLE,
    LIST,
    NESTED,
    FORMULA,
    INDENTED,
    QUOTE,
    "---",
    "~~~\n```\n~~~",
    "costs $5 and $6",
    "text\n- a\n- b",
]


def cut(text: str, step: int = 5) -> Segmenter:
    segmenter = Segmenter()
    for at in range(0, len(text), step):
        segmenter.feed(text[at : at + step])
    return segmenter


def raw(segmenter: Segmenter) -> list[str]:
    return [segment.raw for segment in segmenter.segments]


def shape(page: str) -> list[str]:
    """The elements and the text of a page; where one list or code block was cut in two, the cut is not counted."""
    page = re.sub(r"</ol>\s*<ol[^>]*>|</ul>\s*<ul>", "", page)
    return re.findall(r"<[a-z0-9]+|[^<>\s]+", re.sub(r"<(/?)p>", "", page))


@given(st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=14).map("\n\n".join), st.integers(1, 400))
@settings(max_examples=150, deadline=None)
def test_segments_rendered_apart_look_as_the_whole(text: str, step: int) -> None:
    segmenter = cut(text, step)
    parts = segmenter.settled() + segmenter.finish()
    assert shape("".join(render(part) for part in parts)) == shape(render(safe(text)))


@given(st.text("ab \n`~-*>#|1.$\\[]()<\r\t", max_size=300), st.integers(1, 20))
@settings(max_examples=300, deadline=None)
def test_nothing_that_was_fed_is_lost_or_doubled(text: str, step: int) -> None:
    segmenter = cut(text, step)
    assert segmenter.text == text
    segmenter.tail()
    segmenter.finish()
    assert segmenter.text == "".join(raw(segmenter)) == text
    assert segmenter.tail() == ""


def test_how_the_text_is_chopped_changes_nothing() -> None:
    text = "\n\n".join(BLOCKS * 4)
    wanted = raw(cut(text, len(text)))
    for step in (1, 2, 3, 7, 64, 1_000):
        assert raw(cut(text, step)) == wanted


def test_a_short_answer_is_one_segment() -> None:
    segmenter = cut("# Hi\n\nshort\n")
    assert segmenter.settled() == []
    assert segmenter.finish() == ["# Hi\n\nshort"]


def test_a_segment_is_given_once_and_as_soon_as_it_is_large_enough() -> None:
    segmenter = Segmenter()
    segmenter.feed(FILLER * 3 + "\n\n")
    segmenter.feed("next\n")
    assert segmenter.settled() == [safe(FILLER * 3).strip("\n")]
    assert segmenter.settled() == []
    assert segmenter.settled_chars >= FIRST_SEGMENT_CHARS
    assert segmenter.tail() == "next\n"


@pytest.mark.parametrize("block", [FILLER + "\n\n", CODE + "\n", "x = 1\n", LIST + "\n"])
def test_an_answer_of_any_length_takes_at_most_forty_segments(block: str) -> None:
    segmenter = cut(("```\n" if block == "x = 1\n" else "") + block * (1_500_000 // len(block)), 4_000)
    segmenter.finish()
    assert 20 < len(segmenter.segments) <= SEGMENTS_MAX


@pytest.mark.parametrize("whole", [TABLE, FORMULA.replace("= c", "= c \\\\\n" * 100), QUOTE * 40, "one line " * 1_000])
def test_a_table_a_formula_a_quote_and_a_paragraph_are_never_cut(whole: str) -> None:
    segmenter = cut(f"{FILLER}\n\n{whole}\n\n{FILLER * 9}\n\nend\n")
    assert any(whole.strip() in part for part in raw(segmenter))


def test_a_very_long_code_block_is_cut_in_two_of_the_same_language() -> None:
    segmenter = cut("```python\n" + "a = '<b>'\n" * 2_000)
    first, second = segmenter.settled()[:2]
    assert first.startswith("```python\na = '<b>'\n")
    assert first.endswith("\n```")
    assert second.startswith("```python\na = '<b>'\n")
    assert segmenter.tail().startswith("```python\na = '<b>'\n")


def test_a_drawing_is_never_cut_and_is_not_drawn_before_it_is_whole() -> None:
    drawing = "```mermaid\ngraph TD\n" + "A --> B\n" * 2_000
    segmenter = cut(drawing)
    assert segmenter.settled() == []
    assert "```text\ngraph TD" in segmenter.tail()
    segmenter.feed("```\nand so\n")
    assert segmenter.settled()[0].startswith("```mermaid")


@pytest.mark.parametrize("lines", range(350, 362))
def test_a_code_block_is_never_cut_into_an_empty_one(lines: int) -> None:
    text = "```python\n" + "print('one more line')\n" * lines + "```\n\nand so on"
    segmenter = Segmenter()
    for line in text.splitlines(keepends=True):
        segmenter.feed(line)
    segments = segmenter.settled() + segmenter.finish()
    assert len(segments) > 1
    assert all(
        "print(" in code for segment in segments for code in re.findall("```python\n(.*?)```", segment, re.DOTALL)
    )
    assert "".join(raw(segmenter)) == text


def test_a_long_list_goes_on_with_its_numbers() -> None:
    segmenter = cut("\n".join(f"{n}. item number {n}" for n in range(1, 1_000)))
    parts = segmenter.settled() + segmenter.finish()
    assert len(parts) > 2
    number = 1
    for part in parts:
        assert part.startswith(f"{number}. ")
        number += render(part).count("<li>")


def test_a_list_numbered_by_the_renderer_is_not_cut() -> None:
    assert cut("1. item\n" * 3_000).settled() == []


@pytest.mark.parametrize(
    ("fed", "shown"),
    [
        ("some **bold", "some **bold**"),
        ("some **", "some"),
        ("some *it **both", "some *it **both***"),
        ("~~gone", "~~gone~~"),
        ("- a `co", "- a `co`"),
        ("a `<b", "a `<b`"),
        ("see [the docs](https://x.exa", "see the docs"),
        ("see ![a pic](https://x.exa", "see a pic"),
        ("index a[0]", "index a&#91;0&#93;"),
        ("so \\(x_1 + y_", "so `\\(x_1 + y_`"),
        ("so $x_1 + y_", "so `$x_1 + y_`"),
        ("costs $5 and", "costs <span>&#36;</span>5 and"),
        ("text\n-", "text\n"),
        ("text\n==", "text\n"),
        ("text\n``", "text\n"),
        ("text\n```py", "text\n"),
        ("text\n\n1.", "text\n\n"),
        ("text\n\n- [", "text\n\n"),
        ("```py\nx = 1\n``", "```py\nx = 1\n```\n"),
        ("```py\nx = 1", "```py\nx = 1\n```"),
        ("```py\nx < 1\n", "```py\nx < 1\n```\n"),
        ("| a | b |\n|--", "| a | b |\n"),
    ],
)
def test_the_open_tail_is_closed_and_half_written_marks_wait(fed: str, shown: str) -> None:
    assert cut(fed, 1).tail() == shown


def test_an_open_formula_shows_its_source_until_it_is_whole() -> None:
    segmenter = cut("so\n\n\\[\n\\frac{a")
    assert segmenter.tail() == "so\n\n```latex\n\\[\n\\frac{a\n```"
    segmenter.feed("}{b}\n\\]")
    segmenter.feed("\n")
    assert segmenter.tail() == "so\n\n$$\\frac{a}{b}$$\n"


def test_a_growing_code_block_never_shows_a_broken_page() -> None:
    text = "before\n\n- item:\n  ```html\n  <b>`x`</b>\n  ```\n\n```js\na < b\n```\nafter `c` and $x$\n"
    for end in range(len(text)):
        assert "```" not in visible(render(cut(text[:end], 3).tail()))


def test_feeding_costs_in_step_with_the_text() -> None:
    def calls(text: str) -> int:
        return calls_made(lambda: cut(text, 4))

    text = "\n\n".join(BLOCKS)
    assert calls(text * 16) < 5 * calls(text * 4)


def test_blank_text_goes_with_the_segment_before_it() -> None:
    segmenter = cut("```\n" + "x = 1\n" * 400 + "```\n")
    assert len(segmenter.settled()) == 1
    segmenter.feed("\n")
    assert segmenter.finish() == []
    assert [part[-5:] for part in raw(segmenter)] == ["```\n\n"[-5:]]


def test_a_code_block_is_not_cut_at_a_blank_line() -> None:
    segmenter = cut("```\n" + "xx\n\n" * 2_047)
    assert segmenter.settled() == []
    segmenter.feed("xx\nxx\n")
    assert [part[-4:] for part in segmenter.settled()] == ["\n```"]


def test_a_fence_ends_with_its_list_item() -> None:
    segmenter = cut("- ```\n  code\nout\n")
    assert segmenter.tail() == safe("- ```\n  code\nout\n")


def test_a_line_that_goes_on_with_a_list_item_does_not_end_the_list() -> None:
    segmenter = cut("- a\nlazy\n- b\n")
    assert segmenter.tail() == safe("- a\nlazy\n- b\n")


def test_the_last_segment_takes_whatever_is_left() -> None:
    segmenter = Segmenter(segments=[ShownSegment(raw="x", markdown="x")] * (SEGMENTS_MAX - 1), given=SEGMENTS_MAX - 1)
    segmenter.feed((FILLER + "\n\n") * 9)
    assert segmenter.settled() == []
    assert len(segmenter.finish()) == 1
