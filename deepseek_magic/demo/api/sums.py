"""Sums, at which the demo is right or wrong by its setting: so an experiment on it has something to find.

``What is 17 × 24?`` is answered rightly with a chance that hangs on the question, whether it thinks, the model, the temperature
and the words of the prompt (``texts/sums.toml`` has the figures). Which answer comes is drawn by the digest of all that and
the number of times that the same was asked before: it varies from one time to the next as a model's does, and is the same
again on a server that has just been started. At temperature 0 without thinking nothing varies; ``seed`` takes the place of the number.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from .checks import text_of
from .inquiry import Inquiry
from .texts import figures, say

_SUM: Final = re.compile(r"(?<![\d.\-−])(\d{1,4}) ?([×*+]) ?(\d{1,4})(?= ?[?？=]| ?(?:等于|是)?多少)")
_MAX_KEPT: Final = 100_000
_SLIPS: Final = (1, -1, 10, -10, 2, 100, -9)
"""How far wrong answers are off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """A product or a sum of two numbers."""

    a: int
    sign: str
    b: int

    @property
    def value(self) -> int:
        """What is right."""
        return self.a + self.b if self.sign == "+" else self.a * self.b


class Draws:
    """How often each sum has been asked, of the newest ones."""

    def __init__(self) -> None:
        self._asked: dict[str, int] = {}

    def drawn(self, asked: Inquiry, *, again: bool, seed: int | None) -> Inquiry:
        """``asked`` with the number of its answer; ``again``: it continues one that was begun, so it counts as none."""
        if seed is not None:
            return replace(asked, draw=seed)
        if sum_in(asked.prompt) is None or (asked.temperature == 0 and not asked.thinking):
            return asked
        key = _digest(setting_of(asked))
        number = self._asked.pop(key, 0) + (not again)
        self._asked[key] = number
        if len(self._asked) > _MAX_KEPT:
            del self._asked[next(iter(self._asked))]
        return replace(asked, draw=max(1, number))


def sum_in(text: str) -> Sum | None:
    """The first sum that a text asks for."""
    found = _SUM.search(text)
    return Sum(a=int(found[1]), sign=found[2], b=int(found[3])) if found else None


def worked_out(asked: Inquiry) -> str | None:
    """The answer to the sum in a prompt; None where there is none."""
    wanted = sum_in(asked.prompt)
    if wanted is None:
        return None
    said = f"{asked.system} {asked.prompt}".lower()
    words = figures("words")
    short, steps = (any(word in said for word in words[name]) for name in ("short", "steps"))
    right = chance(asked.draw, setting_of(asked)) < likelihood(asked, wanted, steps=steps)
    value = wanted.value if right else _slip(asked, wanted)
    if short and not steps:
        return str(value)
    kind = "sum_steps" if steps and wanted.sign != "+" and wanted.b > 9 else "sum"
    tens, ones = wanted.b // 10 * 10, wanted.b % 10
    parts = {"tens": tens, "ones": ones, "one": wanted.a * tens, "other": wanted.a * ones}
    return say(asked.language, kind, a=wanted.a, b=wanted.b, sign=wanted.sign, value=value, **parts)


def likelihood(asked: Inquiry, wanted: Sum, *, steps: bool) -> float:
    """The chance of a right answer, from 0 to 1."""
    skill: Mapping[str, Any] = figures("skill")
    odds = skill["thinking"][asked.effort if asked.thinking else "off"] + skill["model"].get(asked.model, 0.0)
    if not asked.thinking:
        odds += skill["steps"] * steps + skill["degree"] * (1.0 if asked.temperature is None else asked.temperature)
    hard: Mapping[str, float] = figures("difficulty")
    odds -= hard["spread"] * (chance("difficulty", wanted.value) - 0.5) + hard["digit"] * (len(str(wanted.value)) - 2)
    return 1 / (1 + math.exp(-odds))


def setting_of(asked: Inquiry) -> tuple[object, ...]:
    """All that makes one question another, but for the number of times that it was asked."""
    said = tuple((message["role"], text_of(message.get("content"))) for message in asked.messages)
    how = asked.effort if asked.thinking else asked.temperature
    return asked.model, asked.thinking, how, said


def chance(*of: object) -> float:
    """A number from 0 to 1, the same for the same things."""
    return int(_digest(*of)[:12], 16) / 16**12


def _slip(asked: Inquiry, wanted: Sum) -> int:
    places = [slip for slip in _SLIPS if wanted.value + slip >= 0]
    return wanted.value + places[int(chance("slip", asked.draw, setting_of(asked)) * len(places))]


def _digest(*of: object) -> str:
    return hashlib.sha256(repr(of).encode("utf-8", "surrogatepass")).hexdigest()
