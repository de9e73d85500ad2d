"""Streams by the thousand that end, are stopped and are cancelled, and what they leave behind.

python -m tests.chaos.soak --streams 10000
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Final

from deepseek_magic.demo.server import DemoServer, Pace
from deepseek_magic.engine.client import Client
from deepseek_magic.engine.several.seen import KEPT_CALLS, SEEN
from deepseek_magic.policy.limits.limiter import LimitPolicy
from deepseek_magic.policy.recovery import RecoveryPolicy
from deepseek_magic.policy.several.nearest import SeenCall
from deepseek_magic.protocol.errors import DeepSeekError
from tests.chaos.run import open_files
from tests.steady import SteadyLoop

__all__ = ["ASKED", "LEAK_BLOCKS", "a_pair", "cancelled_after", "growth", "until_quiet"]

LEAK_BLOCKS: Final = 1.0
"""One object kept from each stream would be one block of memory at the very least."""
QUICK: Final = RecoveryPolicy(base_s=0.005, cap_s=0.05)
ASKED: Final = {"think": "off", "model": "deepseek-flash"}


@contextlib.asynccontextmanager
async def a_pair(
    *, concurrency: int, fault: str | None = None, pace: float | Pace = 0, key: str = "sk-test-1234"
) -> AsyncIterator[tuple[DemoServer, Client]]:
    async with (
        DemoServer(fault=fault, pace=pace, keep=10) as server,
        Client(server.base_url, api_key=key, recovery=QUICK, limits=LimitPolicy(concurrency=concurrency)) as client,
    ):
        yield server, client


async def until_quiet(server: DemoServer) -> None:
    async with asyncio.timeout(5):
        while server.running:  # noqa: ASYNC110 - the other end of a socket sets no event
            await asyncio.sleep(0.005)


async def cancelled_after(client: Client, seconds: float) -> None:
    task = asyncio.create_task(client.complete("long 2", **ASKED))
    await asyncio.sleep(seconds)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def streams(client: Client, number: int, chance: random.Random) -> None:
    """So many streams, eight at a time: some read to their end, some stopped, some cancelled."""
    left = iter(range(number))

    async def work() -> None:
        for _ in left:
            fate = chance.random()
            if fate < 0.4:
                await cancelled_after(client, chance.choice((0.0, 0.001, 0.004)))
            elif fate < 0.6:
                stream = client.stream("Hello", **ASKED)
                async for _event in stream:
                    break
                await stream.aclose()
            else:
                # Three cuts in a row are rare and the end of a call; here it only matters what the call leaves behind.
                with contextlib.suppress(DeepSeekError):
                    await client.complete("echo short", **ASKED)

    await asyncio.gather(*(work() for _ in range(8)))


def _seen(n: int) -> SeenCall:
    """A call of long ago, with a value of its own wherever a real one has one."""
    return SeenCall(
        call_id=f"made up {n}", at_s=n + 0.5, place=("", f"model {n}", None), first_s=n + 0.25, cost=Decimal(n)
    )


async def growth(number: int) -> tuple[float, set[int], set[int]]:
    """Run ``number`` streams; (blocks of memory that grow a stream, counts of descriptors, counts of tasks), of the
    last four fifths."""
    chance = random.Random(10_000)
    blocks: list[int] = []
    files: list[int] = []
    tasks: list[int] = []
    each = max(50, number // 20)
    # What is remembered of the last calls has its full size from the beginning.
    SEEN.add(_seen(n) for n in range(KEPT_CALLS))
    async with a_pair(concurrency=8, fault="cut at=content after=5 p=0.1 seed=3") as (server, client):
        for _ in range(0, number, each):
            await streams(client, each, chance)
            await until_quiet(server)
            # Idle connections are a matter of the pool; a call that ended leaves the rest as it was.
            await asyncio.sleep(0.05)
            gc.collect()
            blocks.append(sys.getallocatedblocks())
            files.append(open_files() - 2 * server.open_connections)
            tasks.append(len(asyncio.all_tasks()) - server.open_connections)
    start = len(blocks) // 5
    slope = statistics.linear_regression(range(len(blocks) - start), blocks[start:]).slope
    return slope / each, set(files[start:]), set(tasks[start:])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__)
    parser.add_argument("--streams", type=int, default=10_000)
    given = parser.parse_args()
    began_s = time.monotonic()
    with asyncio.Runner(loop_factory=SteadyLoop) as runner:
        slope, files, tasks = runner.run(growth(given.streams))
    print(
        f"{given.streams} streams in {time.monotonic() - began_s:.0f} s: {slope:+.3f} blocks of memory a stream, ",
        end="",
    )
    print(f"open descriptors besides connections {sorted(files)}, tasks besides the server's {sorted(tasks)}")
    return int(slope >= LEAK_BLOCKS or len(files) > 1 or len(tasks) > 1)


if __name__ == "__main__":
    sys.exit(main())
