"""Text in pieces as a model would write them, and the prefix cache that counts in those pieces.

No real tokenizer is needed for a demo: what matters is that pieces are small, that they join to the same text, and that
equal prompts have equal counts.
"""

from __future__ import annotations

import itertools
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

CACHE_UNIT_TOKENS: Final = 64
"""The cache holds whole units of so many tokens (DeepSeek's announcement of context caching, 2024)."""

_MAX_UNITS: Final = 200_000

_TOKEN: Final = re.compile(
    r" ?[A-Za-z]{1,5}"  # a word, or a piece of a long one, with the space before it
    r"|[0-9]{1,3}"
    r"|[\u3400-\u9fff]{1,2}"
    r"|\n+| +(?=[ \n]|$)|[ \t]"
    r"|[^\sA-Za-z0-9\u3400-\u9fff]{1,2}"
    r"|.",
    re.DOTALL,
)


def tokenize(text: str) -> list[str]:
    """``text`` as small pieces whose concatenation is ``text``."""
    return _TOKEN.findall(text)


class PrefixCache:
    """Which prompts begin like earlier ones. Keeps a chained hash of every unit, not the prompts; one per ``user_id``.

    ``builds_s``: so long after a prompt came others can find it; infinite: never. May be changed at any time.
    """

    def __init__(self, builds_s: float = 0.0, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.builds_s = builds_s
        self._clock = clock
        self._units: OrderedDict[int, float] = OrderedDict()

    def hit_tokens(self, tokens: Sequence[str], user_id: str = "") -> int:
        """How many of the first tokens have been seen before, in whole units."""
        now_s = self._clock()
        hits = itertools.takewhile(lambda unit: self._units.get(unit, math.inf) <= now_s, self._chain(tokens, user_id))
        return CACHE_UNIT_TOKENS * len(list(hits))

    def store(self, tokens: Sequence[str], user_id: str = "") -> None:
        """Remember a prompt (with its answer): the next one that begins like it will hit."""
        ready_s = self._clock() + self.builds_s
        for unit in self._chain(tokens, user_id):
            self._units[unit] = min(ready_s, self._units.get(unit, math.inf))
            self._units.move_to_end(unit)
        while len(self._units) > _MAX_UNITS:
            self._units.popitem(last=False)

    @staticmethod
    def _chain(tokens: Sequence[str], user_id: str) -> list[int]:
        chained, units = hash(user_id), []
        for start in range(0, len(tokens) - CACHE_UNIT_TOKENS + 1, CACHE_UNIT_TOKENS):
            chained = hash((chained, *tokens[start : start + CACHE_UNIT_TOKENS]))
            units.append(chained)
        return units
