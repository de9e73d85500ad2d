"""What is left of ``max_tokens`` for an answer that is written in several segments.

Apart from the stream, which only tells it what came and asks it for the next segment's limit.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ..protocol.events import Event, ReasoningDelta, Seam, TextDelta, ToolCallDelta
from .pricing import TOKENS_PER_CHINESE_CHAR, count_chinese
from .recovery import Continue

CHARS_PER_TOKEN: Final = 3
"""Cautious mean for hosts that do not send one token a chunk (DeepSeek's token page says 0.3 tokens a character).
A Chinese character counts for more, see ``TOKENS_PER_CHINESE_CHAR``."""

LAST_DELTAS: Final = 64
"""More than a rewind takes back; a longer run of blanks is counted as if it stayed."""


class DeltaCount:
    """The deltas of one channel of an answer, and how many of them a rewind takes back.

    A delta of which a part stays counts as staying: a budget counted like this is never overdrawn.
    """

    def __init__(self) -> None:
        self.total = 0
        self._last_chars: deque[int] = deque(maxlen=LAST_DELTAS)

    def add(self, chars: int) -> None:
        """One delta more, of so many characters."""
        self.total += 1
        self._last_chars.append(chars)

    def within(self, chars: int) -> int:
        """How many of the last deltas lie wholly within the last ``chars`` characters."""
        number = 0
        for size in reversed(self._last_chars):
            chars -= size
            if chars < 0:
                break
            number += 1
        return number

    def take_back(self, chars: int) -> None:
        """The last ``chars`` characters are void."""
        for _ in range(self.within(chars)):
            chars -= self._last_chars.pop()
            self.total -= 1
        if chars and self._last_chars:
            self._last_chars[-1] -= chars


class TokenAllowance:
    """The allowance of one call. ``max_tokens`` None: there is no limit, and nothing is counted.

    ``token_each``: the host sends one token in each delta (DeepSeek: within 3 of an answer, measured); else tokens are
    estimated from characters.
    """

    def __init__(self, max_tokens: int | None, *, token_each: bool) -> None:
        self._max_tokens = max_tokens
        self._token_each = token_each
        self._renew(0)

    def _renew(self, paid_chars: int) -> None:
        self._paid_chars = paid_chars  # of the answer, how much an earlier allowance paid for
        self._seen_chars = self._chinese_chars = 0
        self._deltas = {"text": DeltaCount(), "reasoning": DeltaCount()}

    def begin_with(self, step: Continue) -> None:
        """The call continues an answer of another one, which paid for it."""
        self._renew(step.text_chars + step.reasoning_chars)
        self._max_tokens = step.max_tokens or self._max_tokens

    def add(self, batch: Sequence[Event], *, text_chars: int, reasoning_chars: int) -> None:
        """Count a batch; the characters are those of the answer before it."""
        if self._max_tokens is None:
            return
        chars = {"text": text_chars, "reasoning": reasoning_chars}
        for event in batch:
            match event:
                case TextDelta(text=piece):
                    self._deltas["text"].add(len(piece))
                    chars["text"] += len(piece)
                    self._see(piece)
                case ReasoningDelta(text=piece):
                    self._deltas["reasoning"].add(len(piece))
                    chars["reasoning"] += len(piece)
                    self._see(piece)
                case ToolCallDelta():
                    self._deltas["text"].add(0)
                case Seam(kind="restarted"):
                    self._deltas = {"text": DeltaCount(), "reasoning": DeltaCount()}
                    chars = {"text": 0, "reasoning": 0}
                case Seam():
                    for channel, at in (("text", event.at_chars), ("reasoning", event.reasoning_at_chars)):
                        if at is not None:
                            self._deltas[channel].take_back(max(0, chars[channel] - at))
                            chars[channel] = min(at, chars[channel])

    def _see(self, piece: str) -> None:
        if not self._token_each:
            self._seen_chars += len(piece)
            self._chinese_chars += count_chinese(piece)

    def _tokens_per_char(self) -> float:
        """As the answer is written so far: what a Chinese character costs, three letters do not."""
        chinese = self._chinese_chars / self._seen_chars if self._seen_chars else 0.0
        return chinese * TOKENS_PER_CHINESE_CHAR + (1 - chinese) / CHARS_PER_TOKEN

    def left(self, chars: int) -> int | None:
        """What may still be used after ``chars`` characters of answer and reasoning; None without a limit, zero or less
        when the answer has reached its length."""
        if self._max_tokens is None:
            return None
        if self._token_each:
            return self._max_tokens - sum(count.total for count in self._deltas.values())
        return self._max_tokens - math.ceil((chars - self._paid_chars) * self._tokens_per_char())

    def grant(self, step: Continue, *, at_length: bool, text_chars: int, reasoning_chars: int) -> Continue:
        """The continuation with its limit, given the characters that the answer has.

        ``at_length``: the allowance was used up and the answer goes on with as much again. Else the tokens after the
        prefix are written, and paid, once more, but they are not twice part of the answer.
        """
        if at_length:
            self._renew(step.text_chars + step.reasoning_chars)
        elif step.max_tokens is not None and self._token_each:
            again = self._deltas["text"].within(max(0, text_chars - step.text_chars))
            again += self._deltas["reasoning"].within(max(0, reasoning_chars - step.reasoning_chars))
            return replace(step, max_tokens=step.max_tokens + again)
        return step
