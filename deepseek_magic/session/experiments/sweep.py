"""A sweep as a person reads it: a view on the journal, where its plan, its trials and their answers are.

Nothing is counted beside the rows. Whatever ended how, in this kernel or another one, every total is that of the trials.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from ...engine.journal.reader import Journal
from ...engine.trials.scores import ScoreStore
from ...engine.trials.store import SweepHead, SweepStore, TrialRow, TrialState
from ...metrics.files import Tabular
from ...metrics.frames import Types
from ...metrics.row import Cell, Row
from ...metrics.stats.agreement import Agreement
from ...metrics.stats.compare import compare
from ...protocol.errors import ConfigurationError
from ...protocol.experiments.plan import Plan
from ...protocol.experiments.score import Scores, scorers
from ...protocol.measured import StreamRecord
from ...protocol.options import OPTIONS_BY_NAME, closest
from ...text.messages import Message
from .comparing import Comparisons, agreed
from .scores import JUDGES, ScoreColumns, score_columns, score_trials, scored
from .showing import settled
from .side import SideBySide, side_by_side
from .summary import SweepSummary, summed_up

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
_JOINED: Final = """
    SELECT trials.trial, calls.text, calls.record FROM trials LEFT JOIN calls USING (call_id)
    WHERE sweep_id = ? ORDER BY trial
