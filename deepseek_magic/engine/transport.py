"""HTTP: the only importer of httpx, and a seam of one method.

A transport opens one exchange at a time; recording, failover and replay are other objects with the same method. What
httpx, httpcore, h11, ssl and the operating system raise leaves here as our own TransportError with one sentence that
names the host. A key enters a request in this file and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import ssl
import time
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, Protocol
from urllib.parse import urlsplit

import httpx

from .. import __version__
from ..protocol.errors import ConfigurationError, ConnectTimeout, DeepSeekError, Disconnected, ReadTimeout
from .endpoints import is_loopback
from .inflate import Damaged, Inflater
from .keys import Key

__all__ = ["DRAIN_S", "HTTPAnswer", "HTTPCall", "HTTPXTransport", "Transport"]

DRAIN_S: Final = 0.1
"""After the end of a stream the body's own end is waited for so long: without it the connection cannot be used again."""
KEEPALIVE_S: Final = 120.0
"""Idle connections are kept so long; httpx's 5 s would make nearly every cell of a notebook a cold start."""
IDLE_CONNECTIONS: Final = 64
WRITE_S: Final = 30.0
WARM_UP_S: Final = 5.0
_STALE_RETRIES: Final = 2
STALE_S: Final = 2.0
"""A kept connection that fails this soon after the request was dead before; later it is the server that failed."""
_USER_AGENT: Final = f"deepseek-magic/{__version__}"
_ERRNO: Final = re.compile(r"^\[Errno -?\d+\] ")
_PLACEHOLDER_KEY: Final = "no-key"
"""Local servers want a bearer, not a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPCall:
    """One request. ``key`` becomes the Authorization header on the wire only; ``headers`` never hold a secret."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    key: Key | None = None
    connect_s: float | None = 30.0
    read_s: float | None = 120.0


