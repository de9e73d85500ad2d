"""In worlds whose truth is known the intervals hold it, and equal settings rarely seem to differ; the short form.

The whole table is ``python -m tests.metrics.stats.worlds``. Seeds are fixed, so these shares are always the same.
"""

from __future__ import annotations

import random

from tests.metrics.stats.worlds import Corner, coverage, false_alarms, family_alarms

WORLDS = 200
FEW = (
    Corner(10, 0.5, 1, 0.1),
    Corner(20, 0.97, 1, 0.1),
    Corner(10, 0.95, 5, 0.5),
    Corner(50, 0.9, 5, 0.9),
)


def test_the_intervals_hold_the_truth() -> None:
    shares = [coverage(corner, WORLDS, random.Random(1)) for corner in FEW]
    assert min(shares) >= 0.86
    assert sum(shares) / len(shares) >= 0.94


def test_equal_settings_rarely_seem_to_differ() -> None:
    alarms = [false_alarms(corner, WORLDS, random.Random(2)) for corner in FEW]
    assert max(by_p for by_p, _ in alarms) <= 0.07
    assert sum(by_p for by_p, _ in alarms) / len(alarms) <= 0.055
    assert all(verdict <= by_p for by_p, verdict in alarms)


def test_among_eight_equal_settings_hardly_ever_one_wins() -> None:
    corner = Corner(50, 0.8, 1, 0.1)
    assert family_alarms(corner, 40, random.Random(3), baseline=False) <= 0.06
    assert family_alarms(corner, 40, random.Random(4), baseline=True) <= 0.06
