"""Payloads of a stream → events, and error bodies → errors.

Apart from ``chat``, which says what is asked: this is about what may come back. Tolerant where hosts differ (reasoning
under either name, usage on any chunk, a missing delta, no choices, error objects), strict where a difference would lose
text: what cannot be read raises, it is never skipped.
Source: DeepSeek's page "create chat completion"; deviations of other hosts from their recorded streams.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeVar

import msgspec

from .errors import APIStatusError, ProtocolError, status_error
from .events import Event, Finish, ReasoningDelta, ResponseStarted, TextDelta, ToolCallDelta, Usage, UsageReport

__all__ = ["DONE", "ChatDecoder", "error_from_body", "read_usage"]

DONE: Final = "[DONE]"
"""The payload that ends a stream."""

_OK: Final = 200
_ERROR_STATUSES: Final = frozenset(map(str, range(400, 600)))
_FINISH_WORDS: Final = {"eos": "stop", "end_turn": "stop", "stop_sequence": "stop", "model_length": "length"}
"""Other hosts' words for DeepSeek's finish reasons (SiliconFlow, Anthropic-like gateways, Mistral)."""


class _Delta(msgspec.Struct, gc=False):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: Any = None


class _Choice(msgspec.Struct, gc=False):
    index: Any = 0
    delta: _Delta | None = None
    message: _Delta | None = None  # instead of delta where a host answers whole though a stream was asked for
    finish_reason: Any = None


class _Chunk(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    system_fingerprint: Any = None
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None
    message: Any = None  # a flat error body (Alibaba, SiliconFlow) has its text here, and no choices


class _PlainDelta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: None = None
    tool_calls: None = None


class _PlainChoice(msgspec.Struct, gc=False):
    delta: _PlainDelta
    index: Literal[0] = 0
    finish_reason: None = None


class _PlainChunk(msgspec.Struct, gc=False):
    """A chunk that can only be a piece of text, as nearly all are: its type is the proof, and nothing is left to ask."""

    choices: tuple[_PlainChoice]
    usage: None = None
    error: None = None


_C = TypeVar("_C", _Chunk, _PlainChunk)
_CHUNK: Final = msgspec.json.Decoder(_Chunk)
_PLAIN_CHUNK: Final = msgspec.json.Decoder(_PlainChunk)
_EXCERPT_CHARS: Final = 200
_REPLACEMENT: Final = "\ufffd"


class ChatDecoder:
    """Payloads of one response → events.

    Remembers what a payload alone does not say: whether the response was announced, which tool call a fragment without
    an index belongs to, and a character that was torn between two deltas. Such a character (U+FFFD, or half a
    surrogate pair, at the end of a delta) waits for the next one, so that a stream that breaks there never shows it.
    ``done`` turns true with the payload ``[DONE]``, ``started`` when the response was announced; ``finish_reason`` is
    the latest one.
    """

    __slots__ = ("_last_tool", "_surrogates", "_tool_ids", "_tools", "_torn", "done", "finish_reason", "started")

    def __init__(self) -> None:
        self.done = False
        self.finish_reason: str | None = None
        self.started = False
        self._surrogates = False
        self._torn: TextDelta | ReasoningDelta | None = None
        self._tool_ids: dict[str, int] = {}
        self._tools = 0  # the next free index
        self._last_tool = 0

    def decode(self, data: str | bytes) -> list[Event]:
        """The events of one payload; none for ``[DONE]`` and for a blank one.

        Raises ProtocolError for what is not the API's JSON, and the fitting APIStatusError for an error object.
        """
        try:
            chunk = _CHUNK.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if data.strip() in ("", b"", DONE, DONE.encode()):
                self.done = self.done or bool(data.strip())
                return []
            chunk = self._decode_leniently(data, error)
        if chunk.choices is None or chunk.error:
            self._refuse_what_is_no_chunk(chunk, data)
        events: list[Event] = []
        self._read_chunk(chunk, events)
        return events

    def decode_lines(self, lines: bytes, events: list[Event]) -> bool:
        """Append the events of many payloads, a line each, to ``events``. False, with nothing taken, when one of them
        needs the care of ``decode``. A third of the cost of a call for each."""
        if self._decode_plain_lines(lines, events):
            return True
        chunks = _one_a_line(_CHUNK, lines)
        if chunks is None:
            return False
        for chunk in chunks:
            if chunk.choices is None or chunk.error:
                return False
        for chunk in chunks:
            self._read_chunk(chunk, events)
        return True

    def _decode_plain_lines(self, lines: bytes, events: list[Event]) -> bool:
        """The same where every chunk is a piece of text and no character is torn."""
        if not self.started or self._torn is not None or self._surrogates:
            return False
        chunks = _one_a_line(_PLAIN_CHUNK, lines)
        if chunks is None:
            return False
        plain: list[Event] = []
        for chunk in chunks:
            delta = chunk.choices[0].delta
            if thought := delta.reasoning_content:
                if thought[-1] == _REPLACEMENT:
                    return False
                plain.append(ReasoningDelta(text=thought))
            if text := delta.content:
                if text[-1] == _REPLACEMENT:
                    return False
                plain.append(TextDelta(text=text))
        events += plain
        return True

    def _read_chunk(self, chunk: _Chunk, events: list[Event]) -> None:
        begin = len(events)
        try:
            self._read_fields(chunk, events)
        except ProtocolError:
            del events[begin:]  # of what cannot be read, nothing is given out
            raise
        if isinstance(chunk.usage, dict):
            # Before the finish, so that a consumer that stops at the finish has it.
            usage = UsageReport(usage=read_usage(chunk.usage))
            at_finish = len(events) > begin and isinstance(events[-1], Finish)
            events.insert(len(events) - at_finish, usage)

    def _read_fields(self, chunk: _Chunk, events: list[Event]) -> None:
        if not self.started and (chunk.id or chunk.model):
            self.started = True
            events.append(
                ResponseStarted(
                    id=_text(chunk.id), model=_text(chunk.model), system_fingerprint=_text(chunk.system_fingerprint)
                )
            )
        for choice in chunk.choices or ():
            if choice.index == 0 or choice.index is None:  # one answer is asked for; others are not ours
                self._read_choice(choice, events)

    def _decode_leniently(self, data: str | bytes, error: Exception) -> _Chunk:
        # json reads what Python and JavaScript servers write and the standard forbids: half a surrogate pair, NaN.
        try:
            chunk = msgspec.convert(json.loads(data), _Chunk)
        except (ValueError, msgspec.ValidationError, RecursionError):  # which is a ValueError from msgspec 0.21 on
            raise _not_a_chunk(data, str(error)) from None
        self._surrogates = True
        return chunk

    def _refuse_what_is_no_chunk(self, chunk: _Chunk, data: str | bytes) -> None:
        if chunk.error or (isinstance(chunk.message, str) and chunk.choices is None and chunk.usage is None):
            raise error_from_body(200, data)
        if chunk.usage is None and not chunk.id and not chunk.model:  # a payload of another dialect, like /responses
            raise _not_a_chunk(data, "it has no choices")

    def _read_choice(self, choice: _Choice, events: list[Event]) -> None:
        delta = choice.delta or choice.message
        if delta is not None:
            thought = delta.reasoning_content or delta.reasoning
            if thought:
                self._append_reasoning(thought, events)
            content = delta.content
            if content:
                if isinstance(content, str):
                    self._append(TextDelta(text=content), events)
                else:
                    self._append_parts(content, events)
            if delta.tool_calls:
                self._append_tool_calls(delta.tool_calls, events)
        if choice.finish_reason:
            self._release(events)
            reason = str(choice.finish_reason)
            self.finish_reason = _FINISH_WORDS.get(reason, reason)
            events.append(Finish(reason=self.finish_reason))

    def _append(self, delta: TextDelta | ReasoningDelta, events: list[Event]) -> None:
        if self._torn is None and (delta.text.isascii() or (delta.text[-1] != _REPLACEMENT and not self._surrogates)):
            events.append(delta)
            return
        kind = type(delta)
        text = delta.text
        if type(self._torn) is kind:
            text, self._torn = self._torn.text + text, None
        self._release(events)
        if text[-1] == _REPLACEMENT or "\ud800" <= text[-1] <= "\udbff":
            self._torn = kind(text=text[-1])
            text = text[:-1]
        if text:
            events.append(kind(text=_without_surrogates(text)))

    def _release(self, events: list[Event]) -> None:
        """Give out the held character as it is: what could have made it whole did not come."""
        if self._torn is not None:
            events.append(type(self._torn)(text=_REPLACEMENT))
            self._torn = None

    def _append_reasoning(self, thought: Any, events: list[Event]) -> None:
        if not isinstance(thought, str):
            raise ProtocolError(f"The stream holds reasoning that is not text but {type(thought).__name__}.")
        self._append(ReasoningDelta(text=thought), events)

    def _append_parts(self, content: Any, events: list[Event]) -> None:
        if not isinstance(content, list):
            raise ProtocolError(f"The stream holds content that is not text but {type(content).__name__}.")
        for part in content:  # Mistral: a list of parts, thinking among them
            match part:
                case {"type": "text", "text": str(text)}:
                    if text:
                        self._append(TextDelta(text=text), events)
                case {"type": "thinking", "thinking": list(inner)}:
                    for piece in inner:
                        if isinstance(piece, dict) and piece.get("text"):
                            self._append_reasoning(piece["text"], events)
                case {"type": "thinking", "thinking": str(text)}:
                    if text:
                        self._append_reasoning(text, events)
                case _:
                    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
                    raise ProtocolError(f"The stream holds a content part of an unknown kind: {kind}.")

    def _append_tool_calls(self, calls: Any, events: list[Event]) -> None:
        if not isinstance(calls, list):
            raise ProtocolError(f"The stream holds tool calls that are not a list but {type(calls).__name__}.")
        self._release(events)
        for call in calls:
            function = call.get("function") or {} if isinstance(call, dict) else None
            if not isinstance(function, dict):
                raise ProtocolError("The stream holds a tool call that is not an object with a function.")
            id, name, arguments = _text(call.get("id")), _text(function.get("name")), function.get("arguments")
            if arguments is None:
                arguments = ""
            elif not isinstance(arguments, str):  # Ollama: an object instead of its text
                arguments = json.dumps(arguments, ensure_ascii=False)
            index = self._tool_index(call.get("index"), id, name)
            events.append(ToolCallDelta(index=index, id=id, name=name, arguments=arguments))

    def _tool_index(self, index: Any, id: str | None, name: str | None) -> int:
        """Which call a fragment belongs to. Without an index, a new id (or a name without id) begins a new call."""
        if isinstance(index, int) and not isinstance(index, bool):
            which = index
        elif id is not None:
            which = self._tool_ids.setdefault(id, self._tools)
        else:
            which = self._tools if name is not None or self._tools == 0 else self._last_tool
        self._last_tool = which
        self._tools = max(self._tools, which + 1)
        return which


def _one_a_line(decoder: msgspec.json.Decoder[_C], lines: bytes) -> list[_C] | None:
    """The chunks of lines, one of each; None where one of them is no chunk, or none at all."""
    try:
        chunks = decoder.decode_lines(lines)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    # msgspec would also take two objects on one line, and skip a blank one.
    return chunks if len(chunks) == lines.count(b"\n") + 1 else None


def _not_a_chunk(data: str | bytes, why: str) -> ProtocolError:
    excerpt = data[:_EXCERPT_CHARS]
    return ProtocolError(f"The stream holds something that is not a chat chunk ({why}): {excerpt!r}.")


def _without_surrogates(text: str) -> str:
    """Pairs of surrogates joined to their character, single ones replaced by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def read_usage(raw: Mapping[str, Any]) -> Usage:
    """Token counts from the API's ``usage`` object; hits and misses are read in both places where they occur."""
    prompt_details = _object(raw.get("prompt_tokens_details"))
    completion_details = _object(raw.get("completion_tokens_details"))
    prompt = _count(raw, "prompt_tokens")
    hit = _count(raw, "prompt_cache_hit_tokens", prompt_details, "prompt_cache_hit_tokens", "cached_tokens")
    miss = _count(raw, "prompt_cache_miss_tokens", prompt_details, "prompt_cache_miss_tokens")
    if miss is None and prompt is not None and hit is not None:
        miss = prompt - hit
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=_count(raw, "completion_tokens"),
        total_tokens=_count(raw, "total_tokens"),
        reasoning_tokens=_count(completion_details, "reasoning_tokens"),
        cache_hit_tokens=hit,
        cache_miss_tokens=miss,
    )


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(first: Mapping[str, Any], name: str, second: Mapping[str, Any] | None = None, *names: str) -> int | None:
    candidates: Iterable[Any] = (first.get(name), *((second or {}).get(n) for n in names))
    return next((c for c in candidates if isinstance(c, int) and not isinstance(c, bool)), None)


