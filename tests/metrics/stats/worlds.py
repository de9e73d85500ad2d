"""Worlds in which the truth is known: how often do the intervals hold it, and how often do equal settings seem to differ?

    python -m tests.metrics.stats.worlds --worlds 5000 --seed 1     # the whole table; a quarter of an hour a core

In a world each input has a chance of being answered rightly, drawn around ``p`` with the intra-input correlation ``rho``
(repeats of one input are alike), and settings share it: a hard input is hard for all. Its trials go through ``summarize`` and
``compare``, the functions that a sweep's tables come from.
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from deepseek_magic.metrics.stats.compare import Scored, compare, summarize

INPUTS: Final = (10, 20, 50, 100)
SHARES: Final = (0.5, 0.8, 0.9, 0.95, 0.97)
REPEATS: Final = (1, 5)
ALIKE: Final = (0.1, 0.5, 0.9)
EQUAL_UP_TO: Final = 0.95
"""Comparisons are simulated up to this share, as the figures that they are held against were."""

FAMILY: Final = 8


class Corner(NamedTuple):
    """Inputs, true share, repeats, correlation of the repeats."""

    n: int
    p: float
    r: int
    rho: float


def corners() -> Iterator[Corner]:
    """All of them; with one repeat there is nothing to be alike."""
    for n, p, r, rho in itertools.product(INPUTS, SHARES, REPEATS, ALIKE):
        if r > 1 or rho == ALIKE[0]:
            yield Corner(n, p, r, rho)


def trials(corner: Corner, sides: int, chance: random.Random) -> list[Scored]:
    """The scored trials of one world: ``sides`` settings that are equally good."""
    scale = 1 / corner.rho - 1
    found = []
    for each in range(corner.n):
        right = chance.betavariate(corner.p * scale, (1 - corner.p) * scale)
        for side in range(sides):
            found += [Scored(side, each, float(chance.random() < right)) for _ in range(corner.r)]
    return found


def coverage(corner: Corner, worlds: int, chance: random.Random) -> float:
    """The share of worlds whose interval holds the true share."""
    held = 0
    for _ in range(worlds):
        (made,) = summarize(trials(corner, 1, chance))
        assert made.low is not None
        assert made.high is not None
        held += made.low <= corner.p <= made.high
    return held / worlds


def false_alarms(corner: Corner, worlds: int, chance: random.Random) -> tuple[float, float]:
    """The share of worlds in which one of two equal settings has p below 0.05, and in which a verdict is given."""
    by_p = by_verdict = 0
    for _ in range(worlds):
        (one,) = compare(trials(corner, 2, chance))
        by_p += one.p is not None and one.p < 0.05
        by_verdict += one.verdict != "cannot tell"
    return by_p / worlds, by_verdict / worlds


def noticed(corner: Corner, worlds: int, chance: random.Random, *, better: float) -> tuple[float, float]:
    """The share of worlds in which a setting that is ``better`` is called so, and in which the two intervals do not overlap."""
    by_pairs = by_overlap = 0
    kept = (1 - corner.p - better) / (1 - corner.p)
    scale = 1 / corner.rho - 1
    for _ in range(worlds):
        found = []
        for each in range(corner.n):
            right = chance.betavariate(corner.p * scale, (1 - corner.p) * scale)
            for side, share in (("a", right), ("b", 1 - (1 - right) * kept)):
                found += [Scored(side, each, float(chance.random() < share)) for _ in range(corner.r)]
        a, b = summarize(found)
        by_pairs += compare(found)[0].verdict == "better"
        by_overlap += (a.high or 1) < (b.low or 0)
    return by_pairs / worlds, by_overlap / worlds


def family_alarms(corner: Corner, worlds: int, chance: random.Random, *, baseline: bool) -> float:
    """The share of worlds in which any of eight equal settings seems to differ, after the correction."""
    alarms = 0
    for _ in range(worlds):
        made = compare(trials(corner, FAMILY, chance), baseline=0 if baseline else None)
        alarms += any(one.p_corrected is not None and one.p_corrected < 0.05 for one in made)
    return alarms / worlds


def _row(name: str, values: Sequence[float], worst: float) -> str:
    return f"{name:42} mean {sum(values) / len(values):.4f}   worst {worst:.4f}"


def main() -> None:
    """Print the table."""
    read = argparse.ArgumentParser(description=__doc__)
    read.add_argument("--worlds", type=int, default=5000)
    read.add_argument("--seed", type=int, default=1)
    given = read.parse_args()
    for r in REPEATS:
        mine = [corner for corner in corners() if corner.r == r]
        held, by_p, by_verdict = [], [], []
        for corner in mine:
            chance = random.Random(f"{given.seed} {corner}")
            held.append(coverage(corner, given.worlds, chance))
            line = f"{corner}: coverage {held[-1]:.4f}"
            if corner.p <= EQUAL_UP_TO:
                p, verdict = false_alarms(corner, given.worlds, chance)
                by_p.append(p)
                by_verdict.append(verdict)
                line += f", false alarms {p:.4f}, verdicts {verdict:.4f}"
            print(line, flush=True)
        print(_row(f"coverage, repeats {r}", held, min(held)), flush=True)
        print(_row(f"false alarms by p, repeats {r}", by_p, max(by_p)), flush=True)
        print(_row(f"false verdicts, repeats {r}", by_verdict, max(by_verdict)), flush=True)
    for r in REPEATS:
        corner = Corner(50, 0.7, r, 0.5)
        pairs, overlap = noticed(corner, given.worlds, random.Random(f"{given.seed} noticed {r}"), better=0.12)
        print(
            f"12 points better, 50 inputs, repeats {r}: noticed {pairs:.4f}, intervals apart {overlap:.4f}", flush=True
        )
    for r, baseline in itertools.product(REPEATS, (True, False)):
        chance = random.Random(f"{given.seed} family {r} {baseline}")
        alarms = family_alarms(Corner(50, 0.8, r, 0.5), max(1, given.worlds // 5), chance, baseline=baseline)
        print(f"eight equal settings, repeats {r}, {'baseline' if baseline else 'all pairs'}: {alarms:.4f}", flush=True)


if __name__ == "__main__":
    main()
