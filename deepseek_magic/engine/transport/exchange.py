"""One exchange over httpcore: a call becomes a request, a response becomes an answer.

httpcore is the floor of httpx: its connections, TLS, proxies and HTTP/2 without its client, which no call here needs.
A key enters a request in this file and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpcore

from ... import __version__
from ...protocol.errors import ConfigurationError, DeepSeekError, Disconnected
from ..inflate import Damaged, Inflater
from .calls import DRAIN_S, HTTPAnswer, HTTPCall
from .connections import Connections
from .failures import raise_ours
from .framing import END_OF_CHUNKS, ChunkedBody
from .network import Socket

__all__ = ["HTTPTransport"]

WRITE_S: Final = 30.0
WARM_UP_S: Final = 5.0
STALE_RETRIES: Final = 2
STALE_S: Final = 2.0
"""A kept connection that fails this soon after the request was dead before; later it is the server that failed."""
_READ_BYTES: Final = 64 * 1024
_USER_AGENT: Final = f"deepseek-magic/{__version__}"
_PLACEHOLDER_KEY: Final = "no-key"
"""Local servers want a bearer, not a secret."""
_PATH_CHARS: Final = "!$%&'()*+,/:;=?@~"
"""What stands in a path and a query as it is (RFC 3986, section 3.3); an escape that is there stays."""


class HTTPTransport:
    """Transport over httpcore: connections are kept for each origin. Belongs to the loop that it is used on.

    ``http2`` uses HTTP/2 where the server offers it (extra "http2"; raises ConfigurationError there without it).
    ``gzip`` offers compression also for streams; gateways that compress tend to deliver in bursts.
    """

    def __init__(self, *, http2: bool = False, gzip: bool = False) -> None:
        self._http2 = http2
        self._encodings = "gzip" if gzip else "identity"
        self._connections: dict[str, Connections] = {}

    @contextlib.asynccontextmanager
    async def open(self, call: HTTPCall) -> AsyncIterator[HTTPAnswer]:
        """See Transport. A kept connection that proves dead before any answer is replaced without a word."""
        connections = self._connections_for(call.url)
        for retry in range(STALE_RETRIES + 1):
            pool, trace, sound = connections.take(), _Trace(), False
            try:
                try:
                    response = await pool.handle_async_request(self._request(call, trace))
                except Exception as error:
                    if retry < STALE_RETRIES and trace.was_stale(error):
                        continue
                    raise_ours(error, call)
                answer = _Answer(response, call, trace)
                try:
                    yield answer
                finally:
                    await answer.aclose()
                    sound = True
                return
            finally:
                await connections.give_back(pool, sound=sound)

    async def warm_up(self, url: str) -> float | None:
        """Connect to the server of ``url`` before anything is asked, within ``WARM_UP_S``. The connection's seconds;
        None when one was there already or the server cannot be reached. Sends ``HEAD /`` without a key."""
        parts = urlsplit(url)
        call = HTTPCall(method="HEAD", url=f"{parts.scheme}://{parts.netloc}/", connect_s=WARM_UP_S, read_s=WARM_UP_S)
        with contextlib.suppress(TimeoutError, DeepSeekError):
            async with asyncio.timeout(WARM_UP_S), self.open(call) as answer:
                await answer.drain()
                return answer.connect_s
        return None

    async def aclose(self) -> None:
        """Close every connection."""
        connections, self._connections = list(self._connections.values()), {}
        for each in connections:
            await each.aclose()

    def _connections_for(self, url: str) -> Connections:
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        known = self._connections.get(origin)
        if known is None or not known.here:
            known = self._connections[origin] = Connections(origin, http2=self._http2)
        return known

    def _request(self, call: HTTPCall, trace: _Trace) -> httpcore.Request:
        address, host = _address(call.url)
        length = {} if call.body is None else {"content-length": str(len(call.body))}
        headers = {
            "host": host,
            "user-agent": _USER_AGENT,
            "accept": "*/*",
            "accept-encoding": self._encodings,
            "authorization": f"Bearer {call.key.reveal() if call.key else _PLACEHOLDER_KEY}",
            **length,
            **call.headers,
        }
        try:
            lines = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
        except UnicodeEncodeError:
            raise ConfigurationError(
                f"The request to {call.host} cannot be written in HTTP: a header has characters that none may have."
            ) from None
        timeouts = {"connect": call.connect_s, "read": call.read_s, "write": WRITE_S, "pool": call.connect_s}
        return httpcore.Request(
            call.method,
            address,
            headers=lines,
            content=call.body,
            extensions={"timeout": timeouts, "trace": trace},
        )


def _address(url: str) -> tuple[httpcore.URL, str]:
    """The URL as it is sent, and the Host header. Raises ConfigurationError for one that is none."""
    try:
        parts = urlsplit(url)
        name = (parts.hostname or "").encode("ascii" if (parts.hostname or "").isascii() else "idna")
        target = quote(f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}", safe=_PATH_CHARS)
        port = parts.port
        if parts.scheme not in ("http", "https") or not name:
            raise ValueError("it does not begin with http:// or https:// and a host")
    except ValueError as error:  # a UnicodeError among them
        raise ConfigurationError(
            f"{url[:200]} is no address of a server: {error}.", hint="Check the base URL."
        ) from None
    host = f"[{name.decode()}]" if b":" in name else name.decode()
    return (
        httpcore.URL(scheme=parts.scheme, host=name, port=port, target=target),
        host if port in (None, {"http": 80, "https": 443}[parts.scheme]) else f"{host}:{port}",
    )


class _Trace:
    """httpcore's trace hook: when a connection was made, and how long its parts took."""

    def __init__(self) -> None:
        self.began_s = time.perf_counter()
        self.timings_s: dict[str, float] = {}
        self._started_s: dict[str, float] = {}

    async def __call__(self, name: str, info: Mapping[str, Any]) -> None:
        step, _, state = name.rpartition(".")
        step = step.rpartition(".")[2]
        if state == "started":
            self._started_s[step] = time.perf_counter()
        elif state == "complete" and step in ("connect_tcp", "start_tls"):
            self.timings_s[step] = time.perf_counter() - self._started_s[step]
        elif state == "complete" and step == "receive_response_headers":
            self.timings_s["first_byte"] = time.perf_counter() - self.began_s - (self.connect_s or 0)

    def was_stale(self, error: Exception) -> bool:
        """Whether the request failed because it was written on a kept connection that the server had closed."""
        reused = bool(self._started_s) and "connect_tcp" not in self._started_s
        broke = isinstance(error, httpcore.NetworkError | httpcore.RemoteProtocolError)
        return reused and broke and time.perf_counter() - self.began_s < STALE_S

    @property
    def connect_s(self) -> float | None:
        """Seconds until the connection stood, TLS included; None when it stood already."""
        if "connect_tcp" not in self.timings_s:
            return None
        return self.timings_s["connect_tcp"] + self.timings_s.get("start_tls", 0.0)


