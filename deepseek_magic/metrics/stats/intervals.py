"""The formulas, each with its source. They know numbers only: what an input or a repeat is, is said in ``compare``.

All are for 95 %. The coverage of what is built on them is simulated in ``tests/metrics/stats``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

Z: Final = 1.959963984540054
"""Of the normal distribution, for 95 % between -Z and Z."""

LEVEL: Final = 0.05
SEEN: Final = 2.80
"""Z plus 0.84: a difference so many standard errors large is noticed in 80 of 100 experiments."""

EXACT_FLIPS: Final = 15
"""Up to so many inputs every combination of signs is tried (2**15)."""

EXACT_COUNTS: Final = 2_000
NOTHING: Final = 1e-24
"""A variance below this comes from rounding alone: means of fifths are no exact floats."""

_TINY: Final = 1e-300


class Interval(NamedTuple):
    """From ``low`` to ``high``, both included."""

    low: float
    high: float


def wilson(p: float, n: float) -> Interval:
    """Wilson's interval for a proportion ``p`` of ``n``, which need not be whole (Wilson 1927; Brown, Cai, DasGupta 2001)."""
    middle = p + Z * Z / (2 * n)
    half = Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    scale = 1 + Z * Z / n
    low = max(0.0, (middle - half) / scale) if p > 0 else 0.0
    return Interval(low, min(1.0, (middle + half) / scale) if p < 1 else 1.0)


def effective_n(p: float, variance: float, units: int, rows: int) -> float:
    """How many independent answers the answers are worth, for Wilson's interval of a clustered proportion.

    ``variance`` is that of the estimate ``p`` from ``units`` inputs, on which ``rows`` answers were given. Never more than
    the answers; where all inputs agree, as many as the inputs. The factor is that of the few inputs from which the
    variance is known (Korn & Graubard 1998; Dean & Pagano 2015).
    """
    spread = p * (1 - p)
    worth = min(spread / variance, rows) if variance > NOTHING and spread > 0 else units
    return worth * (Z / t_quantile(units - 1)) ** 2


def variance_of_mean(values: Sequence[float]) -> float:
    """The variance of the mean of independent values. Takes at least two."""
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values)


def ratio(sums: Sequence[float], sizes: Sequence[int]) -> tuple[float, float]:
    """The mean of values that come in clusters, and its variance, from each cluster's sum and size (linearized; with equal
    sizes the variance of the mean of their means; Miller 2024, equation 4). Takes at least two clusters."""
    clusters, whole = len(sums), sum(sizes)
    mean = math.fsum(sums) / whole
    squares = math.fsum((each - mean * size) ** 2 for each, size in zip(sums, sizes, strict=True))
    return mean, clusters / (clusters - 1) * squares / whole**2


def t_interval(mean: float, variance: float, units: int) -> Interval | None:
    """Student's interval for a mean with this variance; None where there is none, below two units or without variance."""
    if units < 2 or variance <= NOTHING:
        return None
    half = t_quantile(units - 1) * math.sqrt(variance)
    return Interval(mean - half, mean + half)


def t_test(mean: float, variance: float, units: int) -> float:
    """p of a mean of 0 (Student 1908). Without variance it is 1 for 0, and as unlikely as all signs alike for another mean."""
    if variance <= NOTHING:
        return 1.0 if abs(mean) <= math.sqrt(NOTHING) else min(1.0, 2.0 ** (1 - units))
    return 2 * _t_tail(abs(mean) / math.sqrt(variance), units - 1)


def sign_flips(values: Sequence[float]) -> float:
    """Exact p of a mean of 0: the share of all choices of signs whose sum is as large (Fisher 1935). For few values."""
    sums = [0.0]
    for value in values:
        sums = [total + signed for total in sums for signed in (value, -value)]
    seen = abs(math.fsum(values)) * (1 - 1e-9)
    return sum(abs(total) >= seen for total in sums) / len(sums)


def mcnemar_mid_p(b: int, c: int) -> float:
    """Mid-p of McNemar's test, from the inputs that only A and that only B got right (Fagerland, Lydersen, Laake 2013)."""
    n, least = b + c, min(b, c)
    if b == c:
        return 1.0
    if n <= EXACT_COUNTS:
        at_least = math.comb(n, least)
        tail = sum(math.comb(n, k) for k in range(least + 1))
        return float((2 * tail - at_least) / 2**n)
    log_half = n * math.log(2)
    terms = [_log_comb(n, k) - log_half for k in range(least + 1)]
    return 2 * math.fsum(map(math.exp, terms)) - math.exp(terms[-1])


def bonett_price(b: int, c: int, n: int) -> Interval:
    """Interval of the difference of two proportions on the same ``n`` inputs, B minus A: ``b`` only A got right, ``c`` only
    B (Bonett & Price 2012)."""
    only_a, only_b = (b + 1) / (n + 2), (c + 1) / (n + 2)
    middle = only_b - only_a
    half = Z * math.sqrt((only_a + only_b - middle**2) / (n + 2))
    return Interval(max(-1.0, middle - half), min(1.0, middle + half))


def holm(ps: Sequence[float]) -> list[float]:
    """The p-values corrected for their number, in their order (Holm 1979)."""
    corrected, largest = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[place]))
        corrected[place] = largest
    return corrected


def visible_difference(inputs: float, differ: float = 0.3) -> float:
    """The difference that so many inputs show in 80 of 100 experiments, when two settings differ on the share ``differ`` of
    them (Miller 2024, section 5; Card et al. 2020); at most 1."""
    return min(1.0, SEEN * math.sqrt(differ / inputs))


def t_quantile(df: float) -> float:
    """Of Student's distribution with ``df`` degrees of freedom, for 95 % between -t and t."""
    if df == 1:
        return math.tan(math.pi * (0.5 - LEVEL / 2))
    t = Z + sum(term / df**power for power, term in enumerate(_EXPANSION, 1))
    low, high = Z, 5.0  # of two degrees it is 4.30, and less of more
    for _ in range(60):
        t = t if low < t < high else (low + high) / 2
        error = _t_tail(t, df) - LEVEL / 2
        low, high = (t, high) if error > 0 else (low, t)
        step = error / _t_density(t, df)
        t += step
        if abs(step) < 1e-9 * t:  # Newton's steps square the error: the next one would change nothing
            break
    return t


_EXPANSION: Final = (
    (Z**3 + Z) / 4,
    (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96,
    (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384,
)
"""Of the quantile in powers of 1/df (Abramowitz & Stegun 26.7.5): where Newton's steps begin."""


def _t_density(t: float, df: float) -> float:
    log = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - (df + 1) / 2 * math.log1p(t * t / df)
    return math.exp(log) / math.sqrt(df * math.pi)


def _t_tail(t: float, df: float) -> float:
    """The share of Student's distribution above ``t``, which is not negative."""
    return _beta_share(df / (df + t * t), df / 2, 0.5) / 2


def _beta_share(x: float, a: float, b: float) -> float:
    """The regularized incomplete beta function, by its continued fraction (DLMF 8.17.22) and Lentz's method."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta_share(1 - x, b, a)
    log = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    f, c, d = 1.0, 1.0, 0.0
    for i in range(1_000):
        m = i // 2
        if i == 0:
            term = 1.0
        elif i % 2 == 0:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / _not_zero(1 + term * d)
        c = _not_zero(1 + term / c)
        f *= c * d
        if abs(1 - c * d) < 1e-15:
            break
    return math.exp(log) * (f - 1) / a


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _log_comb(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
