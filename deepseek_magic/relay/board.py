"""Who asks now, who waits, and what became of what was asked: what a teacher looks at.

Figures alone: no word of a question or an answer is here.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from .file import RelayFile
from .flight import Flight
from .refusals import Refusal

STUCK_S: Final = 15.0
"""A reader who has taken nothing for so long is dropped; the id that they had brings them back."""
BEHIND_BYTES: Final = 2**20
BEHIND_S: Final = 1.0
"""And one who is so far behind, after so long."""

LEFT: Final = 499
"""What servers note, by custom, for a client that left before the end."""

State = Literal["idle", "waiting", "reading"]
_IDLE: State = "idle"


@dataclass(slots=True, kw_only=True, eq=False)
class Visit:
    """One request of one student, while it is answered. ``sending_s`` is since when its reader has not taken what was sent,
    in the monotonic clock."""

    student: str
    flight: Flight
    shared: bool
    began_s: float = field(default_factory=time.monotonic)
    sending_s: float | None = None
    taken_bytes: int = 0
    drop: Callable[[], None] = lambda: None

    def is_stuck(self, now_s: float) -> bool:
        """Whether its reader holds a connection without taking anything."""
        if self.sending_s is None:
            return False
        for_s = now_s - self.sending_s
        return for_s > STUCK_S or (for_s > BEHIND_S and self.flight.bytes - self.taken_bytes > BEHIND_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardLine:
    """One student on the board. ``for_s`` is how long they have been waiting or reading, or since their last call ended."""

    name: str
    state: State
    for_s: float | None
    asked: int
    shared: int
    failed: int
    refused: int
    rule: str


class Board:
    """The state of a class, and its rows in the relay's file."""

    def __init__(self, file: RelayFile) -> None:
        self._file = file
        self.visits: set[Visit] = set()
        self.asked: Counter[str] = Counter()
        self.shared: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.rules: Counter[str] = Counter()
        self.upstream = 0
        """Flights that were sent to the provider since the relay began."""
        self.dropped = 0
        self.resumed = 0
        self._last_rule: dict[str, str] = {}
        self._last_s: dict[str, float] = {}
        self._rows: list[tuple[object, ...]] = []

    def enter(self, visit: Visit, *, again: bool) -> None:
        """A student's request is answered from now on; ``again``: they were cut off, and it is the same call."""
        self.visits.add(visit)
        if again:
            self.resumed += 1
        else:
            self.asked[visit.student] += 1
            self.shared[visit.student] += visit.shared

    def leave(self, visit: Visit, status: int) -> None:
        """It is over."""
        self.visits.discard(visit)
        now_s = self._last_s[visit.student] = time.monotonic()
        self.failed[visit.student] += status >= 400 and status != LEFT
        flight = visit.flight
        values = (flight.nonce, flight.model, int(visit.shared), status, None, flight.chars, now_s - visit.began_s)
        self._rows.append((time.time(), visit.student, *values))

    def refuse(self, student: str, status: int, rule: str, model: str = "") -> None:
        """A request was refused by a rule, or as no request at all."""
        self.refused[student] += 1
        self.rules[rule] += 1
        self._last_rule[student] = rule
        self._last_s[student] = time.monotonic()
        self._rows.append((time.time(), student, None, model or None, 0, status, rule, 0, 0.0))

    async def keep(self) -> None:
        """Write down what has ended since the last time."""
        rows, self._rows = self._rows, []
        if not rows:
            return

        def work() -> None:
            with self._file.transaction() as connection:
                connection.executemany(_CALL, rows)

        try:
            await self._file.apart(work)
        except Refusal:  # the next time, then
            self._rows = rows + self._rows
            raise

    def drop_the_stuck(self) -> None:
        """Drop readers who take nothing."""
        now_s = time.monotonic()
        for visit in [visit for visit in self.visits if visit.is_stuck(now_s)]:
            self.dropped += 1
            visit.drop()

    def flights_of(self, student: str) -> set[str]:
        """The flights that a student has under way."""
        return {
            visit.flight.nonce for visit in self.visits if visit.student == student and not visit.flight.over.is_set()
        }

    def lines(self) -> list[BoardLine]:
        """A line for each student who asked since the relay began: those who wait first, then by name."""
        now_s = time.monotonic()
        busy: dict[str, Visit] = {}
        for visit in sorted(self.visits, key=lambda visit: (visit.flight.has_pieces, visit.began_s), reverse=True):
            busy[visit.student] = visit
        lines = []
        for name in {*self.asked, *self.refused}:
            since_s, state = self._last_s.get(name), _IDLE
            if (now := busy.get(name)) is not None:
                state, since_s = ("reading" if now.flight.has_pieces else "waiting"), now.began_s
            lines.append(
                BoardLine(
                    name=name,
                    state=state,
                    for_s=None if since_s is None else now_s - since_s,
                    asked=self.asked[name],
                    shared=self.shared[name],
                    failed=self.failed[name],
                    refused=self.refused[name],
                    rule=self._last_rule.get(name, ""),
                )
            )
        return sorted(lines, key=lambda line: (_ORDER[line.state], line.name.casefold()))


_ORDER: Final = {"waiting": 0, "reading": 1, "idle": 2}
_CALL: Final = """
    INSERT INTO calls (at, student, flight, model, shared, status, rule, chars, seconds) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