def error_from_body(
    status: int, body: str | bytes, *, retry_after_s: float | None = None, trace_id: str | None = None
) -> APIStatusError:
    """The typed error for an error body in any of the hosts' shapes; the HTTP status decides, the body only explains.

    Known shapes: ``{"error": {"message", "type", "code"}}`` (DeepSeek, OpenAI), ``{"error": "text"}`` (Ollama), flat
    ``{"message", "code"}`` (Alibaba, SiliconFlow), ``{"detail"}`` (FastAPI: vLLM, SGLang), a bare JSON string
    (SiliconFlow), HTML from a proxy. An error object inside a stream may carry an HTTP status as its ``code``
    (OpenRouter) or ``status_code`` (Groq): that one is used.
    """
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    try:
        raw: Any = json.loads(text)
    except (ValueError, RecursionError):
        raw = "" if "<html" in text.lower() else " ".join(text.split())
    if isinstance(raw, dict):
        raw = raw.get("error") or raw
    if not isinstance(raw, dict):
        raw = {"message": raw if isinstance(raw, str) else ""}
    code = raw.get("code")
    if status == _OK:
        status = next((int(c) for c in (code, raw.get("status_code")) if str(c) in _ERROR_STATUSES), status)
    said = raw.get("message") or raw.get("detail") or ""
    return status_error(
        status,
        (said if isinstance(said, str) else json.dumps(said, ensure_ascii=False))[: 5 * _EXCERPT_CHARS],
        type=_text(raw.get("type")),
        code=str(code) if code is not None else None,
        retry_after_s=retry_after_s,
        trace_id=trace_id,
    )
