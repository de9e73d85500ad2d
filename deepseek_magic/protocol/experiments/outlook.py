"""What a plan would take, as values, and the plan as a person sees it: calls, price, and what could be seen.

The figures are made by ``policy.estimates`` and the session; here, because a plan carries them and shows itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from ...text.inline import code_span
from ...text.language import MOMENT
from ...text.messages import Message, localized, numbered
from ..measured import Cost

if TYPE_CHECKING:
    from .plan import Plan

MAX_NAMES: Final = 12
MAX_PROMPT_CHARS: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRange:
    """What all calls would cost together; each is None where it is not known.

    ``least``: every prompt from the cache and no answer. ``expected``: answers as long as earlier ones, nothing cached.
    ``most``: nothing cached and the longest answers.
    """

    least: Cost | None = None
    expected: Cost | None = None
    most: Cost | None = None


class OffPeak(NamedTuple):
    """The half tariff begins in ``waits_s`` seconds, 0 if it has begun, at ``begins``, and ends at ``ends`` (with time zones)."""

    waits_s: float
    begins: datetime
    ends: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What would happen if a plan were asked now.

    ``calls`` are sent; ``reused`` trials take an answer from the journal, ``shared`` ones that of an equal row. ``cost`` is
    of the tariff of the hour, ``other`` of DeepSeek's other one; None where there is none. ``peak`` tells which is which.
    ``unpriced`` calls have no known price and are left out of the costs. ``earlier`` answers are what the expected price was learnt from. ``visible`` is
    the difference of two settings' scores that the inputs can show. ``off_peak`` tells when a plan is asked that waits for it.
    """

    calls: int
    reused: int = 0
    shared: int = 0
    cost: CostRange = field(default_factory=CostRange)
    other: CostRange | None = None
    peak: bool | None = None
    unpriced: int = 0
    earlier: int = 0
    visible: float | None = None
    off_peak: OffPeak | None = None
    notices: tuple[Message | str, ...] = ()


def markdown(plan: Plan) -> str:
    """The plan as a small table. Names and prompts are shown as code, so nothing in them acts."""
    lines = [f"| **{localized(Message('Plan'))}** | {localized(_counts(plan))} |", "|---|---|"]
    for label, value in _rows(plan):
        shown = value if isinstance(value, Message) else tuple(code_span(_line(each), table=True) for each in value)
        lines.append(f"| {localized(label)} | {localized(shown) if isinstance(shown, Message) else ', '.join(shown)} |")
    notices = [localized(said) for said in plan.outlook.notices] if plan.outlook else []
    return "\n".join([*lines, *(f"\n{said}" for said in notices)])


def text(plan: Plan) -> str:
    """The same for a terminal, a line each."""
    rows = [(Message("Plan"), _counts(plan)), *_rows(plan)]
    lines = [
        Message(
            "{state}: {detail}",
            state=label,
            detail=value if isinstance(value, Message) else ", ".join(map(_line, value)),
        )
        for label, value in rows
    ]
    return "\n".join(localized(said) for said in (*lines, *(plan.outlook.notices if plan.outlook else ())))


def _counts(plan: Plan) -> Message:
    """``300 trials: 4 settings × 25 inputs × 3 repeats``, without what there is once."""
    counts = (
        (len(plan.settings), Message("{count} settings")),
        (len(plan.rows), Message("{count} inputs")),
        (plan.repeats, Message("{count} repeats")),
    )
    parts = [said.filled(count=f"{count:,}") for count, said in counts if count > 1]
    trials = numbered(len(plan), Message("1 trial"), Message("{count} trials"))
    if not parts:
        return trials
    product = parts[0]
    for part in parts[1:]:
        product = Message("{product} × {part}", product=product, part=part)
    return Message("{trials}: {product}", trials=trials, product=product)


