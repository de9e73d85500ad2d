"""Events → the chat API's stream, an event with its id each; and a completion → the API's whole answer.

Ids are ``<nonce>:<n>``. A nonce belongs to one answer of one run of the relay, so an id of another one never joins two.
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from ..protocol.completion import Completion
from ..protocol.events import (
    Event,
    Heartbeat,
    LogProbs,
    ReasoningDelta,
    ResponseStarted,
    Seam,
    TextDelta,
    ToolCallDelta,
    Usage,
    Waiting,
)

DONE: Final = b"[DONE]"
PIECES: Final = (TextDelta, ReasoningDelta, ToolCallDelta)
_encode: Final = msgspec.json.encode


class Framer:
    """The frames of one answer. ``model`` is what was asked for, until the host says who writes; ``created`` is in seconds
    since 1970."""

    def __init__(self, nonce: str, model: str, created: int) -> None:
        self._nonce = nonce
        self._model = model
        self._created = created
        self._fingerprint: str | None = None
        self._head = b""
        self._count = 0
        self._void = False

    @property
    def completion_id(self) -> str:
        """The answer's id, for clients."""
        return f"chatcmpl-{self._nonce}"

    def of(self, event: Event) -> bytes | None:
        """The frame of an event; None where a client is told nothing of it."""
        if self._void:
            return None
        match event:
            case TextDelta(text=text):
                return self._chunk({"content": text})
            case ReasoningDelta(text=text):
                return self._chunk({"reasoning_content": text})
            case ToolCallDelta():
                return self._chunk({"tool_calls": [_tool_call(event)]})
            case LogProbs(content=content, reasoning_content=thought):
                found = {"content": list(content) or None} | ({"reasoning_content": list(thought)} if thought else {})
                return self._chunk({}, logprobs=found)
            case ResponseStarted(model=model, system_fingerprint=fingerprint):
                self._model, self._fingerprint, began = model or self._model, fingerprint, bool(self._head)
                self._head = b""
                return None if began else self._chunk({"role": "assistant", "content": ""})
            case Waiting(detail=detail):
                return self.comment(f"waiting: {detail}")
            case Heartbeat():
                return self.comment("keep-alive")
            case Seam(at_chars=at, reasoning_at_chars=reasoning_at) if at is not None or reasoning_at is not None:
                # Readers cannot take text back. It comes only before an error, which then says all.
                self._void = True
        return None

    def end(self, completion: Completion) -> list[bytes]:
        """The last frames of an answer that has come to an end: why it ended, with its usage, and that this was all."""
        usage = usage_json(completion.usage)
        return [self._chunk({}, finish=completion.finish_reason or "stop", usage=usage), self._numbered(DONE)]

    def error(self, body: bytes) -> bytes:
        """The frame of an error that ends the stream."""
        return self._numbered(body)

    def comment(self, text: str) -> bytes:
        """A frame that says something to who reads the stream itself; it has no id."""
        self._count += 1  # so that a frame's number is its place
        return f": {' '.join(text.split())}\n\n".encode()

    def _chunk(
        self, delta: dict[str, Any], *, finish: str | None = None, logprobs: Any = None, usage: Any = None
    ) -> bytes:
        if not self._head:
            about = {"id": self.completion_id, "object": "chat.completion.chunk", "created": self._created}
            about |= {"model": self._model, "system_fingerprint": self._fingerprint}
            self._head = _encode(about)[:-1] + b',"choices":['
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        tail = b"]}" if usage is None else b'],"usage":' + _encode(usage) + b"}"
        return self._numbered(self._head + _encode(choice) + tail)

    def _numbered(self, data: bytes) -> bytes:
        number, self._count = self._count, self._count + 1
        return b"id: %b:%d\ndata: %b\n\n" % (self._nonce.encode(), number, data)


def place_after(event_id: str) -> tuple[str, int] | None:
    """The nonce of an id, and the place after its event; None for what is no id of the relay."""
    nonce, colon, number = event_id.partition(":")
    if not (nonce and colon and number.isascii() and number.isdigit() and len(number) < 10):
        return None
    return nonce, int(number) + 1


def whole(completion: Completion, *, id: str, created: int) -> bytes:
    """The answer in one piece."""
    message: dict[str, Any] = {"role": "assistant", "content": completion.text}
    if completion.reasoning:
        message["reasoning_content"] = completion.reasoning
    if completion.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in completion.tool_calls
        ]
    logprobs: dict[str, Any] | None = None
    if completion.logprobs or completion.reasoning_logprobs:
        logprobs = {"content": list(completion.logprobs)}
        if completion.reasoning_logprobs:
            logprobs["reasoning_content"] = list(completion.reasoning_logprobs)
    finish = completion.finish_reason or "stop"
    choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": finish}
    return json.dumps(
        {
            "id": id,
            "object": "chat.completion",
            "created": created,
            "model": completion.model or completion.request.model,
            "system_fingerprint": completion.system_fingerprint,
            "choices": [choice],
            "usage": usage_json(completion.usage),
        }
    ).encode()


def usage_json(usage: Usage) -> dict[str, Any]:
    """Token counts in the API's names; what nobody counted is 0 there, as clients expect numbers."""
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    told: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": usage.total_tokens or prompt + completion,
    }
    if usage.cache_hit_tokens is not None:
        told["prompt_cache_hit_tokens"] = usage.cache_hit_tokens
        told["prompt_cache_miss_tokens"] = usage.cache_miss_tokens or 0
        told["prompt_tokens_details"] = {"cached_tokens": usage.cache_hit_tokens}
    if usage.reasoning_tokens is not None:
        told["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return told


def _tool_call(event: ToolCallDelta) -> dict[str, Any]:
    function = {"arguments": event.arguments} | ({"name": event.name} if event.name else {})
    return {"index": event.index, "function": function} | ({"id": event.id, "type": "function"} if event.id else {})
