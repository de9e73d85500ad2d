"""What the demo can do wrong, on request: a small language of faults, each with its one-sentence legend.

spec   := fault { ";" fault }                  one request meets at most one of them: the first that is due
fault  := kind { name "=" value }
names for every kind:
  times=N   only the first N requests that meet it          p=0.12   with this probability, drawn from
  on=WHICH  any | prefix (continuations) | plain            seed=N   a generator of its own (default 0)
names for kinds that happen at a place in the stream:
  at=PLACE  connect | before-headers | after-headers | reasoning | content | tool | before-done
  after=N   after so many pieces of that phase; without ``at``, of the whole answer
a kind's own names, and its legend, stand in ``KINDS``.

"cut after=20"    "429 times=3 retry-after=1"    "reset at=reasoning after=2 times=1; 503 times=1"    "stall p=0.1 seed=7"
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ...protocol.errors import ConfigurationError
from ...protocol.options import closest
from ...text.messages import Message
from .kinds import KINDS, PLACES, Kind, Place, Value

_ORDER: Final = ("start", "reasoning", "content", "tool", "finish", "done")
_DELTAS: Final = frozenset(("reasoning", "content", "tool"))
_DEFAULT_AFTER: Final = 3

_ALIASES: Final = {"eof": "eof-chunked", "limit_data": "eof-close"}
_COMMON: Final = ("times", "p", "seed", "on")
_WHICH: Final = ("any", "prefix", "plain")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of a spec. ``at`` None counts pieces of the whole answer; ``times`` None means every time."""

    kind: str
    at: Place | None = None
    after: int = _DEFAULT_AFTER
    times: int | None = None
    p: float = 1.0
    seed: int = 0
    on: str = "any"
    values: Mapping[str, Value] = field(default_factory=dict)

    def number(self, name: str) -> float | None:
        """The kind's own parameter ``name``; None where it has none."""
        value = self.values.get(name, KINDS[self.kind].params.get(name))
        return value if isinstance(value, float) else None

    def word(self, name: str) -> str:
        """The kind's own parameter ``name``, a word or ""."""
        value = self.values.get(name, KINDS[self.kind].params.get(name))
        return value if isinstance(value, str) else ""

    @property
    def legend(self) -> Message:
        """What it does, in one sentence for a class."""
        return KINDS[self.kind].legend

    def __str__(self) -> str:
        given = {"at": self.at, "times": self.times, **self.values}
        if self.after != _DEFAULT_AFTER:
            given["after"] = self.after
        if self.p != 1.0:
            given |= {"p": self.p, "seed": self.seed}
        if self.on != "any":
            given["on"] = self.on
        words = (f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in given.items() if v is not None)
        return " ".join((self.kind, *words))


def parse(spec: str | None) -> tuple[Fault, ...]:
    """The faults of a spec; none for None, "" and "none". Raises ConfigurationError in one sentence."""
    if not spec or spec.strip() in ("", "none"):
        return ()
    return tuple(_fault(part.split()) for part in spec.split(";") if part.strip())


def _fault(words: list[str]) -> Fault:
    name = _ALIASES.get(words[0], words[0])
    kind = KINDS.get(name)
    if kind is None:
        said = Message('There is no fault "{name}"{near}.', name=words[0], near=closest(words[0], (*KINDS, *_ALIASES)))
        raise ConfigurationError(said, hint=Message("There are: {names}.", names=", ".join(KINDS)))
    allowed = (*_COMMON, *(("at", "after") if kind.places else ()), *kind.params)
    settings: dict[str, str] = {}
    for word in words[1:]:
        key, sign, value = word.partition("=")
        if not sign or key not in allowed:
            raise ConfigurationError(
                Message('The fault {fault} takes no "{name}"{near}.', fault=name, name=key, near=closest(key, allowed)),
                hint=Message("It takes {names}.", names=", ".join(allowed)),
            )
        settings[key] = value
    fault = Fault(
        kind=name,
        at=_place(kind, settings.get("at")),
        after=_whole(name, "after", settings.get("after")) if "after" in settings else _DEFAULT_AFTER,
        times=_whole(name, "times", settings.get("times")) if "times" in settings else None,
        p=_probability(name, settings.get("p", "1")),
        seed=_whole(name, "seed", settings.get("seed", "0")),
        on=_word(name, "on", settings.get("on", "any"), _WHICH),
        values={key: _value(kind, key, settings[key]) for key in settings if key in kind.params},
    )
    if fault.kind == "refuse" and (fault.times is not None or fault.p != 1.0 or fault.on != "any"):
        said = Message("A closed port cannot count requests, so the fault refuse takes for=SECONDS only.")
        raise ConfigurationError(said, hint=Message('To break single connections: "reset at=connect times=2".'))
    return fault


