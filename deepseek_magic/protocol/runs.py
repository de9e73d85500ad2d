"""Neighbouring pieces of one channel, taken together: what they say is the same, and it is handled once.

Of a read that brings fifty tokens, whoever folds, counts or writes down does once what each token would cost again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from .events import Event, ReasoningDelta, TextDelta

Run = tuple[Event, int]
"""An event, and of how many it was made. Only text and reasoning are ever made of more than one."""


def runs_of(events: Sequence[Event]) -> list[Run]:
    """The same events in order, with neighbouring text of one channel joined."""
    if len(events) == 1:  # a read of one token, the usual one
        return [(events[0], 1)]
    runs: list[Run] = []
    for kind, alike in groupby(events, type):
        if kind is TextDelta or kind is ReasoningDelta:
            texts = [event.text for event in alike]  # type: ignore[union-attr]
            runs.append((kind(text="".join(texts)), len(texts)))
        else:
            runs += [(event, 1) for event in alike]
    return runs


def joined(events: Sequence[Event]) -> list[Event]:
    """The runs without their counts."""
    return [event for event, _ in runs_of(events)]
