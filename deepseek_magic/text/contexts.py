"""Which braces of a prompt belong to LaTeX or to code, where a name in braces is rarely meant as a variable."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final, Literal

from .fences import FenceReader

_CODE_SPAN: Final = re.compile(r"(?<!`)(`+)(?!`)[^\n]+?(?<!`)\1(?!`)")
_BRACES: Final = re.compile(r"\\.|[{}]", re.DOTALL)
_TEX: Final = re.compile(r"\\[A-Za-z]+\*?(?=[\[{_^])|(?:(?<![A-Za-z0-9])[A-Za-z0-9]|[)\]|'])(?=[_^]\{)|(?=\^\{)")
"""A command with something after it, and what an index or exponent in braces hangs on. A longer word with ``_{`` behind
it is rather the name of a file (``report_{year}``), and ``_{`` alone emphasis."""
_SIGNS: Final = re.compile(r"\$\$|\\[\[\]()]")
_CLOSING: Final = {"$$": "$$", r"\[": r"\]", r"\(": r"\)"}
"""What only formulas stand between; a single dollar is as often one of money or of a shell."""
_PLAIN_SCRIPT: Final = re.compile(r"[_^](?:\\[A-Za-z]+|[^\s{}\\])")
_DOLLARS: Final = re.compile(r"(?<![\\$])\$(?=[^\s$])[^$\n]*?(?<=[^\s\\])\$(?!\d)")
"""On one line, as pandoc reads them: none of "$5 and $7"."""
_OPTIONAL: Final = re.compile(r"\[[^\]\n]{0,200}\](?=[\[{])")


class Contexts:
    """The stretches of one text that are code or LaTeX; looked for once, in time linear in the text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._dollars: list[tuple[int, int]] | None = None  # asked for rarely
        self._code = list(_code_spans(text))
        self._tex = _tex_spans(text) if "\\" in text or "{" in text else []

    def of(self, start: int, end: int) -> Literal["code", "tex"] | None:
        """What the text from ``start`` to ``end`` is part of."""
        return "code" if _around(self._code, start) else "tex" if _around(self._tex, start) else None

    def in_dollars(self, start: int) -> bool:
        """Whether it may stand in a formula between single dollars, or after one as a shell's variable does."""
        if self._dollars is None:
            self._dollars = [found.span() for found in _DOLLARS.finditer(self._text)]
        return self._text[start - 1 : start] == "$" or _around(self._dollars, start)

    def alone(self, start: int, end: int) -> bool:
        """Whether nothing else is on its line of code, or in its code span: a place that was left for it."""
        before = self._text[self._text.rfind("\n", 0, start) + 1 : start]
        after = self._text[end:].partition("\n")[0]
        return not (before + after).strip() or (before.endswith("`") and after.startswith("`"))


def _around(spans: list[tuple[int, int]], at: int) -> bool:
    index = bisect_right(spans, at, key=lambda span: span[0]) - 1
    return index >= 0 and at < spans[index][1]


def _code_spans(text: str) -> Iterator[tuple[int, int]]:
    reader, at = FenceReader(), 0
    for line in text.splitlines(keepends=True):
        place = reader.read(line.rstrip("\r\n"))
        if place == "outside":
            yield from (found.span() for found in _CODE_SPAN.finditer(text, at, at + len(line)))
        else:
            yield at, at + len(line)
        at += len(line)


def _tex_spans(text: str) -> list[tuple[int, int]]:
    closing, opened = dict[int, int](), list[int]()
    for brace in _BRACES.finditer(text):
        if brace[0] == "{":
            opened.append(brace.start())
        elif brace[0] == "}" and opened:
            closing[opened.pop()] = brace.end()
    commands = ((found.start(), found.end(), None) for found in _TEX.finditer(text))
    spans, end = list[tuple[int, int]](), 0
    for start, after, whole in sorted([*commands, *_formulas(text)], key=lambda found: found[0]):
        until = whole or (_arguments(text, after, closing) if start >= end else 0)
        if start >= end and until > after:
            spans.append((start, until))
            end = until
    return spans


def _formulas(text: str) -> Iterator[tuple[int, int, int]]:
    """Where each formula begins, where its first sign ends, and where the formula does; none goes over a blank line."""
    begun: re.Match[str] | None = None
    for sign in _SIGNS.finditer(text):
        closes = begun is not None and sign[0] == _CLOSING[begun[0]] and text[sign.end() : sign.end() + 1] != "{"
        if begun is not None and closes and "\n\n" not in text[begun.end() : sign.start()]:
            yield begun.start(), begun.end(), sign.end()
            begun = None
        elif sign[0] in _CLOSING:
            begun = sign


def _arguments(text: str, at: int, closing: dict[int, int]) -> int:
    """Where the groups, options, indices and exponents from ``at`` on end."""
    while True:
        if at in closing:
            at = closing[at]
        elif text[at : at + 1] in ("_", "^") and at + 1 in closing:
            at = closing[at + 1]
        elif found := _PLAIN_SCRIPT.match(text, at) or _OPTIONAL.match(text, at):
            at = found.end()
        else:
            return at
