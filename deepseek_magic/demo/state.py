"""What the API knows while it runs: its settings, what it remembers, what it has seen. No sockets here."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypedDict

from .api.frames import Frame
from .api.ratelimit import RateLimit
from .api.sums import Draws
from .api.tokens import PrefixCache
from .faults.spec import Faults
from .wire.http import HTTPRequest
from .wire.pace import LIKE_A_MODEL, Pace

CONTROL_PATH: Final = "/_demo"
"""Where the demo itself is asked and switched; these requests are not noted."""

_KEPT_STREAMS: Final = 256
_SECRET_HEADERS: Final = frozenset(("authorization", "x-api-key", "cookie"))

Ids = Literal["resume", "inclusive", "replay", "ignore", "count"]


@dataclass(slots=True, kw_only=True)
class Seen:
    """One request as the server saw it. The key is not kept.

    ``ended``: "" while it runs, then done | fault | client left. ``connection`` counts from 1: equal numbers mean that a
    connection was used again. ``at_s`` and ``ended_at_s`` are the monotonic clock. ``events`` counts the events that went out whole. ``answer_id`` is the
    answer's own, ``usage`` the tokens that were read and written for it, also for one that broke off.
    """

    method: str
    path: str
    headers: dict[str, str]
    connection: int
    at_s: float
    body: Any = None
    trace_id: str = ""
    status: int = 0
    fault: str = ""
    events: int = 0
    answer_id: str = ""
    usage: dict[str, Any] = field(default_factory=dict)
    ended: str = ""
    ended_at_s: float | None = None
    allowed: str = ""
    """The origin of the web page that asks, where it may."""


class DemoSettings(TypedDict, total=False):
    """What ``DemoServer`` takes by name, for type checkers; see ``DemoState``."""

    key: str | None
    concurrency: int | None
    gzip: bool
    ids: Ids | None
    rate_limit: RateLimit | None
    retry_ms: int | None
    balance: float
    keep: int
    allow_origins: tuple[str, ...]


@dataclass(kw_only=True, eq=False, repr=False)
class DemoState:
    """The API above the sockets. Everything may be changed while it runs.

    fault        a spec (see ``faults``), or None
    pace         a factor on the pace of a real model (0: as fast as possible), or a ``Pace`` with exact times
    key          None accepts any key that is not empty; a text accepts that key alone
    concurrency  answers at once, above that 429 with the limit in its text; None: no limit
    gzip         compress streams for clients that offer it
    ids          None: no ids, as DeepSeek. "resume": events carry ids and Last-Event-ID with the same request
                 continues after that event; "inclusive" sends that event again, "replay" everything
                 again, "ignore" starts a new answer, "count" one whose ids begin with 1 again
    rate_limit   a RateLimit: headers of a chosen dialect, and 429 above its limit
    retry_ms     a ``retry:`` field on the first event
    keep         how many of the last requests stay in ``requests``
    allow_origins  web pages that may ask: their origins (scheme, host, port), or "*" for all
    balance      what GET /user/balance reports; 0 or less also answers 402 to chats
    """

    key: str | None = None
    concurrency: int | None = None
    gzip: bool = False
    ids: Ids | None = None
    rate_limit: RateLimit | None = None
    retry_ms: int | None = None
    balance: float = 110.0
    keep: int = 1_000
    allow_origins: tuple[str, ...] = ()
    faults: Faults = field(default_factory=Faults, init=False)
    requests: list[Seen] = field(default_factory=list, init=False)
    running: int = field(default=0, init=False)
    most_running: int = field(default=0, init=False)
    cache: PrefixCache = field(default_factory=PrefixCache, init=False)
    draws: Draws = field(default_factory=Draws, init=False)
    streams: OrderedDict[str, tuple[Any, list[Frame]]] = field(default_factory=OrderedDict, init=False)
    _pace: Pace = field(default=LIKE_A_MODEL, init=False)

    @property
    def pace(self) -> Pace:
        """How fast it answers; set a number to scale the pace of a real model."""
        return self._pace

    @pace.setter
    def pace(self, value: float | Pace) -> None:
        self._pace = value if isinstance(value, Pace) else LIKE_A_MODEL.scaled(value)

    @property
    def fault(self) -> str | None:
        """The fault in force, as a spec. Setting it restarts its counts. Raises ConfigurationError for a bad spec."""
        return self.faults.spec

    @fault.setter
    def fault(self, spec: str | None) -> None:
        self.faults = Faults(spec)
        self.on_fault()

    def on_fault(self) -> None:
        """Called when the fault was changed."""

    def see(self, request: HTTPRequest, connection: int) -> Seen:
        """Note a request, without its key."""
        origin = request.headers.get("origin", "")
        seen = Seen(
            method=request.method,
            path=request.path,
            headers={k: v for k, v in request.headers.items() if k not in _SECRET_HEADERS},
            connection=connection,
            at_s=time.monotonic(),
            trace_id=uuid.uuid4().hex,
            allowed=origin if origin in self.allow_origins or "*" in self.allow_origins else "",
        )
        if not request.path.startswith(CONTROL_PATH):
            self.requests.append(seen)
            del self.requests[: max(0, len(self.requests) - self.keep)]
        return seen

    def remember(self, id: str, body: Any, frames: list[Frame]) -> None:
        """Keep a stream, so that the same request can resume it."""
        self.streams[id] = body, frames
        while len(self.streams) > _KEPT_STREAMS:
            self.streams.popitem(last=False)

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """One more answer is being given."""
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            yield
        finally:
            self.running -= 1
