"""The answers of a sweep are scored, and the scores read as columns: those of the scorers that its plan has now."""

from __future__ import annotations

import concurrent.futures
import contextlib
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from ...engine.journal.reader import Journal
from ...engine.trials.marking import Marker
from ...engine.trials.scores import KeptScore, ScoreStore
from ...engine.trials.store import SweepStore
from ...metrics.frames import Types
from ...metrics.row import Cell
from ...metrics.stats.compare import Scored
from ...protocol.experiments.judging import NOT_ANSWERED
from ...protocol.experiments.plan import Plan
from ...protocol.experiments.rules import Score
from ...protocol.experiments.scoring import Scorer
from ...text.messages import Message, localized

if TYPE_CHECKING:
    from ...engine.cluster.marking import FarMarker

AT_ONCE: Final = 200
"""So many scores are one commit, and so many answers are in memory while they are scored."""

LOOK_S: Final = 0.5
"""So often the answers that have come are scored while others are asked for, for at most so long."""

LOOK_SHARE: Final = 10
"""Or after so many times as long as that took."""

JUDGES: Final = ("judge", "prefer")
"""The kinds whose scores are calls of their own, see ``judged``."""

RUNNING: Final = ("function", "schema")
"""The kinds that run what no journal keeps."""

_DONE: Final = """
    SELECT trial, setting, row, call_id FROM trials WHERE sweep_id = ? AND state = 'done' ORDER BY row, repeat, setting
"""
"""Input by input, so that of slow scores each setting has as many so far."""
_TEXTS: Final = "SELECT call_id, text FROM calls WHERE call_id IN ({marks})"


class SoFar(NamedTuple):
    """A setting's score while its sweep is being asked: the mean of so many answers. No interval: who looks at intervals
    until one pleases finds one."""

    mean: float
    answers: int


class Scoring:
    """The answers of a sweep are scored as they come in. ``look`` in a thread, never on the engine's loop; ``so_far``
    anywhere: by setting and column. ``far`` has functions run elsewhere, where they can be."""

    def __init__(self, journal: Journal, sweep_id: str, plan: Plan, far: FarMarker | None = None) -> None:
        self._far = far
        self._journal, self._sweep_id, self._plan = journal, sweep_id, plan
        self._store, self._marker = ScoreStore(journal), Marker()
        scorers = [each for each in plan.scorers if each.kind not in JUDGES]
        self._scorers = [each for each in scorers if each.kind not in RUNNING or each.runs is not None]
        self._seen: set[int] = set()
        self._sums: dict[tuple[int, str], tuple[float, int]] = {}
        self.so_far: Mapping[tuple[int, str], SoFar] = {}

    def look(self, *, stopped: Callable[[], bool] = lambda: False) -> None:
        """Give the answers that are there the scores that they have not. Blocks; what was scored before ``stopped`` is kept.

        A function that the plan only knows by name scores nothing.
        """
        if not self._scorers:
            return
        new = [done for done in self._journal.stored(_DONE, (self._sweep_id,)) if done[0] not in self._seen]
        for begin in range(0, len(new), AT_ONCE):
            if stopped():
                return
            self._score(new[begin : begin + AT_ONCE], stopped)

    def _score(self, trials: Sequence[tuple[int, int, int, str]], stopped: Callable[[], bool]) -> None:
        calls = list({call_id for *_, call_id in trials})
        texts = dict(self._journal.stored(_TEXTS.format(marks=", ".join("?" * len(calls))), tuple(calls)))
        known: dict[tuple[str, str, str, str], list[KeptScore]] = defaultdict(list)
        for kept in self._store.of_calls(calls):
            known[kept.call_id, kept.version, kept.row_digest, kept.column.partition(".")[0]].append(kept)
        if self._far is not None:
            wanted = [
                ((call_id, scorer.version, row), scorer, texts.get(call_id) or "", self._plan.rows[row])
                for _, _, row, call_id in trials
                for scorer in self._scorers
                if self._named(call_id, scorer, row) not in known
            ]
            self._far.ahead(wanted)
        made: list[KeptScore] = []
        try:
            for number, setting, row, call_id in trials:
                counted: list[KeptScore] = []
                for scorer in self._scorers:
                    if stopped():
                        return
                    this = self._named(call_id, scorer, row)
                    if this not in known:
                        found = None
                        if self._far is not None:
                            found = self._far.scores((call_id, scorer.version, row), stopped)
                            if stopped():
                                return
                        if found is None:
                            found = self._marker.mark([scorer], texts.get(call_id) or "", self._plan.rows[row])
                        digest = this[2]
                        known[this] = [KeptScore(call_id, c, scorer.version, digest, s) for c, s in found.items()]
                        made += known[this]
                    counted += known[this]
                self._count(setting, counted)
                self._seen.add(number)
        finally:
            if made:
                self._store.keep(made).result()
            self.so_far = {place: SoFar(total / count, count) for place, (total, count) in self._sums.items()}

    def _named(self, call_id: str, scorer: Scorer, row: int) -> tuple[str, str, str, str]:
        """What the scores of an answer by a scorer are known by."""
        digest = scorer.row_digest(self._plan.rows[row])
        return call_id, scorer.version, digest, scorer.name.partition(".")[0]

    def _count(self, setting: int, scores: Sequence[KeptScore]) -> None:
        for kept in scores:
            if kept.score.value is not None:
                total, count = self._sums.get((setting, kept.column), (0.0, 0))
                self._sums[setting, kept.column] = (total + kept.score.value, count + 1)

    def follow(self, asked: threading.Event, *, stopped: Callable[[], bool]) -> None:
        """Score what comes in until all is ``asked``, and then what is left. Blocks; closes itself.

        Meanwhile only a small part of the time is taken, for a function of the user's runs in the interpreter that also reads
        the streams. What others run takes none of it.
        """
        pause_s = LOOK_S
        with contextlib.closing(self):
            while not asked.wait(pause_s):
                begun_s = time.monotonic()
                with contextlib.suppress(sqlite3.Error):  # the last look meets it again
                    self.look(stopped=_or_after(stopped, begun_s + LOOK_S) if self._far is None else stopped)
                took_s = time.monotonic() - begun_s
                pause_s = LOOK_S if self._far is not None else max(LOOK_S, LOOK_SHARE * took_s)
            self.look(stopped=stopped)

    def close(self) -> None:
        """End what it runs."""
        self._marker.close()
        if self._far is not None:
            self._far.close()


