"""What a plan varies: an axis is an option with several values, each checked as the option itself checks it.

An axis is said, never guessed: options whose value is a list of their own (``stop``, ``tools``) would be taken for one.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ...text.messages import Message
from ..errors import ConfigurationError
from ..models import resolve_model
from ..options import OPTIONS, OPTIONS_BY_NAME, closest

PROMPT: Final = "prompt"
"""The one axis that is no option: which template is asked."""

ASKED: Final = frozenset(option.name for option in OPTIONS if option.scope == "request") | {
    *("system", "template", "fill", "raw", "schema", "image", "endpoint", "base_url", "continue_on_length")
}
"""The options that are part of the question. Others say how a call is made or shown: they do not change a plan."""

VARIED: Final = tuple(option.name for option in OPTIONS if option.name in ASKED - {"fill", "raw", "schema"})
"""The options that can be an axis, in the table's order. The fields of a schema are columns of the whole table, so it is none."""

MAX_NAME_CHARS: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """The name of an option (or ``prompt``), its values as they will be sent, and the name of each in tables.

    A value of None means that the option is not given.
    """

    name: str
    values: tuple[Any, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, name: str, values: Sequence[Any] | Mapping[str, Any]) -> Axis:
        """The axis of an option, from a list of values or a dict that names them.

        Raises ConfigurationError for a name that cannot be varied, a value that the option does not take, and a value
        that is there twice.
        """
        if name == PROMPT:  # a grid's prompts are taken out of it before
            raise ConfigurationError(
                Message("Several prompts are no values of --vary."),
                hint=Message("Write them in the cell, each below a line --- name; saved ones are template=a,b."),
            )
        if name not in VARIED:
            known = (*VARIED, PROMPT)
            said = Message("{name} cannot be varied{near}.", name=name, near=closest(str(name), known))
            raise ConfigurationError(said, hint=Message("These can: {names}.", names=", ".join(known)))
        if isinstance(values, str) or not isinstance(values, Sequence | Mapping) or not values:
            raise ConfigurationError(
                Message("The axis {name} takes a list of values or a dict that names them.", name=name),
                hint=Message("For a single value give the option itself: {name}=….", name=name),
            )
        option = OPTIONS_BY_NAME[name]
        given = list(values.values() if isinstance(values, Mapping) else values)
        checked = tuple(None if value is None else option.check(value) for value in given)
        sent = [_canonical(resolve_model(value).id if name == "model" and value else value) for value in checked]
        for place, value in enumerate(sent):
            if value in sent[:place]:
                raise ConfigurationError(
                    Message("The axis {name} has {value} twice.", name=name, value=_shown(checked[place])),
                    hint=Message("To ask each question more than once, give repeats."),
                )
        names = [str(key) for key in values] if isinstance(values, Mapping) else _unlike([_shown(v) for v in checked])
        return cls(name=name, values=checked, names=tuple(names))

    @classmethod
    def read(cls, typed: str) -> Axis:
        """The axis typed as ``name=value,value``; ``"a,b"`` is one value with a comma in it.

        Raises ConfigurationError as ``of`` does, and where it is typed otherwise.
        """
        name, equals, rest = typed.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not rest.strip():
            raise ConfigurationError(
                Message("{text} names no values to vary.", text=typed),
                hint=Message("Write it like temperature=0,1."),
            )
        words = [word.strip() for word in next(csv.reader([rest], skipinitialspace=True))]
        if name not in VARIED:
            return cls.of(name, words)
        option = OPTIONS_BY_NAME[name]
        if option.kind != "switch":
            return cls.of(name, {word.removeprefix("@"): option.parse(word) for word in _once(name, words)})
        return cls.of(name, {word: _SWITCHES.get(word.lower(), word) for word in _once(name, words)})

    @staticmethod
    def typed(words: Sequence[str]) -> str:
        """Values as ``read`` takes them behind the equals sign."""
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(words)
        return line.getvalue()

    def to_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {"name": self.name, "values": list(self.values), "names": list(self.names)}


_SWITCHES: Final = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}


def _once(name: str, words: Sequence[str]) -> Sequence[str]:
    for place, word in enumerate(words):
        if word in words[:place]:
            raise ConfigurationError(
                Message("The axis {name} has {value} twice.", name=name, value=word),
                hint=Message("To ask each question more than once, give repeats."),
            )
    return words


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _shown(value: Any) -> str:
    """A value as tables name it."""
    match value:
        case None:
            return "default"
        case bool():
            return "on" if value else "off"
        case int() | float():
            return f"{value:g}" if isinstance(value, float) else str(value)
        case str():
            text = value
        case tuple() if all(isinstance(each, str) for each in value):
            text = ", ".join(value)
        case _:
            text = _canonical(value)
    line = " ".join(text.split())
    return line if len(line) <= MAX_NAME_CHARS else f"{line[: MAX_NAME_CHARS - 1]}…"


def _unlike(names: list[str]) -> list[str]:
    """The names, with a number after those that are alike: long texts may differ only at their end."""
    return [
        f"{name} ({names[: place + 1].count(name)})" if names.count(name) > 1 else name
        for place, name in enumerate(names)
    ]
