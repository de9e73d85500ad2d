"""The rules by which an answer is compared with what was expected: pure functions of two texts.

Each is what a person would do by hand, said in its docstring; where an answer cannot be read as asked it is wrong, and why is
said. What is missing is not decided here: an expected value that is not there makes no score, see ``scoring``.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from ...text.extract import read_json
from ...text.messages import Message, numbered
from ..schema import Schema

Why = Message | str


@dataclass(frozen=True, slots=True)
class Score:
    """What a scorer says of one answer: a number, a word for the category, and why.

    ``value`` None: it could not be judged, and no mean counts it.
    """

    value: float | None
    label: str | None = None
    why: Why | None = None


def verdict(right: bool, why: Why | None = None) -> Score:
    """1 for right; 0 and why for wrong."""
    return Score(1.0) if right else Score(0.0, why=why)


def folded(text: str) -> str:
    """``text`` without the difference of upper and lower case, of white space, and of how accents are composed."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def exact(answer: str, expected: str, *, fold: bool = True) -> Score:
    """Whether the answer is the expected text; case and white space count only if told (``fold=False``)."""
    return verdict(folded(answer) == folded(expected) if fold else answer == expected)


def contains(answer: str, expected: str, *, fold: bool = True) -> Score:
    """Whether the expected text is somewhere in the answer, compared as ``exact`` does."""
    return verdict(folded(expected) in folded(answer) if fold else expected in answer)


def matches(answer: str, pattern: str) -> Score:
    """Whether the pattern is found in the answer. It may run for ever: see ``scoring.Scorer.pattern``."""
    return verdict(re.search(pattern, answer) is not None)


_WIDE: Final = str.maketrans("，．－＋％−", ",.-+%-")
_GROUP_SPACES: Final = re.compile(r"(?<=\d)(?:[\u00a0\u2009\u202f'’]|\{,\}|\\,)(?=\d{3}(?!\d))")
_NUMBER: Final = re.compile(
    r"(?<![A-Za-z0-9_.])(?P<sign>[-+](?=[$€£¥]?\.?\d))?[$€£¥]?"
    r"(?:(?P<comma>\d{1,3}(?:\.\d{3})+,\d+(?!\d))|(?P<digits>\d{1,3}(?:,\d{3})+(?!\d)|\d+|(?=\.\d))(?P<rest>\.\d+)?)"
    r"(?:[eE](?P<exponent>[-+]?\d{1,3})(?!\d)|\s?(?:×|\\times|[x*])\s?10\^\{?(?P<power>[-+]?\d{1,3})\}?)?"
)
MAX_DIGITS: Final = 1_000
"""Longer numbers are none: Python itself takes seconds for a million digits."""


def numbers(text: str) -> list[Fraction]:
    """Every number of a text, exactly.

    Full-width and other digits, thousands with commas, apostrophes or narrow spaces, ``1.234,50``, ``1.5e3``, ``1.5 × 10^3``
    and an amount after its currency are read; digits inside of a word (``H2O``, ``gpt4``) are not.
    """
    text = "".join(str(unicodedata.decimal(c)) if not c.isascii() and c.isdecimal() else c for c in text)
    text = _GROUP_SPACES.sub("", text.translate(_WIDE))
    return [_value(found) for found in _NUMBER.finditer(text) if len(found[0]) <= MAX_DIGITS]


def _value(found: re.Match[str]) -> Fraction:
    if found["comma"]:
        plain = found["comma"].replace(".", "").replace(",", ".")
    else:
        plain = found["digits"].replace(",", "") + (found["rest"] or "")
    power = int(found["exponent"] or found["power"] or 0)
    return Fraction(plain) * Fraction(10) ** power * (-1 if found["sign"] == "-" else 1)


def number(answer: str, expected: str, *, within: float = 0.0) -> Score:
    """Whether the last number of the answer is the expected one, or not further from it than ``within``."""
    wanted = numbers(expected)
    if not wanted:
        return Score(None, why=Message("{value} is no number", value=shortened(expected)))
    found = numbers(answer)
    if not found:
        return Score(0.0, why=Message("no number in the answer"))
    right = abs(found[-1] - wanted[-1]) <= Fraction(str(within))
    said = _decimal(found[-1])
    return Score(float(right), label=said, why=None if right else Message("it says {value}", value=said))


def _decimal(value: Fraction) -> str:
    return f"{int(value)}" if value.denominator == 1 and abs(value) < 10**15 else f"{_float(value):.15g}"


