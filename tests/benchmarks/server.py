"""A server that is never the bottleneck: loopback, its own process, everything ready before it is asked for.

    python -m tests.benchmarks.server FOLDER

prints one line of JSON: the ports for http and https and the file with the certificates to trust (the throw-away
authority beside the usual ones, because reading those is part of a cold start). It ends when its input is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import json
import ssl
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import certifi
import trustme

from .wire import ENDING, Ask, compressed, frame, framed, head, in_one_piece, is_mark, token, whole

BACKLOG: Final = 2048
"""Peers without a limit of their own connect a thousand times at once."""
TICK_S: Final = 0.0005
"""What is due within this time is written now: the event loop's own clock is no finer."""


@dataclass(eq=False, slots=True)
class Paced:
    """An answer that is written token by token."""

    writer: asyncio.StreamWriter
    ask: Ask
    began_s: float
    over: asyncio.Future[None]
    sent: int = 0

    @property
    def due_s(self) -> float:
        """When the next token is to be written."""
        return self.began_s + self.sent / self.ask.per_s


class Server:
    """Answers one request after the other on each connection."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests = 0
        self.marks_sent_s: dict[int, float] = {}
        """When each mark of the last answer in prose was written, by the clock that all processes share."""
        self.first_sent_s: dict[int, float] = {}
        """When the first token of each numbered answer was written, by the same clock."""
        self._due: list[tuple[float, int, Paced]] = []
        self._timer: asyncio.TimerHandle | None = None

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until the other side leaves."""
        self.connections += 1
        left = (
            ConnectionError,
            asyncio.IncompleteReadError,
            ssl.SSLError,
            asyncio.CancelledError,
        )  # the last at the end
        with contextlib.suppress(*left):
            while True:
                top = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(top.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
                body = await reader.readexactly(length) if length else b""
                if top.startswith(b"post "):
                    self.requests += 1
                    ask = Ask.found_in(body)
                    if b'"stream":true' in body.replace(b" ", b""):
                        await self._answer(writer, ask, gzip=b"gzip" in _field(top, b"accept-encoding"))
                    else:
                        await self._answer_in_one_piece(writer, ask)
                elif top.startswith(b"get "):
                    self._tell(writer)
                else:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        writer.close()

    def _tell(self, writer: asyncio.StreamWriter) -> None:
        told = ("connections", "requests", "marks_sent_s", "first_sent_s")
        _write_json(writer, json.dumps({name: getattr(self, name) for name in told}).encode())

    async def _answer_in_one_piece(self, writer: asyncio.StreamWriter, ask: Ask) -> None:
        began_s = time.monotonic()
        gap_s = 1 / ask.per_s if ask.per_s else 0.0
        await asyncio.sleep(ask.wait_s + ask.chunks * gap_s)
        # When a stream would have sent its marks: what a reader waits for is measured from there.
        self.marks_sent_s = {i: began_s + i * gap_s for i in range(ask.chunks) if is_mark(ask, i)}
        _write_json(writer, in_one_piece(ask))

    async def _answer(self, writer: asyncio.StreamWriter, ask: Ask, *, gzip: bool) -> None:
        gzip = gzip and not ask.per_s and ask.chunks <= 1000
        writer.write(head(gzip=gzip))
        if ask.wait_s:  # DeepSeek, too, answers with its headers before it begins to write
            await asyncio.sleep(ask.wait_s)
        if ask.per_s:
            await self._paced(writer, ask)
        elif gzip:
            writer.write(compressed(ask.chunks))
        else:
            for piece in whole(ask):
                writer.write(piece)
                await writer.drain()

    async def _paced(self, writer: asyncio.StreamWriter, ask: Ask) -> None:
        if ask.prose:
            self.marks_sent_s = {}
        answer = Paced(writer, ask, time.monotonic(), asyncio.get_running_loop().create_future())
        if ask.number:
            self.first_sent_s[ask.number] = answer.began_s
        self._write(answer, answer.began_s)
        self._set_timer()
        await answer.over
        writer.write(b"".join(framed(each) for each in ENDING) + b"0\r\n\r\n")

    def _write(self, answer: Paced, now_s: float) -> None:
        """Write what is due of an answer. One timer serves all: each with its own, a thousand would take more than a core."""
        ask = answer.ask
        due = min(ask.chunks, int((now_s - answer.began_s + TICK_S) * ask.per_s) + 1)
        for index in range(answer.sent, due):
            if is_mark(ask, index):
                self.marks_sent_s[index] = now_s
            answer.writer.write(frame(token(ask, index)))
        answer.sent = max(answer.sent, due)
        if answer.over.done():  # its connection has gone, and its task with it
            return
        if answer.sent == ask.chunks or answer.writer.is_closing():
            answer.over.set_result(None)
            return
        heapq.heappush(self._due, (answer.due_s, id(answer), answer))

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(self._due[0][0], self._ring) if self._due else None

    def _ring(self) -> None:
        now_s = time.monotonic()
        while self._due and self._due[0][0] <= now_s + TICK_S:
            self._write(heapq.heappop(self._due)[2], now_s)
        self._set_timer()


def _write_json(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(data))
    writer.write(data)


def _field(top: bytes, name: bytes) -> bytes:
    return top.partition(b"\r\n" + name + b":")[2].partition(b"\r\n")[0]


def certificates(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """The server's side of TLS for 127.0.0.1, and the file of all authorities that its clients trust."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusted = folder / "trusted.pem"
    trusted.write_bytes(Path(certifi.where()).read_bytes() + authority.cert_pem.bytes())
    return context, trusted


async def main(folder: Path) -> None:
    """Serve until the input is closed."""
    server = Server()
    context, trusted = certificates(folder)
    plain = await asyncio.start_server(server.converse, "127.0.0.1", 0, backlog=BACKLOG)
    secure = await asyncio.start_server(server.converse, "127.0.0.1", 0, backlog=BACKLOG, ssl=context)
    ports = {"http": plain.sockets[0].getsockname()[1], "https": secure.sockets[0].getsockname()[1]}
    print(json.dumps({**ports, "trusted": str(trusted)}), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
