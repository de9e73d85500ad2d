"""Many workers on a network that breaks every third request, and a checker that reads what happened afterwards.

Section 17 of the reliability sheet, after Jepsen: every operation writes when it began and how it ended; the rules are
judged on that history and on the server's own, not by the workers.

python -m tests.chaos.history --operations 20000 --workers 200
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.calls import HTTPAnswer, HTTPCall
from deepseek_magic.engine.client import Client
from deepseek_magic.engine.transport import HTTPXTransport, Transport
from deepseek_magic.policy.deadlines import Timeouts
from deepseek_magic.policy.limits.limiter import LimitPolicy
from deepseek_magic.policy.recovery import RecoveryPolicy
from deepseek_magic.protocol.errors import DeepSeekError
from deepseek_magic.protocol.events import AttemptStarted, Event, TextDelta, Waiting
from tests.chaos.run import open_files
from tests.steady import SteadyLoop

__all__ = ["MIX", "History", "Operation", "record"]

MIX: Final = (
    ("reset at=before-headers", 0.03),
    ("reset at=content after=9", 0.02),
    ("cut at=connect", 0.05),
    ("eof-chunked at=content after=20", 0.10),
    ("empty", 0.05),
    ("503", 0.03),
    ("500", 0.02),
    ("stall at=content after=7", 0.03),
    ("eof-close at=content after=14", 0.05),
    ("insufficient_system_resource at=content after=11", 0.02),
    ("keepalive-drip every=0.05 at=content", 0.02),
    ("429 retry-after=0.1", 0.03),
    ("gzip-truncated at=content after=12", 0.01),
    ("slow rate=2000", 0.10),
)
"""Fault → share of all requests. What is left, some six in ten, goes well."""

CAP: Final = 16
CLOCK_S: Final = 0.5
RECOVERY: Final = RecoveryPolicy(attempts=8, resumes=12, base_s=0.02, cap_s=0.2)
"""The usual budgets are for a network where every eighth request breaks; here it is nearly every second."""
GAP_MAX_S: Final = 2 * (RECOVERY.cap_s + CLOCK_S) + 1.0
"""The longest silence at a fault for 99 in 100 readers: two deadlines and two back-offs, for one fault often meets the
next, and a second."""
RECOVERED_MIN: Final = 0.995
SAMPLES: Final = 20
MANY: Final = 5_000
"""Below this, memory says nothing (what is made once weighs more), nor does the slowest of a hundred readers."""
RSS_MAX_BYTES: Final = 2_000
"""Growth of the process for each operation; its own record takes some hundred."""


@dataclass(slots=True, kw_only=True)
class Operation:
    """One call as its reader saw it. ``ended``: "" while it runs, then ok | fail. ``gaps_s``: how long it waited for the
    next word at each fault."""

    name: str
    ended: str = ""
    text: str = ""
    finish: str | None = None
    broken: bool = False
    gaps_s: list[float] = field(default_factory=list)

    @property
    def prompt(self) -> str:
        """What was asked."""
        return f"echo {self.name} ha ha, 你好 and so on to the end"

    @property
    def expected(self) -> str:
        """The fault-free answer: the demo's echo."""
        return f"```text\n{self.prompt}\n```"


