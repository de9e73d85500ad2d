"""The rows about many answers at once: what a chunk costs, how they fare on one core, what they hold in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ..measuring import Bench, title
from ..report import Goal, Table, ratio
from .admitted import admitted
from .measures import SLOW_PER_S

PER_S: Final = 50
_CPU: Final = "CPU µs per chunk"
_P50: Final = "first token after it was sent, median, ms"
_P99: Final = "the same, p99, ms"
_WHOLE: Final = "whole answers"
_AGAIN: Final = "requests beyond one an answer"
_LONGER: Final = "time / the server's"
_NAMES: Final = {
    "us_per_chunk": _CPU,
    "late_p50_ms": _P50,
    "late_p99_ms": _P99,
    "whole": _WHOLE,
    "asked_again": _AGAIN,
    "longer": _LONGER,
}


def _crowd(
    bench: Bench, peers: Sequence[str], *, answers: int, chunks: int, **how: Any
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """The figures of ``measures.crowd`` by the peers' titles, and who is missing."""
    found, missing = bench.in_turns(
        peers, "crowd", bench.http, most=answers, answers=answers, chunks=chunks, per_s=PER_S, **how
    )
    rows = {title(peer): {_NAMES[name]: value for name, value in figures.items()} for peer, figures in found.items()}
    return rows, {title(peer): why for peer, why in missing.items()}


def unwatched(bench: Bench) -> Table:
    """P11."""
    answers, chunks = (32, 60) if bench.short else (256, 500)
    peers = ("ours_unwatched", "ours_sweep", "ours_uvloop", "ours", "httpx", "aiohttp", "openai", "asyncio")
    if bench.short:
        peers = ("ours_unwatched", "httpx", "openai")
    rows, missing = _crowd(bench, peers, answers=answers, chunks=chunks)
    ours = rows.get(title("ours_unwatched"), {}).get(_CPU)
    return Table(
        id="P11",
        title=f"CPU per chunk, {answers} answers at once that nobody watches",
        how=f"{answers} answers of {chunks} chunks at the same time, each {PER_S} chunks a second, as a sweep has them: what is "
        "wanted are whole answers. Every client may have all at once. The last row does nothing with the bytes: what is above "
        "it is not the waking up.",
        columns=(_CPU, _WHOLE, _LONGER),
        rows=rows,
        missing=missing,
        goals=tuple(
            Goal(
                says=f"CPU per chunk, ours / {title(peer)}",
                value=ratio(ours, rows.get(title(peer), {}).get(_CPU)),
                limit=limit,
            )
            for peer, limit in (("openai", 0.06), ("httpx", 0.15))
        ),
        relative_to=title("ours_unwatched"),
    )


def on_one_core(bench: Bench) -> Table:
    """P12."""
    answers, chunks = (100, 50) if bench.short else (1_000, 500)
    peers = (
        ("ours_unwatched",)
        if bench.short
        else ("ours_unwatched", "ours_sweep", "ours_uvloop", "httpx", "aiohttp", "openai")
    )
    core = max(os.sched_getaffinity(0))
    rows, missing = _crowd(bench, peers, answers=answers, chunks=chunks, core=core)
    ours = rows.get(title("ours_unwatched"), {})
    whole = ours.get(_WHOLE)
    return Table(
        id="P12",
        title=f"{answers:,} answers at once on one core",
        how=f"{answers:,} answers of {chunks} chunks, begun together, each {PER_S} chunks a second; the client stays on one core. A "
        "request beyond one an answer is a deadline that was called although the server had kept it.",
        columns=(_WHOLE, _AGAIN, _P50, _P99, _LONGER, _CPU),
        rows=rows,
        missing=missing,
        goals=(
            Goal(says="answers that are not whole", value=None if whole is None else answers - whole, limit=0),
            Goal(says=_AGAIN, value=ours.get(_AGAIN), limit=0),
            Goal(says="first token after it was sent, p99, ms", value=ours.get(_P99), limit=50),
        ),
    )


def memory(bench: Bench) -> Table:
    """P13."""
    answers = 100 if bench.short else 1_000
    peers = ("ours_unwatched",) if bench.short else ("ours_unwatched", "httpx", "aiohttp", "openai")
    columns = running, waiting = "kB a running answer", "kB a waiting answer"
    rows: dict[str, dict[str, float]] = {}
    missing: dict[str, str] = {}
    for column, most in ((running, answers), (waiting, 1)):
        found, failed = bench.in_turns(peers, "held", bench.http, most=most, answers=answers)
        for peer, figures in found.items():
            rows.setdefault(title(peer), {})[column] = figures["kb_each"]
        missing |= {title(peer): why for peer, why in failed.items()}
    ours = rows.get(title("ours_unwatched"), {})
    return Table(
        id="P13",
        title="Memory of an answer under way",
        how=f"Resident memory when {answers:,} answers at {SLOW_PER_S:g} chunks a second have just begun, after a few short ones, divided "
        "by their number. Waiting: the client may have one at once, and the others stand in its own line.",
        columns=columns,
        rows=rows,
        missing=missing,
        goals=(
            Goal(says=running, value=ours.get(running), limit=60),
            Goal(says=waiting, value=ours.get(waiting), limit=30),
        ),
        relative_to=title("ours_unwatched"),
    )


ROWS: Final[Mapping[str, Callable[[Bench], Table]]] = {
    "P11": unwatched,
    "P12": on_one_core,
    "P13": memory,
    "P14": admitted,
}
