"""When the pieces of an answer are due: a schedule that tests can state exactly and compare with what they measure."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

PACE_VARIABLE: Final = "DEEPSEEK_DEMO_PACE"
"""An environment variable: a factor on every ``%deepseek_demo --pace``, for runs that nobody reads along with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast the demo answers; all times in seconds from the arrival of the request.

    queue_s            keep-alive comments, one every ``keepalive_s``, the first at once
    first_token_s      silence after the queue, then the first event
    thinking_s         from the first event to the first piece of the answer, the thoughts evenly spread;
                       None: thoughts come at ``tokens_per_s``
    tokens_per_s       of the answer; ``math.inf`` for all at once
    jitter             each gap differs by up to this share, the same way every time
    """

    queue_s: float = 0.0
    first_token_s: float = 0.4
    thinking_s: float | None = None
    tokens_per_s: float = 60.0
    jitter: float = 0.2
    keepalive_s: float = 1.0

    def scaled(self, factor: float) -> Pace:
        """All waits times ``factor``; 0 is as fast as possible."""
        return replace(
            self,
            queue_s=self.queue_s * factor,
            first_token_s=self.first_token_s * factor,
            thinking_s=None if self.thinking_s is None else self.thinking_s * factor,
            tokens_per_s=self.tokens_per_s / factor if factor else math.inf,
            keepalive_s=self.keepalive_s * factor or 1.0,
        )

    def schedule(self, phases: Sequence[str]) -> list[float]:
        """When each frame is due. The finish comes one gap after the last piece, ``[DONE]`` with it."""
        chance = random.Random(len(phases))
        thoughts = phases.count("reasoning")
        gap = 1 / self.tokens_per_s
        thinking_gap = gap if self.thinking_s is None else self.thinking_s / max(1, thoughts)
        start = self.queue_s + self.first_token_s
        due, at, thought = [], start, 0
        for phase in phases:
            if phase == "reasoning":
                due.append(start + self._jittered(thought, thinking_gap, chance))
                thought += 1
                at = start + thought * thinking_gap
            elif phase in ("start", "finish", "done"):
                due.append(at)
            else:
                due.append(at + self._jittered(0, gap, chance))
                at += gap
        return due

    def _jittered(self, steps: int, gap: float, chance: random.Random) -> float:
        return (steps + self.jitter * chance.random()) * gap


LIKE_A_MODEL = Pace()
AT_ONCE = LIKE_A_MODEL.scaled(0)
