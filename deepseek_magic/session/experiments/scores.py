"""The answers of a sweep are scored, and the scores read as columns: those of the scorers that its plan has now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from ...engine.journal.reader import Journal
from ...engine.trials.marking import Marker
from ...engine.trials.scores import KeptScore, ScoreStore
from ...engine.trials.store import SweepStore
from ...metrics.frames import Types
from ...metrics.row import Cell
from ...metrics.stats.compare import Scored
from ...protocol.experiments.plan import Plan
from ...protocol.experiments.rows import Row
from ...protocol.experiments.scoring import Scorer
from ...text.messages import localized

AT_ONCE: Final = 200
"""So many scores are one commit, and so many answers are in memory while they are scored."""

JUDGES: Final = ("judge", "prefer")
"""The kinds whose scores are calls of their own, see ``judged``."""

_DONE: Final = """
    SELECT trials.row, calls.call_id, calls.text FROM trials JOIN calls USING (call_id)
    WHERE sweep_id = ? AND state = 'done' AND trial >= ? AND trial < ? ORDER BY trial
"""


def score_trials(journal: Journal, sweep_id: str, plan: Plan, *, stopped: Callable[[], bool] = lambda: False) -> None:
    """Give the answers of a sweep the scores that they have not. Blocks: for a thread, never for the engine's loop.

    What was scored before ``stopped`` is kept. A function that the plan only knows by name scores nothing.
    """
    store, marker, made = ScoreStore(journal), Marker(), list[KeptScore]()
    scorers = [each for each in plan.scorers if each.kind not in JUDGES]
    scorers = [each for each in scorers if each.kind not in ("function", "schema") or each.runs is not None]
    known = {
        (kept.call_id, kept.version, kept.row_digest, kept.column.partition(".")[0])
        for kept in store.of_sweep(sweep_id)
    }
    try:
        for row, call_id, text in _done(journal, sweep_id, len(plan)):
            for scorer in scorers:
                digest = digest_of(scorer, plan.rows[row], sweep_id)
                this = (call_id, scorer.version, digest, scorer.name.partition(".")[0])
                if this in known or stopped():
                    continue
                known.add(this)
                found = marker.mark([scorer], text or "", plan.rows[row])
                made += [KeptScore(call_id, column, scorer.version, digest, score) for column, score in found.items()]
            if len(made) >= AT_ONCE:
                store.keep(made).result()
                made = []
    finally:
        marker.close()
        if made:
            store.keep(made).result()


def _done(journal: Journal, sweep_id: str, trials: int) -> Iterator[tuple[int, str, str | None]]:
    """Row, call and text of each answer, a few at a time: together they may be larger than all else of a sweep."""
    for first in range(0, trials, AT_ONCE):
        yield from journal.stored(_DONE, (sweep_id, first, first + AT_ONCE))


def digest_of(scorer: Scorer, row: Row, sweep_id: str) -> str:
    """Of what a score was given for. One that compares answers is of its sweep, for elsewhere there are other answers."""
    return f"{scorer.row_digest(row)}{sweep_id[:8] if scorer.kind == 'prefer' else ''}"


class ScoreColumns(NamedTuple):
    """The columns of scores, and what each trial has in them: ``cells[trial]`` by the column's name."""

    names: tuple[str, ...]
    cells: Sequence[dict[str, Cell]]

    @property
    def types(self) -> Types:
        """Of each score a number, a category, and why."""
        kinds = (("score", float), ("label", str), ("why", str))
        return {f"{prefix}.{name}": kind for name in self.names for prefix, kind in kinds}

    def of(self, trial: int) -> dict[str, Cell]:
        """The cells of one trial, missing ones included."""
        return {**dict.fromkeys(self.types), **self.cells[trial]}


def score_columns(journal: Journal, sweep_id: str, plan: Plan) -> ScoreColumns:
    """The scores that the plan's scorers, as they are now, have given the answers of a sweep."""
    if not plan.scorers:
        return ScoreColumns((), [{} for _ in range(len(plan))])
    kept: dict[tuple[str, str, str], list[KeptScore]] = defaultdict(list)
    for each in ScoreStore(journal).of_sweep(sweep_id):
        kept[each.call_id, each.version, each.row_digest].append(each)
    digests = [[digest_of(scorer, row, sweep_id) for scorer in plan.scorers] for row in plan.rows]
    names: dict[str, dict[str, None]] = {scorer.name: {} for scorer in plan.scorers}
    cells: list[dict[str, Cell]] = []
    for trial in SweepStore(journal).trials(sweep_id):
        mine: dict[str, Cell] = {}
        for scorer, digest in zip(plan.scorers, digests[trial.row], strict=True):
            found = kept[trial.call_id or "", scorer.version, digest] if trial.state == "done" else []
            for each in found:
                if _is_of(scorer, each.column):
                    names[scorer.name][each.column] = None
                    mine |= _cells(each)
        cells.append(mine)
    return ScoreColumns(tuple(column for name, found in names.items() for column in (found or (name,))), cells)


def _is_of(scorer: Scorer, column: str) -> bool:
    return column == scorer.name or column.startswith(f"{scorer.name}.")


def _cells(kept: KeptScore) -> Iterator[tuple[str, Cell]]:
    score = kept.score
    why = None if score.why is None else localized(score.why)
    yield from {
        f"score.{kept.column}": score.value,
        f"label.{kept.column}": score.label,
        f"why.{kept.column}": why,
    }.items()


def scored(plan: Plan, columns: ScoreColumns, name: str, states: Sequence[str], by: str | None = None) -> list[Scored]:
    """The trials with their scores in one column, for the statistics: by setting, or by the value of the axis ``by``."""
    found = []
    for trial in plan.trials:
        names = dict(plan.settings[trial.setting].names)
        side = names.pop(by) if by is not None else " · ".join(names.values()) or plan.templates[0].name
        value = columns.cells[trial.number].get(f"score.{name}")
        failed = states[trial.number] != "done"
        score = float(value) if isinstance(value, int | float) else None
        found.append(Scored(side, trial.row, score, failed, tuple(names.values()) if by is not None else None))
    return found
