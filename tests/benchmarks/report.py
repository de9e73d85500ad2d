"""What was measured, as values, and as the Markdown page that shows them. Medians, ratios, goals; no adjectives."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["Goal", "Table", "markdown", "median", "number", "ratio", "read"]

NO_FIGURE: Final = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One figure and what it should be. ``value`` is None when what it needs was not measured."""

    says: str
    value: float | None
    limit: float
    at_most: bool = True

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None when nobody knows."""
        if self.value is None:
            return None
        return self.value <= self.limit if self.at_most else self.value >= self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One row of the plan: what each peer reached, in named columns; who is missing, and why."""

    id: str
    title: str
    how: str
    columns: tuple[str, ...]
    rows: Mapping[str, Mapping[str, float]]
    missing: Mapping[str, str] = field(default_factory=dict)
    goals: tuple[Goal, ...] = ()
    relative_to: str | None = None
    """The peer that the ratios in brackets are taken to."""
    measured: str = ""
    """When, and how busy the machine was."""

    def figure(self, row: str, column: str) -> float | None:
        """One median; None when it was not measured."""
        return self.rows.get(row, {}).get(column)


def read(given: Mapping[str, Any]) -> Table:
    """The table that ``dataclasses.asdict`` took apart."""
    goals = tuple(Goal(**goal) for goal in given["goals"])
    return Table(**{**given, "columns": tuple(given["columns"]), "goals": goals})


def median(values: Iterable[float]) -> float:
    """The median of at least one value."""
    return statistics.median(values)


def ratio(part: float | None, whole: float | None) -> float | None:
    """``part / whole``; None when one of them is unknown or there is nothing to divide by."""
    return None if part is None or not whole else part / whole


def number(value: float | None) -> str:
    """Three significant digits, no exponent."""
    if value is None:
        return NO_FIGURE
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def markdown(
    tables: Sequence[Table], *, machine: Mapping[str, str], versions: Mapping[str, str], plots: Mapping[str, str]
) -> str:
    """The whole page. ``plots`` has a picture's address for the tables that have one."""
    lines = ["# Benchmark report", "", *_head(machine, versions), *_goals(tables)]
    for table in tables:
        lines += _section(table, plots.get(table.id))
    return "\n".join(lines).rstrip() + "\n"


def _head(machine: Mapping[str, str], versions: Mapping[str, str]) -> list[str]:
    return [
        "Made by `bash .ci/bench`. Everything runs on this machine over loopback, each figure in a fresh process, the peers",
        "in turns; a figure is the median of its rounds. Only the ratios carry over to another machine.",
        "",
        "| machine | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in machine.items()),
        "",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
        "",
    ]


def _goals(tables: Sequence[Table]) -> list[str]:
    lines = ["## Goals", "", "| | goal | measured | |", "|---|---|---|---|"]
    verdict = {True: "reached", False: "**not reached**", None: "not measured"}
    for table in tables:
        for goal in table.goals:
            sign = "≤" if goal.at_most else "≥"
            lines.append(
                f"| {table.id} | {goal.says} {sign} {goal.limit:g} | {number(goal.value)} | {verdict[goal.reached]} |"
            )
    return [*lines, ""]


def _section(table: Table, plot: str | None) -> list[str]:
    lines = [f"## {table.id}: {table.title}", "", table.how, "", f"Measured {table.measured}.", ""]
    lines += ["| | " + " | ".join(table.columns) + " |", "|---|" + "---:|" * len(table.columns)]
    for row in table.rows:
        lines.append(f"| {row} | " + " | ".join(_cell(table, row, column) for column in table.columns) + " |")
    for row, why in table.missing.items():
        lines.append(
            f"| {row} | not measured: {' '.join(why.replace('|', '/').split())[:120]}" + " |" * len(table.columns)
        )
    lines.append("")
    if plot is not None:
        lines += [f"![{table.title}]({plot})", ""]
    return lines


def _cell(table: Table, row: str, column: str) -> str:
    value = table.figure(row, column)
    if value is None or table.relative_to is None or row == table.relative_to:
        return number(value)
    share = ratio(value, table.figure(table.relative_to, column))
    return f"{number(value)} (×{number(share)})" if share is not None else number(value)
