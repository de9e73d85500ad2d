"""A sweep in a few rows: of each setting how many were answered, what they cost, how long they took, and their score."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from ...metrics.files import Tabular
from ...metrics.frames import Types
from ...metrics.row import Cell, Row
from ...metrics.stats.compare import Scored, SettingScore, summarize
from ...metrics.tables import cell, html_table, text_table
from ...protocol.experiments.plan import Plan

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
}
SCORED: Final[Types] = {"scorer": str, "score": float, "low": float, "high": float, "method": str}


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingSummary:
    """One setting: the names of its values, its figures by the names of ``FIGURES``, and its scores by scorer."""

    names: Mapping[str, str]
    axes: Mapping[str, Cell]
    figures: Mapping[str, Cell]
    scores: Mapping[str, SettingScore]


class SweepSummary(Tabular):
    """A row a setting, or where there are several scores a row a setting and scorer."""

    TYPES: ClassVar[Types] = {}

    def __init__(self, settings: Sequence[SettingSummary], axes: Types) -> None:
        self.settings = settings
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
        """Heads and cells of the columns that hold anything."""
        rows = self.rows()
        heads = [name for name in self._types() if any(row[name] is not None for row in rows)]
        return heads, [[cell(row[name]) for name in heads] for row in rows]

    def __repr__(self) -> str:
        return text_table(*self._shown(), "").lstrip("\n")

    def _repr_html_(self) -> str:
        return html_table(*self._shown(), "")


def summed_up(
    plan: Plan, rows: Sequence[Row], axes: Sequence[Mapping[str, Cell]], types: Types, scorers: Sequence[str]
) -> SweepSummary:
    """The summary of a sweep's ``rows``; ``axes`` are the values of each setting as its frame has them."""
    of: dict[int, list[tuple[int, Row]]] = defaultdict(list)
    each = len(plan.rows) * plan.repeats
    for number, row in enumerate(rows):
        of[number // each].append((number // plan.repeats % len(plan.rows), row))
    made = []
    for setting in plan.settings:
        mine = of[setting.index]
        scores = {name: _score(plan, setting.index, mine, name) for name in scorers}
        made.append(
            SettingSummary(
                names=setting.names,
                axes=axes[setting.index],
                figures=_figures(plan, [row for _, row in mine]),
                scores=scores,
            )
        )
    return SweepSummary(made, types)


def _score(plan: Plan, setting: int, mine: Sequence[tuple[int, Row]], name: str) -> SettingScore:
    cluster = plan.cluster
    trials = []
    for place, row in mine:
        value = row[f"score.{name}"]
        failed = row["state"] != "done"
        trials.append(Scored(setting, place, float(value) if isinstance(value, float | int) else None, failed))
    grouped = None if cluster is None else lambda place: plan.rows[place].get(cluster)
    return summarize(trials, cluster=grouped)[0]


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
