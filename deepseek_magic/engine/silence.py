"""An asynchronous iteration that also says when nothing comes, without losing what is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import TypeVar

T = TypeVar("T")


async def with_silences(items: AsyncIterator[T], patience_s: Callable[[], float | None]) -> AsyncGenerator[T | None]:
    """The items; and None whenever none came for ``patience_s()`` seconds, which is asked again before each wait and is
    None where any wait will do.

    A task waits only where a patience is given: time-outs around the item itself would cancel what brings it.
    """
    waiting: asyncio.Future[T] | None = None
    try:
        while True:
            limit_s = patience_s()
            try:
                if waiting is None and limit_s is None:
                    item = await anext(items)
                else:
                    waiting = waiting or asyncio.ensure_future(anext(items))
                    if not (await asyncio.wait((waiting,), timeout=limit_s))[0]:
                        yield None
                        continue
                    done, waiting = waiting, None
                    item = done.result()
            except StopAsyncIteration:
                return
            yield item
    finally:
        if waiting is not None:
            waiting.cancel()
            await asyncio.wait((waiting,))
            if not waiting.cancelled():
                waiting.exception()  # whoever stopped asking does not want to know