def _place(kind: Kind, text: str | None) -> Place | None:
    if text is None:
        return None
    _word(kind.name, "at", text, kind.places)
    return next(place for place in PLACES if place == text)


def _word(fault: str, name: str, text: str, known: Sequence[str]) -> str:
    if text not in known:
        near = closest(text, known)
        raise _wrong(fault, name, text, Message("it takes one of {choices}", choices=", ".join(known)), near)
    return text


def _whole(fault: str, name: str, text: str | None) -> int:
    if text is None or not text.isdecimal():
        raise _wrong(fault, name, text, Message("it takes a whole number"))
    return int(text)


def _probability(fault: str, text: str) -> float:
    value = _real(fault, "p", text)
    if not 0 <= value <= 1:
        raise _wrong(fault, "p", text, Message("it takes a number from {low} to {high}", low=0, high=1))
    return value


def _real(fault: str, name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _wrong(fault, name, text, Message("it takes a number")) from None


def _wrong(fault: str, name: str, value: str | None, why: Message, near: Message | str = "") -> ConfigurationError:
    said = Message('{name} of the fault {fault} cannot be "{value}"{near}: {why}.')
    return ConfigurationError(said.filled(name=name, fault=fault, value=value, near=near, why=why))


def _value(kind: Kind, name: str, text: str) -> Value:
    if name == "retry-after":
        return text  # seconds or an HTTP date, with _ for its spaces: sent as it is
    if isinstance(kind.params[name], str):
        return _word(kind.name, name, text, kind.words)
    return _real(kind.name, name, text)


class Faults:
    """The faults of one spec at work: what has been met how often."""

    def __init__(self, spec: str | None = None) -> None:
        self.spec = spec if spec and parse(spec) else None
        self.faults = parse(spec)
        self._left = [fault.times for fault in self.faults]
        self._chance = [random.Random(fault.seed) for fault in self.faults]

    @property
    def left(self) -> tuple[int | None, ...]:
        """How often each fault is still to come; None for every time."""
        return tuple(self._left)

    def take(self, phases: Iterable[str] = (), *, prefixed: bool = False, connecting: bool = False) -> Fault | None:
        """The fault that this request (or, when ``connecting``, this connection) meets."""
        phases = set(phases)
        for place, fault in enumerate(self.faults):
            if fault.kind == "refuse" or (fault.at == "connect") is not connecting or self._left[place] == 0:
                continue
            never_there = fault.at in _DELTAS and fault.at not in phases
            if not connecting and (never_there or fault.on not in ("any", "prefix" if prefixed else "plain")):
                continue
            if self._chance[place].random() >= fault.p:
                continue
            left = self._left[place]
            self._left[place] = None if left is None else left - 1
            return fault
        return None


class Trigger:
    """Says when the place of a fault is reached; it is given the phase of every frame before that is sent."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self._seen = 0

    def due(self, phase: str) -> bool:
        """Whether it happens now, before this frame. A phase that is shorter than ``after`` has it at its end."""
        at = self._fault.at
        if at == "after-headers":
            return True
        if at == "before-done":
            return phase == "done"
        counted = phase in _DELTAS if at is None else phase == at
        if counted:
            self._seen += 1
            return self._seen > self._fault.after
        return _ORDER.index(phase) > _ORDER.index(at or "tool")
