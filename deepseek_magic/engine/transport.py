"""The transport: a call becomes an httpx request, an httpx response becomes an answer. The only importer of httpx.

Requests go straight to a transport of ours (``engine.network``), because httpx's own costs more for each token than all
the rest of the engine. httpx's client stands nowhere between: it would look for cookies, redirects, credentials and hooks
that no call has, more than a hundredth of all that a short one costs.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

import httpcore
import httpx

from .. import __version__
from ..protocol.errors import ConfigurationError, Disconnected
from ..text.messages import Message
from .calls import DRAIN_S, HTTPAnswer, HTTPCall, Transport, bearer
from .hosts.warmth import Warmth, knock, origin_of
from .network.exchange import Exchange, Network
from .network.failures import raise_ours, said_by_server
from .network.inflate import Damaged, EndsEarly, Inflater
from .network.loopback import Loopback

__all__ = ["DRAIN_S", "HTTPAnswer", "HTTPCall", "HTTPXTransport", "Transport"]

WRITE_S: Final = 30.0
LARGEST_PORT: Final = 65535
_USER_AGENT: Final = f"deepseek-magic/{__version__}"


class HTTPXTransport:
    """Transport over httpx: connections are kept for each origin. Belongs to the loop that it is used on.

    ``http2`` uses HTTP/2 where the server offers it (extra "http2"; raises ConfigurationError there without it).
    ``gzip`` offers compression also for streams; gateways that compress tend to deliver in bursts. ``keep_warm_s`` pings
    an idle connection that often (see ``warmth``); None never. ``loopback`` is a network inside this process, asked
    instead of that of the machine.
    """

    def __init__(
        self,
        *,
        http2: bool = False,
        gzip: bool = False,
        keep_warm_s: float | None = None,
        loopback: Loopback | None = None,
    ) -> None:
        self._encodings = "gzip" if gzip else "identity"
        self._network = Network(http2=http2, loopback=loopback)
        self._below = _Below(self._network)
        self._warmth = Warmth(self._ping, keep_warm_s)

    def open(self, call: HTTPCall) -> AbstractAsyncContextManager[HTTPAnswer]:
        """See Transport. A kept connection that proves dead before any answer is replaced without a word."""
        return _Opened(self._sent, call, self._warmth.used(origin_of(call.url)))

    def _opened(self, call: HTTPCall) -> AbstractAsyncContextManager[HTTPAnswer]:
        return _Opened(self._sent, call, contextlib.nullcontext())

    async def _sent(self, call: HTTPCall) -> httpx.Response:
        request = self._request(call)
        try:
            return await self._below.handle_async_request(request)
        except Exception as error:
            raise_ours(error, call)

    async def warm_up(self, url: str) -> float | None:
        """Connect to the server of ``url`` before anything is asked, within ``KNOCK_S``. The connection's seconds;
        None when one was there already or the server cannot be reached. Sends ``HEAD /`` without a key."""
        answer = await knock(self.open, origin_of(url))
        return None if answer is None else answer.connect_s

    async def _ping(self, origin: str) -> bool:
        answer = await knock(self._opened, origin)
        return answer is not None and answer.connect_s is None

    @property
    def keep_warm_s(self) -> float | None:
        """Seconds between the pings of an idle connection. A change holds from the next call on."""
        return self._warmth.every_s

    @keep_warm_s.setter
    def keep_warm_s(self, every_s: float | None) -> None:
        self._warmth.set(every_s)

    async def aclose(self) -> None:
        """Close every connection. The transport can be used again; it then opens new ones."""
        await self._warmth.aclose()
        await self._network.aclose()

    def _request(self, call: HTTPCall) -> httpx.Request:
        url, body = _parsed(call.url), call.body or b""
        headers = {"User-Agent": _USER_AGENT, "accept": "*/*", "Accept-Encoding": self._encodings, **call.headers}
        headers = {"Host": url.netloc.decode("ascii"), **bearer(call), **headers}
        if body or call.method == "POST":
            headers["Content-Length"] = str(len(body))
        times = {"connect": call.connect_s, "read": call.read_s, "write": WRITE_S, "pool": call.connect_s}
        try:
            written = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
        except UnicodeEncodeError:
            why = Message("a header has characters that none may have")
            raise ConfigurationError(
                Message("The request to {host} cannot be written in HTTP: {error}.", host=call.host, error=why)
            ) from None
        # A stream, because httpx would look through the headers several times for those that a body needs.
        return httpx.Request(
            call.method,
            url,
            headers=written,
            stream=httpx.ByteStream(body),
            extensions={"fresh": call.fresh, "timeout": times},
        )


@functools.lru_cache(maxsize=64)
def _parsed(url: str) -> httpx.URL:
    """Reading an address costs as much as a tenth of all that a short call needs, and most calls go where others went.
    Raises ConfigurationError for what is no address of a server."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise _no_address(url, str(error)) from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise _no_address(url, Message("it does not begin with http:// or https:// and a host"))
    if (parsed.port or 0) > LARGEST_PORT:
        raise _no_address(url, Message("no port is above {limit}", limit=LARGEST_PORT))
    return parsed


