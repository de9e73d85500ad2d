"""``classroom.toml`` → the rules of a class; one file for students' notebooks and for the relay.

Everything in it is checked when it is read, and an error names the line and the field: a rule with a slip in its name would
be none, and nobody would notice before the end of the course.
"""

from __future__ import annotations

import dataclasses
import os
import re
import tomllib
import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from ...policy.pricing import Price
from ...policy.rules import PAYERS, PERIODS, Hours, Rules, parse_hours
from ...protocol.errors import ConfigurationError
from ...protocol.options import OPTIONS, Options, closest
from ...text.messages import Message

CLASSROOM_VARIABLE: Final = "DEEPSEEK_MAGIC_CLASSROOM"
SYSTEM_FILE: Final = Path("/etc/deepseek-magic/classroom.toml")

_REQUEST: Final = tuple(option.name for option in OPTIONS if option.scope == "request")
_PRICE_FIELDS: Final = ("input", "cached", "output")


@dataclass(frozen=True, slots=True, kw_only=True)
class Classroom:
    """The rules, the time zone in which their hours and days are meant (None: this machine's), and prices that the table
    of the package does not have. ``teachers`` are the names of JupyterHub users who may see the class, ``teacher_groups`` groups there
    whose members may."""

    rules: Rules = field(default_factory=Rules)
    zone: tzinfo | None = None
    prices: tuple[Price, ...] = ()
    teachers: tuple[str, ...] = ()
    teacher_groups: tuple[str, ...] = ()

    def local(self, at: datetime) -> datetime:
        """A time in the class's zone."""
        return at.astimezone(self.zone)


def of_environment() -> Classroom | None:
    """The class of this machine: the file that ``DEEPSEEK_MAGIC_CLASSROOM`` names, or ``/etc/deepseek-magic/classroom.toml``;
    None where there is neither. Raises ConfigurationError."""
    named = os.environ.get(CLASSROOM_VARIABLE, "").strip()
    if named:
        return read(Path(named).expanduser())
    return read(SYSTEM_FILE) if SYSTEM_FILE.is_file() else None


def read(path: Path) -> Classroom:
    """The class that a file describes. Raises ConfigurationError, with line and field, where it cannot."""
    try:
        text = path.read_text("utf-8-sig")
        table = tomllib.loads(text)
    except OSError as error:
        said = Message("{path} cannot be read: {why}.", path=path, why=error.strerror or str(error))
        raise ConfigurationError(said, hint=_LEAVE_OUT) from None
    except ValueError as error:  # of TOML, which tells the line, or of what is no text
        said = Message("{path} is no TOML: {why}.", path=path, why=str(error).removesuffix("."))
        raise ConfigurationError(said, hint=Message("Correct that line.")) from None
    return _Reader(path, text).classroom(table)


_LEAVE_OUT: Final = Message("Correct the path, or leave it out.")
_CORRECT: Final = Message("Correct it, or leave it out.")


