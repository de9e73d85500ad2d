"""A sweep as a person reads it: a view on the journal, where its plan, its trials and their answers are.

Nothing is counted beside the rows. Whatever ended how, in this kernel or another one, every total is that of the trials.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, Final, Protocol

import msgspec

from ...engine.journal.reader import Journal
from ...engine.trials.scores import ScoreStore
from ...engine.trials.store import SweepHead, SweepStore
from ...engine.trials.units import TrialRow, TrialState
from ...metrics.files import Tabular
from ...metrics.frames import Types
from ...metrics.row import Row
from ...metrics.stats.agreement import Agreement
from ...metrics.stats.compare import compare
from ...protocol.errors import ConfigurationError
from ...protocol.experiments.narrowing import narrowed
from ...protocol.experiments.plan import Plan
from ...protocol.experiments.score import Scores, scorers
from ...protocol.experiments.scoring import Scorer
from ...protocol.measured import StreamRecord
from ...text.messages import Message
from .comparing import Comparisons, agreed, best_settings, check_scorers, compared_sweeps, known_name, other_rows
from .frame import TrialFrame, is_formula
from .planning import table_rows
from .scores import JUDGES, ScoreColumns, Scoring, score_columns, scored
from .showing import settled
from .side import SideBySide, side_by_side
from .summary import SweepSummary, summed_up

_JOINED: Final = """
    SELECT trials.trial, calls.text, calls.record FROM trials LEFT JOIN calls USING (call_id)
    WHERE sweep_id = ? ORDER BY trial
