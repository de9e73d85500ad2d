"""One call among those that begin alike: whether it leads, follows, or waits to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from ...policy.limits.leading import WAIT_S, Beginning, Leading
from ...protocol.completion import Completion
from ...protocol.events import Event, has_pieces
from ...protocol.outcome import WHOLE

_LOOK_S: Final = 0.1


class PrefixPlace:
    """One call among those that begin alike; on the loop of its stream."""

    def __init__(self, leading: Leading, of: Beginning | None) -> None:
        self._leading = leading
        self._of = of
        self._leads = self._follows = False

    async def turn(self, has_time: Callable[[], bool]) -> None:
        """Wait for the leader, as long as the call has time, and never longer than for one leader. Then it goes."""
        if self._of is None:
            return
        last_s = time.monotonic() + WAIT_S
        while has_time() and (wait_s := min(self._wait_s(), last_s - time.monotonic())) > 0:  # noqa: ASYNC110  it is time that is waited for
            await asyncio.sleep(min(wait_s, _LOOK_S))
        waits = self._wait_s() > 0
        self._leads = self._leading.goes(self._of, time.monotonic())
        self._follows = not self._leads and not waits

    def _wait_s(self) -> float:
        return self._leading.wait_s(self._of, time.monotonic())

    def heard(self, events: Sequence[Event]) -> None:
        """Something of the answer has come."""
        if self._leads and self._of is not None and has_pieces(events):
            self._leading.begun(self._of, time.monotonic())

    def over(self, completion: Completion | None) -> None:
        """The call has ended; None: without so much as a completion."""
        if self._of is None:
            return
        if self._leads:
            self._leading.gone(self._of)
        elif self._follows and completion is not None and completion.outcome in WHOLE:
            self._leading.billed(self._of, completion.usage.cache_hit_tokens, time.monotonic())
