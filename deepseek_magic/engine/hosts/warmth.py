"""Warm connections: made before anything is asked, and kept from growing cold while nothing is.

A server, and what is on the way to it (address translation, proxies, balancers), forgets a connection that is silent
for long. A ``HEAD /`` now and then keeps it in mind: no key, no tokens, some hundred bytes. When to knock is decided here,
apart from the transport that does it, so that half an hour of silence can be tried in a millisecond.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final

from ...protocol.errors import ConfigurationError, DeepSeekError
from ...text.messages import Message
from ..calls import HTTPAnswer, HTTPCall

KNOCK_S: Final = 5.0
"""Connecting and the answer to ``HEAD /`` may take so long."""
KEEP_WARM_LEAST_S: Final = 1.0
KEEP_WARM_MOST_S: Final = 100.0
"""Less than a connection is kept idle here (``network.connections.KEEPALIVE_S``): a later ping would find none."""
UNUSED_S: Final = 30 * 60.0
"""After the last call a connection is kept warm for so long, then it may go."""
LOST_MOST: Final = 2
"""So many pings in a row without a connection to find: this server keeps none, or is not there."""


def origin_of(url: str) -> str:
    """Scheme, host and port of ``url``, as they were written."""
    return "/".join(url.split("/", 3)[:3])


async def knock(open: Callable[[HTTPCall], AbstractAsyncContextManager[HTTPAnswer]], origin: str) -> HTTPAnswer | None:
    """Send ``HEAD /`` without a key and wait for the answer, whatever it is. None when none comes in ``KNOCK_S``."""
    call = HTTPCall(method="HEAD", url=f"{origin}/", connect_s=KNOCK_S, read_s=KNOCK_S)
    with contextlib.suppress(TimeoutError, DeepSeekError):
        async with asyncio.timeout(KNOCK_S), open(call) as answer:
            await answer.drain()
            return answer
    return None


@dataclass(slots=True)
class _Use:
    """What is known of one origin's connections."""

    running: int = 0
    called_s: float = 0.0
    """When the last call ended."""
    heard_s: float = 0.0
    """When something last passed, a ping included."""
    watch: asyncio.Task[None] | None = None


class Warmth:
    """Pings each origin every ``every_s`` seconds in which it is not used; None pings nobody.

    It begins after a call that left its connection whole, and ends ``UNUSED_S`` after the last call, or when
    ``LOST_MOST`` pings in a row found no connection. ``ping`` tells whether it found one. Raises ConfigurationError
    for seconds out of bounds.
    """

    def __init__(
        self,
        ping: Callable[[str], Awaitable[bool]],
        every_s: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.set(every_s)
        self._ping = ping
        self._clock = clock
        self._sleep = sleep
        self._uses: dict[str, _Use] = {}

    def set(self, every_s: float | None) -> None:
        """Ping every so many seconds from the next call or ping on. Raises ConfigurationError for seconds out of bounds."""
        if every_s is not None and not KEEP_WARM_LEAST_S <= every_s <= KEEP_WARM_MOST_S:
            bounds = {"low": f"{KEEP_WARM_LEAST_S:g}", "high": f"{KEEP_WARM_MOST_S:g}"}
            why = Message("a connection is kept warm by a ping every {low} to {high} seconds", **bounds)
            raise ConfigurationError.of_setting("keep_warm_s", f"{every_s:g}", why)
        self.every_s = every_s

    @contextlib.contextmanager
    def used(self, origin: str) -> Iterator[None]:
        """Stands around each call to ``origin``."""
        if self.every_s is None:
            yield
            return
        use = self._uses.setdefault(origin, _Use())
        use.running += 1
        try:
            yield
        finally:
            use.running -= 1
        # Not after a call that failed or was stopped: it has left no connection, and a loop that ends has no place for
        # a new task.
        use.called_s = use.heard_s = self._clock()
        if use.watch is None or use.watch.done():
            use.watch = asyncio.get_running_loop().create_task(self._watch(origin, use))

    async def _watch(self, origin: str, use: _Use) -> None:
        lost = 0
        while (every_s := self.every_s) is not None and lost < LOST_MOST and not use.running:
            now_s = self._clock()
            if now_s - use.called_s >= UNUSED_S:
                return
            if (due_in_s := use.heard_s + every_s - now_s) > 0:
                await self._sleep(due_in_s)
                continue
            lost = 0 if await self._ping(origin) else lost + 1
            use.heard_s = self._clock()

    async def aclose(self) -> None:
        """Ping nobody any more, until the next call."""
        watches = [use.watch for use in self._uses.values() if use.watch is not None and not use.watch.done()]
        self._uses.clear()
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)
