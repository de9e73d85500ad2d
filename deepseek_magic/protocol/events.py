"""The vocabulary of a stream: what can happen between a request and its completion.

An event carries no time, so a replay equals its recording; when something came is the meter's business. The values are
msgspec structs: frozen, keyword-only, made in a tenth of the time of a dataclass (they are made once a token), and a
tagged union, so a recorded stream can be written down and read back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from ..text.messages import Message

Strategy = Literal["first", "retry", "resume", "continue", "restart"]
"""Why an attempt is made: ``resume`` re-attaches by Last-Event-ID, ``continue`` completes a prefix, ``restart`` starts over."""

SeamKind = Literal["resumed", "continued", "restarted"]
WaitReason = Literal["queue", "concurrency", "rate", "retry_after", "backoff"]


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens as the API counted them. None means that it did not say; 0 means that it said zero.

    ``completion_tokens`` includes ``reasoning_tokens``; ``prompt_tokens`` is cache hits plus misses (API page
    "create chat completion"). ``estimated`` is true where a broken segment reported nothing and a part was estimated.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    reasoning_tokens: int | None = None
    cache_hit_tokens: int | None = None
    cache_miss_tokens: int | None = None
    estimated: bool = False


if TYPE_CHECKING:
    Words = Message | str
else:
    Words = str  # what is written down is English, and so is what is read again; msgspec has no union with our own type


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", omit_defaults=True, gc=False):
    """The common shape of all events. Untracked by the collector: such values cannot form a cycle."""


class AttemptStarted(_Event, frozen=True, kw_only=True, tag="attempt"):
    """A request is about to be sent. ``attempt`` counts from 1 over the whole call."""

    attempt: int = 1
    strategy: Strategy = "first"
    endpoint: str = ""


class ResponseStarted(_Event, frozen=True, kw_only=True, tag="response"):
    """The first chunk of a response: which completion this is and who writes it."""

    id: str | None = None
    model: str | None = None
    system_fingerprint: str | None = None


class TextDelta(_Event, frozen=True, kw_only=True, tag="text"):
    """A piece of the answer. Never empty."""

    text: str


class ReasoningDelta(_Event, frozen=True, kw_only=True, tag="reasoning"):
    """A piece of the chain of thought. Never empty."""

    text: str


class ToolCallDelta(_Event, frozen=True, kw_only=True, tag="tool_call"):
    """A fragment of a tool call; ``id`` and ``name`` come with the first fragment of an ``index`` only."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


class LogProbs(_Event, frozen=True, kw_only=True, tag="logprobs"):
    """Log probabilities of the tokens of the piece before it: the API's own entries, of the answer and of the reasoning."""

    content: tuple[Any, ...] = ()
    reasoning_content: tuple[Any, ...] = ()

    def __hash__(self) -> int:
        return hash((len(self.content), len(self.reasoning_content)))  # the entries are the API's JSON: objects


class UsageReport(_Event, frozen=True, kw_only=True, tag="usage"):
    """Token counts of the running response. A later report replaces an earlier one; reports are never summed."""

    usage: Usage


class Finish(_Event, frozen=True, kw_only=True, tag="finish"):
    """The provider's reason for ending the answer, in the API's words (``stop``, ``length``, ...)."""

    reason: str


class Heartbeat(_Event, frozen=True, kw_only=True, tag="heartbeat"):
    """An SSE comment: the connection lives, the answer has not moved."""

    comment: str = ""


class Waiting(_Event, frozen=True, kw_only=True, tag="waiting"):
    """The call waits before it goes on: how long at most, and why. ``detail`` is fit to be shown to a person."""

    reason: WaitReason
    seconds: float | None = None
    detail: Words = ""
    attempt: int = 1
    of_attempts: int | None = None


class Seam(_Event, frozen=True, kw_only=True, tag="seam"):
    """Two segments meet: answer text from ``at_chars`` on, and reasoning from ``reasoning_at_chars`` on, is void.

    What follows replaces it. None means that nothing of that channel is void.
    """

    kind: SeamKind
    at_chars: int | None = None
    reasoning_at_chars: int | None = None
    detail: Words = ""


Piece = TextDelta | ReasoningDelta | ToolCallDelta
_PIECES: Final = frozenset({TextDelta, ReasoningDelta, ToolCallDelta})
Event = AttemptStarted | ResponseStarted | Piece | LogProbs | UsageReport | Finish | Heartbeat | Waiting | Seam

_ENCODER: Final = msgspec.json.Encoder(enc_hook=str)
_DECODER: Final[msgspec.json.Decoder[list[Event]]] = msgspec.json.Decoder(list[Event])


def has_pieces(events: Sequence[Event]) -> bool:
    """Whether a piece of the answer is among them."""
    return any(type(event) in _PIECES for event in events)


def dump_events(events: Sequence[Event]) -> bytes:
    """Write events as one JSON array."""
    return _ENCODER.encode(list(events))


def load_events(data: bytes) -> list[Event]:
    """Read what ``dump_events`` wrote. Raises ``msgspec.DecodeError`` for anything else."""
    return _DECODER.decode(data)