@dataclass(slots=True, kw_only=True)
class History:
    """What happened. ``requests``: (operation, began, ended) on the loop's clock; ``resources``: (files, tasks, resident
    bytes) at even distances."""

    operations: list[Operation]
    requests: list[tuple[str, float, float]]
    resources: list[tuple[int, int, int]]
    seconds: float

    def broken(self) -> list[str]:
        """Every rule that the history breaks."""
        said: list[str] = []
        for each in self.operations:
            if each.ended not in ("ok", "fail"):
                said.append(f"{each.name} has no end")
            if each.ended == "ok" and (each.text != each.expected or each.finish != "stop"):
                said.append(f"{each.name} is ok with {len(each.text)} of {len(each.expected)} characters")
            if not each.expected.startswith(each.text):
                said.append(f"{each.name}: {each.text[-60:]!r} is no part of the answer")
        said += self._at_once()
        failed = sum(each.ended == "fail" for each in self.operations)
        met = sum(each.broken for each in self.operations)
        if met and failed > (1 - RECOVERED_MIN) * met:
            said.append(f"{failed} of {met} calls that met a fault failed")
        many = len(self.operations) >= MANY
        if many and (gap_s := self.gap_p99_s) is not None and gap_s > GAP_MAX_S:
            said.append(f"a reader waited {gap_s:.2f} s at a fault (99th percentile)")
        return [*said, *self._growing()]

    @property
    def gap_p99_s(self) -> float | None:
        """How long a reader waits at a fault."""
        gaps_s = sorted(gap for each in self.operations for gap in each.gaps_s)
        return gaps_s[int(0.99 * (len(gaps_s) - 1))] if gaps_s else None

    def _at_once(self) -> Iterable[str]:
        """The limiter's promise: never more than the cap, never two of one call."""
        begun = [(began_s, 1, name) for name, began_s, _ in self.requests]
        ended = [(ended_s, -1, name) for name, _, ended_s in self.requests]
        running: Counter[str] = Counter()
        for _, change, name in sorted(begun + ended):  # an end sorts before a beginning of the same moment
            running[name] += change
            if running[name] > 1:
                yield f"{name} had two requests at once"
            if running.total() > CAP:
                yield f"{running.total()} requests at once"

    def _growing(self) -> Iterable[str]:
        kept = self.resources[len(self.resources) // 5 :]
        if len({files for files, _, _ in kept}) > 1:
            yield f"open files: {[files for files, _, _ in kept]}"
        if len({tasks for _, tasks, _ in kept}) > 1:
            yield f"tasks: {[tasks for _, tasks, _ in kept]}"
        if len(self.operations) >= MANY:
            slope = statistics.linear_regression(range(len(kept)), [rss for _, _, rss in kept]).slope
            each = slope * SAMPLES / len(self.operations)
            if each > RSS_MAX_BYTES:
                yield f"{each:.0f} bytes more memory for each operation"

    def __str__(self) -> str:
        ended = Counter(each.ended for each in self.operations)
        met = sum(each.broken for each in self.operations)
        gap = "none" if self.gap_p99_s is None else f"{self.gap_p99_s:.2f} s"
        first, last = self.resources[len(self.resources) // 5], self.resources[-1]
        return "\n".join(
            (
                *self.broken(),
                f"{len(self.operations)} operations, {len(self.requests)} requests in {self.seconds:.0f} s: "
                f"{ended['ok']} ok, {ended['fail']} failed; {met} met a fault; longest wait at one (p99) {gap}; "
                f"files {first[0]} → {last[0]}, tasks {first[1]} → {last[1]}, memory {first[2] >> 20} → {last[2] >> 20} MiB; "
                f"{len(self.broken())} rules broken",
            )
        )


async def _operate(client: Client, operation: Operation) -> None:
    now_s = asyncio.get_running_loop().time
    last_s, at_fault = now_s(), False

    def put(batch: list[Event]) -> None:
        nonlocal last_s, at_fault
        for event in batch:
            if isinstance(event, Waiting) and event.attempt > 1:
                operation.broken = at_fault = True
            elif isinstance(event, AttemptStarted) and event.attempt == 1:
                last_s = now_s()  # two hundred wait for sixteen places: that is no fault
            elif isinstance(event, TextDelta):
                if at_fault:
                    operation.gaps_s.append(now_s() - last_s)
                last_s, at_fault = now_s(), False

    completion = await client.stream(operation.prompt, think="off", model="deepseek-flash").run(put)
    operation.text, operation.finish = completion.text, completion.finish_reason
    operation.ended = "fail" if isinstance(completion.error, DeepSeekError) else "ok"


class _Wire(Transport):
    """The transport, and when each request was on it: a server learns late that somebody has left."""

    def __init__(self) -> None:
        self.inner = HTTPXTransport(gzip=True)
        self.requests: list[tuple[str, float, float]] = []

    @contextlib.asynccontextmanager
    async def open(self, call: HTTPCall) -> AsyncIterator[HTTPAnswer]:
        """See Transport."""
        now_s = asyncio.get_running_loop().time
        began_s = now_s()
        try:
            async with self.inner.open(call) as answer:
                yield answer
        finally:
            self.requests.append((json.loads(call.body or b"")["messages"][0]["content"].split()[1], began_s, now_s()))


def mixed(mix: Iterable[tuple[str, float]], seed: int) -> str:
    """The mix as the demo's spec, in which a request meets the first fault that is due: each share is of those left."""
    specs, left = [], 1.0
    for place, (kind, share) in enumerate(mix):
        specs.append(f"{kind} p={share / left:.5f} seed={seed + place}")
        left -= share
    return "; ".join(specs)


def resident_bytes() -> int:
    """Memory of this process that is in use; 0 where the system does not tell."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


async def record(number: int, workers: int, seed: int, mix: Iterable[tuple[str, float]] = MIX) -> History:
    """Let ``workers`` make ``number`` calls and write down what happens. Run it on a ``SteadyLoop``."""
    operations: list[Operation] = []
    resources: list[tuple[int, int, int]] = []
    wire = _Wire()
    began_s = time.monotonic()
    async with (
        DemoServer(fault=mixed(mix, seed) or None, pace=0, gzip=True, keep=10) as server,
        Client(
            server.base_url,
            api_key="sk-test-1234",
            transport=wire,
            recovery=RECOVERY,
            limits=LimitPolicy(concurrency=CAP, retries_per_minute=1e6),
            timeouts=Timeouts(queue_s=CLOCK_S, first_delta_s=CLOCK_S, idle_s=CLOCK_S),
            chance=random.Random(seed).random,
        ) as client,
    ):

        async def work(names: Iterator[int]) -> None:
            for each in names:
                operations.append(Operation(name=f"operation-{each:07}"))
                await _operate(client, operations[-1])

        for round_ in range(SAMPLES):
            names = iter(range(round_ * number // SAMPLES, (round_ + 1) * number // SAMPLES))
            await asyncio.gather(*(work(names) for _ in range(workers)))
            while server.running:  # noqa: ASYNC110 - the other end of a socket sets no event
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.05)
            gc.collect()
            files = open_files() - 2 * server.open_connections
            resources.append((files, len(asyncio.all_tasks()) - server.open_connections, resident_bytes()))
        await wire.inner.aclose()
    return History(
        operations=operations, requests=wire.requests, resources=resources, seconds=time.monotonic() - began_s
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.history", description=__doc__)
    parser.add_argument("--operations", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=SteadyLoop) as runner:
        history = runner.run(record(given.operations, given.workers, given.seed))
    print(history)
    return bool(history.broken())


if __name__ == "__main__":
    sys.exit(main())
