"""Where a sentence ends in Markdown that is still being written, in Chinese and in English.

Apart from the buffer, because it is a small grammar and knows no time. A fence, a table and a formula count as one
sentence each. It errs on the side of waiting: an end that it misses costs a moment (the buffer's delay bounds it), an
end that is none would tear a sentence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

from .fences import MARKS, FenceReader

_CLOSERS: Final = "\"'”’」』）)\\]】》〉*_"
# Possessive, so that a closing quote at the very end of what has arrived is not taken for the next word.
_END: Final = re.compile(rf"([。！？｡．.!?…]++)([{_CLOSERS}]*+)(\s*+)(?=(\S))")
_LAST: Final = re.compile(rf"([。！？｡．.!?…]+)[{_CLOSERS}]*\s*$")
_CHINESE_ENDS: Final = frozenset("。！？｡．")
_HAN: Final = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\u3001-\u303f\uff00-\uffef]")
_LEAD: Final = re.compile(r"[ \t>]*")
_ITEM: Final = re.compile(r"(?:[-*+]|\d+[.)])\s|#{1,6}\s")
_DELIMITER_ROW: Final = re.compile(r"[ \t>|:-]*-[ \t|:-]*\|[ \t|:-]*$|\|[ \t|:-]*-[ \t|:-]*$")
_WORD: Final = re.compile(r"(?:^|[^\w.])((?:\w+\.)*\w+)$")
_ORDINAL: Final = re.compile(r"\d+$")
_DOLLAR: Final = re.compile(r"(?<![\\$])\$(?!\$)")
_ABBREVIATIONS: Final = frozenset(
    re.findall(
        r"\w+",
        "al approx art assn ave ca cf ch chap co col corp dept dr ed eds eq eqs esp est etc ex fig figs gen gov inc jr lt"
        " ltd max min mr mrs ms op orig p pp prof rd ref refs rep resp rev sec sect sen sgt sr st tab univ viz vol vols vs",
    )
)
_NUMBERED: Final = frozenset(("no", "nos"))
"""Abbreviations before a number, whole sentences otherwise ("No. 5", but "No. Never.")."""

_LONGEST_WORD_CHARS: Final = 24
_LONGEST_DOTTED_CHARS: Final = 2
"""Ph.D., U.S., e.g.: parts this short; example.com is a word like any other."""

_LONGEST_END_CHARS: Final = 64

_Block = Literal["", "fence", "table", "$$", "\\]"]


@dataclass(slots=True, eq=False)
class SentenceScanner:
    """Reads one channel delta by delta and knows how much of its end is an unfinished sentence.

    ``channel`` is the caller's mark of what is read.
    """

    channel: object = None
    _open: int = 0  # characters since the last sentence end
    _line: str = ""  # the line being written, from its start or from the last end in it
    _fresh: bool = True  # whether _line begins at the line's start
    _item: bool = False  # whether the line is a heading or a list item, which ends with its line
    _looked: int = 0  # how much of _line holds no end
    _block: _Block = ""
    _fences: FenceReader = field(default_factory=FenceReader)

    def feed(self, text: str) -> int:
        """Take the next characters; how many of all that came belong to a sentence that is still open."""
        *lines, rest = text.split("\n")
        for part in lines:
            self._line += part + "\n"
            self._open += len(part) + 1
            self._end_line()
        self._line += rest
        self._open += len(rest)
        if rest and not self._block and not (self._fresh and _is_block_start(self._line)):
            self._find_ends()
        return self._open

    def _end_line(self) -> None:
        """The line is whole: what does it open, close or end?"""
        line, fresh = self._line, self._fresh
        body = line[_LEAD.match(line).end() :] if fresh else line  # type: ignore[union-attr]
        if self._block in ("fence", "$$", "\\]"):
            in_fence = self._block == "fence"
            if self._fences.read(line.rstrip("\n")) == "closing" if in_fence else self._block in line:
                self._block = ""
                self._open = 0
        elif self._block == "table" and body.strip() and "|" in body:
            pass
        else:
            self._block = ""
            self._end_prose_line(line, body, fresh)
        self._line, self._looked, self._fresh, self._item = "", 0, True, False

    def _end_prose_line(self, line: str, body: str, fresh: bool) -> None:
        if fresh and self._fences.read(line.rstrip("\n")) == "opening":
            self._block = "fence"
        elif fresh and (body.startswith("|") or _DELIMITER_ROW.match(body.rstrip())):
            self._block = "table"
        else:
            self._item = self._item or (fresh and _ITEM.match(body) is not None)
            self._find_ends()
            line = self._line
            if line.count("$$") % 2:
                self._block = "$$"
            elif line.rfind("\\[") > line.rfind("\\]"):
                self._block = "\\]"
            elif self._item or not body.strip() or self._ends_sentence(line):
                self._open = 0
            return
        if not _DELIMITER_ROW.match(body.rstrip()):  # else the row above is this table's head
            self._open = len(line)  # what came before the block is whole

    def _ends_sentence(self, line: str) -> bool:
        end = _LAST.search(line)
        return (
            end is not None
            and not _inline_open(line[: end.start()])
            and not _abbreviated(line, end.start(), end[1], "")
        )

    def _find_ends(self) -> None:
        """Advance over every sentence end in the line so far."""
        while end := _END.search(self._line, self._looked):
            if _is_end(self._line, end, fresh=self._fresh):
                self._item = self._item or (self._fresh and _ITEM.match(self._line.lstrip(" \t>")) is not None)
                self._line = self._line[end.end() :]
                self._open = len(self._line)
                self._looked, self._fresh = 0, False
            else:
                self._looked = end.end()
        self._looked = max(self._looked, len(self._line) - _LONGEST_END_CHARS)


def _is_block_start(line: str) -> bool:
    return line.lstrip(" \t>")[:3].startswith(("|", "$$", "\\[", *MARKS))


def _is_end(line: str, end: re.Match[str], *, fresh: bool) -> bool:
    marks, _, space, following = end.groups()
    if marks[-1] not in _CHINESE_ENDS:
        han = _HAN.match(following) is not None
        if not space and not (han and (marks[-1] in "!?" or _HAN.match(line[end.start() - 1 : end.start()] or " "))):
            return False
        if following.islower() or _abbreviated(line, end.start(), marks, following, fresh=fresh):
            return False
    return not _inline_open(line[: end.start()])


def _abbreviated(line: str, at: int, marks: str, following: str, *, fresh: bool = True) -> bool:
    """Whether the full stop at ``at`` belongs to its word: Dr., e.g., an initial, or a list's number."""
    if marks != ".":
        return False
    before = line[max(0, at - _LONGEST_WORD_CHARS) : at]
    word = _WORD.search(before)
    if word is None:
        return False
    if _ORDINAL.match(word[1]):
        return fresh and not line[: at - len(word[1])].strip(" \t>#*_-+")
    if word[1].lower() in _NUMBERED:
        return following.isdigit()
    parts = word[1].split(".")
    dotted = len(parts) > 1 and max(map(len, parts)) <= _LONGEST_DOTTED_CHARS
    return dotted or len(word[1]) == 1 or word[1].lower() in _ABBREVIATIONS


def _inline_open(text: str) -> bool:
    """Whether ``text`` ends inside inline code or an inline formula."""
    if text.count("`") % 2 or text.rfind("\\(") > text.rfind("\\)") or text.rfind("\\[") > text.rfind("\\]"):
        return True
    if text.count("$$") % 2:
        return True
    is_open = False
    for dollar in _DOLLAR.finditer(text):
        following = text[dollar.end() : dollar.end() + 1]
        # "$5" is money and "$ " opens nothing (the rule of Pandoc); once open, any dollar closes.
        is_open = not is_open and following.isprintable() and not following.isspace() and not following.isdigit()
    return is_open
