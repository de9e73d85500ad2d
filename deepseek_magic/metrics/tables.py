"""Rows → a small table, as HTML and as text that says the same.

Cells may hold what a model, a server or a stranger wrote: in HTML every cell is escaped (from MathJax too, which reads
tables), in text control characters (terminal escapes among them) are made visible. Colours are the front end's own, so both themes work.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from ..protocol.measured import currency_name
from ..text.design.tokens import value
from ..text.inline import plain_html
from ..text.messages import say

UNKNOWN: Final = "–"
LONGEST_CELL_CHARS: Final = 60
LONGEST_NAME_CHARS: Final = 24
"""A word up to this length stays on one line."""
MOST_DECIMALS: Final = 8
"""The price of one cached token has nine; amounts below this show as zeros."""
_WIDE: Final = frozenset("WF")


def cell(value: Any, digits: int = 3) -> str:
    """A value as a person reads it: numbers with ``digits`` significant digits, unknown as a dash."""
    match value:
        case None:
            return UNKNOWN
        case bool():
            return say("yes" if value else "no")
        case int():
            return f"{value:,}"
        case float() | Decimal():
            return _number(float(value), digits)
        case datetime():
            return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))
    return text if len(text) <= LONGEST_CELL_CHARS else text[: LONGEST_CELL_CHARS - 1] + "…"


def _number(value: float, digits: int) -> str:
    if abs(value) >= 10**digits:
        return f"{value:,.0f}"
    text = f"{value:.{digits}g}"
    return f"{value:.{digits + 4}f}".rstrip("0").rstrip(".") if "e" in text else text


def money(amounts: Sequence[Decimal | float | None]) -> list[str]:
    """A column of amounts, all with the same number of decimals, so that their points stand below each other.

    As many as the smallest needs for three digits, at least two and at most ``MOST_DECIMALS``.
    """
    known = [Decimal(str(amount)) for amount in amounts if amount]
    decimals = max((2 - amount.adjusted() for amount in known), default=2)
    decimals = min(max(decimals, 2), MOST_DECIMALS)
    return [UNKNOWN if amount is None else f"{Decimal(str(amount)):,.{decimals}f}" for amount in amounts]


def counted(calls: int) -> str:
    """So many calls, in the reader's language."""
    return say("1 call") if calls == 1 else say("{count} calls", count=f"{calls:,}")


def spent_on(costs: Mapping[str, Decimal], unknown: int, *, about: bool = False) -> str:
    """Amounts by currency, and how many calls have an unknown cost, in the reader's language."""
    known = " + ".join(f"{cell(amount, 4)} {currency_name(currency)}" for currency, amount in sorted(costs.items()))
    known = f"≈ {known}" if about and known else known
    if not unknown:
        return known or say("no cost")
    if not known:
        return say("{count} of unknown cost", count=f"{unknown:,}")
    return say("{amount} and {count} of unknown cost", amount=known, count=f"{unknown:,}")


_TABLE_STYLE: Final = f"border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:{value('small')}"


def html_table(heads: Sequence[str], rows: Iterable[Sequence[str]], caption: str, *, figures: bool = True) -> str:
    """The table as HTML; everything is escaped. With ``figures`` the columns that hold some stand at the right."""
    rows = [list(row) for row in rows]
    sides = [_side([row[i] for row in rows]) if i and figures else "left" for i in range(len(heads))]
    lines = [
        f'<table class="deepseek-magic-table" style="{_TABLE_STYLE}">',
        f'<caption style="caption-side:top;text-align:left">{plain_html(caption)}</caption>',
        "<thead><tr>",
        *(
            f'<th scope="col" style="text-align:{side}">{plain_html(head)}</th>'
            for side, head in zip(sides, heads, strict=True)
        ),
        "</tr></thead><tbody>",
    ]
    for row in rows:
        cells = (
            f'<td style="{_style(side, text)}">{plain_html(text)}</td>' for side, text in zip(sides, row, strict=True)
        )
        lines.append(f"<tr>{''.join(cells)}</tr>")
    lines.append("</tbody></table>")
    return "\n".join(lines)


def table_bundle(heads: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> dict[str, str]:
    """The table by MIME type, for ``IPython.display.display(..., raw=True)``."""
    return {"text/plain": text_table(heads, rows, caption), "text/html": html_table(heads, rows, caption)}


def _style(side: str, text: str) -> str:
    # A figure is not broken from its unit, nor a date from its hour, nor a model's name at its hyphen.
    is_name = text.isascii() and " " not in text and len(text) <= LONGEST_NAME_CHARS
    return f"text-align:{side}" + (";white-space:nowrap" if text[:1].isdigit() or is_name else "")


_ADDRESS: Final = re.compile(r"\d+\.\d+\.\d+\.\d+")
"""Of a host without a name, which begins like a figure."""


def _side(column: Sequence[str]) -> str:
    """How a column is aligned: figures, and what replaces them, to the right, words to the left."""
    figures = all(
        not text or text == UNKNOWN or (text[0].isdigit() and not _ADDRESS.match(text)) or text[0] in "<>≈+-−"
        for text in column
    )
    return "right" if figures else "left"


def text_table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], caption: str, *, figures: bool = True, names: int = 1
) -> str:
    """The same table in plain text, in columns of a terminal (a Chinese character takes two); the first ``names`` stand at the
    left."""
    table = [list(heads), *(list(row) for row in rows)]
    widths = [max(_width(row[i]) for row in table) for i in range(len(heads))]
    lines = [caption]
    for row in table:
        padded = []
        for i, (text, width) in enumerate(zip(row, widths, strict=True)):
            chars = width - _width(text) + len(text)
            padded.append(text.rjust(chars) if figures and i >= names else text.ljust(chars))
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in _WIDE else 1 for c in text)