def _float(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def one_of(answer: str, choices: Sequence[str], expected: str | None = None) -> Score:
    """Which of the choices the answer names: alone, or as the only one in a sentence. With ``expected``, whether it is that."""
    if expected is not None and folded(expected) not in map(folded, choices):
        return Score(None, why=Message("{value} is none of the choices", value=shortened(expected)))
    found = _named(answer, choices)
    if len(found) != 1:
        why = Message("none of the choices is in the answer")
        if found:
            why = Message("several of the choices are in the answer: {names}", names=", ".join(found))
        return Score(0.0, why=why)
    right = expected is None or folded(found[0]) == folded(expected)
    return Score(float(right), label=found[0], why=None if right else Message("it says {value}", value=found[0]))


def _named(answer: str, choices: Sequence[str]) -> list[str]:
    by_fold = {folded(choice): choice for choice in choices}
    text = folded(answer)
    alone = text.strip(" .,;:!?\"'`*_()[]。，；：！？“”‘’「」（）")
    if alone in by_fold:
        return [by_fold[alone]]
    longest_first = sorted(by_fold, key=len, reverse=True)
    inside = re.compile("|".join(_as_word(choice) for choice in longest_first))
    return [by_fold[choice] for choice in dict.fromkeys(inside.findall(text))]


def _as_word(choice: str) -> str:
    """The choice as a word of its own; in scripts that put no space between words it may stand anywhere."""
    before = r"(?<![a-z0-9_])" if re.match("[a-z0-9_]", choice) else ""
    after = r"(?![a-z0-9_])" if re.search("[a-z0-9_]$", choice) else ""
    return f"{before}{re.escape(choice)}{after}"


def fits(answer: str, schema: Schema) -> Score:
    """Whether the answer is JSON, bare or in one code block, that fits the schema."""
    try:
        schema.read(answer)
    except ValueError as error:
        return Score(0.0, why=error.args[0])
    return Score(1.0)


_STEP: Final = re.compile(r"""\.?([^.\[\]"']+)|\[(-?\d+)\]|\[(?:"([^"]*)"|'([^']*)')\]""")


def steps(path: str) -> list[str | int] | None:
    """The steps of a path like ``$.city``, ``$.rows[0]["the name"]``; None where it is none."""
    rest, found = path.strip().removeprefix("$"), []
    while rest:
        match = _STEP.match(rest)
        if match is None:
            return None
        name, index, double, single = match.groups()
        found.append(int(index) if index is not None else next(n for n in (name, double, single) if n is not None))
        rest = rest[match.end() :]
    return found


def field(answer: str, path: str, expected: str) -> Score:
    """Whether a field of the answer's JSON is the expected value: numbers as numbers, texts as ``exact`` compares them."""
    try:
        value: Any = read_json(answer)
    except ValueError as error:
        return Score(0.0, why=error.args[0])
    for step in steps(path) or ():
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return Score(0.0, why=Message("there is no {path} in the answer", path=path))
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return Score(float(_alike(value, expected)), label=shortened(said))


def _alike(value: Any, expected: str) -> bool:
    if isinstance(value, str):
        return folded(value) == folded(expected)
    if isinstance(value, int | float) and not isinstance(value, bool):
        wanted, said = numbers(expected), numbers(repr(value))
        return len(wanted) == 1 and said == wanted
    if value is None or isinstance(value, bool):
        return folded(json.dumps(value)) == folded(expected)
    try:
        return bool(value == json.loads(expected))
    except ValueError:
        return False


_SPACELESS: Final = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD: Final = re.compile(rf"[{_SPACELESS}]|[^\s{_SPACELESS}]+")


def count_words(text: str) -> int:
    """Words between white space; of Chinese and Japanese each character, as word processors count. Marks alone are none."""
    return sum(any(character.isalnum() for character in word) for word in _WORD.findall(text))


def length(
    answer: str, *, max_words: int | None, min_words: int | None, max_chars: int | None, min_chars: int | None
) -> Score:
    """Whether the answer is as long as asked, without the white space around it."""
    words, chars = count_words(answer), len(answer.strip())
    for least, count, most, unit in ((min_words, words, max_words, "words"), (min_chars, chars, max_chars, "chars")):
        if (least is not None and count < least) or (most is not None and count > most):
            in_words = numbered(count, Message("it has 1 word"), Message("it has {count} words"))
            in_chars = numbered(count, Message("it has 1 character"), Message("it has {count} characters"))
            return Score(0.0, why=in_words if unit == "words" else in_chars)
    return Score(1.0)


def shortened(text: str, chars: int = 60) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= chars else f"{line[: chars - 1]}…"