def _no_address(url: str, why: Message | str) -> ConfigurationError:
    said = Message("{url} is no address of a server: {why}.", url=url[:200], why=why)
    return ConfigurationError(said, hint=Message("Check the base URL."))


class _Below(httpx.AsyncBaseTransport):
    """Where requests go. The exchange goes along in its response, so that the body can be read without the generators that
    httpx puts around it: one that is left in the middle would be closed at some later time."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See httpx.AsyncBaseTransport."""
        url = request.url
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        extensions = dict(request.extensions)
        below = httpcore.Request(
            request.method, target, headers=request.headers.raw, content=request.stream, extensions=extensions
        )
        exchange = await self._network.send(below, f"{url.scheme}://{url.netloc.decode('ascii')}")
        below_it = exchange.response
        return httpx.Response(
            below_it.status, headers=below_it.headers, stream=_Unread(), extensions={"exchange": exchange}
        )


class _Unread(httpx.AsyncByteStream):
    """The body as httpx sees it: the exchange's reader reads it instead."""


@dataclass
class _Opened(AbstractAsyncContextManager[HTTPAnswer]):
    """An exchange for as long as somebody reads it; ``around`` encloses all of it. No generator: a loop that ends
    closes all of its generators at once, whichever waits for which."""

    send: Callable[[HTTPCall], Awaitable[httpx.Response]]
    call: HTTPCall
    around: AbstractContextManager[None]

    async def __aenter__(self) -> HTTPAnswer:
        with contextlib.ExitStack() as inside:
            inside.enter_context(self.around)
            response = await self.send(self.call)
            self._exchange: Exchange = response.extensions["exchange"]
            self._leave = inside.pop_all()
        return _Answer(response, self._exchange, self.call)

    async def __aexit__(self, *raised: Any) -> None:
        try:
            await self._exchange.aclose()
        finally:
            self._leave.__exit__(*raised)


class _Answer:
    """HTTPAnswer over an exchange."""

    def __init__(self, response: httpx.Response, exchange: Exchange, call: HTTPCall) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = dict(response.headers.items())
        version: bytes = exchange.response.extensions.get("http_version", b"HTTP/1.1")
        self.http_version = version.decode("ascii", "ignore")
        self.connect_s = exchange.connect_s
        self.timings_s = exchange.timings_s
        self._exchange = exchange
        self.wire_bytes = 0
        self.body_bytes = 0
        self._call = call
        self._encoding = self.headers.get("content-encoding", "identity").strip().lower()
        self._inflater = Inflater() if self._encoding in ("gzip", "x-gzip") else None

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        inflater = self._inflater
        if inflater is None and self._encoding not in ("identity", ""):
            values = {"host": self._call.host, "name": said_by_server(self.headers["content-encoding"])[:40]}
            sentence = Message("{host} answered in the encoding {name}, which was not asked for.", **values)
            raise Disconnected(sentence, hint=Message("A proxy on the way may be changing answers."))
        try:
            async for part in self._exchange.parts:
                self.wire_bytes += len(part)
                for piece in (part,) if inflater is None else inflater.feed(part):
                    self.body_bytes += len(piece)
                    yield piece
            if inflater is not None:
                inflater.close()
        except Damaged as damage:
            values = {"host": self._call.host, "reason": damage.args[0]}
            if isinstance(damage, EndsEarly):
                said = Message("The answer of {host} broke off: {reason}.", **values)
                raise Disconnected(said, how="early") from None
            said = Message("The answer of {host} was damaged in transit: {reason}.", **values)
            raise Disconnected(said, how="damaged") from None
        except Exception as error:
            raise_ours(error, self._call)

    @property
    def read_every_s(self) -> float:
        return self._exchange.read_every_s

    def leave_unread(self, at_most_s: float) -> None:
        self._exchange.leave_unread(at_most_s)

    async def drain(self) -> bool:
        self._exchange.leave_unread(0.0)
        # The answer is whole, whatever comes now, and a connection that is not read to its end is closed, not reused.
        inflater = self._inflater
        try:
            if inflater is not None:
                self.body_bytes += sum(map(len, inflater.feed(b"")))
            async with asyncio.timeout(DRAIN_S):
                async for part in self._exchange.parts:
                    self.wire_bytes += len(part)
                    if inflater is not None:
                        self.body_bytes += sum(map(len, inflater.feed(part)))
                if inflater is not None:
                    inflater.close()
        except Damaged:
            return False
        except Exception:
            return True
        return True
