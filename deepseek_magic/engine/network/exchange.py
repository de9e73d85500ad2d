"""One exchange over httpcore: a request goes out, a response comes back, and its body a network read at a time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

import httpcore

from ...text.messages import Message
from .connections import Carrier, Connections
from .framing import END_OF_CHUNKS, ChunkedBody
from .inflate import Damaged
from .loopback import Loopback
from .sockets import Socket

COUNTED_AGAIN_BYTES: Final = 64 * 1024
"""A body of known length that is longer ends its connection: h11 would have to count it, too."""
STALE_RETRIES: Final = 2
STALE_S: Final = 2.0
"""A kept connection that fails this soon after the request was dead before; later it is the server that failed."""


class Network:
    """The connections to all origins. Belongs to the loop that it is used on, and moves to another with its user.
    ``loopback`` is the network they are made on, where it is none of sockets."""

    def __init__(self, *, http2: bool = False, loopback: Loopback | None = None) -> None:
        self._http2 = http2
        self._loopback = loopback
        self._connections: dict[str, Connections] = {}

    async def send(self, request: httpcore.Request, origin: str) -> Exchange:
        """Send ``request`` to ``origin`` and wait for the headers. A kept connection that proves dead before any answer is
        replaced without a word. The exchange must be closed; raises what httpcore raises, and ConfigurationError."""
        connections = self._connections.get(origin)
        if connections is None or not connections.here:
            connections = self._connections[origin] = Connections(origin, http2=self._http2, loopback=self._loopback)
        for retry in range(STALE_RETRIES + 1):
            carrier = await connections.take(fresh=request.extensions.get("fresh", False))
            trace = _Trace(kept=not isinstance(carrier, httpcore.AsyncConnectionPool) and carrier.is_idle())
            # httpcore tells each step of a request, and those of one on a kept connection tell nothing new.
            request.extensions["trace"] = None if trace.kept else trace
            try:
                response = await carrier.handle_async_request(request)
            except BaseException as error:
                await connections.give_back(carrier, sound=False)
                if isinstance(error, Exception) and retry < STALE_RETRIES and trace.was_stale(error):
                    continue
                raise
            trace.answered()
            return Exchange(request, response, trace, connections, carrier)
        raise AssertionError("the last try either answers or raises")

    async def aclose(self) -> None:
        """Close every connection."""
        connections, self._connections = list(self._connections.values()), {}
        for each in connections:
            await each.aclose()


class Exchange:
    """A response whose body has not been read. ``connect_s`` is None when a kept connection was used."""

    def __init__(
        self,
        request: httpcore.Request,
        response: httpcore.Response,
        trace: _Trace,
        connections: Connections,
        carrier: Carrier,
    ) -> None:
        self.response = response
        self.connect_s = trace.connect_s
        self.timings_s: Mapping[str, float] = trace.timings_s
        self._connections = connections
        self._carrier: Carrier | None = carrier
        self._read_s: float | None = request.extensions["timeout"]["read"]
        self._past_h11 = False
        self._socket: Socket | None = None
        self._ended = False
        self.parts = self._body(request, response)
        """The body, a network read at a time; once. Raises Damaged, and what httpcore raises when it breaks
        off, early end included."""

    def leave_unread(self, at_most_s: float) -> None:
        """How long what comes of the body may be left unread; 0.0 where somebody waits for each piece, as before this is said."""
        if self._socket is not None:
            self._socket.leave_unread(at_most_s)

    @property
    def read_every_s(self) -> float:
        """The longest time between two reads that was not the network's doing; 0.0 where all was read as it came."""
        return 0.0 if self._socket is None else self._socket.read_every_s

    async def aclose(self) -> None:
        """The answer is of no more use; its connection is free if the body was read to its end, else closed."""
        carrier, self._carrier = self._carrier, None
        if carrier is None:
            return
        self.leave_unread(0.0)
        sound = False
        try:
            with contextlib.suppress(Exception):  # closing a broken connection may fail; it is gone either way
                await self.parts.aclose()
                if self._past_h11 and not self._ended:
                    return  # the connection is closed, at once: a loop that ends does not wait
                await self.response.aclose()
            sound = True
        finally:
            await self._connections.give_back(carrier, sound=sound)

    def _body(self, request: httpcore.Request, response: httpcore.Response) -> AsyncGenerator[bytes, None]:
        """A body of HTTP/1 is read past h11 (see ``framing``): httpcore's generators, one below the other, cost more than
        the rest, and those that are left in the middle are closed by the garbage collector, maybe on a loop that has
        ended. What HTTP/2 sends is framed otherwise."""
        socket = response.extensions.get("network_stream")
        bodiless = request.method == b"HEAD" or response.status in (204, 304)
        if bodiless or not isinstance(socket, Socket) or response.extensions.get("http_version") == b"HTTP/2":
            return self._as_it_comes()
        fields = {name.lower(): value for name, value in response.headers}
        coding = fields.get(b"transfer-encoding", b"").lower()
        if coding not in (b"", b"chunked"):
            return self._as_it_comes()
        self._past_h11 = True
        self._socket = socket
        socket.read_every_s = 0.0
        if coding:
            return self._chunked(socket)
        length = fields.get(b"content-length")  # h11 has checked it
        return self._to_the_end(socket) if length is None else self._counted(socket, int(length))

    async def _as_it_comes(self) -> AsyncGenerator[bytes, None]:
        async for part in self.response.aiter_stream():
            yield part

    async def _to_the_end(self, socket: Socket) -> AsyncGenerator[bytes, None]:
        """A body that ends with its connection."""
        while data := await socket.received(self._read_s):
            yield data

    async def _counted(self, socket: Socket, length: int) -> AsyncGenerator[bytes, None]:
        left = length
        while left:
            data = await socket.received(self._read_s)
            if not data:
                raise httpcore.RemoteProtocolError("the connection was closed in the middle of a body")
            socket.unread(data[left:])
            part = data[:left]
            left -= len(part)
            yield part
        if length <= COUNTED_AGAIN_BYTES:
            socket.unread(bytes(length))  # h11 counts, too
            await self._tell_h11()

    async def _chunked(self, socket: Socket) -> AsyncGenerator[bytes, None]:
        body = ChunkedBody()
        while not body.ended:
            data = await socket.received(self._read_s)
            if not data:
                raise httpcore.RemoteProtocolError(Message("the connection was closed in the middle of a body"))
            if part := body.feed(data):
                yield part
            if body.damage is not None:
                raise Damaged(body.damage)
        socket.unread(body.rest)  # from a server that answers unasked; found there, it ends the connection
        socket.unread(END_OF_CHUNKS)  # h11 is shown an empty body
        await self._tell_h11()

    async def _tell_h11(self) -> None:
        """Have h11 read what was put back for it, so that it knows that the connection is free."""
        async for _ in self.response.aiter_stream():
            pass
        self._ended = True


class _Trace:
    """httpcore's trace hook: when a connection was made, and how long its parts took. ``kept``: there was one before, of this
    call's own."""

    def __init__(self, *, kept: bool) -> None:
        self.kept = kept
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

    def answered(self) -> None:
        """The response's headers are there."""
        self.timings_s["first_byte"] = time.perf_counter() - self.began_s - (self.connect_s or 0)

    def was_stale(self, error: Exception) -> bool:
        """Whether the request failed because it was written on a kept connection that the server had closed."""
        reused = self.kept or (bool(self._started_s) and "connect_tcp" not in self._started_s)
        broke = isinstance(error, httpcore.NetworkError | httpcore.RemoteProtocolError)
        return reused and broke and time.perf_counter() - self.began_s < STALE_S

    @property
    def connect_s(self) -> float | None:
        """Seconds until the connection stood, TLS included; None when it stood already."""
        if "connect_tcp" not in self.timings_s:
            return None
        return self.timings_s["connect_tcp"] + self.timings_s.get("start_tls", 0.0)
