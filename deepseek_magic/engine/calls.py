"""The seam: a call goes in, an answer comes out. Recording and replay are other objects with these three methods."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import urlsplit

from .hosts.endpoints import Endpoint
from .hosts.keys import Key

DRAIN_S: Final = 0.1
"""After the end of a stream the body's own end is waited for so long: without it the connection cannot be used again."""

UNREAD_SOON_S: Final = 0.05
"""So long may be left unread what somebody looks at who sees no single piece: not longer than a view holds text back."""
UNREAD_S: Final = 0.5
"""The same where nobody looks before the end."""

_PLACEHOLDER_KEY: Final = "no-key"
"""Local servers want a bearer, not a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPCall:
    """One request. ``key`` becomes the Authorization header on the wire only; ``headers`` never hold a secret.

    ``fresh`` asks for a new connection, which can be timed. ``place`` is whom it asks, where that is known. ``skip`` puts the
    clock of the call forward by so many seconds, for a transport that does not wait as long as it says.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    key: Key | None = None
    connect_s: float | None = 30.0
    read_s: float | None = 120.0
    fresh: bool = False
    place: Endpoint | None = None
    skip: Callable[[float], None] | None = None

    @property
    def host(self) -> str:
        """The server that is asked, with its port when that was named."""
        return urlsplit(self.url).netloc


def bearer(call: HTTPCall) -> dict[str, str]:
    """The header with the key. A key enters a request here and nowhere else."""
    if call.method == "HEAD":  # a knock asks for nothing that a key would be needed for
        return {}
    return {"Authorization": f"Bearer {call.key.reveal() if call.key else _PLACEHOLDER_KEY}"}


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

    @property
    def wire_bytes(self) -> int:
        """See above."""

    @property
    def body_bytes(self) -> int:
        """See above."""

    @property
    def read_every_s(self) -> float:
        """The longest time between two reads that was not the network's doing; 0.0 where all was read as it came."""

    def leave_unread(self, at_most_s: float) -> None:
        """Nobody waits for each piece of the body any more: what comes may be left unread so long, and read more at once."""

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body, a network read at a time; once. Raises TransportError when it breaks off, early end included."""

    async def drain(self) -> bool:
        """Read the rest of a body nobody needs, at most ``DRAIN_S`` seconds, so that the connection can be kept. False
        when what came of it was damaged: a wrong checksum, a compressed body that ends early."""


class Transport(Protocol):
    """What carries calls. A class that derives from it has to write ``open`` alone."""

    def open(self, call: HTTPCall) -> AbstractAsyncContextManager[HTTPAnswer]:
        """Send ``call`` and wait for the headers. Raises TransportError; never for a status. Leaving the context closes
        the connection unless the body was read to its end."""
        raise NotImplementedError

    async def warm_up(self, url: str) -> float | None:
        """Connect to the server of ``url`` before anything is asked. The connection's seconds, None when none was made."""
        return None

    async def aclose(self) -> None:
        """Close every connection."""
