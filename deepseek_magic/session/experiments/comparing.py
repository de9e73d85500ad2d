"""The settings of a sweep against each other, as a table that says better, worse or cannot tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, ClassVar

from ...metrics.files import Tabular
from ...metrics.frames import Types
from ...metrics.stats.compare import METHODS, VERDICTS, Comparison
from ...text.inline import code_span
from ...text.messages import Message, localized


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
                difference = Message("{score} ({low}–{high})").filled(
                    score=difference, low=_signed(each.low), high=_signed(each.high)
                )
            if each.dropped:
                difference = Message("{score}; {count} inputs dropped", score=difference, count=f"{each.dropped:,}")
            verdict = VERDICTS[each.verdict]
            if each.verdict == "cannot tell" and each.visible is not None:
                seen = Message("{verdict}: differences of about {points} points could be seen")
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
            pair = f"{code_span(each.b, table=True)} − {code_span(each.a, table=True)}"
            method = localized(METHODS[each.method]) if each.method else "–"
            lines.append(f"| {pair} | {difference} | {verdict} | {_p(each.p_corrected)} | {method} |")
        return "\n".join(lines)

    def __repr__(self) -> str:
        lines = [f"{each.b} − {each.a}: {difference}, {verdict}" for each, difference, verdict in self._lines()]
        return "\n".join(lines) or localized(Message("There is nothing to compare."))


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
