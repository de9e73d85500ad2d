"""What a sweep asks, as values: its trials, the units that one answer serves, and what becomes of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from ...protocol.errors import BudgetExceeded
from ..journal.reader import is_alive

TrialState = Literal["waiting", "running", "done", "failed", "unpaid"]
OPEN: Final = ("waiting", "failed", "unpaid")
"""The states of a trial that has no answer and on which nobody works."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrialUnit:
    """What is asked once: the trials that the same answer serves, the first of which stands for all. Equal only to itself.

    ``place``: which of the answers to its request it takes, oldest first.
    """

    digest: str
    base_url: str
    place: int
    trials: tuple[int, ...]
    setting: int


class TrialSeed(NamedTuple):
    """A trial as the plan has it: its place there, and what is asked where."""

    trial: int
    setting: int
    row: int
    repeat: int
    digest: str
    base_url: str


class TrialRow(NamedTuple):
    """A trial as the journal has it."""

    trial: int
    setting: int
    row: int
    repeat: int
    digest: str
    base_url: str
    state: TrialState
    round: int
    call_id: str | None
    reused: int
    why: str | None
    host: str | None
    pid: int | None
    seen_at: str | None

    @property
    def runs(self) -> bool:
        """Whether a living process works on it."""
        return self.state == "running" and leased(self.host, self.pid, self.seen_at)


def leased(host: str | None, pid: int | None, seen_at: str | None) -> bool:
    """Whether the process that has taken something is alive."""
    return host is not None and pid is not None and seen_at is not None and is_alive(host, pid, seen_at)


class Bill(NamedTuple):
    """What a call under way counts for, or what one has cost in the end: by currency, and how many parts of it are unknown."""

    call_id: str
    amounts: Mapping[str, Decimal]
    unknown: int = 0


class Verdict(NamedTuple):
    """What has become of a unit that this process worked on. ``bill``: of the call that it was claimed with."""

    unit: TrialUnit
    state: TrialState
    round: int
    call_id: str | None
    why: str | None = None
    bill: Bill | None = None


class Claim(NamedTuple):
    """A unit that this process wants to work on. ``states``: those in which it may be taken; ``bill``: its call, and what that
    may cost."""

    unit: TrialUnit
    states: tuple[str, ...]
    bill: Bill


class Claimed(NamedTuple):
    """The answer: whether it was taken, the state it was in, and the call that had begun to answer it, if any. ``refused``:
    there is no money for it at the moment."""

    taken: bool
    state: TrialState
    call_id: str | None = None
    refused: BudgetExceeded | None = None


def units_of(trials: Sequence[TrialSeed], *, each: bool, wanted: Callable[[int], bool]) -> list[TrialUnit]:
    """The units of the trials that are ``wanted``, in their order. With ``each`` equal requests of different rows are asked
    each, else once."""
    alike: dict[tuple[str, str], dict[tuple[int, int], None]] = defaultdict(dict)
    repeats = 1 + max((trial.repeat for trial in trials), default=0)
    units: dict[tuple[str, str, int], list[TrialSeed]] = defaultdict(list)
    for trial in trials:
        place, cells = trial.repeat, alike[trial.digest, trial.base_url]
        if each:
            cells.setdefault((trial.setting, trial.row))
            place += repeats * list(cells).index((trial.setting, trial.row))
        if wanted(trial.trial):
            units[trial.digest, trial.base_url, place].append(trial)
    return [
        TrialUnit(
            digest=digest,
            base_url=base_url,
            place=place,
            trials=tuple(trial.trial for trial in served),
            setting=served[0].setting,
        )
        for (digest, base_url, place), served in units.items()
    ]
