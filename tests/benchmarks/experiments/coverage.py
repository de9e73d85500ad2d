"""How often an interval holds the truth: E7, in worlds where it is known.

    python -m tests.benchmarks.experiments.coverage PEER WORLDS

prints one line of JSON: the share of each corner's worlds whose 95 % interval holds the true share, by the repeats.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

from tests.metrics.stats.worlds import REPEATS, Corner, corners, coverage, trials

from ..measuring import Bench
from ..report import Goal, Table
from .measuring import LONGEST_S, interpreter, peers_of
from .peers import TITLES

SEED: Final = 1
NORMAL: Final = 1.959964
Held = dict[str, list[float]]


def _means(corner: Corner, chance: random.Random) -> list[float]:
    """The mean score of each input of one world."""
    found: dict[Any, list[float]] = defaultdict(list)
    for trial in trials(corner, 1, chance):
        found[trial.input].append(trial.value or 0.0)
    return [statistics.fmean(values) for values in found.values()]


def _inspect(corner: Corner, worlds: int, chance: random.Random) -> float:
    """inspect-ai's own metrics: the mean of its samples, and 1.96 of its standard errors on both sides."""
    from inspect_ai.scorer import SampleScore, Score, mean, stderr

    middle, error = mean(), stderr()
    held = 0
    for _ in range(worlds):
        scores: Any = [SampleScore(score=Score(value=value)) for value in _means(corner, chance)]
        held += abs(middle(scores) - corner.p) <= NORMAL * error(scores)
    return held / worlds


_WAYS: Final[dict[str, Callable[[Corner, int, random.Random], float]]] = {"ours": coverage, "inspect": _inspect}


def shares(peer: str, worlds: int) -> Held:
    """The coverage of every corner; the worlds are the same for all."""
    held: Held = {str(repeats): [] for repeats in REPEATS}
    for corner in corners():
        held[str(corner.r)].append(_WAYS[peer](corner, worlds, random.Random(f"{SEED} {corner}")))
    return held


def covered(bench: Bench) -> Table:
    """E7."""
    worlds = 8 if bench.short else 1_000
    names = {str(repeats): f"{repeats} {'repeat' if repeats == 1 else 'repeats'}" for repeats in REPEATS}

    def figures(peer: str) -> dict[str, float]:
        module = f"{__package__}.coverage"
        said = bench.python("-m", module, peer, str(worlds), interpreter=interpreter(bench, peer), longest_s=LONGEST_S)
        held: Held = json.loads(said.splitlines()[-1])
        return {
            f"{name}: {kind}": of(held[repeats])
            for repeats, name in names.items()
            for kind, of in (("worst corner", min), ("mean", statistics.fmean))
        }

    found, missing = bench.turns(peers_of(bench, *_WAYS), figures, rounds=1)
    ours = found.get("ours", {})
    worst = min((value for name, value in ours.items() if "worst" in name), default=None)
    ways = {"ours": TITLES["ours"], "inspect": f"{TITLES['inspect']}: mean ± 1.96 stderr"}
    return Table(
        id="E7",
        title="Coverage of the 95 % interval",
        how=f"{worlds:,} worlds for each of {sum(1 for _ in corners())} corners: 10 to 100 inputs, true shares of 0.5 to 0.97, 1 and 5 repeats that are "
        "alike by 0.1 to 0.9. A share of 0.95 is what the interval promises. Seeds are fixed, so every run says the same.",
        columns=tuple(next(iter(found.values()), {})),
        rows={ways[peer]: figures for peer, figures in found.items()},
        missing={ways[peer]: why for peer, why in missing.items()},
        goals=(Goal(says="coverage, worst corner", value=worst, limit=0.88, at_most=False),),
    )


if __name__ == "__main__":
    print(json.dumps(shares(sys.argv[1], int(sys.argv[2]))))
