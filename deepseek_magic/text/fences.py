"""What a code fence is (CommonMark 0.31, section 4.5): what opens one, what closes it, which one a text needs around it.

``opening`` and ``Fence`` serve readers that know which container a line is in; ``FenceReader`` serves those that only
go from line to line, and passes over the marks of quotes and list items before a fence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

MARKS: Final = ("```", "~~~")
CODE_INDENT: Final = 4
"""Columns from which a line is no fence any more, but code or text (section 4.4)."""

_OPENING: Final = re.compile(r"(`{3,})([^`]*)\Z|(~{3,})(.*)\Z")
_LANGUAGE: Final = re.compile(r"[{.]*([A-Za-z0-9_+#.-]{1,40})")
_TICKS: Final = re.compile("`{3,}")
_CONTAINERS: Final = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*")

Place = Literal["outside", "opening", "inside", "closing"]


@dataclass(frozen=True, slots=True)
class Fence:
    """An open fence: its run of marks, and the info string after it, which begins with the language."""

    mark: str
    info: str

    @property
    def language(self) -> str:
        """The language that the info string begins with, in characters that mean nothing in HTML; else empty."""
        named = _LANGUAGE.match(self.info)
        return named[1] if named else ""

    def closed_by(self, line: str) -> bool:
        """Whether ``line``, from the column of its container on, closes this fence."""
        rest = line.lstrip(" ")
        run = rest.rstrip(" \t")
        return len(line) - len(rest) < CODE_INDENT and len(run) >= len(self.mark) and set(run) == {self.mark[0]}


def opening(line: str) -> Fence | None:
    """The fence that ``line`` opens, None if it opens none. Without its indent, its containers' marks and its line end."""
    found = _OPENING.match(line)
    return Fence(found[1] or found[3], (found[2] if found[1] else found[4]).strip()) if found else None


@dataclass(slots=True, eq=False)
class FenceReader:
    """Knows of every line whether it is code. A fence is taken to close in the container that it was opened in."""

    fence: Fence | None = None
    _lead: re.Pattern[str] = _CONTAINERS

    def read(self, line: str) -> Place:
        """Where the next line is. It comes without its line end."""
        if self.fence is None:
            lead = _CONTAINERS.match(line)
            assert lead is not None  # it matches the empty text, too
            self.fence = opening(line[lead.end() :])
            if self.fence is None:
                return "outside"
            self._lead = re.compile(rf"[ \t{'>' if '>' in lead[0] else ''}]{{0,{lead.end()}}}")
            return "opening"
        if self.fence.closed_by(self.code(line)):
            self.fence = None
            return "closing"
        return "inside"

    def code(self, line: str) -> str:
        """A line of the open block without what its container and the fence's indent put before it."""
        return self._lead.sub("", line, count=1)


def ticks_around(text: str) -> str:
    """A run of backticks that is in ``text`` nowhere, and so fences it."""
    return "`" * (max(map(len, _TICKS.findall(text)), default=2) + 1)


def fenced(text: str, language: str = "") -> str:
    """``text`` as a code block of a Markdown document, whatever backticks are in it."""
    fence = ticks_around(text)
    return f"{fence}{language}\n{text}{'' if text.endswith(chr(10)) else chr(10)}{fence}\n"
