"""asyncio's own sockets, with nothing done to the bytes but a look for the end: what waking up costs, whoever reads.

It speaks as much HTTP as the benchmark's server understands, and no TLS. Connections are made anew for each answer.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from . import Answer, Ask, Target, body

TITLE = "asyncio alone (nothing decoded)"
PACKAGE = None


class _Reader(asyncio.Protocol):
    def __init__(self, answer: Answer, over: asyncio.Future[None]) -> None:
        self._answer = answer
        self._over = over

    def data_received(self, data: bytes) -> None:
        if b"data: " in data:
            self._answer.begun()
        if data.endswith(b"0\r\n\r\n"):
            self._over.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._over.done():
            self._over.set_exception(exc or ConnectionResetError())


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Ask]:
    loop, place = asyncio.get_running_loop(), urlsplit(target.base_url)

    async def ask(prompt: str) -> Answer:
        answer, over = Answer(keep=target.keep), loop.create_future()
        transport, _ = await loop.create_connection(lambda: _Reader(answer, over), place.hostname, place.port)
        asked = json.dumps(body(prompt)).encode()
        transport.write(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n%b" % (len(asked), asked))
        await over
        transport.abort()
        return answer

    yield ask
