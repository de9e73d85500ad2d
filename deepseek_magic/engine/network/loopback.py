"""A network inside one process: a server and its client on the same loop, without sockets.

For the demo server in a web page. Both ends are ordinary asyncio protocols, so a client's reading of HTTP and a fault's
breaking of it are the same code as on sockets; only what the system does in between is done here.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

HOST: Final = "page.localhost"
"""No real server's name, so that one on this machine can be asked beside it."""

Factory = Callable[[], asyncio.Protocol]
Client = TypeVar("Client", bound=asyncio.Protocol)


class Loopback:
    """Listeners by port; all have the same ``host``."""

    host = HOST

    def __init__(self) -> None:
        self._listeners: dict[int, Factory] = {}

    def has(self, url: str) -> bool:
        """Whether ``url`` is one of this network, whether or not somebody listens there."""
        return urlsplit(url).hostname == HOST

    def listen(self, factory: Factory, port: int = 0) -> int:
        """Have ``factory`` make a protocol for every connection to ``port`` (0: a free one), which is returned."""
        port = port or max(self._listeners, default=0) + 1
        self._listeners[port] = factory
        return port

    def close(self, port: int) -> None:
        """Refuse connections to ``port`` from now on. Those that are open stay."""
        self._listeners.pop(port, None)

    def connect(self, factory: Callable[[], Client], port: int) -> Client:
        """A connection to ``port``; the client's protocol. Raises ConnectionRefusedError when nobody listens."""
        if port not in self._listeners:
            raise _error(errno.ECONNREFUSED)
        loop = asyncio.get_running_loop()
        here, there = _End(loop, client := factory()), _End(loop, self._listeners[port]())
        here.other, there.other = there, here
        for end in (there, here):
            end.protocol.connection_made(end)
        return client


def _error(number: int) -> OSError:
    """What sockets would raise."""
    return OSError(number, os.strerror(number))


class _End(asyncio.Transport):
    """One end of a connection. What is written arrives a turn of the loop later, in order; so does the end."""

    other: _End

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self._loop = loop
        self._closed = False

    def write(self, data: Any) -> None:
        if not self._closed:
            self._loop.call_soon(self.other._take, bytes(data))

    def _take(self, data: bytes) -> None:
        if not self._closed:
            self.protocol.data_received(data)

    def close(self) -> None:
        self._end(None)

    def abort(self) -> None:
        """Break the connection off, as a reset does."""
        self._end(_error(errno.ECONNRESET))

    def _end(self, why: Exception | None) -> None:
        if not self._closed:
            self._closed = True
            self._loop.call_soon(self.protocol.connection_lost, None)
            self._loop.call_soon(self.other._lost, why)

    def _lost(self, why: Exception | None) -> None:
        if not self._closed:
            self._closed = True
            self.protocol.connection_lost(why)

    def is_closing(self) -> bool:
        return self._closed

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is buffered."""

    def pause_reading(self) -> None:
        """Both ends live in one process, so nothing is saved by holding back."""

    def resume_reading(self) -> None:
        """See ``pause_reading``."""
