"""Where Markdown that is still being written is settled: segments sent once, and an open tail drawn again and again.

A front end that sends the whole answer at every redraw does work that grows with the square of its length. Here settled
text leaves once. A segment ends only where the whole would look the same if its parts were rendered apart: between
blocks, never within a table, a formula or a quote; within a list only at an item of the outermost level whose number
goes on by itself; within a code block only when that is very long, and then both parts are code blocks.

What crosses a segment's border is lost: reference links and footnotes (which ``safe`` shows as text anyway), and the
looseness of a list that was cut.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from .blocks import MAX_FORMULA_LINES, safe
from .fences import CODE_INDENT, Fence, opening, ticks_around
from .inline import code_span, formula_left_open

FIRST_SEGMENT_CHARS: Final = 1_536
SEGMENTS_MAX: Final = 40
"""JupyterLab folds a cell's outputs from the fiftieth on; ten are left for what else a cell shows."""
_GROWTH: Final = ((24, 0.1), (32, 0.25), (SEGMENTS_MAX - 1, 1.0))
"""Up to that many segments, one is committed when it passes this share of what is settled. A tenth keeps the tail
cheap; later shares grow, so that forty are enough for an answer of some megabytes."""
_LIST_CUT_CHARS: Final = 4_096
_CODE_CUT_CHARS: Final = 8_192

_LINE: Final = re.compile(r"[^\r\n]*(?:\r\n?|\n)")
_ITEM: Final = re.compile(r"(?:[-*+]|([0-9]{1,9})[.)])[ \t]+")
_HEADING: Final = re.compile(r"#{1,6}[ \t]")

_ONLY_MARKS: Final = re.compile(
    r"[ \t>]*(?:(?:[-+*]|[0-9]+[.)])[ \t]+)?(?:[-=+*#`~|:_]+|[0-9]+[.)]?|\[[ xX]?\]?|(?:```|~~~)[^`]*)?[ \t]*\Z"
)
"""A line that is not yet anything: showing its marks would make a heading, a rule or a table of the text before."""
_OPEN_LINK: Final = re.compile(r"!?\[([^\[\]]{0,300})\](?:\([^\s()]{0,2000}(?:\([^\s()]{0,300}\)?)?)\Z")
_INLINE_TOKEN: Final = re.compile(r"`+|\\.|\*{1,3}|~~|\$")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownSegment:
    """A settled part of the answer: as it came, and as it is shown."""

    raw: str
    markdown: str


@dataclass(eq=False)
class Cutter:
    """Holds the text of an answer that is still being written: its settled segments, and in a subclass its open rest."""

    segments: list[ShownSegment] = field(default_factory=list)
    given: int = 0
    """How many of the segments ``settled`` has returned."""

    def settled(self) -> list[str]:
        """The segments that were settled since the last call, each safe to render on its own."""
        given, self.given = self.given, len(self.segments)
        return self.shown[given:]

    @property
    def shown(self) -> list[str]:
        """What ``settled`` has returned, from the first segment on."""
        return [segment.markdown for segment in self.segments[: self.given]]

    def _add(self, raw: str, markdown: str) -> None:
        """Settle a segment; blank text is not shown and goes with what it follows."""
        if self.segments and not raw.strip():
            last = self.segments[-1]
            self.segments[-1] = replace(last, raw=last.raw + raw)
        else:
            self.segments.append(ShownSegment(raw=raw, markdown=markdown))


