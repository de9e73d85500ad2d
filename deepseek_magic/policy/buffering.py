"""When to show what has arrived: at once, in small groups, or by whole sentences.

Only deltas are held, and only for a moment: every other event pushes out what came before it and passes. Nothing is
dropped and nothing changes places; the text that comes out is the text that went in, cut at other borders. The clock is
an argument: the caller asks ``due_s`` how long it may wait and calls ``flush`` when that time is over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from ..protocol.events import Event, LogProbs, ReasoningDelta, Seam, TextDelta, ToolCallDelta
from ..protocol.runs import joined
from ..text.sentences import SentenceScanner

BufferMode = Literal["realtime", "balanced", "sentence"]

CHUNK_DELAY_S: Final = 0.25
SENTENCE_DELAY_S: Final = 3.0
"""At 50 tokens a second a sentence takes about one second; a quarter of a second would tear every one."""

BY_MODE: Final = math.nan
"""A delay that was not given; it is replaced as soon as the mode is known."""

BALANCED_PERIOD_S: Final = 0.07
"""A balanced buffer aims at fourteen releases a second. Holding is most of the lag that a reader feels: ten releases made
70 ms of it at the median, fourteen 50, more than fourteen nothing less, since the view draws twenty times at most."""

RATE_WEIGHT: Final = 0.5
"""Weight of the newest group in the running chunk rate."""

SENTENCE_MAX_CHARS: Final = 16_384
"""A sentence, table or fence longer than this is shown in parts: the buffer is full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferPolicy:
    """When held chunks are shown.

    ``realtime`` shows every ``realtime_chunks``; ``balanced`` shows groups of ``min_chunks`` to ``max_chunks``, starting
    with ``start_chunks`` and following the chunk rate; ``sentence`` shows whole sentences, and code fences, tables and
    formulas in one piece. No chunk is held longer than ``max_delay_s`` seconds: 0.25 unless given, by sentences 3.
    """

    mode: BufferMode = "balanced"
    min_chunks: int = 5
    start_chunks: int = 8
    max_chunks: int = 15
    realtime_chunks: int = 2
    max_delay_s: float = BY_MODE

    def __post_init__(self) -> None:
        if math.isnan(self.max_delay_s):
            object.__setattr__(self, "max_delay_s", SENTENCE_DELAY_S if self.mode == "sentence" else CHUNK_DELAY_S)
        if self.mode not in ("realtime", "balanced", "sentence"):
            raise ValueError(f"mode is realtime, balanced or sentence, not {self.mode!r}")
        if not 1 <= self.min_chunks <= self.start_chunks <= self.max_chunks or self.realtime_chunks < 1:
            raise ValueError("chunk counts must satisfy 1 <= min <= start <= max and 1 <= realtime")
        if not self.max_delay_s >= 0:
            raise ValueError(f"max_delay_s is a number of seconds from 0 on, not {self.max_delay_s!r}")


class ChunkBuffer:
    """Holds deltas back by a policy; ``add`` answers with what is to be shown now, in order.

    Neighbouring deltas of one channel come out merged into one longer delta.
    """

    def __init__(self, policy: BufferPolicy) -> None:
        self._policy = policy
        self._held: list[Event] = []
        self._times: list[float] = []  # when each held delta came; kept for sentences, which may be released in part
        self._held_chars = 0
        self._since_s = 0.0  # when the oldest held delta came
        self._arrived = 0  # deltas since the last release that measured the rate
        self._released_at_s: float | None = None
        self._rate: float | None = None
        self._sentences = SentenceScanner() if policy.mode == "sentence" else None
        self._wanted = policy.realtime_chunks if policy.mode == "realtime" else policy.start_chunks

    def add(self, event: Event, now_s: float) -> list[Event]:
        """Take one event that arrived at ``now_s`` (seconds of any monotonic clock); what to show now, in order."""
        kind = type(event)
        if kind is not TextDelta and kind is not ReasoningDelta and kind is not ToolCallDelta:
            if self._sentences is not None and isinstance(event, Seam) and event.kind == "restarted":
                self._sentences = SentenceScanner()
            return [] if kind is LogProbs else [*self.flush(), event]  # of those nothing is shown
        if self._sentences is not None:
            if isinstance(event, TextDelta | ReasoningDelta):
                return self._add_to_sentence(event, self._sentences, now_s)
            return [*self.flush(), event]  # a tool call's arguments are JSON: there are no sentences to wait for
        if not self._held:
            self._since_s = now_s
        self._held.append(event)
        self._arrived += 1
        if len(self._held) >= self._wanted or now_s - self._since_s >= self._policy.max_delay_s:
            if self._policy.mode == "balanced":
                self._adapt(now_s)
            return self.flush()
        return []

    def due_s(self, now_s: float) -> float | None:
        """Seconds until ``flush`` must be called, 0 when it is time; None while nothing is held."""
        return max(0.0, self._since_s + self._policy.max_delay_s - now_s) if self._held else None

    def flush(self) -> list[Event]:
        """Everything that is held, in order; nothing is held afterwards."""
        held, self._held, self._times, self._held_chars = self._held, [], [], 0
        return joined(held)

    def _adapt(self, now_s: float) -> None:
        """Let the group size follow the chunk rate, so that releases come about ``BALANCED_PERIOD_S`` apart."""
        since, self._released_at_s = self._released_at_s, now_s
        arrived, self._arrived = self._arrived, 0
        if since is None:  # the first group is measured from its own first chunk
            since, arrived = self._since_s, arrived - 1
        most = self._policy.max_chunks / BALANCED_PERIOD_S
        rate = min(most, arrived / (now_s - since)) if now_s > since else most
        self._rate = rate if self._rate is None else RATE_WEIGHT * rate + (1 - RATE_WEIGHT) * self._rate
        wanted = round(self._rate * BALANCED_PERIOD_S)
        self._wanted = max(self._policy.min_chunks, min(self._policy.max_chunks, wanted))

    def _add_to_sentence(
        self, event: TextDelta | ReasoningDelta, scanner: SentenceScanner, now_s: float
    ) -> list[Event]:
        shown = self.flush() if self._held and type(self._held[0]) is not type(event) else []
        if scanner.channel is not type(event):
            scanner = self._sentences = SentenceScanner(type(event))
        if not self._held:
            self._since_s = now_s
        self._held.append(event)
        self._times.append(now_s)
        self._held_chars += len(event.text)
        open_chars = scanner.feed(event.text)
        if open_chars < self._held_chars:
            shown += self._split(open_chars)
        full = self._held_chars >= SENTENCE_MAX_CHARS
        if full or (self._held and now_s - self._since_s >= self._policy.max_delay_s):
            shown = joined([*shown, *self.flush()])
        return shown

    def _split(self, open_chars: int) -> list[Event]:
        """Release all but the last ``open_chars`` held characters."""
        at, more = len(self._held), open_chars
        while more > 0:
            at -= 1
            more -= len(self._held[at].text)  # type: ignore[union-attr]  # sentences are made of text alone
        shown, kept, times = self._held[:at], self._held[at:], self._times[at:]
        if more < 0:  # the end lies inside this delta
            torn = kept[0]
            shown.append(type(torn)(text=torn.text[:-more]))  # type: ignore[call-arg, union-attr]
            kept[0] = type(torn)(text=torn.text[-more:])  # type: ignore[call-arg, union-attr]
        self._held, self._times, self._held_chars = kept, times, open_chars
        self._since_s = times[0] if times else self._since_s
        return joined(shown)
