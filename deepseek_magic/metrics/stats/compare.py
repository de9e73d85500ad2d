"""Scored trials → the score of each setting, and which settings differ. Inputs are the unit; repeats are not.

Three answers to one question are one input three times, not three inputs: who counts them as three is far too sure (Miller
2024). Two settings are compared on the inputs that both have answered, difference by difference: hard inputs are hard for
both, so what remains is what the settings do. The page docs/experiments.md says all this to people who know none of it.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

from ...text.messages import Message, words
from . import intervals
from .intervals import LEVEL, Interval

MISSING_SHARE: Final = 0.02
"""Where more of the trials has no score, it is also told what the score would be if all of these were wrong, or right."""

Verdict = Literal["better", "worse", "cannot tell"]
VERDICTS: Final = words("better", "worse", "cannot tell")
METHODS: Final = words(
    "Wilson", "Wilson, effective n", "t over inputs", "t over inputs, sign flips", "Bonett–Price, McNemar mid-p"
)
"""The names of the methods, for tables in the reader's language; docs/experiments.md explains them."""
Cluster = Callable[[Hashable], Hashable]


class Scored(NamedTuple):
    """One trial, scored: ``side`` is what is compared (a setting, a model), ``block`` the rest of its setting.

    ``value`` None: no answer came (``failed``), or it could not be judged.
    """

    side: Hashable
    input: Hashable
    value: float | None
    failed: bool = False
    block: Hashable = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingScore:
    """The score of one setting, as the mean over its inputs.

    ``low`` to ``high`` is its 95 % interval by ``method``; None where it cannot be known. ``answered`` trials have a score,
    ``failed`` no answer, ``unjudged`` an answer without a score. ``worst`` and ``best`` are the score if all that is missing
    were wrong, or right; None where next to nothing is missing, or scores are not from 0 to 1.
    """

    side: Hashable
    n_inputs: int
    repeats: int
    answered: int
    failed: int
    unjudged: int
    score: float | None = None
    low: float | None = None
    high: float | None = None
    method: str = ""
    worst: float | None = None
    best: float | None = None

    @property
    def shown(self) -> Message:
        """The score with its interval and its numbers."""
        return self.told(counted=True)

    def told(self, *, counted: bool) -> Message:
        """The same, and only ``counted`` with its inputs and repeats."""
        said = Message("–") if self.score is None else Message("{score}", score=_short(self.score))
        if self.low is not None and self.high is not None:
            said = Message("{score} ({low}–{high})", score=said, low=_short(self.low), high=_short(self.high))
        if counted:
            one = self.n_inputs == 1
            inputs = Message("1 input") if one else Message("{count} inputs", count=f"{self.n_inputs:,}")
            if self.repeats > 1:
                inputs = Message("{inputs} × {repeats}", inputs=inputs, repeats=self.repeats)
            said = Message("{score}, {inputs}", score=said, inputs=inputs)
        if self.failed:
            said = Message("{score}, {count} failed", score=said, count=f"{self.failed:,}")
        if self.unjudged:
            said = Message("{score}, {count} not judged", score=said, count=f"{self.unjudged:,}")
        if self.worst is not None and self.best is not None:
            bounds = Message("{score}; {worst} if all that is missing were wrong, {best} if right")
            said = bounds.filled(score=said, worst=_short(self.worst), best=_short(self.best))
        return said


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """B against A on the inputs that both have answered.

    ``difference`` is B minus A, ``low`` to ``high`` its 95 % interval; ``p`` how often chance alone makes as large a one,
    ``p_corrected`` the same for all comparisons together (Holm). ``dropped`` inputs lack an answer on either side; ``worst``
    and ``best`` as in ``SettingScore``, for B. ``visible`` is the difference that these inputs would have shown in 80 of 100
    experiments. The verdict is on B, and only where p and interval agree and what is missing cannot turn it round.
    """

    a: str
    b: str
    n_inputs: int
    dropped: int
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_corrected: float | None = None
    method: str = ""
    verdict: Verdict = "cannot tell"
    visible: float | None = None
    worst: float | None = None
    best: float | None = None


Cell = dict[Hashable, dict[Hashable, list[float | None]]]
"""Input → block → the values of its repeats."""


def summarize(trials: Iterable[Scored], *, cluster: Cluster | None = None) -> list[SettingScore]:
    """The score of each side, in the order in which they come up. ``cluster`` tells which inputs belong together."""
    sides: dict[Hashable, list[Scored]] = defaultdict(list)
    for trial in trials:
        sides[trial.side].append(trial)
    return [_summary(side, mine, cluster) for side, mine in sides.items()]


