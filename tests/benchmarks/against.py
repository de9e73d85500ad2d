"""Our own rows on two checkouts in one run, in turns: what a change costs, as ratios with their spread.

The server, the network and the interpreter with its libraries are the same for both; each checkout's own peers ask.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from .measuring import ROOT, Bench
from .report import Table, median, number

__all__ = ["checkout", "lines", "paired"]

Pairs = Mapping[tuple[str, str], list[tuple[float, float]]]
"""(row, figure) → what each round measured, before and after."""


@contextmanager
def checkout(named: str) -> Iterator[Path]:
    """The folder ``named``, or a worktree of the commit that it names for as long as it is needed."""
    if Path(named).is_dir():
        yield Path(named).resolve()
        return
    with tempfile.TemporaryDirectory(prefix="bench-before") as folder:
        git = ("git", "-C", str(ROOT), "worktree")
        subprocess.run([*git, "add", "--quiet", "--detach", folder, named], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run([*git, "remove", "--force", folder], check=True)


def paired(row: Callable[[Bench], Table], name: str, bench: Bench, before: Path) -> Pairs:
    """One row, ``bench.rounds`` times on each checkout, each round beginning with the other one."""
    # The article's loop is what the ladder is measured by; elsewhere nobody else takes part.
    peers = [each for each in bench.peers if each.startswith("ours") or (name == "P5" and each == "article")]
    now = replace(bench, rounds=1, peers=peers, alone=True)
    # A home of its own: an older journal cannot be written once a newer version has brought it to its shape.
    then = replace(now, root=before, folder=bench.folder / "before")
    then.folder.mkdir(exist_ok=True)
    for side in (then, now):
        # Where only one side has to be compiled, its heap is another one: 7 % of P6 and P10 were that.
        subprocess.run([sys.executable, "-m", "compileall", "-q", str(side.root / "deepseek_magic")], check=True)
    found: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for turn in range(bench.rounds):
        sides = (then, now) if turn % 2 == 0 else (now, then)
        rows = {side.root: row(side).rows for side in sides}
        for title, figures in rows[now.root].items():
            for column, value in figures.items():
                was = rows[then.root].get(title, {}).get(column)
                if was:
                    found[title, column].append((was, value))
    return found


def lines(name: str, found: Pairs) -> Iterator[str]:
    """The row as lines of a Markdown table: medians, the median of the rounds' ratios, the least and the greatest."""
    for (title, column), pairs in found.items():
        ratios = [after / before for before, after in pairs]
        was, is_ = (median(side) for side in zip(*pairs, strict=True))
        spread = f"{number(min(ratios))}–{number(max(ratios))}"
        yield f"| {name} {title} | {column} | {number(was)} | {number(is_)} | ×{number(median(ratios))} | {spread} |"