class _Reader:
    """One file, while it is read: what is taken from its tables, and where that stands."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines = text.splitlines()

    def classroom(self, table: Mapping[str, Any]) -> Classroom:
        tables = dict(table)
        of_class = self._table(tables, "class")
        models = self._table(tables, "models")
        limits = self._table(tables, "limits")
        budget = self._table(tables, "budget")
        fixed = self._table(tables, "fixed")
        prices = self._table(tables, "prices")
        self._nothing_left("", tables, ("class", "models", "limits", "budget", "fixed", "prices"))
        take = _Taker(self, "class", of_class)
        rules = Rules(
            name=take.text("name"),
            contact=take.text("contact"),
            notice=take.text("notice"),
            hours=tuple(self._hours(take.texts("hours"))),
            share=take.switch("share", True),
            keep=take.choice("keep", ("figures", "texts")),
            fixed=self._fixed(fixed),
            budgets=dict(self._budgets(budget)),
        )
        zone = self._zone(take.text("timezone"))
        teachers, groups = take.texts("teachers"), take.texts("teacher_groups")
        take.over()
        of_models = _Taker(self, "models", models)
        allowed = of_models.texts("allow")
        of_models.over()
        take = _Taker(self, "limits", limits)
        rules = dataclasses.replace(
            rules,
            models=allowed,
            max_tokens=take.count("max_tokens"),
            tools=take.switch("tools", True),
            sweep_calls=take.count("sweep_calls"),
            at_once=take.count("at_once") or rules.at_once,
        )
        take.over()
        return Classroom(
            rules=rules, zone=zone, teachers=teachers, teacher_groups=groups, prices=tuple(self._prices(prices))
        )

    def wrong(self, place: str, why: Message) -> ConfigurationError:
        """The error of one field: ``place`` is its table and name."""
        said = Message(
            "{path}, line {line}: {field} {why}.", path=self._path, line=self._line(place), field=place, why=why
        )
        return ConfigurationError(said, hint=_CORRECT)

    def _line(self, place: str) -> int:
        """The line of a field, or of its table where the field is written in another way; the first if both are."""
        table = place.rpartition(".")[0]
        here, found = "", 1
        for number, line in enumerate(self._lines, 1):
            if header := re.match(r"\s*\[([^\[\]]+)\]", line):
                here = header[1].replace(" ", "").replace('"', "").replace("'", "")
                found = number if here in (table, place) else found
            key = re.match(r"""\s*["']?([^"'=]+?)["']?\s*=""", line)
            if key is not None and ".".join(filter(None, (here, key[1].replace(" ", "")))) == place:
                return number
        return found

    def _table(self, tables: dict[str, Any], name: str, within: str = "") -> dict[str, Any]:
        found, place = tables.pop(name, {}), f"{within}.{name}".lstrip(".")
        if not isinstance(found, dict):
            raise self.wrong(place, Message("is a table: write [{name}]", name=place))
        return found

    def _nothing_left(self, table: str, left: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for name in left:
            near = closest(name, known)
            raise self.wrong(f"{table}.{name}".lstrip("."), Message("is not known{near}", near=near))

    def _hours(self, lines: tuple[str, ...]) -> Iterator[Hours]:
        for line in lines:
            found = parse_hours(line)
            if found is None:
                said = Message(
                    "has {line}, but hours are written Mon-Fri 08:00-18:00 or 2026-12-03 09:00-11:00", line=repr(line)
                )
                raise self.wrong("class.hours", said)
            yield found

    def _zone(self, name: str) -> tzinfo | None:
        if not name:
            return None
        try:
            return zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            said = Message("names no time zone that this machine knows; write it like Asia/Shanghai")
            raise self.wrong("class.timezone", said) from None

    def _fixed(self, table: Mapping[str, Any]) -> Options:
        for name, value in table.items():
            if name not in _REQUEST or name == "model":
                near = closest(name, _REQUEST)
                raise self.wrong(f"fixed.{name}", Message("is no setting of a request{near}", near=near))
            try:
                Options(**{name: value})
            except ConfigurationError as error:
                place = f"fixed.{name}"
                where = {"path": self._path, "line": self._line(place), "field": place}
                said = Message("{path}, line {line}, {field}: {why}", why=error.message, **where)
                raise ConfigurationError(said, hint=_CORRECT) from None
        return Options(**table)

    def _budgets(self, table: Mapping[str, Any]) -> Iterator[tuple[Any, Decimal]]:
        self._nothing_left("budget", {name: 0 for name in table if name not in PAYERS}, PAYERS)
        for payer in PAYERS:
            of_payer = self._table(dict(table), payer, "budget")
            self._nothing_left(f"budget.{payer}", {name: 0 for name in of_payer if name not in PERIODS}, PERIODS)
            for period in PERIODS:
                if period in of_payer:
                    yield (payer, period), self._money(f"budget.{payer}.{period}", of_payer[period])

    def _money(self, place: str, value: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise self.wrong(place, Message("is an amount of US dollars, such as 0.50"))
        return Decimal(str(value))

    def _prices(self, table: Mapping[str, Any]) -> Iterator[Price]:
        for name, each in table.items():
            place = f"prices.{name}"
            for model in each if isinstance(each, dict) else ("",):
                here = f"{place}.{model}".removesuffix(".")
                fields = each[model] if isinstance(each, dict) else None
                if not isinstance(fields, dict):
                    raise self.wrong(here, Message('is a table: write [prices.openrouter."maker/model"]'))
                self._nothing_left(here, {n: 0 for n in fields if n not in _PRICE_FIELDS}, _PRICE_FIELDS)
                for needed in ("input", "output"):
                    if needed not in fields:
                        said = Message("needs input and output, US dollars for a million tokens")
                        raise self.wrong(here, said)
                amounts = {n: self._money(f"{here}.{n}", value) for n, value in fields.items()}
                amounts.setdefault("cached", amounts["input"])
                yield Price(
                    model=model,
                    endpoint=name,
                    currency="USD",
                    cache_miss=amounts["input"],
                    cache_hit=amounts["cached"],
                    output=amounts["output"],
                    first=date(2000, 1, 1),
                    source="classroom.toml",
                )


class _Taker:
    """The fields of one table, taken one by one; ``over`` refuses what nobody took."""

    def __init__(self, reader: _Reader, name: str, table: Mapping[str, Any]) -> None:
        self._reader = reader
        self._name = name
        self._left = dict(table)
        self._known: list[str] = []

    def _take(self, name: str, fits: Callable[[Any], bool], default: Any, why: Message) -> Any:
        self._known.append(name)
        if name not in self._left:
            return default
        value = self._left.pop(name)
        if not fits(value):
            raise self._reader.wrong(f"{self._name}.{name}", why)
        return value

    def text(self, name: str) -> str:
        return str(self._take(name, lambda v: isinstance(v, str), "", Message("is text in quotation marks")))

    def texts(self, name: str) -> tuple[str, ...]:
        def fits(value: Any) -> bool:
            return isinstance(value, list) and all(isinstance(each, str) and each.strip() for each in value)

        return tuple(self._take(name, fits, (), Message('is a list of texts: ["…", "…"]')))

    def switch(self, name: str, default: bool) -> bool:
        return bool(self._take(name, lambda v: isinstance(v, bool), default, Message("is true or false")))

    def count(self, name: str) -> int | None:
        def fits(value: Any) -> bool:
            return isinstance(value, int) and not isinstance(value, bool) and value > 0

        found: int | None = self._take(name, fits, None, Message("is a whole number from 1"))
        return found

    def choice(self, name: str, choices: tuple[Any, ...]) -> Any:
        said = Message("is one of {choices}", choices=", ".join(choices))
        return self._take(name, lambda v: v in choices, choices[0], said)

    def over(self) -> None:
        for name in self._left:
            near = closest(name, self._known)
            raise self._reader.wrong(f"{self._name}.{name}", Message("is not known{near}", near=near))