def _summary(side: Hashable, trials: Sequence[Scored], cluster: Cluster | None) -> SettingScore:
    values: dict[Hashable, list[float | None]] = defaultdict(list)
    for trial in trials:
        values[trial.input].append(trial.value)
    known = {each: found for each, mine in values.items() if (found := _known(mine))}
    answered = sum(map(len, known.values()))
    failed = sum(trial.failed for trial in trials)
    made = SettingScore(
        side=side,
        n_inputs=len(known),
        repeats=max(map(len, values.values())),
        answered=answered,
        failed=failed,
        unjudged=len(trials) - answered - failed,
    )
    if not known:
        return made
    means = {each: _mean(found) for each, found in known.items()}
    shares = _shares(value for found in known.values() for value in found)
    score, variance, units = _estimate(means, cluster)
    interval, method = _interval(score, variance, units, answered, shares=shares, plain=answered == units)
    worst, best = _bounds(values) if shares and len(trials) - answered > MISSING_SHARE * len(trials) else (None, None)
    low, high = interval or (None, None)
    return replace(made, score=score, low=low, high=high, method=method, worst=worst, best=best)


def _interval(
    score: float, variance: float, units: int, rows: int, *, shares: bool, plain: bool
) -> tuple[Interval | None, str]:
    """The interval of a mean and the name of its method. ``plain``: one answer for each unit."""
    if not shares:
        interval = intervals.t_interval(score, variance, units)
        return interval, "t over inputs" if interval else ""
    if plain or units < 2:
        return intervals.wilson(score, units), "Wilson"
    return intervals.wilson(score, intervals.effective_n(score, variance, units, rows)), "Wilson, effective n"


def compare(
    trials: Iterable[Scored],
    *,
    baseline: Hashable | None = None,
    pairs: Sequence[tuple[Hashable, Hashable]] | None = None,
    cluster: Cluster | None = None,
) -> list[Comparison]:
    """Every side against ``baseline``, or of each of the ``pairs`` of sides the second against the first, or else each pair
    there is, in the order in which they come up.

    Raises ValueError for a baseline that is no side.
    """
    cells: dict[Hashable, Cell] = {}
    for trial in trials:
        mine = cells.setdefault(trial.side, defaultdict(lambda: defaultdict(list)))
        mine[trial.input][trial.block].append(trial.value)
    if pairs is None and baseline is None:
        pairs = list(itertools.combinations(cells, 2))
    elif pairs is None:
        if baseline not in cells:
            raise ValueError(baseline)
        pairs = [(baseline, side) for side in cells if side != baseline]
    made = [_pair(a, b, cells[a], cells[b], cluster) for a, b in pairs or ()]
    corrected = iter(intervals.holm([each.p for each in made if each.p is not None]))
    return [_judged(each if each.p is None else replace(each, p_corrected=next(corrected))) for each in made]


def level_with_best(trials: Collection[Scored], *, cluster: Cluster | None = None) -> frozenset[Hashable]:
    """The sides that cannot be told from the one with the highest score, and that one."""
    scores = {each.side: each.score for each in summarize(trials, cluster=cluster) if each.score is not None}
    if not scores:
        return frozenset()
    best = max(scores, key=lambda side: scores[side] or 0.0)
    others = [side for side in scores if side != best]
    told = compare((t for t in trials if t.side in scores), baseline=best, cluster=cluster)
    sides = [side for side in dict.fromkeys(t.side for t in trials) if side in others]
    return frozenset((best, *(side for side, one in zip(sides, told, strict=True) if one.verdict != "worse")))


def _pair(a: Hashable, b: Hashable, of_a: Cell, of_b: Cell, cluster: Cluster | None) -> Comparison:
    differences: dict[Hashable, float] = {}
    single, seen = True, []
    everything = dict.fromkeys((*of_a, *of_b))
    for each in everything:
        mine, other = of_a.get(each, {}), of_b.get(each, {})
        both = [(x, y) for block in mine if (x := _known(mine[block])) and (y := _known(other.get(block, ())))]
        if both:
            differences[each] = _mean([_mean(y) - _mean(x) for x, y in both])
            single &= len(both) == len(both[0][0]) == len(both[0][1]) == 1
            seen += [value for pair in both for values in pair for value in values]
    made = Comparison(a=str(a), b=str(b), n_inputs=len(differences), dropped=len(everything) - len(differences))
    if not differences:
        return made
    shares = _shares(seen)
    worst, best = _bounds_of_pair(of_a, of_b) if shares else (None, None)
    made = replace(made, worst=worst, best=best)
    if single and cluster is None and set(seen) <= {0.0, 1.0}:
        return _by_counts(made, list(differences.values()))
    return _by_differences(made, differences, cluster, shares=shares)


