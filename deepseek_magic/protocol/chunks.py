"""Payloads of a stream → events, and error bodies → errors.

Apart from ``chat``, which says what is asked: this is about what may come back. Tolerant where hosts differ (reasoning
under either name, usage on any chunk, a missing delta, no choices, error objects), strict where a difference would lose
text: what cannot be read raises, it is never skipped.
Source: DeepSeek's page "create chat completion"; deviations of other hosts from their recorded streams.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

import msgspec

from ..text.characters import named
from ..text.messages import Message
from ..text.think_tags import ThinkTags
from .errors import APIStatusError, ProtocolError, status_error, status_of_words
from .events import (
    Event,
    Finish,
    Heartbeat,
    LogProbs,
    ReasoningDelta,
    ResponseStarted,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from .outcome import OUTCOMES

DONE: Final = "[DONE]"
"""The payload that ends a stream."""

_OK: Final = 200
_ERROR_STATUSES: Final = frozenset(map(str, range(400, 600)))
_FINISH_WORDS: Final = {"eos": "stop", "end_turn": "stop", "stop_sequence": "stop", "model_length": "length"}
"""Other hosts' words for DeepSeek's finish reasons (SiliconFlow, Anthropic-like gateways, Mistral)."""
_SIGNS_OF_LIFE: Final = frozenset({"ping", "heartbeat", "keepalive", "keep-alive", "keep_alive"})
_OTHER_DIALECTS: Final = ("response.", "message_", "content_block_")
"""Names of events of OpenAI's responses and of Anthropic's messages: they hold an answer that is not read here."""


class _Delta(msgspec.Struct, gc=False):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    tool_calls: Any = None


class _Choice(msgspec.Struct, gc=False):
    index: Any = 0
    delta: _Delta | None = None
    message: _Delta | None = None  # the whole so far: of an answer in one piece, or once more after its deltas
    text: Any = None  # of the older completions API, which is not asked
    logprobs: Any = None
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
    refusal: None = None
    tool_calls: None = None


class _PlainChoice(msgspec.Struct, gc=False):
    delta: _PlainDelta
    index: Literal[0] = 0
    logprobs: None = None
    finish_reason: None = None


class _PlainChunk(msgspec.Struct, gc=False):
    """A chunk that can only be a piece of text, as nearly all are: its type is the proof, and nothing is left to ask."""

    choices: tuple[_PlainChoice]
    usage: None = None
    error: None = None


_C = TypeVar("_C", _Chunk, _PlainChunk)
_CHUNK: Final = msgspec.json.Decoder(_Chunk)
_PLAIN_CHUNK: Final = msgspec.json.Decoder(_PlainChunk)
_CHANNELS: Final = ("content", "reasoning_content", "reasoning", "refusal")
_THOUGHT: Final = frozenset({"reasoning_content", "reasoning"})
"""Two names of one thing: a server may use one in its deltas, or tags, and the other in the message behind them."""
_LAST_LINES: Final = 2
"""An answer ends with a chunk that says why, and often one with its usage: they are no pieces of text as those before are."""
_EXCERPT_CHARS: Final = 200
_REPLACEMENT: Final = "\ufffd"


@dataclass(slots=True, eq=False)
class _Tools:
    """Which call a fragment belongs to: a new id is a new call, whatever index it comes under; without ids, the index.

    Gateways send parallel calls all under index 0, or all under one id. vLLM gave each fragment of one call an id of its
    own: there only the first has a name, and the call is not whole yet.
    """

    count: int = 0
    _last: int = 0
    _by_id: dict[str, int] = field(default_factory=dict)
    _by_index: dict[int, int] = field(default_factory=dict)
    _arguments: dict[int, str] = field(default_factory=dict)

    def which(self, index: Any, id: str | None, name: str | None, arguments: str) -> int:
        """The call, as our own index. Without an index, a new id (or a name without id) begins a new call."""
        if isinstance(index, str) and re.fullmatch(r"[0-9]{1,9}", index):
            index = int(index)
        if not isinstance(index, int) or isinstance(index, bool):
            index = None
        known = self._by_index.get(index) if index is not None else self._last if self.count else None
        again = name is not None and index is not None and index not in self._by_index
        if id in self._by_id and not (again and self._is_whole(self._by_id[id])):
            found = self._by_id[id]
        elif known is None or self._begins(known, id, name, has_index=index is not None):
            found = self._free(index)
        else:
            found = known
        if id is not None:
            self._by_id[id] = found
        if index is not None:
            self._by_index[index] = found
        self._arguments[found] = self._arguments.get(found, "") + arguments
        self._last = found
        return found

    def _begins(self, known: int, id: str | None, name: str | None, *, has_index: bool) -> bool:
        if id is None:
            return name is not None and (not has_index or self._is_whole(known))
        if known not in self._by_id.values():  # its id comes late
            return name is not None and self._is_whole(known)
        return name is not None or not has_index or self._is_whole(known)

    @property
    def whole(self) -> bool:
        """Whether no call is half: each has its arguments, as JSON."""
        return all(map(self._is_whole, self._arguments))

    def _is_whole(self, call: int) -> bool:
        try:
            return isinstance(json.loads(self._arguments.get(call, "")), dict)
        except (ValueError, RecursionError):
            return False

    def _free(self, index: int | None) -> int:
        taken = set(self._by_id.values()) | set(self._by_index.values()) | set(self._arguments)
        found = self.count if index is None or index in taken else index
        self.count = max(self.count, found + 1)
        return found


@dataclass(slots=True, eq=False)
class ChatDecoder:
    """Payloads of one response → events.

    Remembers what a payload alone does not say: whether the response was announced, which tool call a fragment without
    an index belongs to, and a character that was torn between two deltas. Such a character (U+FFFD, or half a
    surrogate pair, at the end of a delta) waits for the next one, so that a stream that breaks there never shows it.
    ``done`` turns true with the payload ``[DONE]``, ``started`` when the response was announced; ``finish_reason`` is
    the latest one. ``finish_was_early``: text came after it, so only the end of the stream proves that the answer is
    whole. ``finish_in_call``: it came where a tool call had not all of its arguments, so it is not given out before the
    end of the stream. ``anomalies`` names what was odd and harmed nothing. ``tags`` is where an earlier reader of the same response
    stood in its ``<think>``; None once no tag can begin or end any more.
    """

    tags: ThinkTags | None = field(default_factory=ThinkTags)
    done: bool = False
    finish_reason: str | None = None
    finish_was_early: bool = False
    finish_in_call: bool = False
    started: bool = False
    anomalies: list[str] = field(default_factory=list)
    _id: str | None = None
    _surrogates: bool = False
    _torn: TextDelta | ReasoningDelta | None = None
    _tools: _Tools = field(default_factory=_Tools)
    _in_deltas: set[str] = field(default_factory=set)
    _whole: dict[str, str] = field(default_factory=dict)
    _refused: bool = False

    def decode(self, data: str | bytes, *, name: str = "message") -> list[Event]:
        """The events of one payload; none for ``[DONE]`` and for a blank one. ``name`` is what the stream calls it.

        Raises ProtocolError for what is not the API's JSON, and the fitting APIStatusError for an error object.
        """
        if name == "error":
            raise error_from_body(_OK, data)
        if name in _SIGNS_OF_LIFE:
            return [Heartbeat(comment=name)]
        try:
            return self._decode(data)
        except ProtocolError:
            if name == "message" or name.startswith(_OTHER_DIALECTS):
                raise
            return [Heartbeat(comment=name)]  # a host's own news: whoever wants it asks for it by its name

    def decode_whole(self, body: bytes) -> list[Event]:
        """The events of an answer in one piece. Raises as ``decode`` does, with its own sentence for JSON line by line."""
        try:
            return self.decode(body)
        except ProtocolError:
            first, *more = body.split(b"\n", 1)
            if more and isinstance(_object_in(first), dict):
                said = Message("The server sends one JSON object a line instead of server-sent events.")
                raise _protocol_error(said, permanent=True) from None
            raise

    def _decode(self, data: str | bytes) -> list[Event]:
        events: list[Event] = []
        try:
            chunk = _CHUNK.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if data.strip() in ("", b"", DONE, DONE.encode()):
                self.done = self.done or bool(data.strip())
                if self.done:
                    self._close_tags(events, whole=False)
                return events
            if _is_sign_of_life(data):
                return [Heartbeat(comment="ping")]
            chunk = self._decode_leniently(data, error)
        if chunk.choices is None or chunk.error:
            if not chunk.error and _is_sign_of_life(data):
                return [Heartbeat(comment="ping")]
            self._refuse_what_is_no_chunk(chunk, data)
        self._read_chunk(chunk, events)
        return events

    def decode_lines(self, lines: bytes, events: list[Event]) -> bool:
        """Append the events of many payloads, a line each, to ``events``. False, with nothing taken, when one of them
        needs the care of ``decode``. A third of the cost of a call for each."""
        if self._decode_plain_lines(lines, events):
            return True
        pieces, *last = lines.rsplit(b"\n", _LAST_LINES)
        chunks = _usual_chunks(b"\n".join(last))
        if chunks is None:
            return False
        if not self._decode_plain_lines(pieces, events):
            chunks = _usual_chunks(lines)
            if chunks is None:
                return False
        for chunk in chunks:
            self._read_chunk(chunk, events)
        return True

    def _decode_plain_lines(self, lines: bytes, events: list[Event]) -> bool:
        """The same where every chunk is a piece of text and no character is torn."""
        if not self.started or self._torn or self._surrogates or self.tags or self.finish_reason:
            return False
        chunks = _one_a_line(_PLAIN_CHUNK, lines)
        if chunks is None:
            return False
        plain: list[Event] = []
        answered = thought_of = False
        for chunk in chunks:
            delta = chunk.choices[0].delta
            if thought := delta.reasoning_content:
                if thought[-1] == _REPLACEMENT:
                    return False
                plain.append(ReasoningDelta(text=thought))
                thought_of = True
            if text := delta.content:
                if text[-1] == _REPLACEMENT:
                    return False
                plain.append(TextDelta(text=text))
                answered = True
        if answered:
            self._in_deltas.add("content")
        if thought_of:
            self._in_deltas.add("reasoning_content")
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
            self.started, self._id = True, _text(chunk.id)
            fingerprint = _text(chunk.system_fingerprint)
            events.append(ResponseStarted(id=self._id, model=_text(chunk.model), system_fingerprint=fingerprint))
        elif self._id is not None and chunk.id and chunk.id != self._id:
            self._note("id_changed")
        for choice in chunk.choices or ():
            if choice.index == 0 or choice.index is None:  # one answer is asked for; others are not ours
                self._read_choice(choice, events)

    def _decode_leniently(self, data: str | bytes, error: Exception) -> _Chunk:
        # json reads what servers write and the standard forbids: half a surrogate pair, NaN, a raw tab in a string.
        try:
            raw = json.loads(data, strict=False)
        except (ValueError, RecursionError):
            raise _not_a_chunk(data, str(error)) from None
        try:
            chunk = msgspec.convert(raw, _Chunk)
        except (ValueError, msgspec.ValidationError):  # which is a ValueError from msgspec 0.21 on
            raise _not_a_chunk(data, str(error), permanent=not self._brought) from None
        self._surrogates = True
        return chunk

    @property
    def _brought(self) -> bool:
        """Whether a piece of the answer was read. Before that, whole JSON in another form is another kind of server's."""
        return bool(self._in_deltas or self._tools.count)

    def _unreadable(self, said: Message) -> ProtocolError:
        return _protocol_error(said, permanent=not self._brought)

    def _refuse_what_is_no_chunk(self, chunk: _Chunk, data: str | bytes) -> None:
        if chunk.error or (isinstance(chunk.message, str) and chunk.choices is None and chunk.usage is None):
            raise error_from_body(200, data)
        if chunk.usage is None and not chunk.id and not chunk.model:  # a payload of another dialect, like /responses
            raise _not_a_chunk(data, Message("it has no choices"), permanent=True)

    def _read_choice(self, choice: _Choice, events: list[Event]) -> None:
        begin = len(events)
        if choice.delta is None and choice.message is None and isinstance(choice.text, str):
            raise self._unreadable(Message("The server sends text of the older completions API, not of the chat API."))
        if (delta := choice.delta) is not None:
            self._read_words(delta, events)
            if delta.content:
                self._in_deltas.add("content")
            if delta.reasoning_content or delta.reasoning or delta.refusal:
                self._in_deltas.update(name for name in _CHANNELS if getattr(delta, name))
        if choice.message is not None and len(events) == begin:
            self._read_words(self._news_of(choice.message), events)
        if self.finish_reason is not None and len(events) > begin:
            self._note("text_after_finish")
            self.finish_was_early = True
        if choice.logprobs:
            self._read_logprobs(choice.logprobs, events)
        if choice.finish_reason:
            self._read_finish(named(str(choice.finish_reason)), events)

    def _read_words(self, delta: _Delta, events: list[Event]) -> None:
        thought = delta.reasoning_content or delta.reasoning
        if thought:
            self.tags = None  # a host that knows reasoning puts none into the answer
            self._append_reasoning(thought, events)
        content = delta.content
        if content:
            if isinstance(content, str):
                self._append_answer(content, events)
            else:
                self._append_parts(content, events)
        if isinstance(delta.refusal, str) and delta.refusal:
            self._refused = True
            self._append(TextDelta, delta.refusal, events)
        if delta.tool_calls:
            self._append_tool_calls(delta.tool_calls, events)

    def _news_of(self, message: _Delta) -> _Delta:
        """A message is the whole so far: where deltas brought it, it adds nothing; to an earlier message, what is longer."""
        news = _Delta(tool_calls=None if self._tools.count else message.tool_calls)
        if not self._in_deltas.isdisjoint(_THOUGHT):
            self._in_deltas |= _THOUGHT
        for channel in _CHANNELS:
            whole, before = getattr(message, channel), self._whole.get(channel, "")
            if channel in self._in_deltas or not whole:
                continue
            if not isinstance(whole, str):
                self._in_deltas.add(channel)  # parts come once
                setattr(news, channel, whole)
            elif whole.startswith(before):
                self._whole[channel] = whole
                setattr(news, channel, whole[len(before) :])
        return news

    def _read_logprobs(self, logprobs: Any, events: list[Event]) -> None:
        entries = logprobs if isinstance(logprobs, dict) else {}
        text, thought = entries.get("content"), entries.get("reasoning_content")
        if isinstance(text, list) or isinstance(thought, list):
            events.append(LogProbs(content=tuple(text or ()), reasoning_content=tuple(thought or ())))

    def _read_finish(self, reason: str, events: list[Event]) -> None:
        self._release(events)
        plain = reason.lower()  # Gemini's gateways write STOP
        plain = _FINISH_WORDS.get(plain, plain)
        reason = plain if plain in OUTCOMES else reason
        if self._refused and reason == "stop":
            reason = "content_filter"  # the words are the refusal's, not an answer's
        self._close_tags(events, whole=reason == "stop")
        if self.finish_reason is not None:
            self._note("finish_repeated")
        if reason != self.finish_reason:
            self.finish_reason = reason
            self.finish_in_call = OUTCOMES.get(reason) == "complete" and not self._tools.whole
            if not (self.finish_was_early or self.finish_in_call):
                events.append(Finish(reason=reason))

    def _append_answer(self, text: str, events: list[Event]) -> None:
        if self.tags is not None:
            thought, text = self.tags.feed(text)
            if thought:
                self._in_deltas.add("reasoning_content")
            self._append(ReasoningDelta, thought, events)
            if self.tags.over:
                self.tags = None
        self._append(TextDelta, text, events)

    def _close_tags(self, events: list[Event], *, whole: bool) -> None:
        """What was held back for a tag is given out. In a ``whole`` answer a thought that was never closed is the answer
        as well: else a word in angle brackets could swallow it."""
        tags = self.tags
        if tags is None or not tags.begun:
            return
        self.tags = None
        unclosed = tags.unclosed if whole and not self._tools.count else ""
        thought, text = tags.close()
        self._append(ReasoningDelta, thought, events)
        if unclosed:
            self._note("think_tag_unclosed")
        self._append(TextDelta, text or unclosed, events)

    def _note(self, anomaly: str) -> None:
        if anomaly not in self.anomalies:
            self.anomalies.append(anomaly)

    def _append(self, kind: type[TextDelta | ReasoningDelta], text: str, events: list[Event]) -> None:
        if not text:
            return
        if self._torn is None and (text.isascii() or (text[-1] != _REPLACEMENT and not self._surrogates)):
            events.append(kind(text=text))
            return
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
            raise self._unreadable(
                Message("The stream holds reasoning that is not text but {kind}.", kind=type(thought).__name__)
            )
        self._append(ReasoningDelta, thought, events)

    def _append_parts(self, content: Any, events: list[Event]) -> None:
        if not isinstance(content, list):
            raise self._unreadable(
                Message("The stream holds content that is not text but {kind}.", kind=type(content).__name__)
            )
        for part in content:  # Mistral: a list of parts, thinking among them
            match part:
                case {"type": "text", "text": str(text)}:
                    self._append(TextDelta, text, events)
                case {"type": "thinking", "thinking": list(inner)}:
                    for piece in inner:
                        if isinstance(piece, dict) and piece.get("text"):
                            self._append_reasoning(piece["text"], events)
                case {"type": "thinking", "thinking": str(text)}:
                    self._append(ReasoningDelta, text, events)
                case _:
                    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
                    raise self._unreadable(
                        Message("The stream holds a content part of an unknown kind: {kind}.", kind=kind)
                    )

    def _append_tool_calls(self, calls: Any, events: list[Event]) -> None:
        if not isinstance(calls, list):
            raise self._unreadable(
                Message("The stream holds tool calls that are not a list but {kind}.", kind=type(calls).__name__)
            )
        self._release(events)
        for call in calls:
            function = call.get("function") or {} if isinstance(call, dict) else None
            if not isinstance(function, dict):
                raise self._unreadable(Message("The stream holds a tool call that is not an object with a function."))
            id, name, arguments = _text(call.get("id")), _text(function.get("name")), function.get("arguments")
            if arguments is None:
                arguments = ""
            elif not isinstance(arguments, str):  # Ollama: an object instead of its text
                arguments = json.dumps(arguments, ensure_ascii=False)
            index = self._tools.which(call.get("index"), id, name, arguments)
            events.append(ToolCallDelta(index=index, id=id, name=name, arguments=arguments))


