"""An iteration that says when nothing comes: nothing is lost, doubled or left running."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from deepseek_magic.engine.silence import with_silences


async def test_the_items_come_whole_and_in_order_with_silences_between() -> None:
    go_on = asyncio.Event()

    async def items() -> AsyncIterator[int]:
        yield 1
        await go_on.wait()
        yield 2
        yield 3

    seen: list[int | None] = []
    async for item in with_silences(items(), lambda: 0.01 if seen == [1] or seen == [1, None] else None):
        seen.append(item)
        if seen == [1, None, None]:
            go_on.set()
    assert seen == [1, None, None, 2, 3]


async def test_without_a_patience_nothing_runs_beside_the_caller() -> None:
    tasks = set()

    async def items() -> AsyncIterator[int]:
        tasks.add(asyncio.current_task())
        yield 1

    assert [item async for item in with_silences(items(), lambda: None)] == [1]
    assert tasks == {asyncio.current_task()}


async def test_what_the_items_raise_is_raised_and_a_cancellation_ends_them() -> None:
    async def broken() -> AsyncIterator[int]:
        yield 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        async for _ in with_silences(broken(), lambda: 5.0):
            pass

    cleaned = asyncio.Event()

    async def endless() -> AsyncIterator[int]:
        try:
            await asyncio.Event().wait()
            yield 1
        finally:
            cleaned.set()

    async def read() -> None:
        async with contextlib.aclosing(with_silences(endless(), lambda: 5.0)) as items:
            async for _ in items:
                pass

    reading = asyncio.ensure_future(read())
    await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert cleaned.is_set()