class HTTPAnswer(Protocol):
    """The answer, as soon as its headers are there.

    ``connect_s`` is None when a kept connection was used. ``wire_bytes`` counts the body as it was sent (compressed
    or not), ``body_bytes`` as it was read. ``timings_s`` has what was measured of connect_tcp, start_tls, first_byte.
    """

    status: int
    headers: Mapping[str, str]
    http_version: str
    connect_s: float | None
    timings_s: Mapping[str, float]
    wire_bytes: int
    body_bytes: int

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body, a network read at a time; once. Raises TransportError when it breaks off, early end included."""

    async def drain(self) -> None:
        """Read the rest of a body nobody needs, at most ``DRAIN_S`` seconds, so that the connection can be kept."""


class Transport(Protocol):
    """What carries calls. Leaving the context closes the connection unless the body was read to its end."""

    def open(self, call: HTTPCall) -> AbstractAsyncContextManager[HTTPAnswer]:
        """Send ``call`` and wait for the headers. Raises TransportError; never for a status."""


@functools.cache
def _ssl_context() -> ssl.SSLContext:
    """The context of all connections: reading the certificates takes some 20 ms, once."""
    return httpx.create_ssl_context()


class HTTPXTransport:
    """Transport over httpx: one pool of connections for each origin. Belongs to the loop that it is used on.

    ``http2`` uses HTTP/2 where the server offers it (extra "http2"; raises ConfigurationError at the first call without
    it). ``gzip`` offers compression also for streams; gateways that compress tend to deliver in bursts.
    """

    def __init__(self, *, http2: bool = False, gzip: bool = False) -> None:
        self._http2 = http2
        self._encodings = "gzip" if gzip else "identity"
        self._pools: dict[str, _Pool] = {}

    @contextlib.asynccontextmanager
    async def open(self, call: HTTPCall) -> AsyncIterator[HTTPAnswer]:
        """See Transport. A kept connection that proves dead before any answer is replaced without a word."""
        pool = self._pool(call.url)
        pool.in_flight += 1
        try:
            answer = await self._send(pool, call)
            try:
                yield answer
            finally:
                await answer.aclose()
        finally:
            pool.in_flight -= 1
            await self._check(pool)

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
        pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            await pool.http.aclose()

    def _pool(self, url: str) -> _Pool:
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        pool = self._pools.get(origin)
        loop = asyncio.get_running_loop()
        if pool is None or pool.loop is not loop:
            pool = self._pools[origin] = _Pool(origin, loop, self._connections(origin))
        return pool

    def _connections(self, origin: str) -> httpx.AsyncHTTPTransport:
        secure = origin.startswith("https:")
        # Nothing ever speaks TLS on a loopback http origin; an empty context trusts nobody and costs nothing.
        local = not secure and is_loopback(urlsplit(origin).hostname or "")
        try:
            return httpx.AsyncHTTPTransport(
                verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if local else _ssl_context(),
                http2=self._http2,
                proxy=_proxy_for(origin),
                # No upper bound: how many calls run is the limiter's business, and a bound here is what httpcore's
                # leak after cancellation (its issue 1093) turns into a pool that never answers again.
                limits=httpx.Limits(
                    max_connections=None, max_keepalive_connections=IDLE_CONNECTIONS, keepalive_expiry=KEEPALIVE_S
                ),
            )
        except ImportError as error:
            raise ConfigurationError(
                f"A package is missing for this connection: {error}.",
                hint="pip install 'deepseek-magic[http2]' for HTTP/2, 'httpx[socks]' for a SOCKS proxy.",
            ) from None
        except (ValueError, httpx.InvalidURL) as error:
            raise ConfigurationError(f"The proxy for {origin} cannot be used: {error}.") from None

    async def _send(self, pool: _Pool, call: HTTPCall) -> _Answer:
        for retry in range(_STALE_RETRIES + 1):
            trace = _Trace()
            try:
                response = await pool.http.handle_async_request(self._request(call, trace))
            except Exception as error:
                if retry < _STALE_RETRIES and trace.was_stale(error):
                    continue
                _raise(error, call)
            return _Answer(response, call, trace)
        raise AssertionError("the last try returns or raises")

    def _request(self, call: HTTPCall, trace: _Trace) -> httpx.Request:
        return httpx.Request(
            call.method,
            call.url,
            headers={
                "user-agent": _USER_AGENT,
                "accept-encoding": self._encodings,
                "authorization": f"Bearer {call.key.reveal() if call.key else _PLACEHOLDER_KEY}",
                **call.headers,
            },
            content=call.body,
            extensions={
                "timeout": {"connect": call.connect_s, "read": call.read_s, "write": WRITE_S, "pool": call.connect_s},
                "trace": trace,
            },
        )

    async def _check(self, pool: _Pool) -> None:
        """Replace a pool that lost count. httpx 0.28 never gets back a connection whose request was cancelled between
        being given it and using it; calls in flight end on the old pool, which is closed after the last of them."""
        if pool.leaked:
            if self._pools.get(pool.origin) is pool:
                del self._pools[pool.origin]
            if pool.in_flight == 0:
                await pool.http.aclose()
        elif pool.in_flight == 0 and self._pools.get(pool.origin) is not pool:
            await pool.http.aclose()


@dataclass(slots=True, eq=False)
class _Pool:
    """The connections to one origin, and how many calls use them."""

    origin: str
    loop: asyncio.AbstractEventLoop
    http: httpx.AsyncHTTPTransport
    in_flight: int = 0

    @property
    def leaked(self) -> bool:
        # Not public in httpx, and gone in its successor, which has no leak.
        inner = getattr(self.http, "_pool", None)
        connections = getattr(inner, "connections", ())
        return sum(not (c.is_idle() or c.is_closed()) for c in connections) > self.in_flight


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
        broke = isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError)
        return reused and broke and time.perf_counter() - self.began_s < STALE_S

    @property
    def connect_s(self) -> float | None:
        """Seconds until the connection stood, TLS included; None when it stood already."""
        if "connect_tcp" not in self.timings_s:
            return None
        return self.timings_s["connect_tcp"] + self.timings_s.get("start_tls", 0.0)


class _Answer:
    """HTTPAnswer over an httpx response."""

    def __init__(self, response: httpx.Response, call: HTTPCall, trace: _Trace) -> None:
        self.status = response.status_code
        # Lower-case names; of repeated lines all values, joined as HTTP allows.
        self.headers: Mapping[str, str] = dict(response.headers.items())
        self.http_version = response.extensions.get("http_version", b"").decode("ascii", "replace")
        self.connect_s = trace.connect_s
        self.timings_s: Mapping[str, float] = trace.timings_s
        self.wire_bytes = 0
        self.body_bytes = 0
        self._call = call
        stream = response.stream
        assert isinstance(stream, httpx.AsyncByteStream)
        self._stream = stream
        self._parts = stream.__aiter__()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        encoding = self.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "", "gzip", "x-gzip"):
            raise Disconnected(
                f"{_host(self._call)} answered in the encoding {encoding[:40]}, which was not asked for.",
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
            raise Disconnected(f"The answer of {_host(self._call)} was damaged on its way: {damage}.") from None
        except Exception as error:
            _raise(error, self._call)

    async def drain(self) -> None:
        # What goes wrong here concerns nobody: the answer is whole, and a connection that is not read to its end is
        # closed, not reused.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(DRAIN_S):
                async for part in self._parts:
                    self.wire_bytes += len(part)

    async def aclose(self) -> None:
        with contextlib.suppress(Exception):  # closing a broken connection may fail; it is gone either way
            await self._stream.aclose()


def _host(call: HTTPCall) -> str:
    return urlsplit(call.url).netloc


def _proxy_for(origin: str) -> str | None:
    """The proxy that the environment (or the system) wants for this origin; never for this machine itself."""
    parts = urlsplit(origin)
    host = parts.hostname or ""
    if is_loopback(host) or urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def _raise(error: Exception, call: HTTPCall) -> NoReturn:
    """Raise our error for what the libraries below raised; a defect of our own stays what it is."""
    ours = _translated(error, call)
    if ours is None:
        raise error
    raise ours from error


def _translated(error: Exception, call: HTTPCall) -> DeepSeekError | None:
    host = _host(call)
    match error:
        case httpx.ConnectTimeout() | httpx.PoolTimeout():
            return ConnectTimeout(
                f"No connection to {host} within {call.connect_s:g} s.", hint="Check the network, or try again."
            )
        case httpx.ReadTimeout():
            return ReadTimeout(f"{host} sent nothing for {call.read_s:g} s.", deadline="read", hint="Try again.")
        case httpx.ConnectError():
            return _no_connection(error, host)
        case httpx.ProxyError():
            return Disconnected(f"The proxy on the way to {host} refused: {error}.", hint="Check the proxy settings.")
        case httpx.LocalProtocolError() | httpx.UnsupportedProtocol() | httpx.InvalidURL():
            return ConfigurationError(f"The request to {host} cannot be written in HTTP: {error}.")
        case httpx.RemoteProtocolError():
            return Disconnected(f"{host} closed the connection before its answer was whole.", hint="Try again.")
        case httpx.HTTPError() | httpx.StreamError() | OSError() | EOFError():
            return Disconnected(f"The connection to {host} broke ({_reason(error)}).", hint="Try again.")
    if type(error).__module__.partition(".")[0] in ("httpx", "httpcore", "h11", "h2", "hpack", "anyio", "socksio"):
        return Disconnected(f"The connection to {host} broke ({_reason(error)}).", hint="Try again.")
    return None


def _no_connection(error: Exception, host: str) -> Disconnected:
    for cause in _causes(error):
        match cause:
            case ssl.SSLCertVerificationError():
                return Disconnected(
                    f"The certificate of {host} is not trusted: {cause.verify_message}.",
                    hint="A proxy that opens TLS needs its certificate in SSL_CERT_FILE.",
                )
            case ssl.SSLError():
                return Disconnected(f"No secure connection to {host} ({cause.reason}).", hint="Is it https there?")
            case ConnectionRefusedError():
                return Disconnected(f"Nothing listens at {host}.", hint="Is the server running, and the port right?")
            case OSError() if type(cause).__name__ == "gaierror":
                return Disconnected(
                    f"The name {host} could not be resolved.", hint="Check the address and the network."
                )
    return Disconnected(f"No connection to {host} ({_reason(error)}).", hint="Check the network, or try again.")


def _causes(error: BaseException) -> list[BaseException]:
    """The error and everything below it, groups opened (happy eyeballs fails with one error for each address)."""
    found, waiting = [], [error]
    while waiting:
        one = waiting.pop(0)
        found.append(one)
        if isinstance(one, BaseExceptionGroup):
            waiting.extend(one.exceptions)
        below = one.__cause__ or one.__context__
        if below is not None and below not in found:
            waiting.append(below)
    return found


def _reason(error: BaseException) -> str:
    """The first words that say something, without the number that the operating system gives them."""
    texts = (_ERRNO.sub("", str(e)).strip().rstrip(".") for e in _causes(error))
    return next((text for text in texts if text), type(error).__name__)
