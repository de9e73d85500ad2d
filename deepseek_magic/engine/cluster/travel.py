"""What travels between the driver (the process that asks) and its workers, as values.

To a worker go requests, never a key: arguments of tasks are seen by the scheduler, its dashboard and its dumps. Back come
reports, several in one event. Times are seconds since the worker took the request: no two machines share a clock.
"""

from __future__ import annotations

import pickle
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ...policy.attempts import Ending
from ...protocol.errors import APIStatusError, DeepSeekError
from ...protocol.events import Event, Strategy
from ..calls import HTTPAnswer, HTTPCall
from ..hosts.endpoints import Endpoint

PLUGIN: Final = "deepseek-magic"
"""The name of the plugin of workers, and of the topic under which one that joins tells of itself."""
KEY: Final = "deepseek_magic_key"
"""By this a worker is asked, through the scheduler, for the digest of its key."""
CALL_OFF: Final = "deepseek_magic_call_off"
"""By this it is told to end single requests of a task whose others go on."""
_PRIVATE: Final = frozenset({"authorization", "cookie", "set-cookie"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One request. ``attempt`` is its own id, by which reports of another one are told apart; ``call_id`` names the call, for what
    is left where nobody takes it home. ``watched``: somebody waits for each piece."""

    attempt: str
    call_id: str
    call: HTTPCall
    endpoint: Endpoint
    strategy: Strategy
    watched: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The requests of one task. ``life`` is the plugin that it was meant for, so that no other process sends it again; ``driver``
    is the client that asks, and ``topic`` is where reports go."""

    driver: str
    life: str
    version: str
    topic: str
    errands: Sequence[Errand]

    def packed(self) -> bytes:
        """As it travels."""
        return pickle.dumps(self, protocol=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The headers are there. ``connect_s`` None: a kept connection was used."""

    status: int
    headers: Mapping[str, str]
    http_version: str
    connect_s: float | None
    timings_s: Mapping[str, float]
    error: APIStatusError | None

    @classmethod
    def of(cls, answer: HTTPAnswer, error: APIStatusError | None) -> Opened:
        """What of an answer's beginning is told."""
        return cls(
            status=answer.status,
            headers={name: value for name, value in answer.headers.items() if name.lower() not in _PRIVATE},
            http_version=answer.http_version,
            connect_s=answer.connect_s,
            timings_s=dict(answer.timings_s),
            error=error,
        )


@dataclass(frozen=True, slots=True)
class Pieces:
    """A network read's worth of events; of several reads where nobody waits for each."""

    events: list[Event]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The exchange is over. ``refused``: it was not even tried, and no other worker would do better."""

    ending: Ending | None = None
    anomalies: Sequence[str] = ()
    retry_s: float | None = None
    body_bytes: int = 0
    wire_bytes: int = 0
    read_every_s: float = 0.0
    refused: DeepSeekError | None = None


@dataclass(slots=True)
class Report:
    """What a worker says of an attempt, and when that was; of several reads, the last."""

    attempt: str
    at_s: float
    what: Opened | Pieces | Ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What a worker says of itself."""

    address: str
    name: str
    life: str
    version: str


def packed(reports: Sequence[Report | Hello]) -> bytes:
    """As they travel."""
    return pickle.dumps(reports, protocol=5)


def unpacked(data: bytes) -> Any:
    """What was packed."""
    return pickle.loads(data)


@dataclass(slots=True, kw_only=True)
class FarAnswer:
    """The answer as the driver knows it: its body is read where it comes in. See ``calls.HTTPAnswer``."""

    status: int
    headers: Mapping[str, str]
    http_version: str
    connect_s: float | None
    timings_s: Mapping[str, float] = field(default_factory=dict)
    body_bytes: int = 0
    wire_bytes: int = 0
    read_every_s: float = 0.0

    def leave_unread(self, at_most_s: float) -> None:
        """Nothing: its worker was told with the errand."""

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Nothing: see above."""
        if self.body_bytes < 0:
            yield b""

    async def drain(self) -> bool:
        """Nothing is left to be read here."""
        return True