def _or_after(stopped: Callable[[], bool], until_s: float) -> Callable[[], bool]:
    return lambda: stopped() or time.monotonic() > until_s


def in_thread(work: Callable[[], None]) -> concurrent.futures.Future[None]:
    """Have it done in a thread of its own: those of a pool are few, and Python waits for them when it ends."""
    ended: concurrent.futures.Future[None] = concurrent.futures.Future()
    ended.set_running_or_notify_cancel()

    def run() -> None:
        try:
            work()
        except BaseException as error:
            ended.set_exception(error)
        else:
            ended.set_result(None)

    threading.Thread(target=run, name="deepseek-magic scores", daemon=True).start()
    return ended


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreColumns:
    """The columns of scores, and what each trial has in them: ``cells[trial]`` by the column's name. ``missing``: of a
    scorer that compares answers, by its name, how many comparisons have no verdict, and how many there are."""

    names: tuple[str, ...] = ()
    cells: Sequence[dict[str, Cell]] = ()
    missing: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def types(self) -> Types:
        """Of each score a number, a category, and why."""
        kinds = (("score", float), ("label", str), ("why", str))
        return {f"{prefix}.{name}": kind for name in self.names for prefix, kind in kinds}


def score_columns(journal: Journal, sweep_id: str, plan: Plan) -> ScoreColumns:
    """The scores that the plan's scorers, as they are now, have given the answers of a sweep."""
    if not plan.scorers:
        return ScoreColumns(cells=[{} for _ in range(len(plan))])
    kept: dict[tuple[str, str, str], list[KeptScore]] = defaultdict(list)
    for each in ScoreStore(journal).of_sweep(sweep_id):
        kept[each.call_id, each.version, each.row_digest].append(each)
    digests = [[scorer.row_digest(row) for scorer in plan.scorers] for row in plan.rows]
    names: dict[str, dict[str, None]] = {scorer.name: {} for scorer in plan.scorers}
    cells: list[dict[str, Cell]] = []
    trials = SweepStore(journal).trials(sweep_id)
    together: dict[tuple[int, int], list[str]] = defaultdict(list)
    for trial in trials:
        if trial.state == "done" and trial.call_id is not None:
            together[trial.row, trial.repeat].append(trial.call_id)
    missing: dict[str, tuple[int, int]] = {}
    for trial in trials:
        mine: dict[str, Cell] = {}
        done = trial.call_id if trial.state == "done" else None
        for scorer, digest in zip(plan.scorers, digests[trial.row], strict=True):
            if done is not None and scorer.kind == "prefer":
                others = list(together[trial.row, trial.repeat])
                others.remove(done)
                pairs = [kept[done, scorer.version, pair_digest(digest, other)] for other in others]
                one = combined([next((k.score for k in p if k.column == scorer.name), None) for p in pairs])
                # Each comparison is met at both of its answers.
                lost, of = missing.get(scorer.name, (0, 0))
                missing[scorer.name] = (lost + one.missing, of + len(others))
                if one.score is not None:
                    names[scorer.name][scorer.name] = None
                    mine |= _cells(scorer.name, one.score)
                continue
            for each in kept[done, scorer.version, digest] if done is not None else ():
                if _is_of(scorer, each.column):
                    names[scorer.name][each.column] = None
                    mine |= _cells(each.column, each.score)
        cells.append(mine)
    return ScoreColumns(
        names=tuple(column for name, found in names.items() for column in (found or (name,))),
        cells=cells,
        missing={name: (lost // 2, of // 2) for name, (lost, of) in missing.items() if lost},
    )


def pair_digest(digest: str, other: str) -> str:
    """Under which a comparison with the answer of another call is kept: each by itself, so that one that failed is missing
    alone and asked again alone."""
    return f"{digest}:{other}"


class Combined(NamedTuple):
    """What comparisons with several answers make of one: its score, and how many of them have no verdict."""

    score: Score | None
    missing: int


def combined(scores: Sequence[Score | None]) -> Combined:
    """The share of the others that an answer wins against, of those comparisons that have a verdict; None: it was not asked,
    or not answered."""
    known = [score for score in scores if score is not None]
    values = [score.value for score in known if score.value is not None]
    missing = len(scores) - len(values)
    if not values:
        return Combined(known[0] if known else None, missing)
    if missing:
        said = next((score.why for score in known if score.value is None), None) or NOT_ANSWERED
        why: Message | str | None = Message(
            "no verdict in {count} of {all} comparisons: {why}", count=missing, all=len(scores), why=said
        )
    else:
        why = known[0].why if len(known) == 1 else None
    labels = {score.label for score in known if score.value is not None}
    return Combined(Score(sum(values) / len(values), labels.pop() if len(labels) == 1 else None, why), missing)


def _is_of(scorer: Scorer, column: str) -> bool:
    return column == scorer.name or column.startswith(f"{scorer.name}.")


def _cells(column: str, score: Score) -> dict[str, Cell]:
    why = None if score.why is None else localized(score.why)
    return {f"score.{column}": score.value, f"label.{column}": score.label, f"why.{column}": why}


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