def _one_a_line(decoder: msgspec.json.Decoder[_C], lines: bytes) -> list[_C] | None:
    """The chunks of lines, one of each; None where one of them is no chunk, or none at all."""
    try:
        chunks = decoder.decode_lines(lines)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    # msgspec would also take two objects on one line, and skip a blank one.
    return chunks if len(chunks) == lines.count(b"\n") + 1 else None


def _usual_chunks(lines: bytes) -> list[_Chunk] | None:
    """The same where none of them is an error, or something without choices."""
    chunks = _one_a_line(_CHUNK, lines) if lines else []
    if chunks is None or any(chunk.choices is None or chunk.error for chunk in chunks):
        return None
    return chunks


def _is_sign_of_life(data: str | bytes) -> bool:
    """Whether a payload only says that the connection lives: ``ping``, or an object whose type or key is that."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        said = data if isinstance(data, str) else data.decode("utf-8", "replace")
    if isinstance(said, dict):
        if said and said.keys() <= _SIGNS_OF_LIFE:
            return True
        said = said.get("type") or said.get("event") or said.get("object")
    return isinstance(said, str) and said.strip(" \n:[]").lower() in _SIGNS_OF_LIFE


def _not_a_chunk(data: str | bytes, why: Message | str, *, permanent: bool = False) -> ProtocolError:
    excerpt = repr(data[:_EXCERPT_CHARS])
    said = Message("The stream holds something that is not a chat chunk ({why}): {excerpt}.", why=why, excerpt=excerpt)
    return _protocol_error(said, permanent=permanent)


def _protocol_error(said: Message, *, permanent: bool) -> ProtocolError:
    hint = Message("Check the base URL: something else than the chat API may be answering there.")
    return ProtocolError(said, hint=hint if permanent else "", permanent=permanent)


def _object_in(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _without_surrogates(text: str) -> str:
    """Pairs of surrogates joined to their character, single ones replaced by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _text(value: Any) -> str | None:
    return named(value) if isinstance(value, str) and value else None


