"""The engine on a page's own loop. There are no threads: what waits beside the cells is a task, and what a blocking call
waits for is run by the page meanwhile, where the browser can suspend a call (JavaScript promise integration).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ...protocol.completion import Completion
from ...protocol.errors import ConfigurationError
from ...protocol.events import Event
from ...text.messages import Message
from ..loop import Call, Engine, apump

T = TypeVar("T")


class PageEngine(Engine):
    """See Engine: the same from outside, on the loop that runs already."""

    def __init__(self) -> None:
        super().__init__()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The page's loop."""
        return asyncio.get_running_loop()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` and wait for it. Raises ConfigurationError where the browser cannot wait."""
        return wait_here(work)

    def moment(self) -> threading.Event:
        return Moment()

    def beside(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        task = self.loop.create_task(work, name=f"deepseek-magic {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def follow(self, call: Call, show: Callable[[list[Event]], None]) -> Completion:
        return await apump(call, show)

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def aside(self, function: Callable[..., T], *args: Any) -> T:
        return function(*args)

    @property
    def running(self) -> bool:
        """Whether there is something to stop: never, a page goes with all that is in it."""
        return False


class Moment(threading.Event):
    """An event that lets the page go on while it is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._awake = asyncio.Event()

    def set(self) -> None:
        super().set()
        self._awake.set()

    def clear(self) -> None:
        super().clear()
        self._awake.clear()

    def wait(self, timeout: float | None = None) -> bool:
        """See threading.Event. Raises ConfigurationError where the browser cannot wait."""
        if not self.is_set():
            wait_here(self._happened(timeout))
        return self.is_set()

    async def _happened(self, timeout_s: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._awake.wait()


def wait_here(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` on the page's loop and wait for it. Raises ConfigurationError where the browser cannot: it is too old
    for that, or this is the answer to a click."""
    from pyodide.ffi import can_run_sync, run_sync

    if not can_run_sync():
        work.close()
        said = Message("This page cannot wait inside a call.")
        raise ConfigurationError(said, hint=Message("Use %%deepseek, or await: await ds.aask(...), await answer."))
    result: T = run_sync(work)
    return result