@dataclass(eq=False)
class Segmenter(Cutter):
    r"""Takes an answer delta by delta; gives settled segments once, and the open tail on demand.

    ``settled`` and ``finish`` return segments to render as they are; ``tail`` returns the rest closed so that it
    renders as it will look later, with an open formula as its source. Work is linear in what is fed; ``tail`` costs the
    tail's length (``tail_chars``), which the caller budgets.
    """

    settled_chars: int = 0
    tail_chars: int = 0
    _lines: list[str] = field(default_factory=list)  # complete lines not yet settled
    _lines_chars: int = 0
    _partial: list[str] = field(default_factory=list)  # the line that is being written
    _cut: int = 0  # lines that are settled if the segment is long enough
    _cut_chars: int = 0
    _reopen: str = ""  # the opening fence that a cut code block needs again
    _fence: Fence | None = None
    _fence_column: int = 0  # of its container
    _fence_line: str = ""
    _formula: str | None = None  # what will close it
    _formula_lines: int = 0
    _list_column: int | None = None  # where the content of the outermost item begins
    _number: int | None = None
    _blank: bool = True

    def feed(self, delta: str) -> None:
        """Take the next piece of the answer, of any length."""
        self.tail_chars += len(delta)
        self._partial.append(delta)
        if "\n" in delta:
            text = "".join(self._partial)
            end = text.rindex("\n") + 1
            self._partial = [text[end:]]
            for line in _LINE.findall(text[:end]):
                self._take(line)

    def finish(self) -> list[str]:
        """The rest of the answer has come: everything not yet returned, and an empty tail."""
        self._lines.append("".join(self._partial))
        self._partial = []
        self._fence = self._formula = None
        self._commit(len(self._lines))
        return self.settled()

    @property
    def text(self) -> str:
        """All that was fed."""
        return "".join((*(segment.raw for segment in self.segments), *self._lines, *self._partial))

    def tail(self) -> str:
        """The open rest, safe, with code, emphasis and links closed and half-written marks left out."""
        partial = "".join(self._partial)
        if self._fence is not None:
            stripped = partial.strip(" \t")
            if stripped and not stripped.strip(self._fence.mark[0]):
                partial = ""
            head, drawing, rest = safe(self._reopen + "".join(self._lines) + partial).rpartition("```mermaid")
            # A drawing is drawn when it is whole.
            return f"{head}```text{rest}" if drawing and "mermaid" in self._fence_line else head + drawing + rest
        if self._formula is not None:
            return self._before_formula(partial)
        if _ONLY_MARKS.match(partial):
            partial = ""
        return safe(self._reopen + "".join(self._lines) + _closed(partial))

    def _before_formula(self, partial: str) -> str:
        """The tail with its open formula as source: half a formula is an error message to a typesetter."""
        first = len(self._lines) - self._formula_lines
        line = self._lines[first]
        left_open = formula_left_open(line)
        column = left_open[1] if left_open else 0
        source = line[column:] + "".join(self._lines[first + 1 :]) + partial
        before = safe(self._reopen + "".join(self._lines[:first]) + line[:column])
        ticks = ticks_around(source)
        return "\n\n".join(filter(None, (before.rstrip(), safe(f"{ticks}latex\n{source}\n{ticks}"))))

    # How a line moves the borders

    def _take(self, raw: str) -> None:
        line = raw.rstrip("\r\n")
        line = "" if line.isspace() else line.expandtabs(CODE_INDENT)
        indent = len(line) - len(line.lstrip(" "))
        if self._fence is not None and (place := self._in_fence(self._fence, line, indent)) != "outside":
            self._keep(raw)
            if place == "inside":
                self._cut_long_code()
            elif self._list_column is None:
                self._border()
        elif self._formula is not None and self._in_formula(line):
            self._keep(raw)
        elif not line:
            self._keep(raw)
            self._blank = True
        else:
            self._block(line.lstrip(" "), indent)
            self._keep(raw)
            self._blank = False
        self._settle()

    def _keep(self, raw: str) -> None:
        self._lines.append(raw)
        self._lines_chars += len(raw)

    def _border(self) -> None:
        """What was kept so far may be a segment."""
        self._cut, self._cut_chars = len(self._lines), self._lines_chars

    def _in_fence(self, fence: Fence, line: str, indent: int) -> Literal["inside", "closing", "outside"]:
        """Where a line is relative to the open fence; outside means that the fence's container ended."""
        if line and indent < self._fence_column:
            self._fence = None
            return "outside"
        if fence.closed_by(line[self._fence_column :]):
            self._fence = None
            self._blank = True
            return "closing"
        return "inside"

    def _in_formula(self, line: str) -> bool:
        """Read a line while a formula is open; whether it still belongs to it."""
        self._formula_lines += 1
        closer = self._formula
        assert closer is not None
        if closer in line:
            self._formula = None
            return True
        if (
            self._formula_lines > MAX_FORMULA_LINES
            or opening(line.lstrip(" "))
            or (not line and not closer.startswith((r"\]", r"\end")))
        ):
            self._formula = None
            return False
        return True

    def _block(self, rest: str, indent: int) -> None:
        """Read a line that is not blank and not within a fence or formula."""
        item = _ITEM.match(rest)
        starts = bool(opening(rest) or _HEADING.match(rest))
        if self._list_column is not None:
            self._in_list(item, indent, starts)
        elif starts or (self._blank and indent < CODE_INDENT):
            self._border()
        column = indent
        while item:
            column += item.end()
            rest = rest[item.end() :]
            if self._list_column is None:
                self._list_column = column
                self._number = int(item[1]) if item[1] else None
            item = _ITEM.match(rest)
        if fence := opening(rest):
            self._fence, self._fence_line = fence, rest
            self._fence_column = 0 if self._list_column is None or column < self._list_column else column
        elif left_open := formula_left_open(rest):
            self._formula, self._formula_lines = left_open[0], 1

    def _in_list(self, item: re.Match[str] | None, indent: int, starts: bool) -> None:
        """Whether the list ends before this line, or may be cut there."""
        assert self._list_column is not None
        if indent >= self._list_column:
            return
        if item is None:
            if starts or self._blank:
                self._list_column = self._number = None
                self._border()
            return
        number = int(item[1]) if item[1] else None
        goes_on = number is None if self._number is None else number == self._number + 1
        if goes_on and self._lines_chars - self._cut_chars >= _LIST_CUT_CHARS:
            self._border()
        self._list_column = indent + item.end()
        self._number = number

    # Committing

    def _settle(self) -> None:
        if self._cut and self._cut_chars >= self._enough():
            self._commit(self._cut)

    def _enough(self) -> float:
        """Characters that a segment must have by now; never, when all but the last segment are used."""
        for segments, share in _GROWTH:
            if len(self.segments) < segments:
                return max(FIRST_SEGMENT_CHARS, share * self.settled_chars)
        return float("inf")

    def _cut_long_code(self) -> None:
        """Cut a very long code block in two of the same language."""
        if self._fence_column or self._list_column is not None or "mermaid" in self._fence_line:
            return
        if self._lines_chars >= max(_CODE_CUT_CHARS, self._enough()):
            # The last line stays, so that there is code on both sides: a fence may close here, and leave an empty box.
            first, last = 0 if self._reopen else 1, len(self._lines) - 1
            if self._lines[last].strip() and any(line.strip() for line in self._lines[first:last]):
                reopen = self._fence_line + "\n"
                self._commit(last)
                self._reopen = reopen

    def _commit(self, lines: int) -> None:
        raw = "".join(self._lines[:lines])
        del self._lines[:lines]
        if raw:
            self._add(raw, safe(self._reopen + raw).strip("\n") if raw.strip() else "")
        self._reopen = ""
        self.settled_chars += len(raw)
        self.tail_chars -= len(raw)
        self._lines_chars -= len(raw)
        self._cut = self._cut_chars = 0


