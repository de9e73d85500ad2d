"""The trials of a sweep as rows whose columns have fixed types, whatever has come of them so far."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ...engine.trials.units import TrialRow
from ...metrics.frames import Types
from ...metrics.row import Cell, Row
from ...protocol.experiments.plan import Plan
from ...protocol.measured import StreamRecord
from ...protocol.options import OPTIONS_BY_NAME
from .scores import ScoreColumns

if TYPE_CHECKING:
    from decimal import Decimal

RECORDED: Final[Mapping[str, type]] = {
    "response_model": str,
    "outcome": str,
    "attempts": int,
    "ttft_s": float,
    "total_s": float,
    "prompt_tokens": int,
    "completion_tokens": int,
    "reasoning_tokens": int,
    "cache_hit_tokens": int,
    "cost": float,
    "currency": str,
}
"""The columns of the log that say something about a trial."""

_NUMERIC: Final[Mapping[str, type]] = {"integer": int, "number": float}
_FORMULA: Final = ("=", "+", "-", "@")


class TrialFrame:
    """The columns of a plan's trials: the axes, the inputs' own, the answer and the fields of its schema, its scores, and what
    the log says of its call."""

    def __init__(self, name: str, plan: Plan, scores: ScoreColumns) -> None:
        self._name, self._plan, self.scores = name, plan, scores
        self._unscored: dict[str, Cell] = dict.fromkeys(scores.types)
        self._numeric = _numeric_axes(plan)
        self._inputs = {name: _kind(row.get(name) for row in plan.rows) for name in plan.columns}
        self._fields = {} if plan.schema is None else plan.schema.fields
        self.axes = [self._axes(index) for index in range(len(plan.settings))]
        """The values of each setting's axes."""
        self._rows = [self._input(row) for row in plan.rows]

    @property
    def axis_types(self) -> Types:
        """Of the axes alone."""
        return {axis.name: self._numeric.get(axis.name, str) for axis in self._plan.axes}

    @property
    def types(self) -> Types:
        """Of all columns, in their order."""
        return {
            "sweep": str,
            "trial": int,
            **self.axis_types,
            **self._inputs,
            "repeat": int,
            "state": str,
            "text": str,
            **{f"value.{name}": kind for name, kind in self._fields.items()},
            **self.scores.types,
            "reused": bool,
            "round": int,
            "call_id": str,
            **RECORDED,
            "error": str,
        }

    def row(self, trial: TrialRow, text: str | None, record: StreamRecord | None) -> Row:
        """The row of one trial, with the text and the record of its call."""
        text = text if trial.state == "done" else None
        return {
            "sweep": self._name,
            "trial": trial.trial,
            **self.axes[trial.setting],
            **self._rows[trial.row],
            "repeat": trial.repeat,
            "state": trial.state,
            "text": text,
            **self._values(text),
            **self._unscored,
            **self.scores.cells[trial.trial],
            "reused": bool(trial.reused),
            "round": trial.round,
            "call_id": trial.call_id,
            **_recorded(record, reused=bool(trial.reused)),
            "error": trial.why,
        }

    def _axes(self, index: int) -> dict[str, Cell]:
        setting = self._plan.settings[index]
        return {name: setting.values[name] if name in self._numeric else shown for name, shown in setting.names.items()}

    def _input(self, row: Mapping[str, Any]) -> dict[str, Cell]:
        return {name: _as(row.get(name), kind) for name, kind in self._inputs.items()}

    def _values(self, text: str | None) -> dict[str, Cell]:
        """The fields of an answer's JSON; missing where it has none of that name and type."""
        schema = self._plan.schema
        if schema is None:
            return {}
        found = {} if text is None else schema.values(text)
        return {f"value.{name}": found.get(name) for name in self._fields}


def _numeric_axes(plan: Plan) -> dict[str, type]:
    """The axes whose values are numbers under no other names, so that a frame can sort by them and compute with them."""
    found = {}
    for axis in plan.axes:
        kind = _NUMERIC.get(OPTIONS_BY_NAME[axis.name].kind) if axis.name in OPTIONS_BY_NAME else None
        shown = [f"{value:g}" for value in axis.values if kind is not None and value is not None]
        if kind is not None and shown == list(axis.names):
            found[axis.name] = kind
    return found


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would compute ``text`` instead of showing it."""
    if not text.startswith(_FORMULA):
        return False
    try:
        float(text)
    except ValueError:
        return True
    return False


def _recorded(record: StreamRecord | None, *, reused: bool) -> dict[str, Cell]:
    if record is None:
        return dict.fromkeys(RECORDED)
    found: dict[str, Cell] = {name: getattr(record, name) for name in RECORDED}
    cost: Decimal | None = record.shown_cost
    # It was paid for by whoever asked it: this sweep has spent nothing on it.
    found["cost"] = 0.0 if reused else None if cost is None else float(cost)
    return found


def _kind(values: Iterable[Any]) -> type:
    """The one type that all values have, else text."""
    given = [value for value in values if value is not None]
    kinds = {type(value) for value in given}
    if any(type(value) is int and not -(2**63) <= value < 2**63 for value in given):  # no frame has such numbers
        return str
    if kinds and kinds <= {int, float}:
        return int if kinds == {int} else float
    return bool if kinds == {bool} else str


def _as(value: Any, kind: type) -> Cell:
    if value is None or (kind is str and isinstance(value, str)):
        return value
    if kind is str:
        return json.dumps(value, ensure_ascii=False)
    converted: Cell = kind(value)
    return converted
