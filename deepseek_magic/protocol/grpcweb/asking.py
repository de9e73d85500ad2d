"""The chat API's JSON → xAI's ``GetCompletionsRequest``: which setting has which field there.

A field that the interface does not have is refused in one sentence, before anything is sent: left out in silence it would
seem to act. Source of names and numbers: the descriptors in xai-sdk 1.21 (``xai_api.Chat``), which judge this in the tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from ...text.messages import Message
from ..errors import ConfigurationError
from .wire import bytes_field, float_field, number_field, text_field

_INT32: Final = range(-(2**31), 2**31)
_ROLES: Final = {"user": 1, "assistant": 2, "system": 3, "tool": 5}
_EFFORTS: Final = {"low": 1, "medium": 2, "high": 3, "none": 4, "off": 4, "max": 5, "xhigh": 5}
_DETAILS: Final = {"auto": 1, "low": 2, "high": 3}
_MODES: Final = {"auto": 1, "none": 2, "required": 3}
_FORMATS: Final = {"text": 1, "json_object": 2, "json_schema": 3}
_CLIENT_SIDE: Final = 1
_ALWAYS: Final = frozenset(("stream", "stream_options"))
"""What every answer over this interface is and has: nothing needs to be said."""


def request(body: Mapping[str, Any]) -> bytes:
    """The message for a body of the chat API. Raises ConfigurationError for what has no field, or no place in its field."""
    given = {name: value for name, value in body.items() if value is not None and name not in _ALWAYS}
    return b"".join(_field(name, value) for name, value in {**given, **_effort(given)}.items() if value is not None)


def _field(name: str, value: Any) -> bytes:
    if (write := _WRITERS.get(name)) is None:
        return _nowhere(name)
    try:
        return write(name, value)
    except (AttributeError, KeyError, TypeError):
        raise _wrong(name, value, Message("it is not in the chat API's form")) from None


def _nowhere(name: str) -> bytes:
    raise ConfigurationError(
        Message("{name} cannot be sent: xAI's gRPC interface has no field for it.", name=name),
        hint=Message("Leave it out, or ask a server with the OpenAI chat API."),
    )


def _wrong(name: str, value: object, why: Message) -> ConfigurationError:
    return ConfigurationError.of_setting(name, repr(value)[:80], why)


def _text(field: int) -> Callable[[str, Any], bytes]:
    def write(name: str, value: Any) -> bytes:
        if not isinstance(value, str):
            raise _wrong(name, value, Message("it takes text"))
        return text_field(field, value)

    return write


def _whole(field: int) -> Callable[[str, Any], bytes]:
    def write(name: str, value: Any) -> bytes:
        if not isinstance(value, int) or isinstance(value, bool) or value not in _INT32:
            low, high = _INT32[0], _INT32[-1]
            raise _wrong(name, value, Message("it takes a whole number from {low} to {high}", low=low, high=high))
        return number_field(field, value)

    return write


def _real(field: int) -> Callable[[str, Any], bytes]:
    def write(name: str, value: Any) -> bytes:
        try:
            return float_field(field, value)
        except Exception:  # struct.error for what is no number, OverflowError for one that is too large
            raise _wrong(name, value, Message("it takes a number")) from None

    return write


def _switch(field: int) -> Callable[[str, Any], bytes]:
    def write(name: str, value: Any) -> bytes:
        if not isinstance(value, bool):
            raise _wrong(name, value, Message("it is on or off (True or False)"))
        return number_field(field, value)

    return write


def _one_of(name: str, value: object, known: Mapping[str, int]) -> int:
    if not isinstance(value, str) or value not in known:
        choices = ", ".join(known)
        raise _wrong(name, value, Message("it takes one of {choices}{near}", choices=choices, near=""))
    return known[value]


def _stops(name: str, value: Any) -> bytes:
    return b"".join(text_field(12, str(stop)) for stop in ([value] if isinstance(value, str) else value))


def _messages(_: str, messages: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(bytes_field(1, _message(message)) for message in messages)


def _message(message: Mapping[str, Any]) -> bytes:
    if message.get("prefix"):
        _nowhere("prefix")
    content = message.get("content") or ""
    parts = [text_field(1, content)] if isinstance(content, str) else [*map(_part, content)]
    out = [bytes_field(1, part) for part in parts]
    out.append(number_field(2, _one_of("role", message["role"], _ROLES)))
    if message.get("name"):
        out.append(text_field(3, message["name"]))
    for call in message.get("tool_calls") or ():
        function = call["function"]
        called = text_field(1, function["name"]) + text_field(2, function["arguments"])
        tool_call = text_field(1, call["id"]) + number_field(2, _CLIENT_SIDE) + bytes_field(10, called)
        out.append(bytes_field(4, tool_call))
    if message.get("reasoning_content"):
        out.append(text_field(5, message["reasoning_content"]))
    if message.get("tool_call_id"):
        out.append(text_field(7, message["tool_call_id"]))
    return b"".join(out)


def _part(part: Mapping[str, Any]) -> bytes:
    match part:
        case {"type": "text", "text": str(text)}:
            return text_field(1, text)
        case {"type": "image_url", "image_url": {"url": str(url), **more}}:
            detail = more.get("detail")
            shown = number_field(2, _one_of("detail", detail, _DETAILS)) if detail else b""
            return bytes_field(2, text_field(1, url) + shown)
    return _nowhere(str(part.get("type")))


def _tools(_: str, tools: Iterable[Mapping[str, Any]]) -> bytes:
    out = []
    for tool in tools:
        function = tool["function"]
        said = text_field(1, function["name"]) + text_field(2, function.get("description") or "")
        if function.get("strict"):
            said += number_field(3, 1)
        parameters = json.dumps(function.get("parameters") or {}, ensure_ascii=False)
        out.append(bytes_field(17, bytes_field(1, said + text_field(4, parameters))))
    return b"".join(out)


def _tool_choice(name: str, choice: Any) -> bytes:
    match choice:
        case {"function": {"name": str(wanted)}}:
            return bytes_field(18, text_field(2, wanted))
    return bytes_field(18, number_field(1, _one_of(name, choice, _MODES)))


def _response_format(name: str, wanted: Mapping[str, Any]) -> bytes:
    said = number_field(1, _one_of(name, wanted.get("type"), _FORMATS))
    if "json_schema" in wanted:
        said += text_field(2, json.dumps(wanted["json_schema"].get("schema") or {}, ensure_ascii=False))
    return bytes_field(10, said)


def _effort(body: Mapping[str, Any]) -> dict[str, Any]:
    """DeepSeek's two settings, that it thinks and how hard, as the one that they are here."""
    match body.get("thinking"):
        case {"type": "disabled"}:
            return {"thinking": None, "reasoning_effort": "none"}
    return {"thinking": None}


def _thinking(name: str, effort: Any) -> bytes:
    return number_field(19, _one_of(name, effort, _EFFORTS))


_WRITERS: Final[Mapping[str, Callable[[str, Any], bytes]]] = MappingProxyType(
    {
        "messages": _messages,
        "model": _text(2),
        "frequency_penalty": _real(3),
        "logprobs": _switch(5),
        "top_logprobs": _whole(6),
        "max_tokens": _whole(7),
        "n": _whole(8),
        "presence_penalty": _real(9),
        "response_format": _response_format,
        "seed": _whole(11),
        "stop": _stops,
        "temperature": _real(14),
        "top_p": _real(15),
        "user": _text(16),
        "user_id": _text(16),
        "tools": _tools,
        "tool_choice": _tool_choice,
        "reasoning_effort": _thinking,
        "parallel_tool_calls": _switch(21),
        "previous_response_id": _text(22),
        "store_messages": _switch(23),
    }
)
"""Each field of the chat API's body that has one in the interface."""
