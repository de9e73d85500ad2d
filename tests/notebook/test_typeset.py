"""What a terminal prints of an answer: formulas in signs, tables in columns, code as it came, a torn word once."""

from __future__ import annotations

import random

import pytest

from deepseek_magic.notebook.view.terminal import PlainView
from deepseek_magic.notebook.view.typeset import Typesetter, formula, table, width, with_signs
from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.completion import Completion
from deepseek_magic.protocol.events import Event, Seam, TextDelta

ANSWER = """Here is $E = mc^2$ and `code $x$` for $5 and $7.

| Planet | Distance from the Sun (AU) | Notes |
|---|---:|---|
| Earth | 1.00 | the only one with oceans of liquid water that we know of |
| 木星 | 5.20 | 最大的行星 |

$$
\\int_0^1 x^2\\,dx = \\frac{1}{3}
$$

```python
print("$x^2$ | a |")
| no | table |
```
\\[ a_1 \\ne b \\]
the end"""

SET = """Here is E = mc² and `code $x$` for $5 and $7.

Planet  Distance from the    Notes
        Sun (AU)
──────  ───────────────────  ───────────────────
Earth   1.00                 the only one with
                             oceans of liquid
                             water that we know
                             of
木星    5.20                 最大的行星

∫₀¹ x² dx = 1/3

```python
print("$x^2$ | a |")
| no | table |
```
a₁ ≠ b
the end"""


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (r"e^{i\pi} + 1 = 0", "e^(iπ) + 1 = 0"),
        (r"\int_{-\infty}^\infty e^{-x^2}\,dx = \sqrt{\pi}", "∫_(-∞)^∞ e^(-x²) dx = √π"),
        (r"\bar x = \frac{1}{n} \sum_{i=1}^{n} x_i", "x̄ = 1/n ∑ᵢ₌₁ⁿ xᵢ"),
        (r"\frac{a+b}{2n} \le \lambda", "(a+b)/2n ≤ λ"),
        (r"\text{mean} \approx 3.2 \cdot 10^{-4}", "mean ≈ 3.2 · 10⁻⁴"),
        (r"\begin{pmatrix} 1 & 2 \end{pmatrix}", None),
        (r"\unknown{x}", None),
    ],
)
def test_a_formula_is_set_in_signs_or_left_as_it_is(source: str, shown: str | None) -> None:
    assert formula(source) == shown


@pytest.mark.parametrize("seed", range(30))
def test_however_an_answer_is_cut_into_pieces_the_same_is_printed(seed: int) -> None:
    chance, typesetter, printed, at = random.Random(seed), Typesetter(48), "", 0
    while at < len(ANSWER):
        piece = ANSWER[at : at + chance.randint(1, 9)]
        printed += typesetter.feed(piece)
        at += len(piece)
    assert printed + typesetter.finish() == SET


def test_what_draws_markdown_itself_is_given_signs_for_formulas_alone() -> None:
    text = "a $x_{10}^{y+z} * 2$ and\n$$\n\\sum_i x\n$$\n\n```\n$x_1$\n```\n*end*"
    assert with_signs(text) == "a x₁₀ʸ⁺ᶻ \\* 2 and\n∑ᵢ x\n\n```\n$x_1$\n```\n*end*"


def test_prose_is_printed_as_it_comes() -> None:
    typesetter = Typesetter(80)
    assert [typesetter.feed(piece) for piece in ("a wo", "rd, ", "$x$", " and")] == ["a wo", "rd, ", "", "x and"]


def test_a_table_fits_its_screen_and_breaks_no_word_that_fits() -> None:
    rows = ["| " + " | ".join(["some words of a cell"] * 4) + " |"] * 3
    lines = table([rows[0], "|---|---|---|---|", *rows], 40).splitlines()
    assert max(map(width, lines)) <= 40
    assert {word.strip("─") for line in lines for word in line.split()} == {"some", "words", "of", "a", "cell", ""}


def printed(capsys: pytest.CaptureFixture[str], *events: Event, text: str) -> str:
    view = PlainView()
    for event in events:
        view.show([event])
    view.finish(Completion(request=Request.of("hi"), text=text, outcome="complete", model="m"))
    return capsys.readouterr().out


def test_a_word_that_was_torn_is_not_printed_twice(capsys: pytest.CaptureFixture[str]) -> None:
    torn = [
        TextDelta(text="sent by the serv"),
        Seam(kind="continued", at_chars=11),
        TextDelta(text=" ser"),
        TextDelta(text="ver."),
    ]
    assert printed(capsys, *torn, text="sent by the server.") == "sent by the server.\n(m)\n"


def test_where_the_answer_goes_on_otherwise_it_begins_a_new_line(capsys: pytest.CaptureFixture[str]) -> None:
    torn = [TextDelta(text="sent by the serv"), Seam(kind="continued", at_chars=11), TextDelta(text=" sea.")]
    shown = printed(capsys, *torn, text="sent by the sea.")
    assert shown.splitlines()[0] == "sent by the serv"
    assert shown.splitlines()[2:] == ["sea.", "(m)"]
