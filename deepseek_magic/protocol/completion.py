"""Events → Completion: what a stream amounts to."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from ..text.characters import printable
from ..text.extract import code_of, read_json
from ..text.growing import GrowingText
from ..text.messages import Message
from . import markdown
from .chat import Request
from .errors import DeepSeekError, ProtocolError
from .events import (
    AttemptStarted,
    Event,
    Finish,
    LogProbs,
    ReasoningDelta,
    ResponseStarted,
    Seam,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from .measured import Cost, StreamRecord
from .outcome import Outcome, verdict
from .schema import Schema
from .tools.tool import ToolRun

_REASONED: Final = Message(
    "Reasoning came although it was switched off (--think off): the server, or a proxy in front of it, ignores that."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A function the model wants called. ``arguments`` is the raw JSON text, whole."""

    index: int
    id: str | None
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The earlier call that a completion is taken from: its id, when it was made, what it cost (None: unknown)."""

    call_id: str
    asked_at: datetime
    cost: Cost | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """An answer, with what is known about it. ``str()`` of it is the answer's text.

    ``outcome``: complete | truncated (the token budget ended it) | filtered | interrupted (the user stopped it) |
    incomplete (it broke off). ``attempts`` counts requests sent, ``seams`` says where segments were joined,
    ``error`` is what ended it when it is not complete, ``anomalies`` names harmless oddities of the stream. ``kept`` is
    the earlier call whose answer this is, where it was taken from the journal; its usage is then that call's, its cost 0.
    ``remarks`` are sentences about how it was asked, which ``notices`` begin with.
    ``tool_runs`` are the functions that were asked for on the way to this answer, where they were run here (``tools=[f]``); its
    usage and cost are then those of all its rounds, its record the last one's.
    ``logprobs`` and ``reasoning_logprobs`` are the API's entries, a token each, where they were asked for and came.
    """

    request: Request
    text: str = ""
    reasoning: str = ""
    outcome: Outcome = "incomplete"
    finish_reason: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_runs: tuple[ToolRun, ...] = ()
    id: str | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    usage: Usage = field(default_factory=Usage)
    attempts: int = 0
    seams: tuple[Seam, ...] = ()
    anomalies: tuple[str, ...] = ()
    error: DeepSeekError | None = None
    cost: Cost | None = None
    kept: Kept | None = None
    logprobs: tuple[Any, ...] = field(default=(), repr=False, hash=False)
    reasoning_logprobs: tuple[Any, ...] = field(default=(), repr=False, hash=False)
    schema: Schema | None = field(default=None, repr=False)
    remarks: tuple[Message | str, ...] = field(default=(), repr=False, compare=False)
    record: StreamRecord | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.text

    @property
    def notices(self) -> tuple[Message | str, ...]:
        """Sentences about how the call was asked and answered: which settings had no effect, which endpoint was asked and why,
        which one failed before another answered, that the answer has reasoning although it was switched off."""
        off = self.request.options.get("think") == "off"
        return (*self.remarks, *((_REASONED,) if off and (self.reasoning or self.usage.reasoning_tokens) else ()))

    @property
    def code(self) -> str | None:
        """The code in the answer (see ``extract.code_of``); None when there is none."""
        return code_of(self.text)

    @property
    def json(self) -> Any:
        """The answer read as JSON. Raises ProtocolError when it is none; ``error.completion`` has the text."""
        try:
            return read_json(self.text)
        except ValueError as error:
            raise ProtocolError(
                Message("The answer is not JSON: {error}.", error=error.args[0]),
                hint=Message("Its text is kept; --json asks for JSON alone."),
                completion=self,
            ) from None

    @property
    def value(self) -> Any:
        """The answer as the type that its schema names, or without one as ``json`` reads it.

        Raises ProtocolError when it does not fit; ``error.completion`` has the text.
        """
        if self.schema is None:
            return self.json
        try:
            return self.schema.read(self.text)
        except ValueError as error:
            raise ProtocolError(
                Message("The answer does not fit {name}: {why}.", name=self.schema.name, why=error.args[0]),
                hint=Message("Its text is kept, and .json has what could be read."),
                completion=self,
            ) from None

    def __repr__(self) -> str:
        head = self.text if len(self.text) <= 60 else self.text[:57] + "..."
        return f"<Completion {self.outcome}: {head!r}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": printable(self.text), "text/markdown": markdown.safe(self.text)}


@dataclass(slots=True)
class _Fragments:
    """One tool call while its fragments arrive."""

    id: str | None = None
    name: str = ""
    arguments: list[str] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Accumulator:
    """Folds the events of a call into its completion. Keeps the text and nothing else of the chunks.

    After a ``Seam`` the void tail is gone and the next deltas take its place, so ``text`` is at every moment the answer
    as it stands.
    """

    request: Request
    finish_reason: str | None = None
    response: ResponseStarted = field(default_factory=ResponseStarted)
    usage: Usage = field(default_factory=Usage)
    attempts: int = 0
    seams: tuple[Seam, ...] = ()
    _text: GrowingText = field(default_factory=GrowingText)
    _reasoning: GrowingText = field(default_factory=GrowingText)
    _blank: bool = True  # no visible character of answer yet; kept, because looking for one would read all text
    _tools: dict[int, _Fragments] = field(default_factory=dict)
    _logprobs: tuple[list[Any], list[Any]] = field(default_factory=lambda: ([], []))

    def add(self, event: Event) -> None:
        """Take one event. Events of other kinds (waits, heartbeats) change nothing here."""
        # The two kinds that come once a token go first and by isinstance: a class pattern takes half as long again.
        if isinstance(event, TextDelta):
            self.finish_reason = None  # what comes after a finish reason voids it
            self._text.write(event.text)
            if self._blank:
                self._blank = not event.text.strip()
            return
        if isinstance(event, ReasoningDelta):
            self.finish_reason = None
            self._reasoning.write(event.text)
            return
        match event:
            case ToolCallDelta():
                self.finish_reason = None
                self._add_tool(event)
            case LogProbs(content=content, reasoning_content=thought):
                self._logprobs[0].extend(content)
                self._logprobs[1].extend(thought)
            case UsageReport(usage=usage):
                self.usage = usage
            case Finish(reason=reason):
                self.finish_reason = reason
            case ResponseStarted():
                self.response = event
            case AttemptStarted(attempt=attempt):
                self.attempts = attempt
                self.finish_reason = None
            case Seam():
                self._rewind(event)

    def _add_tool(self, event: ToolCallDelta) -> None:
        call = self._tools.setdefault(event.index, _Fragments())
        call.id = call.id or event.id
        call.name = call.name or event.name or ""
        if event.arguments:
            call.arguments.append(event.arguments)

    def _rewind(self, seam: Seam) -> None:
        self.seams = (*self.seams, seam)
        if seam.kind != "resumed":  # the server sends the very same answer on; any other one restarts its calls
            self._tools.clear()
        texts = (self._text, self._reasoning)
        for stream, entries, at in zip(texts, self._logprobs, (seam.at_chars, seam.reasoning_at_chars), strict=True):
            if at is not None:
                stream.truncate(at)
                _truncate(entries, at)
        self._blank = not self.text.strip()

    @property
    def text(self) -> str:
        """The answer so far."""
        return self._text.text

    @property
    def reasoning(self) -> str:
        """The chain of thought so far."""
        return self._reasoning.text

    @property
    def text_chars(self) -> int:
        """Length of the answer so far, in characters, without building it."""
        return self._text.chars

    @property
    def reasoning_chars(self) -> int:
        """Length of the chain of thought so far, in characters, without building it."""
        return self._reasoning.chars

    @property
    def tool_open(self) -> bool:
        """Whether fragments of a tool call have arrived."""
        return bool(self._tools)

    @property
    def has_answer(self) -> bool:
        """Whether there is a word of answer, or a tool call."""
        return self.tool_open or not self._blank

    def completion(
        self, *, interrupted: bool = False, error: DeepSeekError | None = None, anomalies: tuple[str, ...] = ()
    ) -> Completion:
        """The completion as of now. Tool calls are part of it only when the stream finished for them."""
        outcome = verdict(self.finish_reason, has_answer=self.has_answer, interrupted=interrupted)
        whole = outcome == "complete"
        calls = tuple(
            ToolCall(index=index, id=call.id, name=call.name, arguments="".join(call.arguments))
            for index, call in sorted(self._tools.items())
        )
        return Completion(
            request=self.request,
            text=self.text,
            reasoning=self.reasoning,
            outcome=outcome,
            finish_reason=self.finish_reason,
            tool_calls=calls if whole else (),
            id=self.response.id,
            model=self.response.model,
            system_fingerprint=self.response.system_fingerprint,
            usage=self.usage,
            attempts=self.attempts,
            seams=self.seams,
            anomalies=(*anomalies, *(("broken_tool_arguments",) if any(map(_is_broken, calls)) else ())),
            error=error,
            logprobs=tuple(self._logprobs[0]),
            reasoning_logprobs=tuple(self._logprobs[1]),
        )


def _truncate(entries: list[Any], chars: int) -> None:
    """Drop the entries of tokens that do not lie within the first ``chars`` characters."""
    for place, entry in enumerate(entries):
        chars -= len(str(entry.get("token", ""))) if isinstance(entry, dict) else 0
        if chars < 0:
            del entries[place:]
            return


def _is_broken(call: ToolCall) -> bool:
    try:
        json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        return True
    return False
