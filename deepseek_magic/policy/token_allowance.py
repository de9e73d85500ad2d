"""What is left of ``max_tokens`` for an answer that is written in several segments.

Apart from the stream, which only tells it what came and asks it for the next segment's limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..protocol.events import Event, ReasoningDelta, Seam, TextDelta, ToolCallDelta
from .recovery import Continue
from .seams import DeltaCount, remaining_max_tokens


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
                case ReasoningDelta(text=piece):
                    self._deltas["reasoning"].add(len(piece))
                    chars["reasoning"] += len(piece)
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

    def left(self, chars: int) -> int | None:
        """What may still be used after ``chars`` characters of answer and reasoning; None without a limit."""
        deltas = sum(count.total for count in self._deltas.values()) if self._token_each else None
        return remaining_max_tokens(self._max_tokens, chars=chars - self._paid_chars, deltas=deltas)

    def grant(self, step: Continue, *, at_length: bool, text_chars: int, reasoning_chars: int) -> Continue:
        """The continuation with its limit, given the characters that the answer has.

        ``at_length``: the allowance was used up and the answer goes on with as much again. Else the tokens behind the
        prefix are written, and paid, once more, but they are not twice part of the answer.
        """
        if at_length:
            self._renew(step.text_chars + step.reasoning_chars)
        elif step.max_tokens is not None and self._token_each:
            again = self._deltas["text"].within(max(0, text_chars - step.text_chars))
            again += self._deltas["reasoning"].within(max(0, reasoning_chars - step.reasoning_chars))
            return replace(step, max_tokens=step.max_tokens + again)
        return step
