"""The settings of a sweep against each other, or against those of another one, as a table that says better, worse or cannot
tell; and which of them are worth a second look."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar

from ...metrics.files import Tabular
from ...metrics.frames import Types
from ...metrics.row import Row
from ...metrics.stats.agreement import Agreement, agreement
from ...metrics.stats.compare import METHODS, VERDICTS, Comparison, Scored, compare
from ...protocol import template
from ...protocol.errors import ConfigurationError
from ...protocol.experiments.plan import Plan
from ...protocol.experiments.rows import canonical, plain
from ...protocol.options import closest
from ...text.inline import code_span
from ...text.messages import Message, localized, numbered
from .scores import RUNNING, scored
from .summary import SweepSummary, flattered

if TYPE_CHECKING:
    from .sweep import Sweep


class Comparisons(Tabular):
    """A row a comparison of two settings, or of two values of an axis, by one score."""

    TYPES: ClassVar[Types] = {
        "a": str,
        "b": str,
        "n_inputs": int,
        "dropped": int,
        "difference": float,
        "low": float,
        "high": float,
        "p": float,
        "p_corrected": float,
        "method": str,
        "verdict": str,
        "visible": float,
        "worst": float,
        "best": float,
    }

    def __init__(self, comparisons: Sequence[Comparison], score: str, *, best_of: int = 0) -> None:
        self._all = tuple(comparisons)
        self.score = score
        self._notes = flattered(best_of)

    def __iter__(self) -> Iterator[Comparison]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, place: int) -> Comparison:
        return self._all[place]

    def _columns(self) -> dict[str, list[Any]]:
        rows = [asdict(each) for each in self._all]
        return {name: [row[name] for row in rows] for name in self.TYPES}

    def _lines(self) -> Iterator[tuple[Comparison, str, str]]:
        """Each comparison with its difference and its verdict in words."""
        for each in self._all:
            difference = (
                Message("no input in common") if each.difference is None else Message("{n}", n=_signed(each.difference))
            )
            if each.low is not None and each.high is not None:
                difference = Message("{score} ({low} to {high})").filled(
                    score=difference, low=_signed(each.low), high=_signed(each.high)
                )
            if each.dropped:
                dropped = numbered(
                    each.dropped, Message("{score}; 1 input dropped"), Message("{score}; {count} inputs dropped")
                )
                difference = dropped.filled(score=difference)
            verdict = VERDICTS[each.verdict]
            if each.verdict == "cannot tell" and each.visible is not None:
                seen = Message("{verdict}: differences of about {points} percentage points could be seen")
                verdict = seen.filled(verdict=verdict, points=f"{100 * each.visible:.0f}")
            yield each, localized(difference), localized(verdict)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/markdown": self._markdown()}

    def _markdown(self) -> str:
        heads = (
            Message("compared"),
            Message("difference"),
            Message("verdict"),
            Message("p, corrected"),
            Message("method"),
        )
        lines = ["| " + " | ".join(map(localized, heads)) + " |", "|---|---|---|---|---|"]
        for each, difference, verdict in self._lines():
            b, a = code_span(each.b, table=True), code_span(each.a, table=True)
            pair = localized(Message("{b} against {a}", b=b, a=a))
            method = localized(METHODS[each.method]) if each.method else "–"
            lines.append(f"| {pair} | {difference} | {verdict} | {_p(each.p_corrected)} | {method} |")
        return "\n".join([*lines, *(f"\n<sub>{localized(said)}</sub>" for said in self._notes)])

    def __repr__(self) -> str:
        lines = [
            localized(
                Message(
                    "{pair}: {difference}, {verdict}",
                    pair=Message("{b} against {a}", b=each.b, a=each.a),
                    difference=difference,
                    verdict=verdict,
                )
            )
            for each, difference, verdict in self._lines()
        ]
        return "\n".join([*lines, *map(localized, self._notes)]) or localized(Message("There is nothing to compare."))


def compared_sweeps(a: Sweep, b: Sweep, score: str) -> Comparisons:
    """The settings of ``b`` against those of ``a`` by one score, on the inputs of both: those of one name, or else each with
    each. Raises ConfigurationError where the other sweep has no such score, or no column in common."""
    if not isinstance(a, type(b)):
        said = Message("it takes another sweep")
        raise ConfigurationError.of_setting("against", repr(a), said)
    known_name(score, a.scores.names)
    common = [name for name in a.plan.columns if name in b.plan.columns]
    if not common:
        said = Message("The sweeps {a} and {b} have no column in common.", a=a.name, b=b.name)
        raise ConfigurationError(said, hint=Message("Compare sweeps that were asked of the same table."))
    trials, sides, clusters = list[Scored](), [], dict[Hashable, Hashable]()
    for sweep in (a, b):
        title = sweep.name if a.name != b.name else f"{sweep.name} {sweep.sweep_id[:8]}"
        keys = [canonical({name: row.get(name) for name in common}) for row in sweep.plan.rows]
        if a.plan.cluster is not None and a.plan.cluster == b.plan.cluster:
            clusters |= {key: row.get(a.plan.cluster) for key, row in zip(keys, sweep.plan.rows, strict=True)}
        names = [" · ".join(setting.names.values()) for setting in sweep.plan.settings]
        sides.append({name: f"{title}: {name}" if name else title for name in names})
        states = [trial.state for trial in sweep.trials]
        for trial, each in zip(sweep.plan.trials, scored(sweep.plan, sweep.scores, score, states), strict=True):
            trials.append(each._replace(side=sides[-1][names[trial.setting]], input=keys[trial.row]))
    ours, theirs = sides
    alike = ours.keys() == theirs.keys()
    pairs = [(one, two) for mine, one in ours.items() for other, two in theirs.items() if not alike or mine == other]
    return Comparisons(compare(trials, pairs=pairs, cluster=clusters.get if clusters else None), f"score.{score}")


def best_settings(summary: SweepSummary, score: str, top: int) -> list[int]:
    """The indexes of the ``top`` settings with the highest score. Raises ConfigurationError where there are not so many."""
    found = [
        (-made.score, index)
        for index, setting in enumerate(summary.settings)
        if (made := setting.scores[score]).score is not None
    ]
    if not found:
        said = Message("No answer has the score {name}, so there is nothing to confirm.", name=score)
        raise ConfigurationError(said, hint=Message("Score the answers first."))
    if isinstance(top, bool) or not isinstance(top, int) or not 1 <= top <= len(found):
        why = Message("it takes a whole number from {low} to {high}", low=1, high=len(found))
        raise ConfigurationError.of_setting("top", repr(top), why)
    return [index for _, index in sorted(found)[:top]]


def check_scorers(plan: Plan) -> None:
    """Raises ConfigurationError where a score runs what a plan of the journal does not have."""
    for scorer in plan.scorers:
        if scorer.kind in RUNNING and scorer.runs is None:
            said = Message("The score {name} runs what is not kept with a sweep.", name=scorer.name)
            raise ConfigurationError(said, hint=Message("Give it again first: sweep.score(…)."))


def other_rows(plan: Plan, rows: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], int]:
    """The rows that a plan does not ask already, and how many were left out for that. Raises ConfigurationError where none
    is left, or where the plan has no inputs."""
    if not plan.columns:
        said = Message("The sweep has no table of inputs, so there are no others to ask.")
        raise ConfigurationError(said, hint=Message("Only a sweep over a table can be confirmed."))
    named = {path for each in plan.templates for path in template.paths(each.text)}
    columns = [name for name in plan.columns if name in named] or plan.columns

    def asked(row: Mapping[str, Any]) -> str:
        return canonical({name: row.get(name) for name in columns})

    known = {asked(row) for row in plan.rows}
    others = [row for row in rows if asked(row) not in known]
    if rows and not others:
        said = Message("The sweep was asked all of these rows, so they confirm nothing.")
        raise ConfigurationError(said, hint=Message("Give inputs that had no part in choosing the best setting."))
    return others, len(rows) - len(others)


def known_name(name: str, known: Sequence[str]) -> str:
    """The name. Raises ConfigurationError where it is none of those that are known."""
    if name not in known:
        names = ", ".join(dict.fromkeys(known)) or "–"
        raise ConfigurationError(
            Message("The sweep has no {name}{near}.", name=name or "score", near=closest(name, known)),
            hint=Message("It has: {names}.", names=names),
        )
    return name


def agreed(
    rows: Sequence[Row], name: str, labels: Sequence[object] | Mapping[int, object], positive: object = None
) -> Agreement:
    """How the scores in a column agree with people's ``labels``: one for each row, None where there is none, or by trial.

    Labels of True and False are held against scores from one half on; words, against the column's own. ``positive`` is the
    word whose share is told, by default the one with the highest scores. Raises ConfigurationError without labels.
    """
    if not isinstance(labels, Mapping) and len(labels) != len(rows):
        said = Message("There are {count} labels for {rows} trials.", count=len(labels), rows=len(rows))
        raise ConfigurationError(said, hint=Message("Give one for each row of the table, None where there is none."))
    given = labels if isinstance(labels, Mapping) else dict(enumerate(labels))
    said_by = {number: plain(label) for number, label in given.items() if plain(label) is not None}
    yes_no = all(isinstance(label, bool) for label in said_by.values())
    judged: dict[int, object] = {}
    value_of: dict[object, float] = {}
    for number, row in enumerate(rows):
        value, word = row[f"score.{name}"], row[f"label.{name}"]
        if isinstance(value, float | int):
            judged[number] = value >= 0.5 if yes_no else word
            value_of[judged[number]] = max(float(value), value_of.get(judged[number], float(value)))
    both = [(judged[number], label) for number, label in said_by.items() if number in judged]
    if not both:
        said = Message("None of the labels is of an answer that has the score {name}.", name=name)
        raise ConfigurationError(said, hint=Message("Label some answers that were judged."))
    best = True if yes_no else positive if positive is not None else max(value_of, key=lambda word: value_of[word])
    return agreement(both, list(judged.values()), positive=best)


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
