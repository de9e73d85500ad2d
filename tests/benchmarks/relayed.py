"""The rows about the relay of a class: L1 for many readers of one answer, L2 beside LiteLLM's proxy.

The measuring is that of ``python -m tests.relay.fan``; here are the goals.
"""

from __future__ import annotations

import json
from typing import Any

from .measuring import Bench
from .report import Goal, Table, ratio

CPU = "CPU µs a reader-chunk"
MEMORY = "kB a reader"
LAG = "behind the first reader, p99, ms"
WHOLE = "readers with a whole answer"
SECONDS = "seconds until all had it"
CALLS = "calls of the provider"
_CODE = "import json, sys; from tests.relay.fan import run; print(json.dumps(run(*json.loads(sys.argv[1]), **json.loads(sys.argv[2]))))"
APART = "litellm-proxy"


def _fan(bench: Bench, readers: int, **how: Any) -> dict[str, float]:
    """Raises RuntimeError with what went wrong."""
    told = json.loads(bench.python("-c", _CODE, json.dumps([readers]), json.dumps(how)).splitlines()[-1])
    return {
        CPU: told["cpu_us"],
        MEMORY: told["kb_a_reader"],
        LAG: told["lag_p99_ms"],
        WHOLE: told["whole"],
        SECONDS: told["seconds"],
        CALLS: told["calls"],
    }


def readers(bench: Bench) -> Table:
    """L1."""
    count = 20 if bench.short else 300
    hearing, deaf = f"{count} readers", f"{count} readers, and one that never reads"
    found, missing = bench.turns(("ours",), lambda _: _flat(bench, count))
    ours = found.get("ours", {})
    rows = {
        row: {column: ours[f"{row}: {column}"] for column in (CPU, MEMORY, LAG, WHOLE, CALLS)}
        for row in (hearing, deaf)
        if ours
    }
    first = rows.get(hearing, {})
    return Table(
        id="L1",
        title=f"One answer for {count} readers",
        how="The relay as a process of its own in front of the demo at 60 events a second, 300 events; one program reads for all. CPU and "
        "memory are of the relay's process, lags what the reading program sees: a bound, as it shares the machine.",
        columns=(CPU, MEMORY, LAG, WHOLE, CALLS),
        rows=rows,
        missing=missing,
        goals=(
            Goal(says=CPU, value=first.get(CPU), limit=25),
            Goal(says=MEMORY, value=first.get(MEMORY), limit=40),
            Goal(says=LAG, value=first.get(LAG), limit=150),
            Goal(
                says="p99 with a reader that never reads / without",
                value=ratio(rows.get(deaf, {}).get(LAG), first.get(LAG)),
                limit=1.2,
            ),
        ),
    )


def _flat(bench: Bench, count: int) -> dict[str, float]:
    names = {f"{count} readers": 0, f"{count} readers, and one that never reads": 1}
    return {
        f"{row}: {column}": value
        for row, deaf in names.items()
        for column, value in _fan(bench, count, deaf=deaf).items()
    }


def beside_litellm(bench: Bench) -> Table:
    """L2."""
    count = 5 if bench.short else 30
    python = bench.python_of(APART)

    def figures(peer: str) -> dict[str, float]:
        if peer == "ours":
            return _fan(bench, count)
        if python is None:
            raise RuntimeError("No module named 'litellm'")
        return _fan(bench, count, python=python)

    found, missing = bench.turns(("ours", "litellm"), figures)
    names = {"ours": "deepseek-magic relay", "litellm": "LiteLLM's proxy"}
    return Table(
        id="L2",
        title=f"One answer for {count} readers, beside LiteLLM's proxy",
        how="As L1. LiteLLM's proxy has no database, as it does not need one for a master key. It asks the provider once for each reader.",
        columns=(CPU, MEMORY, WHOLE, SECONDS, CALLS),
        rows={names[peer]: figures for peer, figures in found.items()},
        missing={names[peer]: why for peer, why in missing.items()},
        goals=(
            Goal(
                says="CPU a reader-chunk, ours / LiteLLM's",
                value=ratio(found.get("ours", {}).get(CPU), found.get("litellm", {}).get(CPU)),
                limit=0.1,
            ),
        )
        if python is not None
        else (),
    )
