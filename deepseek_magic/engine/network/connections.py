"""The connections to one server: as many as calls run at once, the one used last taken first.

httpcore's pool looks at all its connections and all its waiting requests whenever a request begins or ends, which was
58 % of the CPU at 32 calls at once, and it loses connections whose request was cancelled (its issue 1093). So each call
has a connection of httpcore for itself, made by a pool and not held by one, and one that may have lost count is closed, not
kept. Only HTTP/2, where calls share a connection, has httpcore's pool around it.
"""

from __future__ import annotations

import asyncio
import functools
import os
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import httpcore

from ...protocol.errors import ConfigurationError
from ...text.messages import Message
from .loopback import Loopback
from .proxies import proxy_of
from .sockets import AsyncioBackend
from .ticks import Ticks

KEEPALIVE_S: Final = 120.0
"""Idle connections are kept so long; httpx's 5 s would make nearly every cell of a notebook a cold start."""
IDLE_CONNECTIONS: Final = 64

Carrier = httpcore.AsyncConnectionPool | httpcore.AsyncConnectionInterface
"""What takes a request and gives its response."""


def ssl_context() -> ssl.SSLContext:
    """The context of all connections: certifi's certificates, or those of ``SSL_CERT_FILE`` or ``SSL_CERT_DIR``, as most
    Python clients have it. Raises ConfigurationError where they cannot be read."""
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if path := os.environ.get(variable):
            return _trusting(variable, path)
    import certifi

    return _trusting("SSL_CERT_FILE", certifi.where())


@functools.cache
def _trusting(variable: str, path: str) -> ssl.SSLContext:
    """Reading the certificates takes some 20 ms, so once for each value of the variable: one set later counts too."""
    try:
        if variable == "SSL_CERT_FILE":
            return ssl.create_default_context(cafile=path)
        next(Path(path).iterdir(), None)  # OpenSSL says nothing of a folder that is not there, and trusts nobody then
        return ssl.create_default_context(capath=path)
    except OSError as error:  # an SSLError among them: a file that holds no certificate
        said = Message("{variable} names certificates that cannot be read: {path} ({reason}).")
        said = said.filled(variable=variable, path=path, reason=error.strerror or str(error))
        hint = Message("Correct the variable, or remove it: then the certificates of certifi are used.")
        raise ConfigurationError(said, hint=hint) from None


class Connections:
    """The connections to one origin, on one loop. ``http2`` lets calls share one where the server agrees. ``loopback`` is
    the network that the server is on, where it is none of sockets."""

    def __init__(
        self,
        origin: str,
        *,
        http2: bool = False,
        loopback: Loopback | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._origin = origin
        self._at = httpcore.URL(origin).origin
        self._http2 = http2
        self._loopback = loopback
        self._idle: list[tuple[float, httpcore.AsyncConnectionInterface]] = []
        self._shared: httpcore.AsyncConnectionPool | None = None
        self._users: dict[Carrier, int] = {}
        self._loop = asyncio.get_running_loop()
        self._ticks = Ticks(self._loop)
        self._clock = clock

    @property
    def here(self) -> bool:
        """Whether they belong to the loop that runs."""
        return self._loop is asyncio.get_running_loop()

    async def take(self, *, fresh: bool = False) -> Carrier:
        """Borrow what carries one request, with a new connection if it is to be ``fresh``; return it with ``give_back``."""
        carrier: Carrier
        if self._http2:
            carrier = self._new() if fresh else self._shared or self._new()
            self._shared = self._shared if fresh else carrier
        else:
            carrier = (None if fresh else await self._kept()) or self._new().create_connection(self._at)
        self._users[carrier] = self._users.get(carrier, 0) + 1
        return carrier

    async def _kept(self) -> httpcore.AsyncConnectionInterface | None:
        """The connection that was used last and still stands."""
        while self._idle:
            _, connection = self._idle.pop()
            if connection.is_available() and not connection.has_expired():
                return connection
            await connection.aclose()
        return None

    async def give_back(self, carrier: Carrier, *, sound: bool) -> None:
        """The request is over. What is not ``sound`` is used no more, and closed after its last request."""
        users = self._users.pop(carrier, 1) - 1
        if not sound and self._shared is carrier:
            self._shared = None
        if users:
            self._users[carrier] = users
        elif sound and not isinstance(carrier, httpcore.AsyncConnectionPool) and carrier.is_available():
            self._idle.append((self._clock(), carrier))
        elif self._shared is not carrier:
            await carrier.aclose()
        long_ago_s = self._clock() - KEEPALIVE_S
        while self._idle and (self._idle[0][0] < long_ago_s or len(self._idle) > IDLE_CONNECTIONS):
            await self._idle.pop(0)[1].aclose()

    async def aclose(self) -> None:
        """Close them all, those in use included."""
        carriers = {*(kept for _, kept in self._idle), *self._users, *filter(None, (self._shared,))}
        self._idle, self._shared = [], None
        for carrier in carriers:
            await carrier.aclose()

    def _new(self) -> httpcore.AsyncConnectionPool:
        proxy = proxy_for(self._origin)
        # Nothing ever speaks TLS to an http origin; an empty context trusts nobody and costs nothing.
        plain = self._origin.startswith("http:")
        try:
            return httpcore.AsyncConnectionPool(
                ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else ssl_context(),
                proxy=None if proxy is None else _proxy(proxy),
                # No upper bound: how many calls run is the limiter's business.
                max_connections=None,
                max_keepalive_connections=IDLE_CONNECTIONS,
                keepalive_expiry=KEEPALIVE_S,
                http2=self._http2,
                network_backend=AsyncioBackend(self._loopback, self._ticks),
            )
        except (ValueError, TypeError) as error:
            known = proxy_of(self._origin)
            raise ConfigurationError(
                Message("The proxy for {host} cannot be used: {error}.", host=self._origin, error=error.args[0]),
                hint=Message("Correct {variable}.", variable=known.variable) if known and known.variable else "",
            ) from None


def _proxy(address: str) -> httpcore.Proxy:
    parts = urlsplit(address)
    if not parts.hostname:
        raise ValueError(Message("it names no host"))
    if parts.scheme not in ("http", "https", "socks5", "socks5h"):
        raise ValueError(Message("it begins with {scheme}:, not with http:, https: or socks5:", scheme=parts.scheme))
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    at = f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")
    auth = None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
    return httpcore.Proxy(at, auth=auth, ssl_context=ssl_context() if parts.scheme == "https" else None)


def proxy_for(origin: str) -> str | None:
    """The address of the proxy for this origin; None where it is asked directly. See ``proxies``."""
    found = proxy_of(origin)
    return None if found is None else found.address
