"""The settings of a sweep against each other, as a table that says better, worse or cannot tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, ClassVar

from ...metrics.files import Tabular
from ...metrics.frames import Types
from ...metrics.row import Row
from ...metrics.stats.agreement import Agreement, agreement
from ...metrics.stats.compare import METHODS, VERDICTS, Comparison
from ...protocol.errors import ConfigurationError
from ...protocol.experiments.rows import plain
from ...text.inline import code_span
from ...text.messages import Message, localized, numbered


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

    def __init__(self, comparisons: Sequence[Comparison], score: str) -> None:
        self._all = tuple(comparisons)
        self.score = score

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
        return "\n".join(lines)

    def __repr__(self) -> str:
        lines = [
            f"{localized(Message('{b} against {a}', b=each.b, a=each.a))}: {difference}, {verdict}"
            for each, difference, verdict in self._lines()
        ]
        return "\n".join(lines) or localized(Message("There is nothing to compare."))


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
