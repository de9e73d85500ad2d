"""Many calls that are cancelled, many that end, and many that are too many."""

from __future__ import annotations

import asyncio
import random

import pytest

from deepseek_magic.demo.server import Pace
from tests.chaos.soak import ASKED, LEAK_BLOCKS, a_pair, cancelled_after, growth, until_quiet


async def test_a_pool_works_after_twelve_tasks_were_cancelled_sixty_times_over_four_connections() -> None:
    chance = random.Random(60)
    async with a_pair(concurrency=4) as (server, client):

        async def cancel_sixty_times() -> None:
            for _ in range(60):
                await cancelled_after(client, chance.choice((0.0, 0.0, 0.001, 0.002, 0.005)))

        async with asyncio.timeout(120):
            await asyncio.gather(*(cancel_sixty_times() for _ in range(12)))
            await until_quiet(server)
            answers = await asyncio.gather(*(client.complete("Hello", **ASKED) for _ in range(40)))
        assert {answer.outcome for answer in answers} == {"complete"}
        assert {answer.attempts for answer in answers} == {1}
        assert server.most_running <= 12
        assert server.open_connections <= 4


@pytest.mark.parametrize("number", [1500, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_cancelled_and_finished_streams_leave_nothing_behind(number: int) -> None:
    blocks_per_stream, files, tasks = await growth(number)
    assert blocks_per_stream < LEAK_BLOCKS, blocks_per_stream
    assert len(files) == 1, files
    assert len(tasks) == 1, tasks


async def refusals_under_a_lowered_limit(*, task_s: float) -> tuple[float, float, int, int]:
    """64 tasks while the limit falls from 32 to 5: (seconds, seconds of the ideal schedule, refusals, requests)."""
    tokens, now_s = 60, asyncio.get_running_loop().time
    pace = Pace(first_token_s=0.1, tokens_per_s=tokens / (task_s - 0.1), jitter=0)
    async with a_pair(concurrency=32, pace=pace, key="sk-test-429") as (server, client):
        server.keep, server.concurrency = 1000, 32
        prompt = "echo " + " ".join(["word"] * (tokens - 6))
        began_s = now_s()
        await client.complete(prompt, **ASKED)
        alone_s = now_s() - began_s
        server.requests.clear()
        began_s = now_s()
        calls = [asyncio.create_task(client.complete(prompt, **ASKED)) for _ in range(64)]
        while server.running < 32:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        server.concurrency = 5
        answers = await asyncio.gather(*calls)
        total_s = now_s() - began_s
        assert {answer.outcome for answer in answers} == {"complete"}
        refused = sum(seen.status == 429 for seen in server.requests)
        # 32 are on their way when the limit falls, and may end; the other 32 go five at a time, without a gap.
        ideal_s = alone_s * (1 + 32 / 5)
        return total_s, ideal_s, refused, len(server.requests)


@pytest.mark.parametrize("task_s", [0.5, 1.5])
async def test_a_limit_that_falls_from_32_to_5_is_found_without_a_failed_call(task_s: float) -> None:
    total_s, ideal_s, refused, requests = await refusals_under_a_lowered_limit(task_s=task_s)
    print(
        f"\n64 tasks: {total_s:.2f} s, ideal {ideal_s:.2f} s, ratio {total_s / ideal_s:.2f}; {refused} of {requests} refused"
    )
    assert total_s <= 1.25 * ideal_s
    assert refused < 0.10 * requests