def _by_counts(made: Comparison, differences: Sequence[float]) -> Comparison:
    only_a, only_b, n = sum(d < 0 for d in differences), sum(d > 0 for d in differences), len(differences)
    low, high = intervals.bonett_price(only_a, only_b, n)
    return replace(
        made,
        difference=(only_b - only_a) / n,
        low=low,
        high=high,
        p=intervals.mcnemar_mid_p(only_a, only_b),
        method="Bonett–Price, McNemar mid-p",
        visible=intervals.visible_difference(n, (only_a + only_b + 1) / (n + 2)),
    )


def _by_differences(
    made: Comparison, differences: Mapping[Hashable, float], cluster: Cluster | None, *, shares: bool
) -> Comparison:
    mean, variance, units = _estimate(differences, cluster)
    if units < 2:
        return replace(made, difference=mean)
    interval = intervals.t_interval(mean, variance, units)
    if interval is None and shares and abs(mean) < LEVEL / units:  # all alike: an interval without width would be a lie
        interval = intervals.bonett_price(0, 0, units)
    few = units <= intervals.EXACT_FLIPS
    p = intervals.sign_flips(_sums(differences, cluster)) if few else intervals.t_test(mean, variance, units)
    spread = variance if variance > intervals.NOTHING else 1 / (units + 2) / units
    low, high = interval or (None, None)
    if shares and low is not None and high is not None:  # what two shares can differ by
        low, high = max(low, -1.0), min(high, 1.0)
    return replace(
        made,
        difference=mean,
        low=low,
        high=high,
        p=p,
        method="t over inputs, sign flips" if few else "t over inputs",
        visible=intervals.SEEN * math.sqrt(spread),
    )


def _judged(one: Comparison) -> Comparison:
    """The comparison with its verdict."""
    if one.difference is None or one.p_corrected is None or one.p_corrected >= LEVEL:
        return one
    up = one.difference > 0
    holds = one.low is None or one.high is None or (one.low > 0 if up else one.high < 0)
    turned = (one.worst is not None and one.worst <= 0) if up else (one.best is not None and one.best >= 0)
    return replace(one, verdict=("better" if up else "worse") if holds and not turned else "cannot tell")


def _estimate(values: Mapping[Hashable, float], cluster: Cluster | None) -> tuple[float, float, int]:
    """The mean of the inputs' values, its variance (0 below two units), and the number of units."""
    if cluster is None:
        found = list(values.values())
        return _mean(found), intervals.variance_of_mean(found) if len(found) > 1 else 0.0, len(found)
    groups: dict[Hashable, list[float]] = defaultdict(list)
    for each, value in values.items():
        groups[cluster(each)].append(value)
    if len(groups) < 2:
        return _mean(list(values.values())), 0.0, len(groups)
    mean, variance = intervals.ratio([math.fsum(g) for g in groups.values()], [len(g) for g in groups.values()])
    return mean, variance, len(groups)


def _sums(values: Mapping[Hashable, float], cluster: Cluster | None) -> list[float]:
    groups: dict[Hashable, list[float]] = defaultdict(list)
    for each, value in values.items():
        groups[each if cluster is None else cluster(each)].append(value)
    return [math.fsum(group) for group in groups.values()]


def _bounds(values: Mapping[Hashable, Sequence[float | None]]) -> tuple[float, float]:
    """The score if all that is missing were 0, and if it were 1."""
    of = [
        _mean([_mean([fill if value is None else value for value in mine]) for mine in values.values()])
        for fill in (0.0, 1.0)
    ]
    return of[0], of[1]


def _bounds_of_pair(of_a: Cell, of_b: Cell) -> tuple[float | None, float | None]:
    """The difference if all that B lacks were wrong and all that A lacks right, and the other way round."""
    values = [value for cell in (of_a, of_b) for blocks in cell.values() for mine in blocks.values() for value in mine]
    if values.count(None) <= MISSING_SHARE * len(values):
        return None, None

    def whole(cell: Cell, fill: float) -> float:
        means = [
            _mean([_mean([fill if v is None else v for v in mine]) for mine in blocks.values()])
            for blocks in cell.values()
        ]
        return _mean(means)

    return whole(of_b, 0.0) - whole(of_a, 1.0), whole(of_b, 1.0) - whole(of_a, 0.0)


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _shares(values: Iterable[float]) -> bool:
    """Whether all lie from 0 to 1."""
    return all(0 <= value <= 1 for value in values)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _short(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"
