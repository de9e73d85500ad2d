"""HTTP/1.1 on a raw connection: one request in, one answer out, with every way to do it wrong within reach.

An own reader and writer, because a fault needs the socket itself: a chunk size without its chunk, a gzip stream without
its trailer, a reset between two bytes of one character. Framing: RFC 9112.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Literal

MAX_BODY_BYTES: Final = 48 * 2**20
"""The API's limit for a request body; above it the answer is 413."""

_GZIP: Final = 16 + zlib.MAX_WBITS
_RST: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: close() sends RST instead of FIN
_CLIENT_CHECK_S: Final = 0.02
_ACK_CHECK_S: Final = 0.002
_ACK_CHECKS: Final = 250

Framing = Literal["chunked", "length", "close"]


class BadRequest(Exception):
    """The bytes are not an HTTP request, or its body is too large; ``status`` is what to answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPRequest:
    """One request. Header names are lower-case; of repeated headers the last one counts."""

    method: str
    path: str
    version: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def keep_alive(self) -> bool:
        """Whether the client wants the connection to stay open."""
        wish = self.headers.get("connection", "").lower()
        return "keep-alive" in wish if self.version == "HTTP/1.0" else "close" not in wish

    @property
    def takes_gzip(self) -> bool:
        """Whether the client offered gzip."""
        offers = (offer.strip().lower() for offer in self.headers.get("accept-encoding", "").split(","))
        return any(offer.split(";")[0] == "gzip" and not offer.endswith("q=0") for offer in offers)


async def read_request(reader: asyncio.StreamReader) -> HTTPRequest | None:
    """The next request on this connection, or None when the client is done with it. Raises BadRequest."""
    try:
        line = await _line(reader)
        if not line:
            return None
        method, _, rest = line.partition(" ")
        path, _, version = rest.rpartition(" ")
        if version not in ("HTTP/1.1", "HTTP/1.0"):
            raise BadRequest(400, "this is not an HTTP/1.x request")
        headers: dict[str, str] = {}
        while header := await _line(reader):
            name, _, value = header.partition(":")
            headers[name.strip().lower()] = value.strip()
        body = await _body(reader, headers)
    except asyncio.IncompleteReadError:
        return None
    except (ValueError, asyncio.LimitOverrunError):
        raise BadRequest(400, "the request's framing is broken") from None
    return HTTPRequest(method=method, path=path.split("?")[0], version=version, headers=headers, body=body)


async def _line(reader: asyncio.StreamReader) -> str:
    return (await reader.readuntil(b"\n")).decode("latin-1").rstrip("\r\n")


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return b"".join([chunk async for chunk in _chunks(reader)])
    length = int(headers.get("content-length", "0"))
    _within_limit(length)
    return await reader.readexactly(length)


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    total = 0
    while size := int((await _line(reader)).split(";")[0], 16):
        total += size
        _within_limit(total)
        yield await reader.readexactly(size)
        await _line(reader)
    while await _line(reader):
        pass  # trailers


def _within_limit(length: int) -> None:
    if length > MAX_BODY_BYTES:
        raise BadRequest(413, f"the body has more than {MAX_BODY_BYTES} bytes")


class Answer:
    """An answer being written. ``head`` once, ``send`` any number of times, then ``end``; or ``cut``, or ``close``.

    ``carve`` may change how bytes reach the socket: it gets them and yields pieces, each with the seconds to wait after it.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._framing: Framing = "length"
        self._gzip: zlib._Compress | None = None
        self.carve: Callable[[bytes], Iterable[tuple[bytes, float]]] | None = None
        self.closed = False
        # The writer waits for the kernel to take every byte, so that a reset comes after what was "sent".
        writer.transport.set_write_buffer_limits(0)

    async def head(
        self, status: int, headers: dict[str, str], *, framing: Framing, gzip: bool = False, version: str = "HTTP/1.1"
    ) -> None:
        """Send status line and headers. The caller gives ``content-length`` when the framing is "length"."""
        self._framing = framing
        self._gzip = zlib.compressobj(wbits=_GZIP) if gzip else None
        lines = [f"{version} {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if gzip:
            lines += ["content-encoding: gzip", "vary: accept-encoding"]
        if framing == "chunked":
            lines.append("transfer-encoding: chunked")
        if framing == "close":
            lines.append("connection: close")
        await self.raw("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def send(self, data: bytes) -> None:
        """Send body bytes, compressed and framed as the head said, and flushed."""
        if self._gzip is not None:
            data = self._gzip.compress(data) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        await self.raw(self.framed(data))

    @property
    def compressed(self) -> bool:
        """Whether the body is compressed."""
        return self._gzip is not None

    def framed(self, data: bytes) -> bytes:
        """``data`` inside the framing of this answer."""
        return b"%x\r\n%s\r\n" % (len(data), data) if self._framing == "chunked" and data else data

    def trailer(self) -> bytes:
        """What gzip still has to say: the last block, the checksum and the length."""
        return self._gzip.flush(zlib.Z_FINISH) if self._gzip is not None else b""

    async def next_member(self) -> None:
        """End the gzip member and begin another one in the same body (RFC 1952, section 2.2)."""
        await self.raw(self.framed(self.trailer()))
        if self._gzip is not None:
            self._gzip = zlib.compressobj(wbits=_GZIP)

    async def end(self, trailer: bytes | None = None, *, last: bytes = b"") -> None:
        """End the body properly, in one write with the ``last`` bytes of it; ``trailer`` replaces the gzip trailer."""
        if self._gzip is not None and last:
            last = self._gzip.compress(last)
        last = self.framed(last + (self.trailer() if trailer is None else trailer))
        await self.raw(last + (b"0\r\n\r\n" if self._framing == "chunked" else b""))
        if self._framing == "close":
            self.cut()

    async def raw(self, data: bytes) -> None:
        """Send bytes as they are. Raises ConnectionError when the client has gone."""
        pieces = self.carve(data) if self.carve is not None else ((data, 0.0),)
        for piece, wait_s in pieces:
            if self.client_left:
                raise ConnectionResetError("the client has closed the connection")
            self._writer.write(piece)
            await self._writer.drain()
            if wait_s:
                await asyncio.sleep(wait_s)

    @property
    def client_left(self) -> bool:
        """Whether the client has closed its side, or we have closed ours."""
        return self.closed or self._writer.is_closing() or self._reader.at_eof()

    async def until_client_leaves(self, at_most_s: float | None = None) -> None:
        """Stay silent until the client closes the connection."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                while not self.client_left:  # noqa: ASYNC110  the stream reader has no event for its end
                    await asyncio.sleep(_CLIENT_CHECK_S)

    def cut(self) -> None:
        """Close the connection with FIN, whatever the body still lacks."""
        self.closed = True
        self._writer.close()

    async def close(self, *, rst: bool) -> None:
        """Break the connection off: with FIN, or with RST once the client's machine has what was sent, for RST would
        throw it away."""
        if not rst:
            self.cut()
            return
        sock: socket.socket | None = self._writer.get_extra_info("socket")
        if sock is not None and not self._writer.is_closing():
            await _delivered(sock)
        self.closed = True
        if sock is not None and not self._writer.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
        self._writer.transport.abort()


async def _delivered(sock: socket.socket) -> None:
    """Wait until every byte is acknowledged, at most as long as a machine may delay that (RFC 9293: 0.5 s)."""
    for _ in range(_ACK_CHECKS):
        if sock.fileno() < 0 or _unacknowledged(sock) == 0:  # the client may leave first, and the socket with it
            return
        await asyncio.sleep(_ACK_CHECK_S)


def _unacknowledged(sock: socket.socket) -> int:
    """Bytes that the other machine has not acknowledged; 1 where the system does not tell."""
    try:
        import fcntl
        import termios

        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4), sys.byteorder)
    except (ImportError, OSError):
        return 1
