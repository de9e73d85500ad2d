"""What a recovery knows: how an attempt ended, what had been delivered, what is possible, what was spent.

Values only; ``recovery`` decides on them. They are apart because the engine makes them and the decision reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from ..protocol import errors
from ..protocol.chat import ContinueStyle, Request
from ..protocol.events import Strategy
from ..text.messages import Message
from .seams import ECHO_MIN_CHARS, repeats_itself, rewind, torn_from

EndingKind = Literal[
    "finished", "stopped", "unreachable", "reset", "cut", "stall", "total", "status", "damaged", "diverged"
]
"""``finished``: a finish reason came. ``cut``: the body ended without one, ``[DONE]`` or not, or before its length, its
chunks or its gzip stream did. ``stall``: a deadline passed. ``damaged``: bytes that are not the API's, or were garbled on
their way. ``diverged``: a resume or a compared restart turned out to be another text."""

Way = Literal["resume", "continue", "continue_reasoning", "stream_options"]

_HOW: Final[Mapping[errors.DisconnectedHow, EndingKind]] = {"broken": "reset", "early": "cut", "damaged": "damaged"}
REFUSED_FOR_S: Final = 3600.0
_TOO_LARGE: Final = 413


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryPolicy:
    """How hard to try. ``attempts=1, resumes=0`` switches recovery off.

    Back-off before try n+1 in a row is ``base_s · 2ⁿ``, at most ``cap_s``, shortened by up to the share ``jitter``.
    A Retry-After above ``retry_after_ceiling_s`` ends the call instead of being shortened. ``continue_on_length`` goes
    on, at most ``continuations`` times, when the token budget ended the answer.
    """

    attempts: int = 5
    resumes: int = 5
    continuations: int = 3
    base_s: float = 1.0
    cap_s: float = 10.0
    jitter: float = 0.25
    retry_after_ceiling_s: float = 120.0
    continue_on_length: bool = False

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise errors.ConfigurationError.of_setting("attempts", self.attempts, Message("a call makes at least 1"))
        for each in fields(self):
            value = getattr(self, each.name)
            if not value >= 0:
                raise errors.ConfigurationError.of_setting(each.name, value, Message("it takes a number from 0"))
        if self.jitter > 1:
            raise errors.ConfigurationError.of_setting("jitter", self.jitter, Message("it takes a number from 0 to 1"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How one attempt ended, and which kind of attempt it was.

    ``status`` is the HTTP status, or 200 for an error object inside a stream; ``should_retry`` is the server's own word
    (header x-should-retry), ``pause_s`` the stream's (``retry:``); ``error`` is what would be raised. ``asked_usage``: the
    request had a ``stream_options`` that we had put into it.
    """

    kind: EndingKind
    strategy: Strategy = "first"
    finish_reason: str | None = None
    status: int | None = None
    retry_after_s: float | None = None
    should_retry: bool | None = None
    pause_s: float | None = None
    error: errors.DeepSeekError | None = None
    asked_usage: bool = False

    @classmethod
    def of(
        cls, error: errors.DeepSeekError, *, strategy: Strategy = "first", should_retry: bool | None = None
    ) -> Ending:
        """The ending that an error stands for."""
        kind: EndingKind = "reset"
        match error:
            case errors.APIStatusError():
                return cls(
                    kind="status",
                    strategy=strategy,
                    status=error.status,
                    retry_after_s=error.retry_after_s,
                    should_retry=should_retry,
                    error=error,
                )
            case errors.ConnectTimeout():
                kind = "unreachable"
            case errors.ReadTimeout():
                kind = "total" if error.deadline == "total" else "stall"
            case errors.Disconnected():
                kind = _HOW[error.how]
            case errors.ProtocolError():
                kind = "damaged"
            case errors.IncompleteStream():
                kind = "cut"
        return cls(kind=kind, strategy=strategy, error=error)

    @property
    def opened(self) -> bool:
        """Whether a stream had begun; an attempt that was refused before is not a segment of the answer."""
        return self.kind != "unreachable" and (self.kind != "status" or self.status == 200)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What the consumer has, and how much of it a continuation would send.

    ``new_chars`` is what the attempt that just ended brought, also what was held back for an echo (of a restart: all).
    ``text_kept_chars`` and ``reasoning_kept_chars`` are the lengths of the prefixes to send (see ``seams.rewind``);
    ``looping``: the reasoning repeats itself; ``tokens_left`` is what is left of ``max_tokens``, None without a limit.
    """

    text_chars: int = 0
    reasoning_chars: int = 0
    new_chars: int = 0
    has_answer: bool = False
    tool_open: bool = False
    ids_seen: bool = False
    text_kept_chars: int = 0
    reasoning_kept_chars: int = 0
    looping: bool = False
    tokens_left: int | None = None

    @classmethod
    def of(
        cls,
        *,
        text: str,
        reasoning: str = "",
        new_chars: int,
        tool_open: bool = False,
        ids_seen: bool = False,
        tokens_left: int | None = None,
        rewinding: bool = True,
    ) -> Delivered:
        """Measure it. ``rewinding`` is false for a consumer whose text can never be taken back: that text is sent whole,
        at the price that DeepSeek drops newlines at the seam while it does not think."""
        return cls(
            text_chars=len(text),
            reasoning_chars=len(reasoning),
            new_chars=new_chars,
            has_answer=tool_open or not (not text or text.isspace()),
            tool_open=tool_open,
            ids_seen=ids_seen,
            text_kept_chars=_kept(text, rewinding),
            reasoning_kept_chars=_kept(reasoning, rewinding),
            looping=not text and repeats_itself(reasoning),
            tokens_left=tokens_left,
        )

    @property
    def anything(self) -> bool:
        """Whether the consumer has seen a part of the answer."""
        return bool(self.text_chars or self.reasoning_chars or self.tool_open)


def _kept(text: str, rewinding: bool) -> int:
    """The length of the prefix to send; 0 where it would be so short that a gateway's echo of it could not be told from
    an honest repetition."""
    if len(text) < ECHO_MIN_CHARS:
        return 0
    kept = rewind(text) if rewinding else len(text) if torn_from(text) == len(text) else 0
    return kept if kept >= ECHO_MIN_CHARS else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What endpoint, request and consumer allow.

    ``style``: how the endpoint goes on from a prefix. ``reasoning``: whether it also takes a partial chain of thought.
    ``resume``: whether Last-Event-ID may be tried when ids were seen. ``rewind``: whether the consumer can take text
    back. ``repeatable``: whether a second run is likely to give the same text (temperature 0, no thinking).
    """

    style: ContinueStyle = "none"
    reasoning: bool = False
    resume: bool = True
    rewind: bool = True
    json_mode: bool = False
    tools: bool = False
    choices: int = 1
    repeatable: bool = False

    @classmethod
    def of(
        cls, request: Request, *, style: ContinueStyle, reasoning: bool, resume: bool = True, rewind: bool = True
    ) -> Abilities:
        """Read the request's part from the request."""
        body: Mapping[str, Any] = request.options.body()
        return cls(
            style=style,
            reasoning=reasoning,
            resume=resume,
            rewind=rewind,
            json_mode=(body.get("response_format") or {}).get("type", "text") != "text",
            tools=bool(body.get("tools")) or any(m.tool_calls for m in request.messages),
            choices=body.get("n") or 1,
            repeatable=body.get("temperature") == 0 and (body.get("thinking") or {}).get("type") == "disabled",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """The budgets used so far. The first request is the first attempt; every step carries the account after it.

    ``failures`` counts endings in a row without progress (the back-off's exponent), ``fruitless`` resumes in a row that
    delivered nothing, ``called_whole`` how often the text as it stands was sent back whole and nothing more was said to
    it, ``refused`` the ways that this endpoint refused in this call. ``at_length`` says that the answer stands where its
    token budget ended it: there it may stay when it cannot be continued.
    """

    attempts: int = 1
    resumes: int = 0
    continuations: int = 0
    failures: int = 0
    fruitless: int = 0
    called_whole: int = 0
    refused: frozenset[Way] = frozenset()
    at_length: bool = False


class RefusedWays:
    """What endpoints have refused, remembered for ``REFUSED_FOR_S``: a new call does not ask again at once.

    Keys are (base URL, model). A new call begins with ``Spent(refused=refused_ways.of(...))``.
    """

    def __init__(self) -> None:
        self._until_s: dict[tuple[str, str, Way], float] = {}

    def learn(self, base_url: str, model: str, spent: Spent, ending: Ending, now_s: float) -> None:
        """Take note of what a call found refused (``spent.refused`` after ``decide``), if it will be refused again."""
        words = ending.error.said.lower() if isinstance(ending.error, errors.APIStatusError) else ""
        if ending.status == _TOO_LARGE or "context length" in words:
            return  # this answer was too long to be sent back; the next one may not be
        for way in spent.refused:
            self._until_s.setdefault((base_url, model, way), now_s + REFUSED_FOR_S)

    def of(self, base_url: str, model: str, now_s: float) -> frozenset[Way]:
        """The ways not to try with this endpoint and model now."""
        self._until_s = {key: until for key, until in self._until_s.items() if until > now_s}
        return frozenset(way for url, name, way in self._until_s if (url, name) == (base_url, model))
