"""One worker of a cluster, as the driver knows it, and the tasks that it was given.

A task of Dask's costs more than a request, and requests become ready together: answers come home several at a time. So those
that become ready within a moment go to their worker as one task.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..hosts.endpoints import Endpoint

if TYPE_CHECKING:
    from .attempt import FarAttempt

GATHER_S: Final = 0.005
"""So long the first of several waits for the others."""
NAMED: Final = 4
"""So many trials are named by the key of their task; of more than that, how many they are."""


@dataclass(slots=True, eq=False)
class Member:
    """A worker: its address, what it is called, which process it is, and how many requests it has and had. ``accounts`` are the
    digests of its keys, as far as it was asked; ``ready`` is what it is about to be sent."""

    address: str
    name: str
    life: str
    running: int = 0
    done: int = 0
    accounts: dict[Endpoint, str] = field(default_factory=dict)
    ready: list[FarAttempt] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Task:
    """Requests that were sent together. ``given_up`` are those that their worker has not yet been told to end."""

    member: Member
    future: Any
    attempts: set[str]
    given_up: list[str] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Placed:
    """An attempt with its worker, and with its task once it was sent."""

    attempt: FarAttempt
    member: Member
    task: Task | None = None


def key_of(attempts: list[FarAttempt]) -> str:
    """What a task is called: a sweep, the trials, and what no other task has."""
    numbers = [str(each.number) for each in attempts]
    if len(numbers) > NAMED:
        numbers = [*numbers[: NAMED - 1], "and", str(len(numbers) - NAMED + 1), "more"]
    return "-".join((attempts[0].label, *numbers, uuid.uuid4().hex[:8]))
