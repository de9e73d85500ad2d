"""httpcore's network on bare asyncio: sockets that say at once what has come.

httpcore's own goes through anyio, with a cancel scope and a timer for every read: 30 % of what a paced token costs.
Here a read takes what the loop has already received, and one timer is moved along instead of being made each time.
Below HTTP/1.1 the stream keeps back what follows a response's head, so that a body may be read past h11 (``received``),
which is then notified of its end (``unread``).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

import httpcore

from ...text.messages import Message
from .framing import ResponseHead, chunked_once
from .loopback import Loopback
from .proxies import address_of
from .ticks import TICK_S, Ticks

UNREAD_BYTES: Final = 512 * 1024
"""More than this is not received ahead of a consumer that takes its time."""
GATHERED_BYTES: Final = 16 * 1024
"""After more than this the next tick is taken: a system gathers some 64 kB, and then the server has to wait."""
UNSENT_BYTES: Final = 64 * 1024
"""What is written together is sent together up to here."""
HAPPY_EYEBALLS_S: Final = 0.25
"""The next address of a host is tried so long after the one before (RFC 8305, section 5)."""
_ERRNO: Final = re.compile(r"\[Errno (\d+)\]")


class HandshakeError(httpcore.ConnectError):
    """A connection was there, and broke while TLS was agreed on."""


class AsyncioBackend(httpcore.AsyncNetworkBackend):
    """Makes connections on the running loop: over sockets, or on the network inside a page. ``ticks`` are the loop's, for
    those that nobody watches."""

    def __init__(self, loopback: Loopback | None = None, ticks: Ticks | None = None) -> None:
        self._loopback = loopback
        self._ticks = ticks

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to ``host``, of whose addresses the fastest is taken."""
        loop = asyncio.get_running_loop()
        # Loops that are not asyncio's own (uvloop, winloop) know no happy eyeballs.
        own = isinstance(loop, asyncio.BaseEventLoop) and address_of(host) is None
        eyeballs: dict[str, Any] = {"happy_eyeballs_delay": HAPPY_EYEBALLS_S} if own else {}
        with _raising(httpcore.ConnectTimeout, httpcore.ConnectError):
            if self._loopback is not None:
                return self._loopback.connect(lambda: Socket(loop, self._ticks), port)
            async with asyncio.timeout(timeout):
                _, stream = await loop.create_connection(lambda: Socket(loop, self._ticks), host, port, **eyeballs)
        return stream


