"""How far a sweep is, for whoever draws it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from .units import TrialState, TrialUnit


class Shut(NamedTuple):
    """No call may begin before ``until``, by the wall clock; that is in ``left_s`` seconds."""

    until: datetime
    left_s: float


class WorkerStanding(NamedTuple):
    """What a worker of a cluster does: how many requests it has open, and how many it has brought to their end."""

    name: str
    running: int
    done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepStanding:
    """How far a sweep is. ``states`` counts trials by setting and state, ``cost`` is by currency what this run has spent.
    ``elapsed_s`` leaves out the time for which it was ``shut``. ``workers`` is of a sweep on a cluster."""

    states: Mapping[tuple[int, TrialState], int]
    asked: int
    reused: int
    running: int
    cost: Mapping[str, Decimal]
    elapsed_s: float
    pause_s: float | None
    shut: Shut | None
    stopping: bool
    ended: bool
    workers: Sequence[WorkerStanding] = ()

    def count(self, state: TrialState, setting: int | None = None) -> int:
        """How many trials are in a state, of one setting or of all."""
        return sum(count for (of, each), count in self.states.items() if each == state and setting in (None, of))


class States:
    """The state of each unit as this process knows it, and how many trials of each setting are in which."""

    def __init__(self, units: Iterable[TrialUnit], began_as: Mapping[int, TrialState]) -> None:
        self.counts: Counter[tuple[int, TrialState]] = Counter()
        self._state: dict[int, TrialState] = {}
        for unit in units:
            state = self._state[unit.trials[0]] = began_as[unit.trials[0]]
            self.counts[unit.setting, state] += len(unit.trials)

    def __getitem__(self, unit: TrialUnit) -> TrialState:
        return self._state[unit.trials[0]]

    def __setitem__(self, unit: TrialUnit, state: TrialState) -> None:
        self.counts[unit.setting, self[unit]] -= len(unit.trials)
        self.counts[unit.setting, state] += len(unit.trials)
        self._state[unit.trials[0]] = state
