"""xAI's ``GetChatCompletionChunk`` → a chunk of the chat API's JSON, and its list of models → that list.

What a chat does not ask for (citations, files, what the server's own tools did) is passed over.
Source of numbers: the descriptors in xai-sdk 1.21, which judge this in the tests.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ...text.messages import Message
from ..errors import ProtocolError
from .wire import Malformed, Value, fields, inner, real, signed, text

_SAME: Final = {1: "id", 4: "model", 5: "system_fingerprint"}
_FINISH: Final = {1: "length", 2: "length", 3: "stop", 4: "tool_calls", 5: "aborted"}
"""REASON_MAX_LEN, _MAX_CONTEXT, _STOP, _TOOL_CALLS, _TIME_LIMIT: the server's time was up, so it gave up."""
_CLIENT_SIDE: Final = (0, 1)
"""Kinds of tool calls that wait for an answer; the others are calls of the server's own tools."""
_USAGE: Final = {1: "completion", 2: "prompt", 3: "total", 6: "reasoning", 7: "cached"}
_JSON: Final = msgspec.json.Encoder()


class Chunks:
    """The messages of one stream as the chat API's chunks; only the first has what is the same in all of them."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def payload(self, message: bytes) -> bytes:
        """One message as a chunk of JSON. Raises ProtocolError for bytes that are none."""
        try:
            return _JSON.encode(self._chunk(message))
        except Malformed:
            raise ProtocolError(Message("The stream holds something that is no message of xAI's interface.")) from None

    def _chunk(self, message: bytes) -> dict[str, Any]:
        chunk: dict[str, Any] = {"choices": []}
        for number, value in fields(message):
            if number == 2:
                chunk["choices"].append(_choice(inner(value)))
            elif number == 6:
                chunk["usage"] = _usage(inner(value))
            elif number in _SAME and self._said.get(name := _SAME[number]) != (said := text(value)):
                chunk[name] = self._said[name] = said
        return chunk


def _choice(output: bytes) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "delta": {}}
    for number, value in fields(output):
        if number == 1:
            choice["delta"] = _delta(inner(value))
        elif number == 2:
            choice["logprobs"] = {"content": [_logprob(inner(one)) for each, one in fields(inner(value)) if each == 1]}
        elif number == 3:
            choice["finish_reason"] = _FINISH.get(signed(value), f"reason {signed(value)}") if value else None
        elif number == 4:
            choice["index"] = signed(value)
    return choice


def _delta(message: bytes) -> dict[str, Any]:
    delta: dict[str, Any] = {}
    for number, value in fields(message):
        if number == 1:
            delta["content"] = text(value)
        elif number == 4:
            delta["reasoning_content"] = text(value)
        elif number == 3 and (call := _tool_call(inner(value))) is not None:
            delta.setdefault("tool_calls", []).append(call)
    return delta


def _tool_call(message: bytes) -> dict[str, Any] | None:
    """A call of a function of ours; None for one of the server's own tools."""
    call: dict[str, Any] = {"type": "function", "function": {}}
    for number, value in fields(message):
        if number == 1:
            call["id"] = text(value)
        elif number == 2 and signed(value) not in _CLIENT_SIDE:
            return None
        elif number == 10:
            names = {1: "name", 2: "arguments"}
            call["function"] = {names[each]: text(one) for each, one in fields(inner(value)) if each in names}
    return call


def _logprob(message: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {"token": "", "logprob": 0.0, "bytes": [], "top_logprobs": []}
    for number, value in fields(message):
        if number == 1:
            found["token"] = text(value)
        elif number == 2:
            found["logprob"] = real(value)
        elif number == 3:
            found["bytes"] = list(inner(value))
        elif number == 4:
            top = _logprob(inner(value))
            del top["top_logprobs"]
            found["top_logprobs"].append(top)
    return found


def _usage(message: bytes) -> dict[str, Any]:
    """The counts. xAI counts reasoning beside the completion, the chat API inside it; the total has both either way."""
    counts = dict.fromkeys(_USAGE.values(), 0)
    for number, value in fields(message):
        if number in _USAGE:
            counts[_USAGE[number]] = signed(value)
    prompt, total, cached = counts["prompt"], counts["total"], counts["cached"]
    return {
        "prompt_tokens": prompt,
        "completion_tokens": total - prompt if total > prompt else counts["completion"],
        "total_tokens": total or prompt + counts["completion"],
        "prompt_cache_hit_tokens": cached,
        "prompt_cache_miss_tokens": prompt - cached,
        "completion_tokens_details": {"reasoning_tokens": counts["reasoning"]},
    }


def models(message: bytes) -> bytes:
    """``ListLanguageModelsResponse`` as the chat API's list of models. Raises ProtocolError for bytes that are none."""
    try:
        names = [_name(inner(value)) for number, value in fields(message) if number == 1]
    except Malformed:
        said = Message("The list of models is not in the API's form.")
        raise ProtocolError(said, hint=Message("Check the base URL.")) from None
    return _JSON.encode({"object": "list", "data": [{"id": name, "object": "model"} for name in names if name]})


def _name(model: bytes) -> str:
    last: Value = b""
    for number, value in fields(model):
        if number == 1:
            last = value
    return text(last)
