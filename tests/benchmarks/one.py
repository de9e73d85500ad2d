"""One measurement of one peer, in a process of its own, so that nobody pays for another's garbage or imports.

    python -m tests.benchmarks.one '{"peer": "ours", "measure": "cpu", …}'

prints one line of JSON: figures by name, or ``{"missing": why}`` when the peer's library is not there.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import sys
import time
from typing import Any

from .many.measures import Figures, calls, crowd, held
from .memory import growth
from .peers import Answer, Ask, Target, module_of
from .wire import Ask as Wanted


def checked(answer: Answer, wanted: Wanted) -> Answer:
    """A peer that loses text is no peer."""
    if answer.chars not in (None, wanted.chars):
        raise AssertionError(f"{answer.chars} characters of {wanted.chars} arrived")
    return answer


async def cpu(peer: Any, target: Target, *, chunks: int, per_s: float = 0, at_once: int = 1) -> Figures:
    """CPU time of the whole process for each chunk, everything warm."""
    wanted = Wanted(chunks=chunks, per_s=per_s)
    async with peer.connected(target) as ask:
        await asyncio.gather(*(ask(Wanted(chunks=50).prompt) for _ in range(at_once)))
        gc.collect()
        began_s = time.process_time()
        answers = await asyncio.gather(*(ask(wanted.prompt) for _ in range(at_once)))
        busy_s = time.process_time() - began_s
        for answer in answers:
            checked(answer, wanted)
    return {"us_per_chunk": busy_s / (chunks * at_once) * 1e6}


async def first_token(peer: Any, target: Target, *, calls: int) -> Figures:
    """Seconds to the first token: with all that a first call needs but imports, and once everything is warm."""
    wanted = Wanted(chunks=5)
    began_s = time.perf_counter()
    async with peer.connected(target) as ask:
        cold_s = await _first(ask, wanted, began_s)
        warm = [await _first(ask, wanted, time.perf_counter()) for _ in range(calls)]
    return {"cold_ms": cold_s * 1e3, "warm_ms": statistics.median(warm) * 1e3}


async def _first(ask: Ask, wanted: Wanted, began_s: float) -> float:
    answer = checked(await ask(wanted.prompt), wanted)
    assert answer.first_s is not None
    return answer.first_s - began_s


async def prewarmed(peer: Any, target: Target) -> Figures:
    """Seconds to the first token of the very first call, when the connection was made while the user still typed."""
    wanted = Wanted(chunks=5)
    async with peer.client_of(target) as client:
        await client.warm_up()
        began_s = time.perf_counter()
        async for batch in client.stream(wanted.prompt).batches():
            if any(hasattr(event, "text") for event in batch):
                break
        return {"prewarmed_ms": (time.perf_counter() - began_s) * 1e3}


async def throughput(
    peer: Any, target: Target, *, requests: int, chunks: int, at_once: int, wait_s: float = 0.0
) -> Figures:
    """Whole answers a second, ``at_once`` at a time, once each of these has had a short answer."""
    wanted = Wanted(chunks=chunks, wait_s=wait_s)
    left = iter(range(requests))
    async with peer.connected(target) as ask:

        async def one_after_another() -> None:
            for _ in left:
                checked(await ask(wanted.prompt), wanted)

        await asyncio.gather(*(ask(Wanted(chunks=1).prompt) for _ in range(at_once)))
        began_s = time.perf_counter()
        await asyncio.gather(*(one_after_another() for _ in range(at_once)))
        took_s = time.perf_counter() - began_s
    return {"requests_per_s": requests / took_s}


async def memory(peer: Any, target: Target, *, chunks: int) -> Figures:
    """By how much the process grows at its peak while one long answer comes (resident memory, after a short one)."""
    wanted = Wanted(chunks=chunks)
    async with peer.connected(target) as ask:
        await ask(Wanted(chunks=200).prompt)
        with growth() as grown:
            answer = checked(await ask(wanted.prompt), wanted)
        del answer
    return {"grown_mb": grown.mb}


MEASURES = {each.__name__: each for each in (cpu, first_token, prewarmed, throughput, memory, crowd, held, calls)}


def main() -> None:
    """Measure what the argument says."""
    wanted = json.loads(sys.argv[1])
    target = Target(**wanted.pop("target"))
    measure = MEASURES[wanted.pop("measure")]
    try:
        peer = module_of(wanted.pop("peer"))
    except ImportError as error:
        print(json.dumps({"missing": f"{type(error).__name__}: {error}"}))
        return
    with asyncio.Runner(loop_factory=getattr(peer, "LOOP", None)) as runner:
        print(json.dumps(runner.run(measure(peer, target, **wanted))))


if __name__ == "__main__":
    main()
