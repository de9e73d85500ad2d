"""One call among those that begin alike: whether it leads, follows, or waits to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from ...policy.limits.leading import Beginning, Leading
from ...protocol.completion import Completion
from ...protocol.events import Event, ReasoningDelta, TextDelta, ToolCallDelta
from .fate import Fate

_WORDS: Final = frozenset({TextDelta, ReasoningDelta, ToolCallDelta})
_LOOK_S: Final = 0.1


class PrefixPlace:
    """One call among those that begin alike; on the engine's loop."""

    def __init__(self, leading: Leading, of: Beginning | None) -> None:
        self._leading = leading
        self._of = of
        self._leads = self._follows = False

    async def turn(self, fate: Fate | None) -> None:
        """Wait for the leader, if the call is before its own turn anyway; once. Then it goes."""
        if self._of is None:
            return
        while (wait_s := self._patience_s(fate)) > 0:  # noqa: ASYNC110  it is time that is waited for
            await asyncio.sleep(min(wait_s, _LOOK_S))
        now_s = time.monotonic()
        waits = self._leading.wait_s(self._of, now_s) > 0
        self._leads = self._leading.goes(self._of, now_s)
        self._follows = not self._leads and not waits

    def _patience_s(self, fate: Fate | None) -> float:
        return 0.0 if fate is None or not fate.open else self._leading.wait_s(self._of, time.monotonic())

    def heard(self, events: Sequence[Event]) -> None:
        """Something of the answer has come."""
        if self._leads and self._of is not None and any(type(event) in _WORDS for event in events):
            self._leading.begun(self._of, time.monotonic())

    def over(self, completion: Completion) -> None:
        """The call has ended."""
        if self._of is None:
            return
        if self._leads:
            self._leading.gone(self._of)
        elif self._follows and completion.outcome == "complete":
            self._leading.billed(self._of, completion.usage.cache_hit_tokens, time.monotonic())
