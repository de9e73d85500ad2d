"""The matrix as a command: as many cases as wanted, on as many processes, and one case alone.

python -m tests.chaos.run --cases 100000 --seed 1 --jobs 2
python -m tests.chaos.run --replay '{"fault":"cut at=content after=7 times=1", ...}'
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.chaos.cases import GRID, Case, cases, load
from tests.chaos.play import Played, play, play_all, watch_tasks
from tests.steady import SteadyLoop

__all__ = ["Report", "run", "run_in_processes"]

AT_ONCE: Final = 8
CHUNK: Final = 640


class Report:
    """What a run found, to be added up over processes."""

    def __init__(self) -> None:
        self.played = 0
        self.outcomes: Counter[str] = Counter()
        self.ways: Counter[str] = Counter()
        self.requests = 0
        self.broken: list[tuple[str, list[str]]] = []

    def take(self, one: Played) -> None:
        self.played += 1
        self.outcomes[one.outcome] += 1
        self.ways.update(one.seams or (("one request",) if one.requests == 1 else ("retried",)))
        self.requests += one.requests
        if one.broken:
            self.broken.append((one.case.line, one.broken))

    def add(self, other: Report) -> None:
        self.played += other.played
        self.outcomes += other.outcomes
        self.ways += other.ways
        self.requests += other.requests
        self.broken += other.broken

    def __str__(self) -> str:
        lines = [f"{line}\n    " + "\n    ".join(rules) for line, rules in self.broken]
        outcomes = ", ".join(f"{number} {name}" for name, number in self.outcomes.most_common())
        ways = ", ".join(f"{number} {name}" for name, number in self.ways.most_common())
        return "\n".join(
            [*lines, f"{self.played} cases, {self.requests} requests: {outcomes}; {ways}; {len(self.broken)} broken"]
        )


def open_files() -> int:
    """File descriptors of this process; -1 where the system does not tell."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else -1


def run(chosen: Sequence[Case], *, at_once: int = AT_ONCE) -> Report:
    """Play the cases on a loop of their own. A descriptor left open counts as a broken rule."""
    report = Report()

    async def all_of_them() -> None:
        loop = asyncio.get_running_loop()
        watch_tasks(loop)
        loop.set_exception_handler(lambda _, context: report.broken.append(("somewhere", [_unseen(context)])))
        before = open_files()
        await play_all(chosen, at_once=at_once, done=report.take)
        await asyncio.sleep(0.05)
        if open_files() > before:
            report.broken.append(("all", [f"I12: {open_files() - before} descriptors are open after all is closed"]))

    with asyncio.Runner(loop_factory=SteadyLoop) as runner:
        runner.run(all_of_them())
    return report


def _unseen(context: dict[str, Any]) -> str:
    """An exception that reached nobody."""
    trace = "".join(traceback.format_exception(context["exception"])) if "exception" in context else ""
    return f"I6: {context.get('message')}: {trace}"


def _chunk(chunk: tuple[int, int, int]) -> Report:
    seed, start, stop = chunk
    return run(list(itertools.islice(cases(seed), start, stop)))


def run_in_processes(seed: int, first: int, number: int, *, jobs: int) -> Report:
    """Play ``number`` cases from the ``first`` on. A process for each chunk: nothing that one leaves behind can help or
    hinder the next."""
    total = Report()
    chunks = [(seed, at, min(at + CHUNK, first + number)) for at in range(first, first + number, CHUNK)]
    with multiprocessing.get_context("spawn").Pool(jobs, maxtasksperchild=1) as pool:
        for report in pool.imap_unordered(_chunk, chunks):
            total.add(report)
    return total


def _replay(line: str) -> int:
    async def alone() -> Played:
        watch_tasks(asyncio.get_running_loop())
        return await play(load(line))

    with asyncio.Runner(loop_factory=SteadyLoop) as runner:
        played = runner.run(alone())
    print(f"{played.outcome} after {played.requests} requests in {played.elapsed_s:.2f} s {played.seams}")
    for said in (*played.waits, played.error, *(f"BROKEN {rule}" for rule in played.broken)):
        print(f"    {said}")
    return bool(played.broken)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.run", description=__doc__)
    parser.add_argument("--cases", type=int, default=len(GRID), help=f"how many; the grid has {len(GRID)}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--replay", metavar="JSON", help="play this case alone")
    given = parser.parse_args(words)
    if given.replay:
        return _replay(given.replay)
    began_s = time.monotonic()
    total = run_in_processes(given.seed, given.first, given.cases, jobs=given.jobs)
    print(f"{total}\n{time.monotonic() - began_s:.0f} s, seed {given.seed}, {given.jobs} processes")
    return bool(total.broken)


if __name__ == "__main__":
    sys.exit(main())