class Socket(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """One connection, plain or with TLS; then ``below`` is what carries it. Used by one reader and one writer at a time."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, ticks: Ticks | None = None, below: asyncio.Transport | None = None
    ) -> None:
        self._loop = loop
        self._ticks = ticks
        self._below = below
        self._unread_s = self._since_s = 0.0
        """How long what comes may be left unread, and since when."""
        self._waits = False
        """For a tick; ``_paused`` until then."""
        self.read_every_s = 0.0
        """The longest that it has waited for a tick since this was last set to 0."""
        self._transport: asyncio.Transport | None = None
        self._unread: deque[bytes] = deque()
        self._unread_bytes = 0
        self._paused = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._writable = True
        self._unsent = bytearray()
        """Written in this turn of the loop, to be sent at its end."""
        self._closed = False
        self._broke: Exception | None = None
        self._head = ResponseHead()
        self._head.open = False
        self._timer: asyncio.Handle | None = None
        self._rings_s = 0.0
        """When the timer rings; not every loop's timers tell it."""
        self._due_s = 0.0

    # what the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self._transport = cast(asyncio.Transport, transport)  # of another loop, it need not derive from asyncio's

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        self._unread.append(data)
        self._unread_bytes += len(data)
        if not self._paused and self._carrier is not None:
            if self._unread_s and self._ticks is not None and self._ticks.many:
                self._waits = True
                at_most_s = TICK_S if len(data) > GATHERED_BYTES else self._unread_s
                waits_s = self._ticks.wait(self, self._loop.time() - self._since_s, at_most_s)
                self.read_every_s = max(self.read_every_s, waits_s)
            if self._waits or self._unread_bytes > UNREAD_BYTES:
                self._paused = True
                self._carrier.pause_reading()
        _wake(self._reader)

    @property
    def _carrier(self) -> asyncio.Transport | None:
        """What receives: beneath TLS, which would take in and keep what it may not hand on."""
        return self._below or self._transport

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, with an error or because the other side has ended it."""
        self._closed, self._broke = True, exc
        self.leave_unread(0.0)
        self._drop_timer()
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        """The other side takes no more for now."""
        self._writable = False

    def resume_writing(self) -> None:
        """The other side takes more."""
        self._writable = True
        _wake(self._writer)

    # what httpcore asks

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has come, but of a response's head all and no more; b"" at the end of the connection."""
        if not self._head.open:
            data = await self.received(timeout)
            self.unread(data[max_bytes:])
            return data[:max_bytes]
        head = b""
        while data := await self.received(timeout):
            take = self._head.feed(data)
            head += data[:take]
            self.unread(data[take:])
            if self._head.whole:
                break
        return chunked_once(head)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send ``buffer``; waits while the other side takes no more."""
        if not buffer:
            return
        if self._closed or self._transport is None:
            raise httpcore.WriteError(str(self._broke or "the connection is closed")) from self._broke
        self._head = ResponseHead()
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent += buffer
        if self._writable and len(self._unsent) < UNSENT_BYTES:
            return
        self._send()
        with _raising(httpcore.WriteTimeout, httpcore.WriteError):
            async with asyncio.timeout(timeout):
                while not self._writable and not self._closed:
                    self._writer = self._loop.create_future()
                    await self._writer
        if self._closed:
            raise httpcore.WriteError(str(self._broke or "the connection was closed")) from self._broke

    def _send(self) -> None:
        # httpcore writes head and body one after the other; sent apart they are two packets, two records of TLS and two
        # system calls: an eighth of the CPU of short calls.
        unsent, self._unsent = bytes(self._unsent), bytearray()
        if unsent and self._transport is not None and not self._closed:
            self._transport.write(unsent)

    async def aclose(self) -> None:
        """Close at once: nothing that was written is waited for, and no farewell of TLS."""
        self._drop_timer()
        if self._transport is not None:
            self._transport.abort()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """The same connection, encrypted."""
        secure = Socket(self._loop, self._ticks, self._transport)
        assert self._transport is not None
        try:
            with _raising(httpcore.ConnectTimeout, HandshakeError):
                async with asyncio.timeout(timeout):
                    made = await self._loop.start_tls(
                        self._transport, secure, ssl_context, server_hostname=server_hostname
                    )
                    if made is None:
                        raise ConnectionResetError(Message("the connection was closed during the TLS handshake"))
        except BaseException:
            await self.aclose()
            raise
        secure.connection_made(made)
        return secure

    def get_extra_info(self, info: str) -> Any:
        """What httpcore wants to know of a connection."""
        if info == "is_readable":  # of an idle one: whether anything came that nobody asked for, its end included
            return bool(self._unread) or self._closed
        names = {"client_addr": "sockname", "server_addr": "peername"}
        return None if self._transport is None else self._transport.get_extra_info(names.get(info, info))

    # reading past h11

    async def received(self, timeout_s: float | None) -> bytes:
        """What has come, as it came; waits at most ``timeout_s`` for something. b"" at the end of the connection.

        Raises httpcore's ReadTimeout, and ReadError when the connection broke.
        """
        while not self._unread:
            if self._closed:
                if self._broke is not None:
                    raise httpcore.ReadError(str(self._broke)) from self._broke
                return b""
            self._reader = self._loop.create_future()
            try:
                if timeout_s is not None:
                    self._ring_in(timeout_s)
                await self._reader
            finally:
                self._reader = None
        data = self._unread.popleft()
        self._unread_bytes -= len(data)
        self._take_more()
        return data

    def _take_more(self) -> None:
        if self._paused and not self._waits and self._unread_bytes <= UNREAD_BYTES // 2:
            self._paused = False
            if self._carrier is not None and not self._closed:
                self._carrier.resume_reading()

    def leave_unread(self, at_most_s: float) -> None:
        """How long what comes may be left unread: it is received on the ticks then, if there are many such connections. 0.0
        where somebody waits for each piece, as for all that comes before this is said."""
        before_s, self._unread_s = self._unread_s, at_most_s
        if self._ticks is None or bool(before_s) == bool(at_most_s):
            return
        if at_most_s:
            self._since_s = self._loop.time()
            self._ticks.join()
        else:
            self._ticks.leave()
            self.take_up()

    def take_up(self) -> None:
        """See Gathered. A tick that is of no more use does no harm."""
        self._waits = False
        self._take_more()

    def unread(self, data: bytes) -> None:
        """Have ``data`` read next, as a piece of its own."""
        if data:
            self._unread.appendleft(data)
            self._unread_bytes += len(data)

    def _ring_in(self, timeout_s: float) -> None:
        self._due_s = self._loop.time() + timeout_s
        if self._timer is not None and self._rings_s > self._due_s:
            self._drop_timer()
        if self._timer is None:
            self._set_timer()

    def _set_timer(self) -> None:
        self._rings_s = self._due_s
        self._timer = self._loop.call_at(self._due_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._reader is None or self._reader.done():
            return  # nobody waits; the next who does sets it again
        if self._loop.time() < self._due_s:
            self._set_timer()
        else:
            self._reader.set_exception(httpcore.ReadTimeout("nothing came in time"))

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


@contextlib.contextmanager
def _raising(late: type[Exception], broken: type[Exception]) -> Iterator[None]:
    """What asyncio raises → what httpcore does."""
    try:
        yield
    except TimeoutError as error:  # first, for it is an OSError
        raise late(str(error)) from error
    except OSError as error:  # ssl.SSLError among them
        raise broken(str(error)) from _one_of(error)


def _one_of(error: OSError) -> OSError:
    """asyncio joins the failures of several addresses into one text; when they are alike, the failure itself."""
    numbers = set(_ERRNO.findall(str(error))) if error.errno is None else set()
    return OSError(int(numbers.pop()), str(error)) if len(numbers) == 1 else error
