"""A peer's work in a process of its own, in the environment that has its library."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..measuring import Bench
from .peers import APART, RUNNERS, TITLES

LONGEST_S = 1_200.0


def peers_of(bench: Bench, *wanted: str, short: Sequence[str] = ("ours",)) -> Sequence[str]:
    """Who takes part; in the ``short`` form nobody who has to be installed."""
    return [peer for peer in wanted or RUNNERS if not bench.short or peer in short]


def interpreter(bench: Bench, peer: str) -> str:
    """The interpreter that has a peer's library. Raises RuntimeError where it is not installed."""
    if peer not in APART:
        return sys.executable
    python = bench.python_of(peer)
    if python is None:
        raise RuntimeError(f"ModuleNotFoundError: No module named '{APART[peer]}', there is no environment of it")
    return python


def worked(bench: Bench, peer: str, measure: str, base_url: str, **work: Any) -> Any:
    """The figures of a peer's work in an empty folder. Raises RuntimeError with what it said when it fails."""
    with tempfile.TemporaryDirectory(prefix="work", dir=bench.folder) as folder:
        argument = order(peer, measure, base_url, folder, **work)
        python = interpreter(bench, peer)
        printed = bench.python("-W", "ignore", "-m", ONE, argument, interpreter=python, longest_s=LONGEST_S)
        return json.loads(printed.splitlines()[-1])


ONE = f"{__package__}.one"


def order(peer: str, measure: str, base_url: str, folder: str | Path, **work: Any) -> str:
    """What ``one`` is told."""
    given = {"base_url": base_url, "folder": str(folder), **work}
    return json.dumps({"peer": peer, "measure": measure, "work": given})


def titled(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The same under the names that the report shows."""
    return {TITLES[peer]: value for peer, value in figures.items()}
