"""What a person is shown of code before it may run: all of it, with what would otherwise not be seen.

The code is shown whole, never cut: what is run is what was shown. Characters that are not seen stand as names in brackets,
lines that would leave the screen are broken, and sentences say what the eye passes over. Where the code takes the place of
a cell, each line says whether it is new, as in a diff; lines that stay are there, too, because they are run as well.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ...text.blocks import safe
from ...text.characters import unseen, visible
from ...text.design.tokens import value
from ...text.fences import fenced
from ...text.messages import Message
from ..view.settled import escape

MAX_COLUMNS: Final = 100
"""A longer line is broken: behind many spaces nobody looks for the end of one."""
MAX_CODE_CHARS: Final = 20_000
"""More than anyone reads before a click; code of that length is not offered to be run."""
MOST_NAMED: Final = 8
CLASS: Final = "deepseek-magic-code"
"""What the extension of JupyterLab puts no buttons on."""
BROKEN: Final = " ↩"
_WORD: Final = re.compile(r"[^\W\d]\w*")
_SCRIPTS: Final = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE")
"""Alphabets with letters that look alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Code that may be run. ``replaces``: the text of the cell whose place it takes, ``remarks``: what else was seen in it."""

    code: str
    replaces: str | None = None
    remarks: tuple[Message, ...] = ()

    @property
    def title(self) -> Message:
        """What is shown."""
        lines = self.code.count("\n") + 1
        if self.replaces is None:
            return Message("The code, 1 line" if lines == 1 else "The code, {lines} lines", lines=lines)
        if self.replaces.strip() == self.code.strip():
            return Message("The same code as in that cell")
        return Message("The changed cell (−: no longer there, +: new)")

    @property
    def said(self) -> tuple[Message, ...]:
        """What the eye may pass over, a sentence each."""
        return (*remarks(self.code), *self.remarks)

    @property
    def text(self) -> str:
        """The code as it is shown, in lines that fit."""
        return "\n".join(self._lines())

    @property
    def markdown(self) -> str:
        """The same as a block of safe Markdown; of a changed cell with a rule before each line that is new or gone."""
        if self.replaces is None and self.text == self.code:
            return safe(fenced(self.text, "python"))
        # Not as a block of code: JupyterLab would offer to insert marks and names in brackets with it.
        lines = map(escape if self.replaces is None else _ruled, self._lines())
        return f'<pre class="{CLASS}"><code>{"&#10;".join(lines)}</code></pre>'

    def _lines(self) -> list[str]:
        lines = self.code.split("\n")
        marked = [("", line) for line in lines] if self.replaces is None else _changed(self.replaces, lines)
        return [f"{mark}{piece}" for mark, line in marked for piece in _pieces(visible(line))]


def remarks(code: str) -> Iterator[Message]:
    """Sentences about what in ``code`` is not as it looks."""
    lines = code.split("\n")
    hidden: dict[str, list[int]] = {}
    for number, line in enumerate(lines, 1):
        for _, name in unseen(line):
            places = hidden.setdefault(name, [])
            if places[-1:] != [number]:
                places.append(number)
    if hidden:
        named = _few([f"{name} ({_few([str(each) for each in places])})" for name, places in hidden.items()])
        yield Message(
            "It has characters that are not seen, here with names in brackets (and lines): {names}.", names=named
        )
    if any(unicodedata.bidirectional(sign) in ("R", "AL") for sign in code if sign > "\u0590"):
        yield Message(
            "It has letters that are written from right to left: what is beside them may run in another order."
        )
    disguised = dict.fromkeys(word for word in _WORD.findall(code) if not word.isascii() and _is_disguised(word))
    if disguised:
        yield Message(
            "It has words whose letters are not those that they look like: {names}.", names=_few([*disguised])
        )
    long = [str(number) for number, line in enumerate(lines, 1) if _columns(visible(line)) > MAX_COLUMNS]
    if long:
        yield Message("Lines longer than they may look, broken here at ↩: {numbers}.", numbers=_few(long))


def _is_disguised(word: str) -> bool:
    """Whether Python takes a word for another one (PEP 3131: NFKC), or its letters are of two alphabets."""
    if unicodedata.normalize("NFKC", word) != word:
        return True
    scripts = {unicodedata.name(sign, "").partition(" ")[0] for sign in word}
    return len(scripts & set(_SCRIPTS)) > 1


def _few(names: list[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")


def _changed(before: str, after: list[str]) -> Iterator[tuple[str, str]]:
    """Every line of ``after``, and those of ``before`` that are gone, each with its mark."""
    old = before.rstrip("\n").split("\n")
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, after, autojunk=False).get_opcodes():
        if kind == "equal":
            yield from (("  ", line) for line in after[c:d])
        else:
            yield from (("- ", line) for line in old[a:b])
            yield from (("+ ", line) for line in after[c:d])


def _ruled(line: str) -> str:
    """A line of a diff, which reads without its colour, too."""
    colour = {"+": value("good"), "-": value("error")}.get(line[0], "transparent")
    return f'<span style="border-left:{value("rule")} solid {colour};padding-left:{value("space-2")}">{escape(line)}</span>'


def _columns(text: str) -> int:
    return len(text) + sum(unicodedata.east_asian_width(sign) in "WF" for sign in text)


def _pieces(line: str) -> Iterator[str]:
    """A line in pieces that fit, with a mark where it is broken."""
    if _columns(line) <= MAX_COLUMNS:
        yield line
        return
    piece, columns = "", 0
    for sign in line:
        wide = 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        if columns + wide > MAX_COLUMNS:
            yield piece + BROKEN
            piece, columns = "", 0
        piece, columns = piece + sign, columns + wide
    yield piece
