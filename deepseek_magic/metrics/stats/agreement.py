"""How far a judge can be believed, by the labels of people: κ, and a rate corrected for the judge's own errors.

A judge is an instrument. One that finds 90 % of the polite answers and takes 20 % of the others for polite as well tells a
rate that is off, and the more so the rarer politeness is. With some answers labelled by people both errors are known, and
the rate can be put right (Rogan & Gladen 1978); the interval counts that they are known from few (Lee et al. 2025,
arXiv 2511.21140, section 3).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

from ...text.messages import Message, localized
from .intervals import Interval, Z

MIN_LABELS: Final = 20
"""With fewer labels of either kind the judge's errors are not known well enough to correct by."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Agreement:
    """``kappa`` is the agreement beyond chance, 1 for all and 0 for none; None where only one label is used.

    ``by_judge`` is the share of the positive label by the judge's word. ``corrected`` with ``low`` and ``high`` (95 %) is
    what people would say; None with fewer than ``MIN_LABELS`` labels of either kind, or a judge no better than chance.
    ``sensitivity``: of what people call positive, what the judge does, too; ``specificity``: the same of the rest.
    """

    labels: int
    agree: float
    kappa: float | None
    by_judge: float
    sensitivity: float | None = None
    specificity: float | None = None
    corrected: float | None = None
    low: float | None = None
    high: float | None = None

    def __repr__(self) -> str:
        kappa = (
            self.shown
            if self.kappa is None
            else Message("{rate}; κ {kappa}", rate=self.shown, kappa=f"{self.kappa:.2f}")
        )
        return localized(kappa)

    @property
    def shown(self) -> Message:
        """The rate, and by whose word it is."""
        if self.corrected is None:
            return Message("{rate} by the judge's word", rate=f"{self.by_judge:.2f}")
        said = Message("{rate} ({low}–{high}), corrected by {count} labels")
        numbers = {"rate": self.corrected, "low": self.low or 0.0, "high": self.high or 0.0}
        return said.filled(count=self.labels, **{name: f"{value:.2f}" for name, value in numbers.items()})


def agreement(
    labelled: Sequence[tuple[Hashable, Hashable]], judged: Sequence[Hashable], *, positive: Hashable = True
) -> Agreement:
    """How a judge agrees with people. ``labelled``: (the judge's word, a person's) for the same answers; ``judged``: the
    judge's words for all answers, those of them included. Raises ValueError where either is empty."""
    if not labelled or not judged:
        raise ValueError("there are no labels, or nothing is judged")
    by_judge = sum(word == positive for word in judged) / len(judged)
    of_positive = [word == positive for word, person in labelled if person == positive]
    of_others = [word != positive for word, person in labelled if person != positive]
    sensitivity = sum(of_positive) / len(of_positive) if of_positive else None
    specificity = sum(of_others) / len(of_others) if of_others else None
    corrected, interval = None, None
    if sensitivity is not None and specificity is not None and min(len(of_positive), len(of_others)) >= MIN_LABELS:
        corrected = corrected_rate(by_judge, specificity, sensitivity)
        interval = corrected_interval(by_judge, specificity, sensitivity, len(judged), len(of_others), len(of_positive))
    return Agreement(
        labels=len(labelled),
        agree=sum(word == person for word, person in labelled) / len(labelled),
        kappa=kappa(labelled),
        by_judge=by_judge,
        sensitivity=sensitivity,
        specificity=specificity,
        corrected=corrected if interval is not None else None,
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
    )


def kappa(pairs: Sequence[tuple[Hashable, Hashable]]) -> float | None:
    """Cohen's κ of two people, or a judge and a person, on the same answers (Cohen 1960); None where both use one label."""
    first, second = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    agree = sum(a == b for a, b in pairs) / len(pairs)
    by_chance = sum(first[label] * second[label] for label in first) / len(pairs) ** 2
    return None if by_chance == 1 else (agree - by_chance) / (1 - by_chance)


def corrected_rate(rate: float, specificity: float, sensitivity: float) -> float | None:
    """The true share behind the judge's (Rogan & Gladen 1978), from 0 to 1; None for a judge no better than chance."""
    better = specificity + sensitivity - 1
    return None if better <= 0 else _clipped((rate + specificity - 1) / better)


def corrected_interval(
    rate: float, specificity: float, sensitivity: float, judged: int, negatives: int, positives: int
) -> Interval | None:
    """The 95 % interval of the corrected rate, from the numbers of answers that each share is known from (Lee et al. 2025).

    None for a judge that may be no better than chance.
    """
    p, n = (judged * rate + Z * Z / 2) / (judged + Z * Z), judged + Z * Z
    q0, m0 = (negatives * specificity + 1) / (negatives + 2), negatives + 2
    q1, m1 = (positives * sensitivity + 1) / (positives + 2), positives + 2
    better = q0 + q1 - 1
    if better <= 0:
        return None
    rest0, rest1 = q0 * (1 - q0) / m0, q1 * (1 - q1) / m1
    theta = (p + q0 - 1) / better
    shift = 2 * Z * Z * (theta * rest1 - (1 - theta) * rest0)
    half = Z * math.sqrt(p * (1 - p) / n + (1 - theta) ** 2 * rest0 + theta**2 * rest1) / better
    return Interval(_clipped(theta + shift - half), _clipped(theta + shift + half))


def _clipped(share: float) -> float:
    return min(1.0, max(0.0, share))
