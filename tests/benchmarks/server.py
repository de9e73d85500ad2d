"""A server that is never the bottleneck: loopback, its own process, everything ready before it is asked for.

    python -m tests.benchmarks.server FOLDER

prints one line of JSON: the ports for http and https and the file with the certificates to trust (the throw-away
authority beside the usual ones, because reading those is part of a cold start). It ends when its input is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import sys
import time
from pathlib import Path
from typing import Final

import certifi
import trustme

from .wire import ENDING, Ask, compressed, event, framed, head, in_one_piece, is_mark, token, whole

TICK_S: Final = 0.0005
"""What is due within this time is written now: the event loop's own clock is no finer."""


class Server:
    """Answers one request after the other on each connection."""

    def __init__(self) -> None:
        self.connections = 0
        self.marks_sent_s: dict[int, float] = {}
        """When each mark of the last answer in prose was written, by the clock that all processes share."""

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
        told = {"connections": self.connections, "marks_sent_s": self.marks_sent_s}
        _write_json(writer, json.dumps(told).encode())

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
        began_s, sent = time.monotonic(), 0
        while sent < ask.chunks:
            now_s = time.monotonic()
            due = min(ask.chunks, int((now_s - began_s + TICK_S) * ask.per_s) + 1)
            for index in range(sent, due):
                if is_mark(ask, index):
                    self.marks_sent_s[index] = now_s
                writer.write(framed(event(token(ask, index))))
            sent = max(sent, due)
            await writer.drain()
            await asyncio.sleep(max(0.0, began_s + sent / ask.per_s - time.monotonic()))
        writer.write(b"".join(framed(each) for each in ENDING) + b"0\r\n\r\n")


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
    plain = await asyncio.start_server(server.converse, "127.0.0.1", 0)
    secure = await asyncio.start_server(server.converse, "127.0.0.1", 0, ssl=context)
    ports = {"http": plain.sockets[0].getsockname()[1], "https": secure.sockets[0].getsockname()[1]}
    print(json.dumps({**ports, "trusted": str(trusted)}), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