def read_usage(raw: Mapping[str, Any]) -> Usage:
    """Token counts from the API's ``usage`` object; hits and misses are read in both places where they occur."""
    prompted, completed = _object(raw.get("prompt_tokens_details")), _object(raw.get("completion_tokens_details"))
    hits, misses = "prompt_cache_hit_tokens", "prompt_cache_miss_tokens"
    prompt = _count(raw.get("prompt_tokens"))
    hit = _count(raw.get(hits), prompted.get(hits), prompted.get("cached_tokens"))
    miss = _count(raw.get(misses), prompted.get(misses))
    if miss is None and prompt is not None and hit is not None:
        miss = prompt - hit
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=_count(raw.get("completion_tokens")),
        total_tokens=_count(raw.get("total_tokens")),
        reasoning_tokens=_count(completed.get("reasoning_tokens")),
        cache_hit_tokens=hit,
        cache_miss_tokens=miss,
    )


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(*told: Any) -> int | None:
    return next((count for count in told if isinstance(count, int) and not isinstance(count, bool)), None)


_TITLE: Final = re.compile(r"<title[^>]*>([^<]{1,500})", re.IGNORECASE)
_HEADING: Final = re.compile(r"<h1[^>]*>([^<]{1,500})", re.IGNORECASE)


def title_of(page: str | bytes) -> str:
    """The title of a web page or its first heading (HAProxy's pages have no title), in one line; "" without either."""
    text = page if isinstance(page, str) else page.decode("utf-8", "replace")
    found = _TITLE.search(text) or _HEADING.search(text)
    return " ".join(found[1].split())[:_EXCERPT_CHARS] if found else ""


