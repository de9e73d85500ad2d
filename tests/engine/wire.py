"""A server on a real socket that does what a list says, and the words to write such lists in.

A script is a list of steps: bytes are sent, a number is a pause in seconds, and CLOSE, RESET and HANG end a connection.
Each request takes the next script; the last one serves all further requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

CLOSE: Final = "close"
RESET: Final = "reset"
HANG: Final = "hang"
Step = bytes | float | str
Script = Sequence[Step]


@dataclass
class Received:
    """A request as the server saw it."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class ScriptedServer:
    """Serves scripts on 127.0.0.1; counts what it sees."""

    scripts: Sequence[Script] | Callable[[Received], Script]
    requests: list[Received] = field(default_factory=list)
    accepted: int = 0
    open: int = 0
    busy: int = 0
    most_busy: int = 0
    port: int = 0
    tls: ssl.SSLContext | None = None

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task[None]] = set()
        # In two steps: cancelled inside the one that does both, asyncio leaves the listening socket open.
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, start_serving=False, ssl=self.tls)
        try:
            await self._server.start_serving()
        except asyncio.CancelledError:
            self._server.close()
            raise
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        for _ in range(5):  # asyncio leaves a connection open that is being accepted while its server closes
            await asyncio.sleep(0)
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def base_url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.accepted += 1
        self.open += 1
        number = self.accepted
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._exchange(reader, writer, number):
                    pass
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head.rstrip("\r\n").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        received = Received(line, headers, body, number)
        self.requests.append(received)
        if callable(self.scripts):
            script = self.scripts(received)
        else:
            script = self.scripts[min(len(self.requests), len(self.scripts)) - 1]
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        try:
            return await self._play(script, reader, writer)
        finally:
            self.busy -= 1

    async def _play(self, script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        for step in script:
            match step:
                case bytes():
                    writer.write(step)
                    await writer.drain()
                case "close":
                    return False
                case "reset":
                    await asyncio.sleep(0.02)  # what was sent before has to be read before the reset drops it
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    writer.transport.abort()
                    return False
                case "hang":
                    await reader.read(1)
                    return False
                case float() | int():
                    await asyncio.sleep(step)
        return True


def head(status: str = "200 OK", *, kind: str = "text/event-stream", **headers: str) -> bytes:
    """The head of an answer whose body is chunked, unless a length is given."""
    fields = {"content-type": kind} | {name.replace("_", "-"): value for name, value in headers.items()}
    if "content-length" not in fields and "connection" not in fields:
        fields["transfer-encoding"] = "chunked"
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode()


def piece(data: bytes) -> bytes:
    """One HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


END: Final = b"0\r\n\r\n"
"""The end of a chunked body."""


def event(data: Any) -> bytes:
    """One server-sent event."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return f"data: {text}\n\n".encode()


def delta(content: str | None = None, *, finish: str | None = None, usage: Any = None, **more: Any) -> bytes:
    """One event as DeepSeek writes it."""
    choice = {"index": 0, "delta": {"content": content, **more}, "finish_reason": finish}
    return event({"id": "cmpl-1", "model": "deepseek-flash", "choices": [choice], "usage": usage})


DONE: Final = event("[DONE]")
USAGE: Final = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}


def chunked(*events: bytes) -> list[Step]:
    """A whole stream, an HTTP chunk for each event."""
    return [head(), *(piece(each) for each in events), END]


def answer(*words: str, usage: Any = USAGE) -> list[Step]:
    """A whole good answer."""
    return chunked(*(delta(word) for word in words), delta("", finish="stop", usage=usage), DONE)


def fixed(status: str, body: bytes, *, kind: str = "application/json", **headers: str) -> list[Step]:
    """An answer of known length."""
    return [head(status, kind=kind, content_length=str(len(body)), **headers), body]


async def until(condition: Callable[[], object], *, within_s: float = 2.0) -> None:
    """Wait until the other side has got so far."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - the other side is a real socket, it sets no event
            await asyncio.sleep(0.005)
