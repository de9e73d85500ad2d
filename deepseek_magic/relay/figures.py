"""The figures of a class at this moment: as values for the teacher's page, and as text for Prometheus."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from ..policy.rules import PERIODS, Period
from .accounts import CLASS, UsedMoney
from .board import BoardLine
from .service import ClassService

_CURRENCIES: Final = ("USD", "demo USD")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that is told. ``alone`` is what the students were charged together; ``left`` the share of the tightest budget of
    each student that is left (absent where there is none)."""

    stopped: bool
    waiting: int
    reading: int
    flights: int
    upstream: int
    asked: int
    shared: int
    resumed: int
    dropped: int
    failed: int
    refused: int
    currency: str
    account: UsedMoney
    alone: Decimal
    spent: dict[str, Decimal]
    left: dict[str, float]
    lines: list[BoardLine]


async def snapshot(service: ClassService) -> Snapshot:
    """The figures now. The currency is the one that was spent, or else dollars."""
    board = service.board
    lines = board.lines()
    accounts = await service.accounts.everybody(service.clock.now())
    currency = next((each for each in _CURRENCIES[::-1] if any(key[1] == each for key in accounts)), _CURRENCIES[0])
    account = accounts.get((CLASS, currency)) or service.accounts.nothing(CLASS)
    students = {payer: each for (payer, of), each in accounts.items() if of == currency and payer != CLASS}
    spent = {name: each.used["course"] for name, each in students.items()}
    shares = {line.name: share_left(students.get(line.name) or service.accounts.nothing(line.name)) for line in lines}
    left = {name: share for name, share in shares.items() if share is not None}
    busy = [line.state for line in lines]
    return Snapshot(
        stopped=service.stopped,
        waiting=busy.count("waiting"),
        reading=busy.count("reading"),
        flights=sum(not flight.over.is_set() for flight in service.flights.values()),
        upstream=board.upstream,
        asked=board.asked.total(),
        shared=board.shared.total(),
        resumed=board.resumed,
        dropped=board.dropped,
        failed=board.failed.total(),
        refused=board.refused.total(),
        currency=currency,
        account=account,
        alone=sum(spent.values(), Decimal(0)),
        spent=spent,
        left=left,
        lines=lines,
    )


_METRICS: Final = (
    ("students_waiting", "gauge", "Students who wait for a first word."),
    ("students_reading", "gauge", "Students who are given an answer."),
    ("flights", "gauge", "Answers of the provider under way."),
    ("upstream_calls_total", "counter", "Calls that were sent to the provider."),
    ("calls_total", "counter", "Calls of students."),
    ("calls_shared_total", "counter", "Calls of students that needed none of the provider."),
    ("resumes_total", "counter", "Readers who came back by their id."),
    ("readers_dropped_total", "counter", "Readers who took nothing."),
    ("calls_failed_total", "counter", "Calls of students that ended in an error."),
    ("calls_refused_total", "counter", "Calls that a rule refused."),
)


def metrics(found: Snapshot) -> str:
    """Prometheus' text format, version 0.0.4."""
    values = [found.waiting, found.reading, found.flights, found.upstream, found.asked, found.shared]
    values += [found.resumed, found.dropped, found.failed, found.refused]
    lines = []
    for (name, kind, says), value in zip(_METRICS, values, strict=True):
        whole = f"deepseek_relay_{name}"
        lines += [f"# HELP {whole} {says}", f"# TYPE {whole} {kind}", f"{whole} {value}"]
    whole = "deepseek_relay_spent"
    lines += [f"# HELP {whole} What the class has used of its money.", f"# TYPE {whole} gauge"]
    lines += [
        f'{whole}{{period="{period}",currency="{found.currency}"}} {found.account.used[period]:f}' for period in PERIODS
    ]
    return "\n".join((*lines, ""))


def tightest(account: UsedMoney) -> tuple[Period, Decimal, Decimal] | None:
    """The budget of which least is left: its period, what is used, and of how much; None where there is none."""
    capped = [(period, account.used[period], cap) for period in PERIODS if (cap := account.caps[period]) is not None]
    return min(capped, key=lambda each: each[2] - each[1], default=None)


def share_left(account: UsedMoney) -> float | None:
    """How much is left of the budget that is used up most, from 0 to 1; None where there is none."""
    shares = [
        1 - float(account.used[period] / cap) if cap else 0.0
        for period in PERIODS
        if (cap := account.caps[period]) is not None
    ]
    return max(0.0, min(shares)) if shares else None
