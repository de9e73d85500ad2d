"""One call as two journals have it: what is kept of both.

A worker of a cluster that lost its driver leaves what had come in a journal of its own, and the driver's has what came home
before. Of each part the greater is taken, in an order in which no two that differ are equal; so it does not matter in which
order, or how often, journals are put together.
"""

from __future__ import annotations

from dataclasses import dataclass

Column = str | int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCall:
    """A call as a journal has it. ``asked``: what was asked and where, the request first; ``told``: what else is known of the
    answer, whose words are ``text`` and ``reasoning``."""

    asked: tuple[Column, ...]
    told: tuple[Column, ...]
    ended: bool
    whole: bool
    measured: bool
    text: str
    reasoning: str


def merged(one: KeptCall, other: KeptCall) -> KeptCall:
    """Of the answers the one that has ended, else the whole one, the longer one, the one that was measured; of the requests the
    one that says more."""
    better = max(one, other, key=_how_good)
    asked = max(one.asked, other.asked, key=lambda asked: (len(str(asked[0])), _texts(asked)))
    return KeptCall(
        asked=asked,
        told=better.told,
        ended=better.ended,
        whole=better.whole,
        measured=better.measured,
        text=better.text,
        reasoning=better.reasoning,
    )


def _how_good(call: KeptCall) -> tuple[bool, bool, int, bool, str, str, list[str]]:
    chars = len(call.text) + len(call.reasoning)
    return call.ended, call.whole, chars, call.measured, call.text, call.reasoning, _texts(call.told)


def _texts(columns: tuple[Column, ...]) -> list[str]:
    return [repr(column) for column in columns]
