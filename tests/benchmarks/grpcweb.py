"""What another protocol costs: gRPC-Web through an Envoy, beside xAI's own client and beside server-sent events."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from .measuring import Bench, running, title
from .report import Goal, Table, ratio

PEERS: Final = ("ours_grpcweb", "xai", "ours")
_WARMING: Final = 50
"""Chunks of the answer that comes before the one that is measured."""
_READY: Final = ("CPU µs per chunk, all ready", "the Envoy's own")
_PACED: Final = ("CPU µs per chunk, 1,000 a second", "the Envoy's own, 1,000 a second")
_FIRST: Final = "first token, warm, ms"


def another_protocol(bench: Bench) -> Table:
    """P16."""
    many, few, calls = (1_000, 200, 2) if bench.short else (20_000, 3_000, 20)
    try:
        with running("grpc_server") as line:
            told = json.loads(line)
            ready, missing = _cpu(bench, told, chunks=many)
            paced, _ = _cpu(bench, told, chunks=few, per_s=1000)
            first, _ = bench.turns(
                PEERS, lambda peer: bench.one(peer, "first_token", _at(bench, peer, told), calls=calls)
            )
    except RuntimeError as error:
        ready, paced, first, missing = {}, {}, {}, {"ours_grpcweb": f"No module named: {error}"}
    rows: dict[str, dict[str, float]] = {}
    for found, columns in ((ready, _READY), (paced, _PACED)):
        for peer, figures in found.items():
            row = rows.setdefault(title(peer), {})
            row[columns[0]] = figures["us_per_chunk"]
            if "envoy_us" in figures:
                row[columns[1]] = figures["envoy_us"]
    for peer, figures in first.items():
        rows.setdefault(title(peer), {})[_FIRST] = figures["warm_ms"]
    ours, xai = (rows.get(title(peer), {}) for peer in PEERS[:2])
    return Table(
        id="P16",
        title="Another protocol: gRPC-Web",
        how=f"{many:,} chunks ready and {few:,} chunks one a millisecond, on this machine, from a server in Python; first token: the "
        f"median of {calls} calls. xAI's client speaks gRPC itself, so no Envoy stands before its server; what the Envoy uses is "
        "beside what our process uses, not in it. The last row is P1's and P2's answer over server-sent events.",
        columns=(*_READY, *_PACED, _FIRST),
        rows=rows,
        missing={title(peer): why for peer, why in missing.items()},
        goals=tuple(
            Goal(says=f"{name}, ours / xai-sdk", value=ratio(ours.get(name), xai.get(name)), limit=1)
            for name in (_READY[0], _PACED[0])
        ),
        relative_to=title("ours_grpcweb"),
    )


def _at(bench: Bench, peer: str, told: dict[str, int]) -> str:
    here = {"ours_grpcweb": f"grpc-web+http://127.0.0.1:{told['grpc_web']}", "xai": f"127.0.0.1:{told['grpc']}"}
    return here.get(peer, bench.http)


def _cpu(bench: Bench, told: dict[str, int], *, chunks: int, **load: Any) -> tuple[Any, dict[str, str]]:
    """CPU a chunk of each client, and of the Envoy where it stands between."""

    def figures_of(peer: str) -> Any:
        before_s = _used_s(told["envoy"])
        figures = bench.one(peer, "cpu", _at(bench, peer, told), chunks=chunks, **load)
        if peer == "ours_grpcweb":
            figures["envoy_us"] = (_used_s(told["envoy"]) - before_s) / (chunks + _WARMING) * 1e6
        return figures

    return bench.turns(PEERS, figures_of)


def _used_s(pid: int) -> float:
    """The CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
