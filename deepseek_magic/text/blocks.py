"""A Markdown text → the same text, safe to render as trusted output, with its formulas in dollars.

Raw ``<`` stays only inside code, so everything turns on knowing what is code. Instead of imitating one parser, this
module reads conservatively and writes canonically: what is certainly a code block is written as a fence that no parser
can read otherwise (its own blank lines around it, a run of backticks longer than any in it, every line at the indent of
its container, always closed), and everything that is not certain is text, in which nothing can open a code block, an
HTML block, a definition or a formula. A text cut anywhere is read the same way, so a live view may show prefixes.

Known losses, all of display: link titles, reference links and footnotes become text; a code span over two lines shows
its backticks; code indented by lazy continuation shows as text.
"""

from __future__ import annotations

import re
from typing import Final

from .fences import CODE_INDENT, Fence, opening, ticks_around
from .inline import code_element, formula_left_open, inline

_MAX_QUOTE_DEPTH: Final = 6
_MAX_LIST_DEPTH: Final = 12
MAX_FORMULA_LINES: Final = 120

_LINE_SEPARATORS: Final = re.compile("\r\n?")
_ODD_SPACE: Final = re.compile("[\x0b\x0c\x1c-\x1f\x85\u2028\u2029]")
"""Some parsers end a line at these (JavaScript's ``^`` and ``.``), others do not."""
_CONTROL: Final = re.compile("[\x00-\x08\x0e-\x1b\x7f\ufeff]")

_RULE: Final = re.compile(r"([-*_])[ \t]*(?:\1[ \t]*){2,}\Z")
_ITEM: Final = re.compile(r"([-*+]|[0-9]{1,9}[.)])(?:([ \t]+)(.*)|)\Z")
_HEADING: Final = re.compile(r"#{1,6}(?:[ \t]+|\Z)")
_UNDERLINE: Final = re.compile(r"[ \t]*(?:-+|=+)[ \t]*\Z")
_TASK: Final = re.compile(r"\[[ xX]\](?=[ \t])")
_TABLE_RULE: Final = re.compile(r"[ \t>*+0-9.)]*[|:]?[ \t]*:?-+[-|: \t]*\Z")
_COMMENT: Final = re.compile(r"(?<!\\)%.*\Z")
_FORMULA_IN_CODE: Final = re.compile(r"[$]|\\begin\{|\\\\[(\[]|@@[0-9]+@@")


def safe(text: str) -> str:
    r"""``text`` made inert for the Markdown renderers of JupyterLab, Notebook, nbconvert and VS Code.

    Code keeps its exact text. Elsewhere HTML shows as written, links lead to http, https, mailto or an anchor,
    images become links, and ``\( \)``, ``\[ \]``, bare environments and ``$`` formulas are written so that each
    front end typesets them, while an amount of money stays one. Linear in the text's length. Safe for every prefix of a
    text; applied twice, it shows what it shows applied once.
    """
    text = _CONTROL.sub("", _ODD_SPACE.sub(" ", _LINE_SEPARATORS.sub("\n", text)))
    end = "\n" if text.endswith("\n") else ""
    return "\n".join(_Blocks(text.removesuffix("\n").split("\n")).rewrite()) + end


