"""What a trial costs: CPU (E1, and E2 for many), and memory (E8)."""

from __future__ import annotations

from ..measuring import Bench
from ..report import Goal, Table, ratio
from .measuring import peers_of, titled, worked
from .peers import TITLES

CHUNKS = 10
"""Of an answer as a classification gives it."""
KILOBYTE = 333
"""Chunks of a thousand characters."""
OURS, HTTPX, INSPECT = TITLES["ours"], TITLES["httpx"], TITLES["inspect"]


def cpu(bench: Bench) -> Table:
    """E1."""
    trials, column = 40 if bench.short else 800, "CPU ms a trial"
    found, missing = bench.turns(
        peers_of(bench, short=("ours", "httpx")),
        lambda peer: worked(bench, peer, "cpu", bench.http, trials=trials, chunks=CHUNKS),
    )
    ms = {peer: figures["ms_per_trial"] for peer, figures in found.items()}
    goals = [Goal(says=f"{column}, ours / {HTTPX}", value=ratio(ms.get("ours"), ms.get("httpx")), limit=2)]
    if not bench.short and "inspect" not in missing:
        goals.append(
            Goal(says=f"{column}, ours / {INSPECT}", value=ratio(ms.get("ours"), ms.get("inspect")), limit=0.13)
        )
    return Table(
        id="E1",
        title="CPU a trial, with journal, score and table",
        how=f"{trials} questions, 8 at once, all different, each answered by {CHUNKS} chunks that are ready at once; CPU of the whole process "
        "and of those that it starts, after a few other questions. Ours, inspect-ai and promptfoo keep each answer, score it "
        "and make their table; chatlas and httpx keep a list.",
        columns=(column,),
        rows={TITLES[peer]: {column: value} for peer, value in ms.items()},
        missing=titled(missing),
        goals=tuple(goals),
        relative_to=HTTPX,
    )


def many(bench: Bench) -> Table:
    """E2."""
    few, lots = (40, 120) if bench.short else (800, 10_000)
    columns = {trials: f"{trials:,} trials: CPU ms a trial" for trials in (few, lots)}
    found, missing = bench.turns(
        peers_of(bench, "ours", "httpx"),
        lambda peer: {
            columns[trials]: worked(bench, peer, "cpu", bench.http, trials=trials, chunks=CHUNKS)["ms_per_trial"]
            for trials in columns
        },
    )
    ours = found.get("ours", {})
    return Table(
        id="E2",
        title=f"The same with {lots:,} trials",
        how="As E1, both sizes in turns.",
        columns=tuple(columns.values()),
        rows=titled(found),
        missing=titled(missing),
        goals=(
            Goal(
                says=f"CPU a trial, {lots:,} trials / {few:,}",
                value=ratio(ours.get(columns[lots]), ours.get(columns[few])),
                limit=1.1,
            ),
        ),
    )


def memory(bench: Bench) -> Table:
    """E8."""
    trials, of_others = (100, 100) if bench.short else (10_000, 1_000)
    answered, total, each = "growth until all is answered, MB", "growth, MB", "kB a trial"
    who = peers_of(bench, "ours", "httpx", "inspect", "chatlas")
    asked = {peer: trials if peer in ("ours", "httpx") else of_others for peer in who}

    def grown(peer: str) -> dict[str, float]:
        figures = worked(bench, peer, "memory", bench.http, trials=asked[peer], chunks=KILOBYTE)
        if "missing" in figures:
            return dict(figures)
        early = {answered: figures["answered_mb"]} if "answered_mb" in figures else {}
        return {**early, total: figures["grown_mb"], each: figures["grown_mb"] * 1024 / asked[peer]}

    found, missing = bench.turns(who, grown, rounds=1)
    return Table(
        id="E8",
        title="Memory while a sweep runs and while it is shown",
        how=f"Growth of the resident memory at its peak over {trials:,} trials, each answered by 1 kB, from the question to the "
        f"frame and the table, after a short work; inspect-ai and chatlas over {of_others:,}. The frame holds every answer once "
        "more, so the goal is that of the sweep by itself, with the journal and the scores.",
        columns=(answered, total, each),
        rows=titled(found),
        missing=titled(missing),
        goals=(
            Goal(
                says=f"growth until {trials:,} trials are answered, MB",
                value=found.get("ours", {}).get(answered),
                limit=60,
            ),
        ),
    )