"""


class Sweep(Tabular):
    """Every trial of a sweep, a row each, in the plan's own order. It shows itself as a table with a row a setting."""

    TYPES: ClassVar[Types] = {}

    def __init__(self, journal: Journal, sweep_id: str, *, again: Callable[[Plan, str], object] | None = None) -> None:
        self.sweep_id = sweep_id
        self._again = again
        self._store = SweepStore(journal)

    @property
    def journal(self) -> Journal:
        """Where it is kept."""
        return self._store.journal

    @cached_property
    def _head(self) -> SweepHead:
        head = next((head for head in self._store.heads() if head.sweep_id == self.sweep_id), None)
        if head is None:
            said = Message("The journal has no sweep {name} any more.", name=self.sweep_id)
            raise ConfigurationError(said, hint=Message("%deepseek_sweeps lists those that it has."))
        return head

    @property
    def name(self) -> str:
        """What it was called, else the beginning of its id."""
        return self._head.name

    @cached_property
    def plan(self) -> Plan:
        """What was to be asked."""
        return Plan.from_json(self._head.plan, self._head.rows)

    def __len__(self) -> int:
        return len(self.plan)

    def __bool__(self) -> bool:
        return True

    @property
    def trials(self) -> list[TrialRow]:
        """What has become of each trial."""
        return self._store.trials(self.sweep_id)

    @property
    def states(self) -> dict[TrialState, int]:
        """How many trials are waiting, running, done, failed, or unpaid because the budget did not allow them."""
        return dict(Counter(row.state for row in self.trials))

    @property
    def failed(self) -> list[Row]:
        """The rows of the trials that failed, with the sentence why in ``error``."""
        return [row for row in self.rows() if row["state"] == "failed"]

    def rows(self) -> list[Row]:
        """Every trial as a flat mapping with the columns of a frame."""
        return list(self._rows())

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows())

    def _rows(self) -> Iterator[Row]:
        plan, name = self.plan, self.name
        settings = [self._axes(index) for index in range(len(plan.settings))]
        inputs = [self._input(row) for row in range(len(plan.rows))]
        answers = {
            number: (text, record) for number, text, record in self._store.journal.stored(_JOINED, (self.sweep_id,))
        }
        decode = msgspec.json.Decoder(StreamRecord).decode
        scores = self._scores
        for trial in self.trials:
            text, stored = answers.get(trial.trial, (None, None))
            record = None if stored is None else decode(stored)
            yield {
                "sweep": name,
                "trial": trial.trial,
                **settings[trial.setting],
                **inputs[trial.row],
                "repeat": trial.repeat,
                "state": trial.state,
                "text": text if trial.state == "done" else None,
                **scores.of(trial.trial),
                "reused": bool(trial.reused),
                "round": trial.round,
                "call_id": trial.call_id,
                **_recorded(record, reused=bool(trial.reused)),
                "error": trial.why,
            }

    def _axes(self, index: int) -> dict[str, Cell]:
        setting = self.plan.settings[index]
        numeric = self._numeric
        return {name: setting.values[name] if name in numeric else shown for name, shown in setting.names.items()}

    @cached_property
    def _numeric(self) -> dict[str, type]:
        """The axes whose values are numbers under no other names, so that a frame can sort by them and compute with them."""
        found = {}
        for axis in self.plan.axes:
            kind = _NUMERIC.get(OPTIONS_BY_NAME[axis.name].kind) if axis.name in OPTIONS_BY_NAME else None
            shown = [f"{value:g}" for value in axis.values if kind is not None and value is not None]
            if kind is not None and shown == list(axis.names):
                found[axis.name] = kind
        return found

    @property
    def _axis_types(self) -> Types:
        return {axis.name: self._numeric.get(axis.name, str) for axis in self.plan.axes}

    def _input(self, index: int) -> dict[str, Cell]:
        row = self.plan.rows[index]
        return {name: _as(row.get(name), kind) for name, kind in self._inputs.items()}

    @cached_property
    def _inputs(self) -> dict[str, type]:
        """The columns of the inputs, each with the one type that all its values have, else as text."""
        return {name: _kind(row.get(name) for row in self.plan.rows) for name in self.plan.columns}

    def _types(self) -> Types:
        return {
            "sweep": str,
            "trial": int,
            **self._axis_types,
            **self._inputs,
            "repeat": int,
            "state": str,
            "text": str,
            **self._scores.types,
            "reused": bool,
            "round": int,
            "call_id": str,
            **RECORDED,
            "error": str,
        }

    def _columns(self) -> dict[str, list[Any]]:
        rows = self.rows()
        return {name: [row[name] for row in rows] for name in self._types()}

    def _written(self, value: object) -> object:
        """A text that a spreadsheet would take for a formula is written with an apostrophe before it."""
        return f"'{value}" if isinstance(value, str) and is_formula(value) else value

    def summary(self) -> SweepSummary:
        """A row a setting: answered, failed, cost, median seconds, and the score with its 95 % interval."""
        axes = [self._axes(index) for index in range(len(self.plan.settings))]
        return summed_up(self.plan, self.rows(), axes, self._axis_types, self._scores.names)

    @property
    def _scores(self) -> ScoreColumns:
        return score_columns(self._store.journal, self.sweep_id, self.plan)

    def score(self, scores: Scores) -> Sweep:
        """Score the answers, besides or anew, and return the sweep. Nothing is asked; functions run here, so it may block.

        A score of a name that the sweep has is replaced. Raises ConfigurationError for what is no score, or reads a column
        that the inputs do not have.
        """
        given = {scorer.name: scorer for scorer in scorers(scores)}
        if judges := [scorer.name for scorer in given.values() if scorer.kind in JUDGES]:
            said = Message("The score {name} asks a model, and scoring asks nothing.", name=judges[0])
            raise ConfigurationError(said, hint=Message("Run the sweep again with it: ds.sweep(sweep.plan, scores=…)."))
        plan = replace(self.plan, scorers=(*(s for s in self.plan.scorers if s.name not in given), *given.values()))
        for scorer in given.values():
            scorer.check(plan.columns)
        journal = self._store.journal
        ScoreStore(journal).keep_plan(self.sweep_id, plan.to_json()).result()
        score_trials(journal, self.sweep_id, plan)
        for name in ("plan", "_head"):
            vars(self).pop(name, None)
        return self

    def compare(self, score: str = "", *, by: str | None = None, baseline: str | None = None) -> Comparisons:
        """The settings against each other by one score, on the inputs that both have answered.

        ``score`` is a column like ``score.exact``; the first one by default. ``by`` compares the values of one axis and holds
        the others equal. ``baseline`` is the name of the setting, or of the axis' value, that all others are set against;
        without it, each pair is compared. Raises ConfigurationError for a name that is not there.
        """
        plan, columns = self.plan, self._scores
        axes = [axis.name for axis in plan.axes]
        by = by if by is not None or len(axes) != 1 else axes[0]
        name = _known(score.removeprefix("score.") or next(iter(columns.names), ""), columns.names)
        if by is not None:
            _known(by, axes)
        trials = scored(plan, columns, name, [trial.state for trial in self.trials], by)
        if baseline is not None:
            _known(baseline, [str(trial.side) for trial in trials])
        cluster = plan.cluster
        grouped = None if cluster is None else (lambda place: plan.rows[place].get(cluster))
        return Comparisons(compare(trials, baseline=baseline, cluster=grouped), f"score.{name}")

    def side(self, inputs: int = 20, *, only_different: bool = True) -> SideBySide:
        """The first answers of all settings side by side, for at most so many inputs; unless ``only_different`` is False,
        those are left out to which every setting gave the same answer."""
        return side_by_side(self.plan, self.rows(), inputs=inputs, only_different=only_different)

    def retry(self) -> Sweep:
        """Ask once more what failed, and wait; the sweep itself. Raises as ``ds.sweep`` does."""
        if self._again is None:
            raise ConfigurationError(
                Message("This sweep was read from a file, and cannot be asked."),
                hint=Message("ds.sweeps has those of this machine's journal."),
            )
        self._again(self.plan, self.name)
        return self

    def agreement(
        self, score: str, labels: Sequence[object] | Mapping[int, object], *, positive: object = None
    ) -> Agreement:
        """How a score, a judge's above all, agrees with people's labels, and its share corrected by them.

        ``labels``: a word, or True and False, for each row of the table, None where nobody has looked; or by the number of the
        trial. ``positive``: the word whose share is told. Raises ConfigurationError where nothing is labelled.
        """
        name = _known(score.removeprefix("score."), self._scores.names)
        return agreed(self.rows(), name, labels if isinstance(labels, Mapping) else list(labels), positive)

    def delete(self) -> None:
        """Forget the sweep. Its calls stay in the journal, from where ``ds.journal.prune`` takes them in time."""
        self._store.delete(self.sweep_id).result()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        try:
            table = settled(self)
        except (ConfigurationError, sqlite3.Error):
            return {"text/plain": repr(self)}
        return {"text/plain": table.text, "text/markdown": table.markdown}

    def __repr__(self) -> str:
        try:
            states = ", ".join(f"{count} {state}" for state, count in self.states.items())
            return f"<Sweep {self.name}: {states}>"
        except (ConfigurationError, sqlite3.Error):
            return f"<Sweep {self.sweep_id}, no longer in the journal>"


def _known(name: str, known: Sequence[str]) -> str:
    if name not in known:
        names = ", ".join(dict.fromkeys(known)) or "–"
        raise ConfigurationError(
            Message("The sweep has no {name}{near}.", name=name or "score", near=closest(name, known)),
            hint=Message("It has: {names}.", names=names),
        )
    return name


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
    cost: Decimal | None = record.cost
    # It was paid for by whoever asked it: this sweep has spent nothing on it.
    found["cost"] = 0.0 if reused else None if cost is None else float(cost)
    return found


def _kind(values: Iterator[Any]) -> type:
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