class _Answer:
    """HTTPAnswer over httpcore's response."""

    def __init__(self, response: httpcore.Response, call: HTTPCall, trace: _Trace) -> None:
        self.status = response.status
        # Lower-case names; of repeated lines all values, joined as HTTP allows.
        headers: dict[str, str] = {}
        for name, value in response.headers:
            key, text = name.decode("ascii").lower(), value.decode("utf-8", "replace")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        self.headers: Mapping[str, str] = headers
        self.http_version = response.extensions.get("http_version", b"").decode("ascii", "replace")
        self.connect_s = trace.connect_s
        self.timings_s: Mapping[str, float] = trace.timings_s
        self.wire_bytes = 0
        self.body_bytes = 0
        self._call = call
        self._response = response
        socket = response.extensions.get("network_stream")
        # A body in chunks is read past h11: see ``framing``. What HTTP/2 sends is none.
        chunked = headers.get("transfer-encoding", "").lower() == "chunked" and self.http_version == "HTTP/1.1"
        bodiless = call.method == "HEAD" or response.status in (204, 304)
        if chunked and not bodiless and isinstance(socket, Socket):
            self._parts = self._chunked(socket)
        else:
            self._parts = self._as_it_comes()

    async def _as_it_comes(self) -> AsyncGenerator[bytes, None]:
        async for part in self._response.aiter_stream():
            yield part

    async def _chunked(self, socket: Socket) -> AsyncGenerator[bytes, None]:
        body = ChunkedBody()
        while not body.ended:
            data = await socket.received(self._call.read_s)
            if not data:
                raise httpcore.RemoteProtocolError("the connection was closed in the middle of a body")
            if part := body.feed(data):
                yield part
            if body.damage is not None:
                raise httpcore.RemoteProtocolError(body.damage)
        socket.unread(body.rest)  # from a server that answers unasked; found there, it ends the connection
        socket.unread(END_OF_CHUNKS)
        async for _ in self._response.aiter_stream():
            pass  # h11 is shown an empty body: so it knows that the connection is free

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        encoding = self.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "", "gzip", "x-gzip"):
            raise Disconnected(
                f"{self._call.host} answered in the encoding {encoding[:40]}, which was not asked for.",
                hint="A proxy on the way may be changing answers.",
            )
        inflater = Inflater() if "gzip" in encoding else None
        try:
            async for part in self._parts:
                self.wire_bytes += len(part)
                if inflater is None:
                    self.body_bytes += len(part)
                    yield part
                    continue
                for piece in inflater.feed(part):
                    self.body_bytes += len(piece)
                    yield piece
            if inflater is not None:
                inflater.close()
        except Damaged as damage:
            raise Disconnected(f"The answer of {self._call.host} was damaged on its way: {damage}.") from None
        except Exception as error:
            raise_ours(error, self._call)

    async def drain(self) -> None:
        # What goes wrong here concerns nobody: the answer is whole, and a connection that is not read to its end is
        # closed, not reused.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(DRAIN_S):
                async for part in self._parts:
                    self.wire_bytes += len(part)

    async def aclose(self) -> None:
        """The answer is of no more use; its connection is free if the body was read to its end, else closed."""
        with contextlib.suppress(Exception):  # closing a broken connection may fail; it is gone either way
            await self._parts.aclose()
            await self._response.aclose()