def _rows(plan: Plan) -> Iterator[tuple[Message | str, Message | tuple[str, ...]]]:
    for axis in plan.axes:
        yield axis.name, _few(axis.names)
    if len(plan.templates) == 1:
        yield Message("prompt"), (plan.templates[0].text,)
    if plan.columns:
        yield Message("columns"), _few(plan.columns)
    if plan.scorers:
        yield Message("scores"), _few(tuple(scorer.name for scorer in plan.scorers))
    if plan.outlook is not None:
        yield from _taken(plan.outlook)


def _taken(outlook: Outlook) -> Iterator[tuple[Message, Message]]:
    calls = numbered(outlook.calls, Message("1 call"), Message("{count} calls"))
    if outlook.reused:
        more = numbered(
            outlook.reused,
            Message("{calls}; 1 answer is in the journal"),
            Message("{calls}; {count} answers are in the journal"),
        )
        calls = more.filled(calls=calls)
    if outlook.shared:
        more = numbered(
            outlook.shared,
            Message("{calls}; 1 trial takes the answer of an equal row"),
            Message("{calls}; {count} trials take the answer of an equal row"),
        )
        calls = more.filled(calls=calls)
    yield Message("to be sent"), calls
    if outlook.off_peak is not None and outlook.calls:
        yield Message("begins"), _beginning(outlook.off_peak)
    yield Message("price"), _price(outlook.cost, outlook)
    if outlook.other is not None:
        label = Message("price off-peak") if outlook.peak else Message("price at peak hours")
        yield label, _price(outlook.other, outlook)
    if outlook.visible is not None:
        points = f"{100 * outlook.visible:.0f}"
        yield (
            Message("can be seen"),
            Message(
                "differences of about {points} percentage points between the scores of two settings", points=points
            ),
        )


def _price(cost: CostRange, outlook: Outlook) -> Message:
    if not outlook.calls:
        return Message("nothing: every answer is in the journal") if outlook.reused else Message("nothing")
    if cost.least is None or cost.most is None:
        if not outlook.unpriced:
            return Message("unknown: the models are priced in several currencies")
        return numbered(
            outlook.unpriced,
            Message("unknown: the call has no known price"),
            Message("unknown: {count} calls have no known price"),
        )
    said = Message("at least {least}, at most {most}", least=cost.least.rounded, most=cost.most.rounded)
    if cost.expected is not None:
        about = numbered(
            outlook.earlier,
            Message("about {expected}, by 1 earlier answer; {bounds}"),
            Message("about {expected}, by {count} earlier answers; {bounds}"),
        )
        said = about.filled(expected=cost.expected.rounded, bounds=said)
    if outlook.unpriced:
        more = numbered(
            outlook.unpriced,
            Message("{price}; and 1 call of unknown price"),
            Message("{price}; and {count} calls of unknown price"),
        )
        said = more.filled(price=said)
    return said


def _beginning(off_peak: OffPeak) -> Message:
    """When a plan that is asked off-peak begins, and when peak hours will stop it."""
    ends = off_peak.ends.astimezone().strftime(MOMENT)
    if not off_peak.waits_s:
        return Message("now; it pauses at peak hours, next at {until}", until=ends)
    begins = Message("at {moment}, in {time}; it pauses at peak hours, next at {until}")
    moment = off_peak.begins.astimezone().strftime(MOMENT)
    return begins.filled(moment=moment, time=lasting(off_peak.waits_s), until=ends)


def lasting(seconds: float) -> Message:
    """A length of time as it is said in passing."""
    if seconds < 90:
        return Message("{seconds} s", seconds=f"{seconds:.0f}")
    minutes = round(seconds / 60)
    if minutes < 90:
        return Message("{minutes} min", minutes=minutes)
    return Message("{hours} h {minutes} min", hours=minutes // 60, minutes=minutes % 60)


def _few(names: tuple[str, ...]) -> tuple[str, ...]:
    return names if len(names) <= MAX_NAMES else (*names[: MAX_NAMES - 1], "…")


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_PROMPT_CHARS else f"{line[: MAX_PROMPT_CHARS - 1]}…"
