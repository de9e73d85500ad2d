"""The gauges of the panel: what one answer is doing right now, read off its events.

``Gauges`` counts, ``Reading`` is what it says at a moment, ``curve`` and ``gauges_html`` show it. Rates are of the last seconds, so
that a stall is seen as one; what is kept of an answer for good is its ``StreamRecord``, measured in the engine.
"""

from __future__ import annotations

import html
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ...engine.gate import Gate
from ...metrics.tables import UNKNOWN, cell
from ...protocol.events import AttemptStarted, Event, ReasoningDelta, TextDelta, ToolCallDelta
from ...text.messages import say

WINDOW_S: Final = 2.0
"""Rates are of this long: shorter they jump, longer they hide a stall."""

CURVE_POINTS: Final = 60
CURVE_WIDTH, CURVE_HEIGHT = 90, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the gauges say at a moment. None is unknown."""

    first_token_s: float | None = None
    tokens_per_s: float | None = None
    chunks_per_s: float | None = None
    attempt: int = 0
    curve: tuple[float, ...] = ()


class Gauges:
    """Counts the events of one answer. The clock is an argument.

    A token is taken to be one delta, as the API sends them; a chunk is one event that carries something.
    """

    def __init__(self, now_s: float) -> None:
        self._started_s = now_s
        self._first_token_s: float | None = None
        self._attempt = 0
        self._arrivals: deque[tuple[float, int, int]] = deque()
        self._curve: deque[float] = deque(maxlen=CURVE_POINTS)

    def note(self, events: Sequence[Event], now_s: float) -> None:
        """Take events that have just come."""
        tokens = sum(isinstance(event, TextDelta | ReasoningDelta) for event in events)
        chunks = tokens + sum(isinstance(event, ToolCallDelta) for event in events)
        for event in events:
            if isinstance(event, AttemptStarted):
                self._attempt = event.attempt
        if chunks:
            if self._first_token_s is None:
                self._first_token_s = now_s - self._started_s
            self._arrivals.append((now_s, tokens, chunks))

    def read(self, now_s: float) -> Reading:
        """What they say now; each reading is a point of the curve."""
        while self._arrivals and self._arrivals[0][0] < now_s - WINDOW_S:
            self._arrivals.popleft()
        if self._first_token_s is None:
            return Reading(attempt=self._attempt)
        since_first_s = now_s - self._started_s - self._first_token_s
        window_s = min(WINDOW_S, max(since_first_s, WINDOW_S / 4))
        tokens_per_s = sum(tokens for _, tokens, _ in self._arrivals) / window_s
        self._curve.append(tokens_per_s)
        return Reading(
            first_token_s=self._first_token_s,
            tokens_per_s=tokens_per_s,
            chunks_per_s=sum(chunks for _, _, chunks in self._arrivals) / window_s,
            attempt=self._attempt,
            curve=tuple(self._curve),
        )


def curve(points: Sequence[float]) -> str:
    """The points as a small line in the colours of the front end; at least two make a line."""
    if len(points) < 2:
        return ""
    top = max(max(points), 1e-9)
    step = CURVE_WIDTH / (CURVE_POINTS - 1)
    low = CURVE_HEIGHT - 2
    line = " ".join(f"{i * step:.1f},{low - (low - 2) * y / top:.1f}" for i, y in enumerate(points))
    right = (len(points) - 1) * step
    name = html.escape(say("tokens per second, the last {seconds} seconds", seconds=len(points) // 2), quote=True)
    return (
        f'<svg role="img" aria-label="{name}" viewBox="0 0 {CURVE_WIDTH} {CURVE_HEIGHT}" height="{CURVE_HEIGHT}">'
        f'<line x1="0" y1="{low}" x2="{CURVE_WIDTH}" y2="{low}" stroke="var(--deepseek-edge)" stroke-width="1"/>'
        f'<polygon points="0,{low} {line} {right:.1f},{low}" fill="var(--deepseek-accent)" opacity="0.15"/>'
        f'<polyline points="{line}" fill="none" stroke="var(--deepseek-accent)" stroke-width="1.5"/></svg>'
    )


def gauges_html(reading: Reading, gate: Gate | None = None, money: str = "") -> str:
    """The gauges that have a value, each with its name. The queue at ``gate`` is that of all cells and panels together."""
    standing = gate.standing if gate is not None else None
    gauges = [
        (say("tokens/s"), cell(reading.tokens_per_s, 2)),
        (say("chunks/s"), cell(reading.chunks_per_s, 2)),
        (say("first token"), UNKNOWN if reading.first_token_s is None else f"{reading.first_token_s:.2f} s"),
        (say("attempt"), cell(reading.attempt or None)),
        (say("money so far"), money or UNKNOWN),
    ]
    if gate is not None and standing is not None:
        quota = UNKNOWN if standing.fraction is None else f"{standing.fraction:.0%}"
        if standing.frozen_s > 0:
            quota = say("closed for {seconds} s", seconds=f"{standing.frozen_s:.0f}")
        gauges += [
            (say("running"), f"{standing.running}/{standing.window}"),
            (say("queued"), cell(gate.waiting)),
            (say("quota left"), quota),
        ]
    known = [(name, text) for name, text in gauges if text != UNKNOWN]
    shown = [f"<div><span>{html.escape(name)}</span> <b>{html.escape(text)}</b></div>" for name, text in known]
    return f'<div class="deepseek-magic-gauges">{"".join(shown)}</div>' if shown else ""