"""


class Asker(Protocol):
    """Who has sweeps asked: the session."""

    def again(self, sweep: Sweep) -> object:
        """Ask what failed in a sweep, and wait."""

    def anew(self, plan: Plan, notices: Sequence[Message], **how: Any) -> Sweep:
        """Ask a plan, ``how`` as for ``ds.sweep``, and wait; the notices are told with it."""


class Sweep(Tabular):
    """Every trial of a sweep, a row each, in the plan's own order. It shows itself as a table with a row a setting."""

    TYPES: ClassVar[Types] = {}

    def __init__(
        self, journal: Journal, sweep_id: str, *, asker: Asker | None = None, scorers: Sequence[Scorer] = ()
    ) -> None:
        self.sweep_id = sweep_id
        self._asker = asker
        self._runs = {scorer.version: scorer.runs for scorer in scorers}
        self._store = SweepStore(journal)
        self._read: tuple[str, Plan] | None = None

    @property
    def journal(self) -> Journal:
        """Where it is kept."""
        return self._store.journal

    @cached_property
    def _head(self) -> SweepHead:
        head = self._store.head(self.sweep_id)
        if head is None:
            raise self._gone()
        return head

    def _gone(self) -> ConfigurationError:
        said = Message("The journal has no sweep {name} any more.", name=self.sweep_id)
        return ConfigurationError(said, hint=Message("%deepseek_sweeps lists those that it has."))

    @property
    def name(self) -> str:
        """What it was called, else the beginning of its id."""
        return self._head.name

    @property
    def plan(self) -> Plan:
        """What was to be asked, and how it is scored now; a cell of a judge may have added to that."""
        stored = self.journal.stored("SELECT plan FROM sweeps WHERE sweep_id = ?", (self.sweep_id,))
        if not stored:
            raise self._gone()
        ((written,),) = stored
        if self._read is None or self._read[0] != written:
            plan = Plan.from_json(written, self._head.rows)
            known = [replace(scorer, runs=self._runs.get(scorer.version)) for scorer in plan.scorers]
            self._read = (written, replace(plan, scorers=tuple(known)))
        return self._read[1]

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
        return list(self._rows(self._frame))

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows())

    def _rows(self, frame: TrialFrame) -> Iterator[Row]:
        answers = {
            number: (text, record) for number, text, record in self._store.journal.stored(_JOINED, (self.sweep_id,))
        }
        decode = msgspec.json.Decoder(StreamRecord).decode
        for trial in self.trials:
            text, stored = answers.get(trial.trial, (None, None))
            yield frame.row(trial, text, None if stored is None else decode(stored))

    @property
    def _frame(self) -> TrialFrame:
        return TrialFrame(self.name, self.plan, self.scores)

    @property
    def scores(self) -> ScoreColumns:
        """The scores of the trials, as columns."""
        return score_columns(self._store.journal, self.sweep_id, self.plan)

    def _both(self) -> tuple[dict[str, list[Any]], Types]:
        frame = self._frame
        rows = list(self._rows(frame))
        return {name: [row[name] for row in rows] for name in frame.types}, frame.types

    def _types(self) -> Types:
        return self._frame.types

    def _columns(self) -> dict[str, list[Any]]:
        return self._both()[0]

    def _written(self, value: object) -> object:
        """A text that a spreadsheet would take for a formula is written with an apostrophe before it."""
        return f"'{value}" if isinstance(value, str) and is_formula(value) else value

    def summary(self) -> SweepSummary:
        """A row a setting: answered, failed, cost, median seconds, and the score with its 95 % interval."""
        return self.with_summary()[1]

    def with_summary(self) -> tuple[list[Row], SweepSummary]:
        """Its rows and the summary of just these: one look at the journal, which is most of what a table costs."""
        plan, frame = self.plan, self._frame
        judges = ScoreStore(self.journal).judges(self.sweep_id) if plan.scorers else []
        rows = list(self._rows(frame))
        return rows, summed_up(plan, rows, frame, judges)

    def score(self, scores: Scores) -> Sweep:
        """Score the answers, besides or anew, and return the sweep. Nothing is asked; functions run here, so it may block.

        A score of a name that the sweep has is replaced. Raises ConfigurationError for what is no score, or reads a column
        that the inputs do not have.
        """
        given = {scorer.name: scorer for scorer in scorers(scores)}
        if judges := [scorer.name for scorer in given.values() if scorer.kind in JUDGES]:
            said = Message("The score {name} asks a model, and scoring asks nothing.", name=judges[0])
            raise ConfigurationError(
                said,
                hint=Message("%%deepseek_judge has the answers judged, and so does ds.sweep(sweep.plan, scores=…)."),
            )
        with contextlib.closing(Scoring(self.journal, self.sweep_id, self.rescored(given.values()))) as scoring:
            scoring.look()
        return self

    def rescored(self, given: Collection[Scorer]) -> Plan:
        """Have its answers scored by these scorers as well, each in place of one of its name; the plan with them.

        Raises ConfigurationError where one reads a column that the inputs do not have.
        """
        names = {scorer.name for scorer in given}
        plan = replace(self.plan, scorers=(*(s for s in self.plan.scorers if s.name not in names), *given))
        for scorer in given:
            scorer.check(plan.columns, len(plan.settings))
            self._runs[scorer.version] = scorer.runs
        self._read = None
        ScoreStore(self.journal).keep_plan(self.sweep_id, plan.to_json()).result()
        return plan

    def compare(
        self, score: str = "", *, by: str | None = None, baseline: str | None = None, against: Sweep | None = None
    ) -> Comparisons:
        """The settings against each other by one score, on the inputs that both have answered.

        ``score`` is a column like ``score.exact``; the first one by default. ``by`` compares the values of one axis and holds
        the others equal. ``baseline`` is the name of the setting, or of the axis' value, that all others are set against;
        without it, each pair is compared. ``against`` is another sweep of the same inputs: its settings are compared with
        those of their name here, or else each with each. Raises ConfigurationError for a name that is not there.
        """
        plan, columns = self.plan, self.scores
        name = known_name(score.removeprefix("score.") or next(iter(columns.names), ""), columns.names)
        if against is not None:
            if by is not None or baseline is not None:
                said = Message("Two sweeps are compared setting by setting, without by and baseline.")
                raise ConfigurationError(said, hint=Message("Leave them out."))
            return compared_sweeps(against, self, name)
        axes = [axis.name for axis in plan.axes]
        by = by if by is not None or len(axes) != 1 else axes[0]
        if by is not None:
            known_name(by, axes)
        trials = scored(plan, columns, name, [trial.state for trial in self.trials], by)
        if baseline is not None:
            known_name(baseline, [str(trial.side) for trial in trials])
        cluster = plan.cluster
        grouped = None if cluster is None else (lambda place: plan.rows[place].get(cluster))
        made = compare(trials, baseline=baseline, cluster=grouped)
        return Comparisons(made, f"score.{name}", best_of=len({t.side for t in trials if t.value is not None}))

    def confirm(
        self,
        top: int = 2,
        *,
        over: Any,
        score: str = "",
        name: str | None = None,
        budget: float | None = None,
        concurrency: int | None = None,
    ) -> Sweep:
        """Ask the ``top`` settings with the best score once more, on other inputs, and wait; that is a sweep of its own.

        The best of several settings was chosen for its score, so that score is too high. On inputs that had no part in the
        choice it is not. ``over`` is a table as for ``ds.sweep``; rows that this sweep was asked are left out. ``score`` is a
        column like ``score.exact``; the first one by default. ``name``, ``budget`` and ``concurrency`` are those of ``ds.sweep``.
        Raises as it does, and ConfigurationError where there is nothing to confirm.
        """
        plan, names = self.plan, self.scores.names
        column = known_name(score.removeprefix("score.") or next(iter(names), ""), names)
        check_scorers(plan)
        best = best_settings(self.summary(), column, top)
        rows, known = other_rows(plan, table_rows(over))
        said = [Message("Rows left out, because they were asked before: {count}.", count=f"{known:,}")] if known else []
        title = name or f"{self.name} · confirmed"
        return self._asking.anew(narrowed(plan, best, rows), said, name=title, budget=budget, concurrency=concurrency)

    def side(self, inputs: int = 20, *, only_different: bool = True) -> SideBySide:
        """The first answers of all settings side by side, for at most so many inputs; unless ``only_different`` is False,
        those are left out to which every setting gave the same answer."""
        return side_by_side(self.plan, self.rows(), inputs=inputs, only_different=only_different)

    def retry(self) -> Sweep:
        """Ask once more what failed, and wait; the sweep itself. Raises as ``ds.sweep`` does."""
        self._asking.again(self)
        return self

    @property
    def _asking(self) -> Asker:
        if self._asker is None:
            raise ConfigurationError(
                Message("This sweep was read from a file, and cannot be asked."),
                hint=Message("ds.sweeps has those of this machine's journal."),
            )
        return self._asker

    def agreement(
        self, score: str, labels: Sequence[object] | Mapping[int, object], *, positive: object = None
    ) -> Agreement:
        """How a score, a judge's above all, agrees with people's labels, and its share corrected by them.

        ``labels``: a word, or True and False, for each row of the table, None where nobody has looked; or by the number of the
        trial. ``positive``: the word whose share is told. Raises ConfigurationError where nothing is labelled.
        """
        name = known_name(score.removeprefix("score."), self.scores.names)
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
        except sqlite3.Error:
            states = ""
        return f"<Sweep {self.name}: {states}>" if states else f"<Sweep {self.sweep_id}, no longer in the journal>"