class _Blocks:
    """Goes through the lines of one container (the document, or a block quote) and rewrites them."""

    def __init__(self, lines: list[str], *, depth: int = 0, certain: bool = True) -> None:
        self.raw = lines
        self.lines = [_expand(line) for line in lines]
        self.depth = depth
        self.certain = certain  # whether parsers agree on where this container's content begins
        self.doubt: int | None = None  # the number of open items from which on they do not
        self.at = 0
        self.out: list[str] = []
        self.items: list[int] = []  # content columns of the open list items, outermost first
        self.after_blank = True
        self.part_next = False  # a blank line must stand before the next block
        self.run_end = 0
        self.table = False

    def rewrite(self) -> list[str]:
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if not line:
                self.out.append("")
                self.after_blank = True
                self.at += 1
                continue
            if self.at >= self.run_end:
                self._look_ahead()
            if self.part_next:
                self._part()
            indent = len(line) - len(line.lstrip(" "))
            while indent < self.column:
                self.items.pop()
            if self.doubt is not None and len(self.items) < self.doubt and self.after_blank:
                self.doubt = None
            self._block(line[indent:], indent, " " * indent)
        return self.out

    def _part(self) -> None:
        """Make sure that a blank line precedes what comes."""
        if self.out and self.out[-1]:
            self.out.append("")
        self.part_next = False

    def _look_ahead(self) -> None:
        """Whether a line of this run of lines may make a table of those around it."""
        end = self.at
        self.table = False
        while end < len(self.lines) and self.lines[end]:
            self.table = self.table or _TABLE_RULE.match(self.lines[end]) is not None
            end += 1
        self.run_end = end

    @property
    def column(self) -> int:
        """Where the content of the innermost open list item begins."""
        return self.items[-1] if self.items else 0

    def _block(self, rest: str, indent: int, lead: str) -> None:
        """Write the block that starts with ``rest`` at column ``indent``; ``lead`` is what precedes it."""
        over = indent - self.column
        fresh = lead.isspace() or not lead
        certain = self.certain and self.doubt is None
        if over >= CODE_INDENT:
            if self.after_blank and fresh and certain:
                self._indented_code()
            else:
                self._text(rest, lead)
            return
        if certain and (fence := opening(rest)) and (fresh or self.column < CODE_INDENT):
            self._fenced_code(fence, "" if fresh else lead, over)
        elif _RULE.match(rest):
            self._line(lead + rest)
        elif rest.startswith(">") and self.depth < _MAX_QUOTE_DEPTH:
            self._quote(lead, indent)
        elif (item := _ITEM.match(rest)) and len(self.items) < _MAX_LIST_DEPTH:
            self._item(item, indent, lead)
        elif heading := _HEADING.match(rest):
            self._line(lead + heading[0] + inline(rest[heading.end() :]))
        else:
            self._text(rest, lead)

    def _line(self, line: str) -> None:
        self.out.append(line)
        self.after_blank = False
        self.at += 1

    def _item(self, item: re.Match[str], indent: int, lead: str) -> None:
        marker, space, rest = item[1], item[2] or "", item[3] or ""
        width = len(space) if 1 <= len(space) <= CODE_INDENT and rest else 1
        self.items.append(indent + len(marker) + width)
        lead += marker
        task = _TASK.match(rest)
        if not rest[task.end() if task else 0 :].strip():
            # Older parsers get wrong where the content of such an item begins, and take the lines up to a blank one.
            self.doubt = self.doubt if self.doubt is not None else len(self.items)
        if not rest:
            self._line(lead)
            return
        if len(space) > CODE_INDENT:
            space = " "
        lead += " " * len(space)
        self.after_blank = False
        if task:
            lead, rest = lead + task[0], rest[task.end() :]
            self._text(rest, lead)
        else:
            self._block(rest, self.items[-1], lead)

    def _fenced_code(self, fence: Fence, lead: str, over: int) -> None:
        """From an opening fence to its end, which is also the end of its container and of the text."""
        column, code = self.column, list[str]()
        self.at += 1
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if line and len(line) - len(line.lstrip(" ")) < column:
                break
            raw = self.raw[self.at]
            line = raw[column:] if raw.startswith(" " * column) else line[column:]  # a tab in code stays one
            self.at += 1
            if fence.closed_by(line):
                break
            code.append(line[min(over, len(line) - len(line.lstrip(" "))) :])
        self._write_code(code, fence.language, lead)

    def _indented_code(self) -> None:
        column, code = self.column + CODE_INDENT, []
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if line and len(line) - len(line.lstrip(" ")) < column:
                break
            code.append(line[column:])
            self.at += 1
        while not code[-1]:
            code.pop()
            self.at -= 1
        self._write_code(code, "", "")

    def _write_code(self, code: list[str], language: str, lead: str) -> None:
        """Write a code block as a fence, or as an element where JupyterLab would take formulas out of the fence.

        It spares the dollars of fences in the first column only, and a formula that it sees in a quote runs on over
        the closing fence.
        """
        pad = " " * self.column
        heading = any(map(_UNDERLINE.match, code))  # older parsers underline the text before the fence with it
        if not lead and (not pad or self.column >= CODE_INDENT or self.depth or heading):
            self._part()
        formulas = sum(len(_FORMULA_IN_CODE.findall(line)) for line in code) if pad or self.depth else 0
        if formulas > (0 if self.depth else 1):
            self.out.append((lead or pad) + code_element(code))
            self.part_next = self.after_blank = True
            return
        ticks = ticks_around("\n".join(code))
        self.out.append((lead or pad) + ticks + _runnable(language, code))
        self.out += [pad + line if line.strip() else "" for line in code]
        self.out.append(pad + ticks)
        # JupyterLab may find a formula's start in the code; only a blank line stops it from running on.
        self.part_next = not pad or formulas > 0
        self.after_blank = True

    def _quote(self, lead: str, indent: int) -> None:
        """The lines of a block quote, rewritten without their marks and marked again."""
        inner, first = [], True
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if first:
                line = line[indent:] if not lead.strip(" ") else line[len(lead) :]
            else:
                spaces = len(line) - len(line.lstrip(" "))
                if not line or not 0 <= spaces - self.column < CODE_INDENT:
                    break
                line = line[spaces:]
            if not line.startswith(">"):
                break
            inner.append(line[2:] if line[1:2] in (" ", "\t") else line[1:])
            self.at += 1
            first = False
        written = _Blocks(inner, depth=self.depth + 1, certain=self.certain and self.doubt is None).rewrite()
        pad = " " * self.column if lead.strip(" ") else lead
        # Stands alone between blank lines: where a line without ">" goes on with a quote, marked loses its place.
        if not lead.strip(" "):
            self._part()
        self.out += [
            (lead if number == 0 else pad) + ("> " + line if line else ">") for number, line in enumerate(written)
        ]
        self.part_next = True
        self.after_blank = False

    def _text(self, rest: str, lead: str) -> None:
        table = self.table
        rest = self._whole_formula(rest)
        if rest.startswith(">"):  # not a quote to us, so to nobody
            rest = "&gt;" + rest[1:]
        if rest.startswith(":"):  # nbconvert's definition lists take the blocks after them along
            rest = "&#58;" + rest[1:]
        self._line(lead + inline(rest, table=table))

    def _whole_formula(self, line: str) -> str:
        """``line`` with the lines of the formula that it leaves open, joined into one; ``self.at`` is at the last."""
        left_open = formula_left_open(line)
        if left_open is None:
            return line
        closer, _ = left_open
        parts, end = [_COMMENT.sub("", line)], self.at + 1
        while end < min(len(self.lines), self.at + MAX_FORMULA_LINES):
            following = self.lines[end].lstrip(" ")
            if opening(following) or (not following and closer in ("$$", r"\)")):
                break
            if "`" in following:
                break
            parts.append(following if closer in following else _COMMENT.sub("", following))
            if closer in following:
                self.at = end
                return " ".join(part.strip(" \t") for part in parts if part)
            if closer in (r"\]", r"\)") and re.search(r"(?<!\\)\\[\[(]", following):
                break
            end += 1
        return line


def _expand(line: str) -> str:
    """``line`` with leading tabs as the columns they stand for, and nothing if it shows nothing."""
    if not line or line.isspace():
        return ""
    end = 0
    while line[end] in " \t":
        end += 1
    return line[:end].expandtabs(4) + line[end:]


def _runnable(language: str, code: list[str]) -> str:
    """The language to write for a fence: a drawing that a front end had better not run is text."""
    if not language.lower().startswith("mermaid"):
        return language
    from .drawings import harmless  # its patterns take 2 ms to be made, and few answers draw

    return language if harmless("\n".join(code)) else "text"
