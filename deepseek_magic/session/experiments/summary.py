"""A sweep in a few rows: of each setting how many were answered, what they cost, how long they took, and their score."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from ...metrics.files import Tabular
from ...metrics.frames import Types
from ...metrics.row import Cell, Row
from ...metrics.stats.compare import Scored, SettingScore, summarize
from ...metrics.tables import cell, html_table, text_table
from ...protocol.experiments.plan import Plan
from ...protocol.experiments.rules import count_words
from ...protocol.measured import currency_name
from ...protocol.models import family
from ...text.inline import plain_html
from ...text.messages import Message, localized, numbered
from .frame import TrialFrame
from .scores import JUDGES, ScoreColumns

FIGURES: Final[Types] = {
    "n_inputs": int,
    "repeats": int,
    "answered": int,
    "failed": int,
    "unpaid": int,
    "waiting": int,
    "reused": int,
    "cost": float,
    "currency": str,
    "total_s_p50": float,
    "words_p50": float,
}
_OFTEN_NONE: Final = ("failed", "unpaid", "waiting", "reused")
"""Columns that are not shown where they are zero throughout."""
MANY: Final = 3
"""Of so many settings the best one looks clearly better than it is."""

SCORED: Final[Types] = {"scorer": str, "score": float, "low": float, "high": float, "method": str}


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingSummary:
    """One setting: the names of its values, its figures by the names of ``FIGURES``, and its scores by scorer."""

    names: Mapping[str, str]
    axes: Mapping[str, Cell]
    figures: Mapping[str, Cell]
    scores: Mapping[str, SettingScore]


class SweepSummary(Tabular):
    """A row a setting, or where there are several scores a row a setting and scorer. ``words_p50``, the median number of words
    of an answer, is counted where a judge gave scores: judges like long answers."""

    TYPES: ClassVar[Types] = {}

    def __init__(self, settings: Sequence[SettingSummary], axes: Types, notes: Sequence[Message] = ()) -> None:
        self.settings = settings
        self.notes = notes
        """What is to be known of the scores."""
        self._axes = axes

    def rows(self) -> list[Row]:
        """Flat mappings with the columns of a frame."""
        found: list[Row] = []
        for setting in self.settings:
            for name, score in setting.scores.items() or [(None, None)]:
                scored: Row = dict.fromkeys(SCORED)
                if score is not None:
                    scored |= {"scorer": name, "score": score.score, "low": score.low, "high": score.high}
                    scored["method"] = score.method or None
                found.append({**setting.axes, **setting.figures, **scored})
        return found

    def _types(self) -> Types:
        return {**self._axes, **FIGURES, **SCORED}

    def _columns(self) -> dict[str, list[Any]]:
        rows = self.rows()
        return {name: [row[name] for row in rows] for name in self._types()}

    def _shown(self) -> tuple[list[str], list[list[str]]]:
        """Heads and cells of the columns that hold anything: the scores first, which are what was asked for, an amount with
        its currency, and last the method, whose name is long."""
        rows = self.rows()
        order = [*self._axes, *(name for name in SCORED if name != "method"), *FIGURES, "method"]
        empty: dict[str, Cell] = dict.fromkeys(_OFTEN_NONE, 0)
        heads = [
            name
            for name in order
            if name != "currency" and any(row[name] not in (None, empty.get(name)) for row in rows)
        ]
        return heads, [[_cell(row, name) for name in heads] for row in rows]

    def __repr__(self) -> str:
        return "\n".join([text_table(*self._shown(), "").lstrip("\n"), *map(localized, self.notes)])

    def _repr_html_(self) -> str:
        notes = "".join(f"<p><small>{plain_html(localized(said))}</small></p>" for said in self.notes)
        return html_table(*self._shown(), "") + notes


def _cell(row: Row, name: str) -> str:
    shown = cell(row[name])
    return (
        shown if name != "cost" or row[name] is None else f"{shown} {currency_name(str(row['currency'] or ''))}".strip()
    )


def summed_up(
    plan: Plan, rows: Sequence[Row], frame: TrialFrame, judges: Sequence[tuple[str, str, str]]
) -> SweepSummary:
    """The summary of a sweep's ``rows``, which its ``frame`` made. ``judges`` are who judged whom, see ``ScoreStore.judges``."""
    of: dict[int, list[tuple[int, Row]]] = defaultdict(list)
    each = len(plan.rows) * plan.repeats
    for number, row in enumerate(rows):
        of[number // each].append((number // plan.repeats % len(plan.rows), row))
    is_judged = any(scorer.kind in JUDGES for scorer in plan.scorers)
    made = []
    for setting in plan.settings:
        mine = of[setting.index]
        scores = {name: _score(plan, setting.index, mine, name) for name in frame.scores.names}
        figures = _figures(plan, [row for _, row in mine])
        figures["words_p50"] = _words(mine) if is_judged else None
        made.append(SettingSummary(names=setting.names, axes=frame.axes[setting.index], figures=figures, scores=scores))
    cut = _cut_off(sum(row["outcome"] == "truncated" for row in rows))
    return SweepSummary(made, frame.axis_types, (*cut, *_notes(plan, frame.scores, made, judges)))


def _cut_off(count: int) -> tuple[Message, ...]:
    """That answers reached their length: a setting with longer ones is scored worse for it, which no score shows."""
    if not count:
        return ()
    one = Message("1 answer ended at its length (--max-tokens) and counts as it is.")
    return (
        numbered(count, one, Message("{count} answers ended at their length (--max-tokens) and count as they are.")),
    )


def _notes(
    plan: Plan, scores: ScoreColumns, settings: Sequence[SettingSummary], judges: Sequence[tuple[str, str, str]]
) -> Iterator[Message]:
    of: dict[str, dict[str, None]] = defaultdict(dict)
    for scorer in plan.scorers:
        for version, answerer, judge in judges:
            if version == scorer.version and family(judge) == family(answerer):
                of[judge][scorer.name] = None
    for judge, mine in of.items():
        said = Message("{names}: {judge} judged answers of its own family of models, which judges tend to favour.")
        yield said.filled(names=", ".join(mine), judge=judge)
    for name, (lost, pairs) in scores.missing.items():
        said = Message("{name}: no verdict in {count} of {all} comparisons; the score is that of the others.")
        yield said.filled(name=name, count=f"{lost:,}", all=f"{pairs:,}")
    yield from flattered(max((sum(s.scores[n].score is not None for s in settings) for n in scores.names), default=0))


def flattered(settings: int) -> tuple[Message, ...]:
    """What is to be known of the best of so many settings; nothing where they are few."""
    if settings < MANY:
        return ()
    said = Message(
        "The best of {count} looks better than it is; sweep.confirm(over=…) asks the first two again on other inputs."
    )
    return (said.filled(count=f"{settings:,}"),)


def _score(plan: Plan, setting: int, mine: Sequence[tuple[int, Row]], name: str) -> SettingScore:
    cluster = plan.cluster
    trials = []
    for place, row in mine:
        value = row[f"score.{name}"]
        failed = row["state"] != "done"
        trials.append(Scored(setting, place, float(value) if isinstance(value, float | int) else None, failed))
    grouped = None if cluster is None else lambda place: plan.rows[place].get(cluster)
    return summarize(trials, cluster=grouped)[0]


def _words(mine: Sequence[tuple[int, Row]]) -> float | None:
    counts = [count_words(text) for _, row in mine if isinstance(text := row["text"], str)]
    return float(statistics.median(counts)) if counts else None


def _figures(plan: Plan, rows: Sequence[Row]) -> dict[str, Cell]:
    states = [row["state"] for row in rows]
    costs = [cost for row in rows if isinstance(cost := row["cost"], float)]
    times = [took for row in rows if row["state"] == "done" and isinstance(took := row["total_s"], float)]
    return {
        "n_inputs": len(plan.rows),
        "repeats": plan.repeats,
        "answered": states.count("done"),
        "failed": states.count("failed"),
        "unpaid": states.count("unpaid"),
        "waiting": states.count("waiting") + states.count("running"),
        "reused": sum(row["reused"] is True for row in rows),
        "cost": sum(costs) if costs else None,
        "currency": next((row["currency"] for row in rows if row["currency"]), None),
        "total_s_p50": statistics.median(times) if times else None,
    }
