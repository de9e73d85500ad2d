"""The log as a table that is filtered by words and by outcome."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, get_args

from ....metrics.tables import cell, html_table
from ....protocol.measured import currency_name
from ....protocol.outcome import OUTCOME_WORDS, Outcome
from ....text.messages import Message, say
from ...view.seam_marks import asked_again

OUTCOMES: Final[tuple[str, ...]] = get_args(Outcome)
SHOWN_ROWS: Final = 100
"""More would be slow to draw, and nobody reads them: the log itself has them all."""

_COLUMNS: Final[Mapping[Message, str]] = {
    Message("started"): "started_at",
    Message("outcome"): "outcome",
    Message("first token"): "ttft_s",
    Message("total"): "total_s",
    Message("tokens"): "completion_tokens",
    Message("cost"): "cost",
}
_SEARCHED: Final = ("model", "endpoint", "outcome", "error_type", "finish_reason", "think", "mode")


def matching(rows: Sequence[Mapping[str, Any]], words: str, outcome: str | None) -> list[Mapping[str, Any]]:
    """The rows with that outcome (None: any) that have every word in one of their texts, newest first."""
    wanted = words.lower().split()

    def fits(row: Mapping[str, Any]) -> bool:
        text = " ".join(str(row[name]) for name in _SEARCHED if row.get(name) is not None).lower()
        return (outcome is None or row["outcome"] == outcome) and all(word in text for word in wanted)

    return [row for row in reversed(rows) if fits(row)]


def history_html(rows: Sequence[Mapping[str, Any]], words: str = "", outcome: str | None = None) -> str:
    """The table of the rows that fit."""
    found = matching(rows, words, outcome)
    today = datetime.now().astimezone().date()
    shown = [[_shown(row, name, today) for name in _COLUMNS.values()] for row in found[:SHOWN_ROWS]]
    caption = say("{found} of {all} calls, newest first", found=f"{len(found):,}", all=f"{len(rows):,}")
    return html_table(tuple(head.localized() for head in _COLUMNS), shown, caption)


def _shown(row: Mapping[str, Any], name: str, today: date) -> str:
    value = row.get(name)
    if isinstance(value, datetime):  # of today's calls the hour says enough, and leaves room for the figures
        there = value.astimezone()
        return f"{there:%H:%M:%S}" if there.date() == today else cell(value)
    if name == "outcome":
        return "\n".join(_outcome(row))
    if name.endswith("_s") and value is not None:
        return say("{seconds} s", seconds=f"{value:.2f}")
    if name == "cost" and value is not None and row.get("currency"):
        unit = currency_name(row["currency"])
        return f"{cell(value, 2)}\n{unit}"  # below it, or the column is cut at 1280 pixels
    return cell(value)


def _outcome(row: Mapping[str, Any]) -> Iterator[str]:
    """How the call ended, and in lines of their own which model answered and what was not as usual."""
    yield OUTCOME_WORDS[str(row["outcome"])].localized()
    yield cell(row.get("model"))
    if (row.get("attempts") or 1) > 1:
        yield asked_again(row["attempts"] - 1)
    if row.get("error_type"):
        yield cell(row["error_type"])
