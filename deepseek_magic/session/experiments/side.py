"""Answers side by side: an input a row, a setting a column. What a model wrote is text here, whatever it looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...metrics.row import Row
from ...metrics.tables import cell
from ...protocol.experiments.plan import Plan
from ...text.inline import plain_html
from ...text.messages import Message, numbered, say

ONLY: tuple[str, ...] = ("answer",)
MAX_CHARS = 2_000
"""So much of an answer is shown; the frame has all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SideBySide:
    """The first answer of each setting to some inputs. ``rows``: an input as text, and its answers; None where it has none.

    ``alike`` inputs are left out, because every setting gave them the same answer.
    """

    settings: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str | None]]]
    alike: int = 0
    more: int = 0

    @property
    def _caption(self) -> str:
        said = [numbered(len(self.rows), Message("1 input"), Message("{count} inputs")).localized()]
        if self.alike:
            alike = numbered(
                self.alike,
                Message("1 with the same answer everywhere is left out"),
                Message("{count} with the same answer everywhere are left out"),
            )
            said.append(alike.localized())
        if self.more:
            said.append(say("{count} more", count=f"{self.more:,}"))
        return " · ".join(said)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        top = 'style="text-align:left;vertical-align:top;min-width:12em;white-space:pre-wrap;overflow-wrap:anywhere"'
        heads = "".join(f'<th scope="col" {top}>{plain_html(head)}</th>' for head in (say("input"), *self.settings))
        lines = [f"<p>{plain_html(self._caption)}</p>", f"<table><thead><tr>{heads}</tr></thead><tbody>"]
        for given, answers in self.rows:
            cells = "".join(f"<td {top}>{plain_html(_shown(text))}</td>" for text in (given, *answers))
            lines.append(f"<tr>{cells}</tr>")
        return {"text/html": "\n".join([*lines, "</tbody></table>"]), "text/plain": self._plain()}

    def _plain(self) -> str:
        lines = [self._caption]
        for given, answers in self.rows:
            lines.append(f"\n{cell(_line(given))}")
            lines += [
                f"  {name}: {cell(_line(_shown(text)))}" for name, text in zip(self.settings, answers, strict=True)
            ]
        return "\n".join(lines)


def _line(text: str) -> str:
    return " ".join(text.split())


def _shown(text: str | None) -> str:
    if text is None:
        return "–"
    return text if len(text) <= MAX_CHARS else f"{text[:MAX_CHARS]}…"


def side_by_side(plan: Plan, rows: Sequence[Row], *, inputs: int, only_different: bool) -> SideBySide:
    """The first answers of a sweep's ``rows`` to at most ``inputs`` inputs, those left out on which all settings agree."""
    names = [" · ".join(setting.names.values()) for setting in plan.settings] if plan.axes else list(ONLY)
    found: list[tuple[str, Sequence[str | None]]] = []
    alike = more = 0
    each = len(plan.rows) * plan.repeats
    for place, given in enumerate(plan.rows):
        answers = [_text(rows[number * each + place * plan.repeats]) for number in range(len(plan.settings))]
        if only_different and len(answers) > 1 and len(set(answers)) == 1:
            alike += 1
        elif len(found) < inputs:
            found.append((_input(given), answers))
        else:
            more += 1
    return SideBySide(settings=names, rows=found, alike=alike, more=more)


def _text(row: Row) -> str | None:
    text = row["text"]
    return None if text is None else str(text)


def _input(row: Mapping[str, object]) -> str:
    if len(row) == 1:
        return str(next(iter(row.values())))
    return "\n".join(f"{name}: {value}" for name, value in row.items() if value is not None)
