"""What a class allows: hours, models, lengths, settings, tools, sizes, money; each refusal names its rule.

Pure: what was asked, the time and what was spent come in as values, so a notebook's rails and the relay's lock say the same
sentence. Reading ``classroom.toml`` is ``engine.hosts.classroom``'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal

from ..protocol.errors import RuleBroken
from ..protocol.models import resolve_model
from ..protocol.options import OPTIONS_BY_NAME, Options
from ..text.messages import Message
from .budget import dollars

Period = Literal["day", "week", "course"]
PERIODS: Final[tuple[Period, ...]] = ("day", "week", "course")
Payer = Literal["student", "class"]
PAYERS: Final[tuple[Payer, ...]] = ("student", "class")

LOOK_AHEAD_DAYS: Final = 8
"""The next opening is looked for so far: hours of a week come again within it."""

DAY_NAMES: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY_MINUTES: Final = 24 * 60
_PAYERS_SAID: Final = {"student": Message("a student"), "class": Message("the class")}
_PERIODS_SAID: Final = {"day": Message("a day"), "week": Message("a week"), "course": Message("the course")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """One line of opening hours: on ``days`` of each week (0 is Monday), or on one ``day``. Minutes since midnight; the
    last is not part of it."""

    first_minute: int
    last_minute: int
    days: frozenset[int] = frozenset(range(7))
    day: date | None = None

    def on(self, day: date) -> bool:
        """Whether it is about that day."""
        return day == self.day if self.day is not None else day.weekday() in self.days

    def has(self, at: datetime) -> bool:
        """Whether ``at``, in the class's own time zone, lies in it."""
        return self.on(at.date()) and self.first_minute <= at.hour * 60 + at.minute < self.last_minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules of one class. What is absent is not ruled.

    ``max_tokens`` is the most a call may ask for, and what one without a limit is given. ``fixed`` are settings that have
    this value or are not given. ``budgets`` are US dollars, or the demo's, by who pays and for how long. ``at_once`` is
    how many calls of one student may run together, ``sweep_calls`` how many a sweep may have. ``share``: equal requests
    under way are one. ``keep``: whether a relay writes down texts or figures alone.
    """

    name: str = ""
    contact: str = ""
    notice: str = ""
    hours: tuple[Hours, ...] = ()
    models: tuple[str, ...] = ()
    max_tokens: int | None = None
    fixed: Options = field(default_factory=Options)
    tools: bool = True
    sweep_calls: int | None = None
    at_once: int = 4
    budgets: Mapping[tuple[Payer, Period], Decimal] = field(default_factory=dict)
    share: bool = True
    keep: Literal["figures", "texts"] = "figures"

    def broken(self, rule: str, message: Message) -> RuleBroken:
        """The refusal by this rule: the sentence, and whom to ask."""
        hint = Message("Ask {contact} if that is wrong.", contact=self.contact) if self.contact else ""
        name = self.name or Message("the class")
        said = Message("{what} (rule {rule} of {class_name}).", what=message, rule=rule, class_name=name)
        return RuleBroken(said, rule=rule, hint=hint)


def closed(rules: Rules, at: datetime) -> RuleBroken | None:
    """The refusal of a call at ``at`` (in the class's time zone), outside of the opening hours."""
    if not rules.hours or any(hours.has(at) for hours in rules.hours):
        return None
    following = opens(rules, at)
    said = Message("The class is closed now")
    if following is not None:
        said = Message("The class is closed now and opens on {when}", when=f"{following:%Y-%m-%d %H:%M}")
    return rules.broken("class.hours", said)


def opens(rules: Rules, at: datetime) -> datetime | None:
    """When the class opens next after ``at``; None when that is more than a week away."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    times = [
        (midnight + timedelta(days=ahead)).replace(hour=hours.first_minute // 60, minute=hours.first_minute % 60)
        for ahead in range(LOOK_AHEAD_DAYS)
        for hours in rules.hours
        if hours.on((midnight + timedelta(days=ahead)).date())
    ]
    return min((time for time in times if time > at), default=None)


def applied(rules: Rules, options: Options) -> Options:
    """The options as the class has them: what is fixed and was not given is filled in, the model and the length, too.

    Raises RuleBroken for what the class does not allow.
    """
    for name, value in rules.fixed.items():
        given = options.get(name)
        if given is not None and given != value:
            said = Message("{name} is fixed at {value}", name=name, value=_shown(value))
            raise rules.broken(f"fixed.{name}", said)
    options = options.replace(**rules.fixed)
    body = options.body()
    for name, value in rules.fixed.items():  # the fields of extra_body have the last word in a body
        if any(body.get(field) != sent for field, sent in OPTIONS_BY_NAME[name].body(value).items()):
            raise rules.broken(f"fixed.{name}", Message("{name} is fixed at {value}", name=name, value=_shown(value)))
    if not rules.tools and uses_tools(options):
        raise rules.broken("limits.tools", Message("Tools are not allowed"))
    if rules.models:
        model = options.get("model")
        if model is None:
            options = options.replace(model=rules.models[0])
        elif not allows(rules, model):
            allowed = ", ".join(rules.models)
            raise rules.broken(
                "models.allow", Message("{model} is not among the models {names}", model=model, names=allowed)
            )
    if rules.max_tokens is not None:
        asked = options.get("max_tokens")
        if asked is not None and asked > rules.max_tokens:
            said = Message("At most {most} is allowed for max_tokens, not {asked}", asked=asked, most=rules.max_tokens)
            raise rules.broken("limits.max_tokens", said)
        options = options.replace(max_tokens=asked or rules.max_tokens)
    return options


def allows(rules: Rules, model: str) -> bool:
    """Whether the class allows a model, by any of its names."""
    return not rules.models or resolve_model(model).id in {resolve_model(each).id for each in rules.models}


def uses_tools(options: Mapping[str, Any]) -> bool:
    """Whether a request offers functions to the model, in whatever field."""
    extra = options.get("extra_body") or {}
    return bool(options.get("tools") or extra.get("tools") or extra.get("functions"))


def too_large(rules: Rules, calls: int) -> RuleBroken | None:
    """The refusal of a sweep with more calls than the class allows."""
    if rules.sweep_calls is None or calls <= rules.sweep_calls:
        return None
    said = Message("The sweep has {calls} calls, and at most {most} are allowed", calls=calls, most=rules.sweep_calls)
    return rules.broken("limits.sweep_calls", said)


def too_many(rules: Rules, running: int) -> RuleBroken | None:
    """The refusal of one more call of a student who has so many under way."""
    if running < rules.at_once:
        return None
    return rules.broken("limits.at_once", Message("{count} of your calls are under way already", count=running))


def begins(period: Period, at: datetime) -> datetime | None:
    """When the period that ``at`` lies in began, in the time zone of ``at``; None for the whole course."""
    if period == "course":
        return None
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if period == "day" else midnight - timedelta(days=at.weekday())


def unaffordable(
    rules: Rules, payer: Payer, *, spent: Mapping[Period, Decimal], most: Decimal | None
) -> RuleBroken | None:
    """The refusal of a call that may cost ``most`` (None: nobody knows), where its payer has ``spent`` so much, or may still
    spend it for calls under way, in each period."""
    for period in PERIODS:
        cap = rules.budgets.get((payer, period))
        if cap is None:
            continue
        rule = f"budget.{payer}.{period}"
        if most is None:
            return rules.broken(rule, Message("The price of this model is not known, so no budget can count it"))
        used = spent.get(period, Decimal(0))
        if used + most > cap:
            said = Message(
                "The budget of {payer} for {period} does not allow it: {spent} used + up to {most} for this call > {cap}",
                payer=_PAYERS_SAID[payer],
                period=_PERIODS_SAID[period],
                spent=dollars(used),
                most=dollars(most),
                cap=dollars(cap),
            )
            return rules.broken(rule, said)
    return None


def never_back(wall: datetime, latest: datetime, passed: timedelta) -> datetime:
    """The time by which rules are applied: the clock's, but never less than ``passed`` after the ``latest`` that was seen.

    A clock that is set back opens no hours and begins no day anew, nor does it keep a class open for longer.
    """
    return max(wall, latest + passed)


def parse_hours(text: str) -> Hours | None:
    """A line such as ``Mon-Fri 08:00-18:00``, ``Sat,Sun 10:00-12:00``, ``2026-12-03 09:00-11:00`` or ``08:00-24:00``; None
    where it is none. A range of hours ends on its own day."""
    *days, times = text.split() or [""]
    minutes = [_minute(each) for each in times.split("-")]
    if len(days) > 1 or len(minutes) != 2 or None in minutes:
        return None
    first, last = minutes
    assert first is not None
    assert last is not None
    if not first < last:
        return None
    if not days:
        return Hours(first_minute=first, last_minute=last)
    try:
        return Hours(first_minute=first, last_minute=last, day=date.fromisoformat(days[0]))
    except ValueError:
        found = _weekdays(days[0])
        return Hours(first_minute=first, last_minute=last, days=found) if found else None


def _minute(text: str) -> int | None:
    hour, colon, minute = text.partition(":")
    if not (colon and hour.isascii() and hour.isdigit() and minute.isascii() and minute.isdigit() and len(minute) == 2):
        return None
    found = int(hour) * 60 + int(minute)
    return found if int(minute) < 60 and found <= _DAY_MINUTES else None


def _weekdays(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        ends = [DAY_NAMES.index(each.title()) for each in (first, last or first) if each.title() in DAY_NAMES]
        if len(ends) != 2:
            return frozenset()
        begin, end = ends
        found.update(day % 7 for day in range(begin, end + 1 + (7 if end < begin else 0)))
    return frozenset(found)


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