def _closed(line: str) -> str:
    """The line being written, as it will probably look: its emphasis and code closed, half a link as its text."""
    open_marks: list[str] = []
    line = _OPEN_LINK.sub(r"\1", line.rstrip(" \t"))
    position = 0
    while match := _INLINE_TOKEN.search(line, position):
        token, position = match[0], match.end()
        if token[0] == "`":
            end = re.compile(rf"(?<!`){token}(?!`)").search(line, position)
            if end is None:
                return _close_source(line, match.start(), position, open_marks)
            position = end.end()
        elif token == "$" or token in (r"\(", r"\["):
            end_at = line.find("$" if token == "$" else {"(": r"\)", "[": r"\]"}[token[1]], position)
            if end_at < 0:
                if token == "$" and not re.match(r"[A-Za-z\\({]", line[position:]):
                    continue
                return _close_source(line, match.start(), match.start(), open_marks)
            position = end_at + (1 if token == "$" else 2)
        elif token[0] in "*~":
            after = line[position : position + 1]
            if open_marks and open_marks[-1] == token:
                open_marks.pop()
            elif after and not after.isspace():
                open_marks.append(token)
            elif not after:
                line = line[: match.start()]
    return line.rstrip(" \t") + "".join(reversed(open_marks))


def _close_source(line: str, opening: int, content: int, open_marks: list[str]) -> str:
    """``line`` whose code or formula is still open from ``opening`` on, with that shown as code."""
    source = line[content:].strip("` ")
    return line[:opening] + (code_span(source) if source else "") + "".join(reversed(open_marks))
