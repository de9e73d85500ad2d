"""What a failure means: whether the same request may succeed later, and whether another server may do better.

Decided here once, from status, code, type and exception; recovery, failover, limiter and messages read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..protocol.errors import (
    CLASS_RULE,
    APIStatusError,
    ConnectTimeout,
    DeepSeekError,
    Disconnected,
    IncompleteStream,
    ReadTimeout,
)
from ..text.messages import Message


@dataclass(frozen=True, slots=True)
class Cause:
    """What an HTTP status means.

    ``passing``: the same request may succeed later. ``final``: not even the server's own x-should-retry changes that,
    because the request would fail again or cost money that is not there. ``account``: it concerns the key, not the
    request. ``words`` explain a status that is shown.
    """

    passing: bool = False
    final: bool = False
    account: bool = False
    words: Message | None = None


_STATUSES: Final[Mapping[int, Cause]] = {
    200: Cause(passing=True),  # an error object inside a stream
    400: Cause(final=True),
    401: Cause(final=True, account=True),
    402: Cause(final=True, account=True),
    403: Cause(final=True, account=True),
    404: Cause(final=True),
    405: Cause(final=True),
    408: Cause(passing=True, words=Message("time-out")),
    413: Cause(final=True),
    422: Cause(final=True),
    425: Cause(passing=True),
    429: Cause(passing=True, words=Message("too many requests")),
    500: Cause(passing=True, words=Message("server fault")),
    501: Cause(),
    502: Cause(passing=True, words=Message("bad gateway")),
    503: Cause(passing=True, words=Message("too busy")),
    504: Cause(passing=True, words=Message("gateway time-out")),
    505: Cause(),
}

_QUOTA_WORDS: Final = (
    "insufficient_quota",
    "insufficient balance",
    "free-models-per-day",
    "exceeded your current quota",
)


def cause_of(status: int | None) -> Cause:
    """The row of an HTTP status; None is no status at all."""
    status = status or 0
    return _STATUSES.get(status, Cause(passing=status >= 500))


def quota_exhausted(error: DeepSeekError | None) -> bool:
    """Whether the money or the day's share is used up: a 402, or a 429 that no waiting of seconds would cure."""
    if not isinstance(error, APIStatusError):
        return False
    words = f"{error.code} {error.type} {error.said}".lower()
    return error.status == 402 or (error.status == 429 and any(word in words for word in _QUOTA_WORDS))


def is_class_rule(error: DeepSeekError | None) -> bool:
    """Whether a relay refuses by a rule of its class: its sentence says all, and another request may be within the rules."""
    return isinstance(error, APIStatusError) and error.type == CLASS_RULE


def refuses_stream_options(error: DeepSeekError | None) -> bool:
    """Whether a server refuses the field that asks a stream for its usage: strict ones know no fields but their own."""
    refused = isinstance(error, APIStatusError) and error.status in (400, 422)
    return refused and "stream_options" in f"{error.said} {error.code}"  # type: ignore[union-attr]


def is_passing(error: DeepSeekError | None, *, status: int | None = None, should_retry: bool | None = None) -> bool:
    """Whether the same request may succeed later. ``should_retry`` is the server's own word (header x-should-retry).

    Without a status it is the network's failure, which passes unless the error says that it is ``permanent``.
    """
    if getattr(error, "permanent", False) or quota_exhausted(error):
        return False
    if status is None:
        return True
    cause = cause_of(status)
    if should_retry is None or cause.final:
        return cause.passing
    return should_retry


def burdens(status: int | None) -> bool:
    """Whether a repetition after this status burdens a server that is busy already."""
    return status is not None and (status == 429 or status >= 500)


def is_down(error: DeepSeekError | None) -> bool:
    """Whether another endpoint may do better: this one cannot be reached, is overloaded or broken, or has no quota left.

    A refused request or key would be refused by the next one too, or is the user's to repair.
    """
    if isinstance(error, APIStatusError):
        return burdens(error.status) or quota_exhausted(error)
    return isinstance(error, ConnectTimeout | Disconnected | IncompleteStream | ReadTimeout)


def status_of(error: DeepSeekError) -> int | None:
    """The HTTP status that an error is of, if it is of one."""
    return error.status if isinstance(error, APIStatusError) else None


def concerns_all(error: DeepSeekError) -> bool:
    """Whether no other request would fare better: the key is missing or refused, or there is no money."""
    status = status_of(error)
    return error.general or quota_exhausted(error) or (status is not None and cause_of(status).account)