def web_page(page: bytes) -> ProtocolError:
    """The error for a page of a gateway, of a network's login or of another site, where the API should answer."""
    title = named(title_of(page))
    said = Message("A web page answered instead of the API: {title}.", title=title)
    return _no_api(said if title else Message("A web page answered instead of the API."))


def plain_text(text: bytes) -> ProtocolError:
    """The error for a text without a single event, where the API should answer."""
    excerpt = named(" ".join(text.decode("utf-8", "replace").split())[:_EXCERPT_CHARS])
    return _no_api(Message("A text without any event answered instead of the API: {excerpt}.", excerpt=excerpt))


def _no_api(said: Message) -> ProtocolError:
    hint = Message("Check the base URL, and whether a proxy or a login page of the network answers instead.")
    return ProtocolError(said, hint=hint, permanent=True)


def error_from_body(
    status: int, body: str | bytes, *, retry_after_s: float | None = None, trace_id: str | None = None
) -> APIStatusError:
    """The typed error for an error body in any of the hosts' shapes; the HTTP status decides, the body only explains.

    Known shapes: ``{"error": {"message", "type", "code"}}`` (DeepSeek, OpenAI), ``{"error": "text"}`` (Ollama), flat
    ``{"message", "code"}`` (Alibaba, SiliconFlow), ``{"detail"}`` (FastAPI: vLLM, SGLang), a bare JSON string
    (SiliconFlow), HTML from a proxy. An error object inside a stream may carry an HTTP status as its ``code``
    (OpenRouter), ``status_code`` (Groq) or ``status``: that one is used, or the one that its words stand for.
    """
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    page = False
    try:
        raw: Any = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        page = "<html" in text.lower()
        raw = title_of(text) if page else " ".join(text.split())
    if isinstance(raw, dict):
        raw = raw.get("error") or raw
    if not isinstance(raw, dict):
        raw = {"message": raw if isinstance(raw, str) else ""}
    code = raw.get("code")
    said = raw.get("message") or raw.get("detail") or ""
    said = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    if status == _OK:
        status = next(
            (
                int(c)
                for c in (code, *map(raw.get, ("status_code", "status", "http_status")))
                if str(c) in _ERROR_STATUSES
            ),
            0,
        )
        status = status or status_of_words(raw.get("code"), raw.get("type"), said) or _OK
    if (field := _text(raw.get("param"))) is not None and said and field not in said:
        said = f"{said.removesuffix('.')} ({field})"
    return status_error(
        status,
        said[: 5 * _EXCERPT_CHARS],
        type=_text(raw.get("type")),
        code=named(str(code)) if code is not None else None,
        retry_after_s=retry_after_s,
        trace_id=trace_id,
        page=page,
    )
