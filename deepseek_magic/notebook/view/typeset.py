"""Markdown as a terminal reads it: a table in columns, a formula in Unicode's signs, everything else as it was written.

A terminal has no typesetter, so this is a reading aid: a formula with anything in it that is not known here stays in LaTeX.
"""

from __future__ import annotations

import itertools
import re
import shutil
import unicodedata
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Final

from ...text.fences import FenceReader

GAP: Final = 2
NARROWEST: Final = 8
"""So narrow a column of words may become; with more columns than fit then, the table is wider than the screen."""
LONGEST_FORMULA_LINES: Final = 20

_PAIRS: Final = (
    "times × cdot · pm ± mp ∓ div ÷ ast ∗ le ≤ leq ≤ ge ≥ geq ≥ ne ≠ neq ≠ approx ≈ equiv ≡ sim ∼ propto ∝ infty ∞ "
    "sum ∑ prod ∏ int ∫ oint ∮ partial ∂ nabla ∇ in ∈ notin ∉ subset ⊂ subseteq ⊆ cup ∪ cap ∩ to → rightarrow → "
    "leftarrow ← Rightarrow ⇒ iff ⇔ mapsto ↦ forall ∀ exists ∃ neg ¬ land ∧ lor ∨ ldots … cdots … dots … emptyset ∅ "
    "hbar ℏ ell ℓ circ ° mid | epsilon ε varphi φ sin sin cos cos tan tan log log ln ln exp exp min min max max lim lim"
)
_SPACES: Final = "quad qquad , ; : left right ! displaystyle limits"
_GREEK: Final = "alpha beta gamma delta zeta eta theta iota kappa mu nu xi pi rho sigma tau upsilon phi chi psi omega"


def _table_of_signs() -> Iterator[tuple[str, str]]:
    words = _PAIRS.split()
    yield from zip(words[::2], words[1::2], strict=True)
    yield from ((name, " ") for name in _SPACES.split())
    for name in _GREEK.split():
        yield name, unicodedata.lookup(f"GREEK SMALL LETTER {name}")
        yield name.capitalize(), unicodedata.lookup(f"GREEK CAPITAL LETTER {name}")
    yield from (("lambda", "λ"), ("Lambda", "Λ"))


