"""The formulas give the figures of scipy and statsmodels, which were taken down once and are not needed here."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from deepseek_magic.metrics.stats import intervals as s

NEAR = 1e-6
MEANS = (1, 1, 1, 1, 0.8, 1, 0.6, 1, 1, 0)
DIFFERENCES = (0.2, 0, 0, 0.4, -0.2, 0.6, 0, 0.2, 0, 0.4)


@pytest.mark.parametrize(
    ("right", "of", "low", "high"),
    [
        (17, 20, 0.639581, 0.947631),
        (10, 10, 0.722467, 1),
        (0, 10, 0, 0.277533),
        (850, 1000, 0.826531, 0.870790),
    ],
)
def test_wilson(right: int, of: int, low: float, high: float) -> None:
    assert s.wilson(right / of, of) == pytest.approx((low, high), abs=NEAR)


def test_none_right_and_all_right_end_at_the_end() -> None:
    assert s.wilson(0, 7).low == 0
    assert s.wilson(1, 7).high == 1


@pytest.mark.parametrize(
    ("b", "c", "p"), [(1, 7, 0.039063), (0, 5, 0.03125), (2, 10, 0.022461), (5, 14, 0.041389), (3, 3, 1), (0, 0, 1)]
)
def test_mcnemar_mid_p(b: int, c: int, p: float) -> None:
    assert s.mcnemar_mid_p(b, c) == s.mcnemar_mid_p(c, b) == pytest.approx(p, abs=NEAR)


def test_mcnemar_of_many_is_that_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = [s.mcnemar_mid_p(b, c) for b, c in ((90, 130), (3, 20), (900, 1050))]
    monkeypatch.setattr(s, "EXACT_COUNTS", 0)
    assert [s.mcnemar_mid_p(b, c) for b, c in ((90, 130), (3, 20), (900, 1050))] == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(
    ("b", "c", "n", "low", "high"), [(1, 7, 20, 0.015082, 0.530373), (0, 0, 20, -0.125991, 0.125991)]
)
def test_bonett_price(b: int, c: int, n: int, low: float, high: float) -> None:
    assert s.bonett_price(b, c, n) == pytest.approx((low, high), abs=NEAR)
    assert s.bonett_price(c, b, n) == pytest.approx((-high, -low), abs=NEAR)


def test_effective_n() -> None:
    p = sum(MEANS) / 10
    n = s.effective_n(p, s.variance_of_mean(MEANS), 10, 50)
    assert n == pytest.approx(9.6188, abs=1e-4)
    assert s.wilson(p, n) == pytest.approx((0.524398, 0.961535), abs=NEAR)
    assert s.wilson(1, s.effective_n(1, 0, 10, 50)) == pytest.approx((0.661491, 1), abs=NEAR)


def test_effective_n_is_never_more_than_the_answers_and_that_of_the_inputs_where_all_agree() -> None:
    factor = (s.Z / s.t_quantile(9)) ** 2
    assert s.effective_n(0.5, 1e-9, 10, 50) == pytest.approx(50 * factor)
    for alike in ([0.6] * 10, [0.2 + 0.4] * 5 + [0.6] * 5):
        assert s.effective_n(0.6, s.variance_of_mean(alike), 10, 50) == pytest.approx(10 * factor)


def test_the_paired_t_test_and_the_flips_of_signs() -> None:
    mean, variance = math.fsum(DIFFERENCES) / 10, s.variance_of_mean(DIFFERENCES)
    assert mean == pytest.approx(0.16)
    assert s.t_test(mean, variance, 10) == pytest.approx(0.069707, abs=NEAR)
    assert s.t_interval(mean, variance, 10) == pytest.approx((-0.015874, 0.335874), abs=NEAR)
    assert s.sign_flips(DIFFERENCES) == 0.125
    assert s.sign_flips([0.0, 0.0]) == 1
    assert s.sign_flips([0.1] * 10) == 2 / 2**10


def test_without_variance_there_is_no_interval_and_p_is_that_of_signs_alike() -> None:
    assert s.t_interval(0.5, 0, 10) is None
    assert s.t_interval(0.5, 0.1, 1) is None
    assert s.t_test(0, 0, 10) == 1
    assert s.t_test(0.2, 0, 10) == 2 / 2**10


def test_holm() -> None:
    assert s.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert s.holm([]) == []
    assert s.holm([0.6, 0.7]) == [1, 1]


@pytest.mark.parametrize(
    ("df", "t"),
    [
        (1, 12.7062047362),
        (2, 4.3026527297),
        (3, 3.1824463053),
        (4, 2.7764451052),
        (9, 2.2621571628),
        (19, 2.0930240544),
        (99, 1.9842169516),
        (1000, 1.9623390808),
        (100_000, 1.9599877075),
    ],
)
def test_t_quantile(df: int, t: float) -> None:
    assert s.t_quantile(df) == pytest.approx(t, abs=1e-8)


def test_the_share_of_beta_is_that_of_whole_numbers() -> None:
    for a, b, x in ((2, 3, Fraction(1, 4)), (5, 2, Fraction(2, 3)), (1, 1, Fraction(1, 3))):
        n = a + b - 1
        whole = sum(math.comb(n, k) * x**k * (1 - x) ** (n - k) for k in range(a, n + 1))
        assert s._beta_share(float(x), a, b) == pytest.approx(float(whole), abs=1e-12)
    assert (s._beta_share(0.0, 2, 3), s._beta_share(1.0, 2, 3)) == (0, 1)


@pytest.mark.parametrize(
    ("inputs", "difference"), [(10, 0.48), (20, 0.34), (50, 0.22), (100, 0.15), (200, 0.11), (1000, 0.05), (1, 1)]
)
def test_what_so_many_inputs_can_show(inputs: int, difference: float) -> None:
    assert s.visible_difference(inputs) == pytest.approx(difference, abs=0.006)


def test_clusters_of_one_size_are_the_means_of_their_means() -> None:
    groups = [[1, 1, 0], [0, 0, 0], [1, 1, 1], [1, 0, 0]]
    mean, variance = s.ratio([sum(g) for g in groups], [3] * 4)
    means = [sum(g) / 3 for g in groups]
    assert mean == pytest.approx(sum(means) / 4)
    assert variance == pytest.approx(s.variance_of_mean(means))
    assert s.ratio([2, 0], [4, 1])[0] == pytest.approx(0.4), "each input counts the same, however large its cluster is"
