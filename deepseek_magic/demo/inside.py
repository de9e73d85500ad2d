"""The demo inside a web page, where there are no sockets: it listens on a network of that page, with every fault it has."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol, cast

from .server import DemoServer


class Inside(Protocol):
    """What it listens on; ``host`` is the name that all servers there have."""

    host: str

    def listen(self, factory: Callable[[], asyncio.Protocol], port: int = 0) -> int:
        """Have ``factory`` make a protocol for every connection to ``port`` (0: a free one), which is returned."""

    def close(self, port: int) -> None:
        """Refuse connections to ``port`` from now on."""


class DemoInside(DemoServer):
    """DemoServer on ``network``. ``start`` and ``stop`` are called where a loop runs, which serves."""

    def __init__(self, network: Inside, fault: str | None = None, pace: float = 1.0) -> None:
        super().__init__(fault=fault, pace=pace)
        self._network = network
        self._ending: asyncio.Task[None] | None = None

    @property
    def base_url(self) -> str:
        """The address to give to a client of the same page."""
        return f"http://{self._network.host}:{self._port}"

    async def _listen(self) -> None:
        self._accept()

    def _accept(self) -> None:
        self._port = self._network.listen(self._connection, self._port)
        self._server = cast(asyncio.Server, _Listener(lambda: self._network.close(self._port)))

    def _bound(self) -> socket.socket:
        raise OSError("a page has no sockets")

    def _connection(self) -> asyncio.Protocol:
        loop = asyncio.get_running_loop()
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(loop=loop), self._connected, loop=loop)

    def start(self) -> DemoServer:
        """Serve on the running loop."""
        self._loop, self._closing = asyncio.get_running_loop(), False
        self._accept()
        self._open_or_close_port()
        return self

    def stop(self) -> None:
        """Stop serving; safe to call again."""
        if self._loop is not None and not self._closing:
            self._ending = self._loop.create_task(self.aclose())


class _Listener:
    """What ``DemoServer`` asks of an asyncio server."""

    sockets = ()

    def __init__(self, close: Callable[[], None]) -> None:
        self.close = close

    async def wait_closed(self) -> None:
        """Nothing is left to wait for."""