_SIGNS: Final = MappingProxyType(dict(_table_of_signs()))
_ACCENTS: Final = {"bar": "\u0304", "hat": "\u0302", "vec": "\u20d7", "tilde": "\u0303", "dot": "\u0307"}
_RAISED: Final = str.maketrans("0123456789+-=()niabcdefgkmptxyz", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱᵃᵇᶜᵈᵉᶠᵍᵏᵐᵖᵗˣʸᶻ")
_LOWERED: Final = str.maketrans("0123456789+-=()aeijkmnoprtuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑᵢⱼₖₘₙₒₚᵣₜᵤᵥₓ")

_BRACED: Final = r"\{([^{}]*)\}"
_FRACTION: Final = re.compile(rf"\\[dt]?frac\s*{_BRACED}\s*{_BRACED}")
_ROOT: Final = re.compile(rf"\\sqrt\s*{_BRACED}")
_TEXT: Final = re.compile(rf"\\(?:text|mathrm|mathbf|mathit|mathsf|operatorname)\s*{_BRACED}")
_ACCENTED: Final = re.compile(rf"\\({'|'.join(_ACCENTS)})\s*(?:\{{(\w)\}}|(?<=\s)(\w))")
_SCRIPT: Final = re.compile(rf"([\^_])(?:{_BRACED}|([^\s{{}}\\]))")
_COMMAND: Final = re.compile(r"\\([A-Za-z]+|[,;:!])")
_SET: Final = {"^": "\ue000", "_": "\ue001"}
"""A raised or lowered group that is set: its sign is not read as another one."""
_FORMULA: Final = re.compile(
    r"(?P<ticks>`+).+?(?P=ticks)|\$\$(?P<a>.+?)\$\$|\\\[(?P<b>.+?)\\\]|\\\((?P<c>.+?)\\\)"
    r"|(?<![\\$\w])\$(?P<d>(?=\S)[^$\n]*?(?<=[^\s\\]))\$(?![\d\w])",
    re.DOTALL,
)
_CLOSES: Final = re.compile(r"\$\$|\\\]")
_OPENS: Final = re.compile(r"[`$\\]")
_DELIMITERS: Final = re.compile(r"\s*\|?(?:\s*:?-+:?\s*\|)+\s*(?::?-+:?)?\s*")
_CELL_ENDS: Final = re.compile(r"(?<!\\)\|")


def formula(source: str) -> str | None:
    """A formula in Unicode's signs, None where that does not say all of it."""
    text = _TEXT.sub(r"\1", source.strip())
    text = _ACCENTED.sub(lambda found: (found[2] or found[3]) + _ACCENTS[found[1]], text)
    text = _COMMAND.sub(lambda found: _SIGNS.get(found[1], found[0]), text)
    before = ""
    while before != text:  # from the inside out
        before = text
        text = _SCRIPT.sub(_script, text)
        text = _FRACTION.sub(lambda found: f"{_grouped(found[1])}/{_grouped(found[2])}", text)
        text = _ROOT.sub(lambda found: f"√{_grouped(found[1])}", text)
    if re.search(r"[\\{}&]", text):
        return None
    for sign, mark in _SET.items():
        text = text.replace(mark, sign)
    return re.sub(r"\s+", " ", text).strip()


def _script(found: re.Match[str]) -> str:
    inside, signs_of = (
        (found[2] if found[2] is not None else found[3]).strip(),
        _RAISED if found[1] == "^" else _LOWERED,
    )
    if all(ord(sign) in signs_of for sign in inside):
        return inside.translate(signs_of)
    return _SET[found[1]] + (inside if len(inside) == 1 else f"({inside})")


def _grouped(text: str) -> str:
    return text if len(text) == 1 or text.isalnum() else f"({text})"


def signs(text: str, *, markdown: bool = False) -> str:
    """``text`` with its formulas in signs, which mean nothing else where it is ``markdown`` still; code spans stay."""

    def shown(found: re.Match[str]) -> str:
        source = next((found[name] for name in "abcd" if found[name] is not None), None)
        made = formula(source) if source is not None else None
        return found[0] if made is None else re.sub(r"([*_])", r"\\\1", made) if markdown else made

    return _FORMULA.sub(shown, text)


def with_signs(markdown: str) -> str:
    """A whole Markdown text with its formulas in signs, for what draws all the rest; code blocks stay."""
    reader, out = FenceReader(), list[str]()
    for code, lines in itertools.groupby(markdown.split("\n"), lambda line: reader.read(line) != "outside"):
        block = "\n".join(lines)
        out.append(block if code else signs(block, markdown=True))
    return "\n".join(out)


def width(text: str) -> int:
    """How many columns of a terminal ``text`` takes."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def table(lines: Sequence[str], columns: int) -> str:
    """The lines of a Markdown table in columns that fit, words whole; as they are where they are no table."""
    if len(lines) < 2 or not _DELIMITERS.fullmatch(lines[1]):
        return "\n".join(map(signs, lines))
    rows = [
        [signs(cell.strip()).replace("\\|", "|") for cell in _CELL_ENDS.split(line.strip().strip("|"))]
        for line in lines
    ]
    rows.pop(1)
    count = max(map(len, rows))
    rows = [row + [""] * (count - len(row)) for row in rows]
    widths = [max(width(row[i]) for row in rows) for i in range(count)]
    while sum(widths) + GAP * (count - 1) > columns and max(widths) > NARROWEST:
        widths[widths.index(max(widths))] -= 1
    head, *body = ("\n".join(_side_by_side(row, widths)) for row in rows)
    rule = (" " * GAP).join("─" * each for each in widths)
    return "\n".join((head, rule, *body))


def _side_by_side(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    cells = [_wrapped(text, most) for text, most in zip(row, widths, strict=True)]
    height = max(map(len, cells))
    padded = [[*cell, *[""] * (height - len(cell))] for cell in cells]
    return [
        (" " * GAP).join(part + " " * (most - width(part)) for part, most in zip(line, widths, strict=True)).rstrip()
        for line in zip(*padded, strict=True)
    ]


def _wrapped(text: str, most: int) -> list[str]:
    """``text`` in lines of at most so many columns: between words, and within one only where it is longer than that."""
    lines = [""]
    for word in re.findall(r"\S+", text):
        space = " " if lines[-1] else ""
        if width(lines[-1] + space + word) <= most:
            lines[-1] += space + word
            continue
        if lines[-1]:
            lines.append("")
        for sign in word:
            if width(lines[-1] + sign) > most:
                lines.append("")
            lines[-1] += sign
    return lines


class Typesetter:
    """Takes an answer piece by piece and gives back what can be printed: at once, but a formula or a table whole."""

    def __init__(self, columns: int | None = None) -> None:
        self._columns = columns
        self._fence = FenceReader()
        self._line = ""
        self._printed = 0  # characters of this line
        self._held: list[str] = []
        self._kind = ""  # of the block whose lines are held: table, formula

    def feed(self, text: str) -> str:
        """What is to be printed now that ``text`` has come."""
        *whole, rest = text.split("\n")
        out = []
        for line in whole:
            self._line += line
            out.append(self._end_of_line())
        self._line += rest
        out.append(self._so_far())
        return "".join(out)

    def finish(self) -> str:
        """What was held back."""
        ended = self._end_of_line() if self._line[self._printed :] else ""
        return (ended + self._release()).removesuffix("\n")

    def _end_of_line(self) -> str:
        line, printed, self._line, self._printed = self._line, self._printed, "", 0
        if self._fence.read(line) != "outside":
            return f"{self._release()}{line[printed:]}\n"
        if printed:
            return f"{signs(line[printed:])}\n"
        if self._kind == "formula":
            self._held.append(line)
            over = _CLOSES.search(line) or not line.strip() or len(self._held) > LONGEST_FORMULA_LINES
            return self._release() if over else ""
        kind = _kind_of(line)
        before = self._release() if kind != self._kind else ""
        if not kind:
            return f"{before}{signs(line)}\n"
        self._kind = kind
        self._held.append(line)
        return before

    def _so_far(self) -> str:
        """What can be printed of a line that has not ended."""
        start = self._line.lstrip()[:2]
        if self._fence.fence is not None:
            inside, self._printed = self._line[self._printed :], len(self._line)
            return inside
        undecided = not self._printed and (not start or start[0] in "|$\\")
        if undecided or self._kind == "formula":
            return ""
        out = [self._release()]
        while opened := _OPENS.search(self._line, self._printed):
            out.append(self._line[self._printed : opened.start()])
            self._printed = opened.start()
            found = _FORMULA.match(self._line, opened.start())
            if found is None or found.end() == len(self._line):  # its end may be still to come
                return "".join(out)
            out.append(signs(found[0]))
            self._printed = found.end()
        out.append(self._line[self._printed :])
        self._printed = len(self._line)
        return "".join(out)

    def _release(self) -> str:
        if not self._held:
            return ""
        columns = self._columns or shutil.get_terminal_size().columns
        block = table(self._held, columns) if self._kind == "table" else signs("\n".join(self._held))
        self._held, self._kind = [], ""
        return f"{block}\n"


def _kind_of(line: str) -> str:
    """Which block begins with this line, or goes on."""
    start = line.lstrip()
    if start.startswith("|"):
        return "table"
    opened = start.startswith(("$$", "\\["))
    return "formula" if opened and not _CLOSES.search(start, 2) else ""
