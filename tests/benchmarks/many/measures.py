"""What is measured inside a peer's process while many answers come at once; see ``tests.benchmarks.one``."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import time
import urllib.request
from typing import Any

from ..memory import resident_kb, trim
from ..peers import Answer, Ask, Target
from ..wire import Ask as Wanted

Figures = dict[str, float]
WARM: int = 32
"""Answers before those that are measured, so that what is loaded and connected once is."""
SLOW_CHUNKS: int = 3_000
SLOW_PER_S: float = 10
"""Of answers that are still under way when the last of them has begun."""
SETTLE_S: float = 2.0


async def crowd(
    peer: Any, target: Target, *, answers: int, chunks: int, per_s: float, core: int | None = None
) -> Figures:
    """CPU a chunk of many answers at once, and how they fare. ``core``: the process stays on this one.

    ``late_…_ms``: from the server's writing the first token of an answer to the peer's having it. ``whole``: answers with
    every character. ``asked_again``: requests beyond one an answer. ``longer``: time from the first to the last, by the
    server's own.
    """
    if core is not None:
        os.sched_setaffinity(0, {core})
    async with peer.connected(target) as ask:
        await asyncio.gather(*(ask(Wanted(chunks=50).prompt) for _ in range(min(answers, WARM))))
        gc.collect()
        before = told(target)["requests"]
        began_s, began_cpu_s = time.monotonic(), time.process_time()
        found = await asyncio.gather(*(_one(ask, number, chunks, per_s) for number in range(1, answers + 1)))
        took_s, busy_s = time.monotonic() - began_s, time.process_time() - began_cpu_s
    said = told(target)
    sent_s = {int(number): at_s for number, at_s in said["first_sent_s"].items()}
    late_ms = sorted(
        (answer.first_s - sent_s[number]) * 1e3
        for number, answer in enumerate(found, 1)
        if answer is not None and answer.first_s is not None
    )
    return {
        "us_per_chunk": busy_s / (chunks * answers) * 1e6,
        "whole": sum(answer is not None and answer.chars in (None, 3 * chunks) for answer in found),
        "asked_again": said["requests"] - before - answers,
        "longer": took_s / ((chunks - 1) / per_s),
        "late_p50_ms": late_ms[len(late_ms) // 2],
        "late_p99_ms": late_ms[len(late_ms) * 99 // 100],
    }


async def _one(ask: Ask, number: int, chunks: int, per_s: float) -> Answer | None:
    try:
        return await ask(Wanted(chunks=chunks, per_s=per_s, number=number).prompt)
    except Exception:  # whatever a peer raises: its answer is not whole
        return None


def told(target: Target) -> Any:
    """What the server noted; see ``tests.benchmarks.server``."""
    with urllib.request.urlopen(f"{target.base_url}/told", timeout=30) as answer:
        return json.load(answer)


async def held(peer: Any, target: Target, *, answers: int) -> Figures:
    """Resident memory of each answer that has just begun, in kB. Of these ``target.most`` run, and the others wait in the
    peer's own queue."""
    async with peer.connected(target) as ask:
        short = Wanted(chunks=5)
        await asyncio.gather(*(ask(short.prompt) for _ in range(WARM)))
        wanted = Wanted(chunks=SLOW_CHUNKS, per_s=SLOW_PER_S)
        gc.collect()
        trim()
        before, before_kb = told(target)["requests"], resident_kb()
        tasks = [asyncio.create_task(ask(wanted.prompt)) for _ in range(answers)]
        while told(target)["requests"] < before + min(target.most, answers):  # noqa: ASYNC110  it is another process that counts
            await asyncio.sleep(0.2)
        await asyncio.sleep(SETTLE_S)
        gc.collect()
        trim()
        grown_kb = resident_kb() - before_kb
        if failed := [task for task in tasks if task.done()]:
            raise AssertionError(f"{len(failed)} of {answers} were over: {failed[0].exception()}")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return {"kb_each": grown_kb / answers}


async def calls(peer: Any, target: Target, *, count: int) -> Figures:
    """How many of so many calls to the demo, begun together, have no answer."""
    async with peer.connected(target) as ask:
        found = await asyncio.gather(*(ask(f"echo {number}") for number in range(count)), return_exceptions=True)
    return {"failed": sum(isinstance(each, BaseException) or each.chars == 0 for each in found)}
