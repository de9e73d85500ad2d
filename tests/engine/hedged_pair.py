"""Two real demo servers whose first tokens come as a model's do, and the real engine: what a second request brings and costs.

    python -m tests.engine.hedged_pair --calls 400 --seed 1

Times are a tenth of a model's. Each mode asks the same questions, of servers with the same draws; a request takes the next draw
of its server, so that the draws of the modes part where a second request has taken one.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import Pace
from deepseek_magic.engine import client as client_module
from deepseek_magic.engine import gate
from deepseek_magic.engine import stream as stream_module
from deepseek_magic.engine.client import Client
from deepseek_magic.engine.hosts.endpoints import resolve
from deepseek_magic.engine.several import second
from deepseek_magic.engine.several.seen import SeenCalls
from deepseek_magic.engine.stream import Stream
from deepseek_magic.policy.several import hedging
from deepseek_magic.protocol.events import Event
from deepseek_magic.protocol.measured import StreamRecord

SHARE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn(Pace):
    """A first token after a time by chance; then all at once. The longest are cut off, or a run would last for ever."""

    chance: random.Random = field(default_factory=random.Random)
    scale: float = 0.1
    longest_s: float = 3.0
    tokens_per_s: float = math.inf
    queue_s: float = 0.0

    def schedule(self, phases: Sequence[str]) -> list[float]:
        seconds = self.chance.lognormvariate(0.0, 0.45)
        if self.chance.random() < 0.04:
            seconds += 2 * self.chance.paretovariate(1.2)
        return [min(self.longest_s, self.scale * seconds)] * len(phases)


@dataclass
class Run:
    """What one mode did. ``waited_s`` is until the first token."""

    waited_s: list[float] = field(default_factory=list)
    records: list[StreamRecord] = field(default_factory=list)
    requests: int = 0
    texts: set[tuple[str, str]] = field(default_factory=set)
    running: int = 0

    @property
    def unused(self) -> list[StreamRecord]:
        """The records of the requests that were thrown away."""
        return [record for record in self.records if not record.used]

    @property
    def won(self) -> int:
        """Second requests that became the answer."""
        return sum(record.used and record.purpose == "hedge" for record in self.records)

    @property
    def extra(self) -> Decimal:
        """Their share of the money, by the log."""
        paid = sum((record.cost or Decimal(0) for record in self.records if record.used), Decimal(0))
        return sum((record.cost or Decimal(0) for record in self.unused), Decimal(0)) / paid

    def at(self, share: float) -> float:
        """A quantile of the waits."""
        return sorted(self.waited_s)[math.ceil(share * len(self.waited_s)) - 1]


class _Kept:
    def __init__(self, run: Run) -> None:
        self.run = run

    def began(self, stream: Stream) -> None: ...

    def taken(self, stream: Stream) -> None: ...

    def brought(self, stream: Stream, events: list[Event]) -> None: ...

    def ended(self, stream: Stream) -> None:
        assert stream.completion.record is not None
        self.run.records.append(stream.completion.record)


async def ask(mode: str, *, calls: int, seed: int, scale: float = 0.1) -> Run:
    """The questions of a mode, one after the other, to two servers of their own."""
    run, seen = Run(), SeenCalls()
    for module in (client_module, stream_module, second):
        module.SEEN = seen  # type: ignore[attr-defined]
    gate._GATES.clear()
    paces = [
        Drawn(chance=random.Random(f"{seed} {name}"), scale=scale, longest_s=30 * scale) for name in ("one", "other")
    ]
    with DemoServer(pace=paces[0], keep=10**6) as one, DemoServer(pace=paces[1], keep=10**6) as other:
        places = [resolve("demo", server.base_url) for server in (one, other)]
        hedge = SHARE if mode == "hedged" else 0
        async with Client(places, api_key=["k", "k"], hedge=hedge, keeper=_Kept(run)) as client:
            for number in range(calls):
                stream = client.stream(f"long {1 + number % 3}", think="off")
                began_s = time.monotonic()
                async for event in stream:
                    if type(event).__name__ == "TextDelta":
                        run.waited_s.append(time.monotonic() - began_s)
                        break
                async for _ in stream:
                    pass
                run.texts.add((stream.completion.outcome, stream.completion.request.prompt))
            run.running = client.gate.standing.running
        run.requests = len(one.requests) + len(other.requests)
    return run


async def main() -> None:
    """Print what each mode did."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--calls", type=int, default=400)
    reader.add_argument("--seed", type=int, default=1)
    typed = reader.parse_args()
    hedging.SOONEST_S *= 0.1  # type: ignore[misc]
    print(f"{'':8} {'p50':>6} {'p95':>6} {'p99':>6} {'max':>6}   (tenths of a second are seconds of a model)")
    for mode in ("plain", "hedged"):
        run = await ask(mode, calls=typed.calls, seed=typed.seed)
        told = " ".join(f"{10 * run.at(share):6.2f}" for share in (0.5, 0.95, 0.99, 1.0))
        print(
            f"{mode:8} {told}   {run.requests - typed.calls} second requests, {run.won} won, "
            f"{run.extra:.2%} of the money, {run.running} running at the end",
            flush=True,
        )


if __name__ == "__main__":
    asyncio.run(main())
