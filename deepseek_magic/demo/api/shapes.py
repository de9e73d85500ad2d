"""The shapes of a request body, as the API's JSON reader demands them, before any rule is looked at.

The wording is that of the reader in DeepSeek's published protocol code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "ultra", "max")
_ROLES: Final = ("system", "user", "assistant", "tool", "latest_reminder")


class Refused(Exception):
    """The API does not do this. ``status``, ``headers`` and ``body`` are what it answers."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type: str = "invalid_request_error",
        code: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.headers = headers or {}
        self.body = {"error": {"message": message, "type": type, "param": None, "code": code or type}}


def _undeserialisable(why: str) -> Refused:
    return Refused(f"Failed to deserialize the JSON body into the target type: {why}")


def _seen(value: Any) -> str:
    """The JSON reader's word for a value of the wrong type."""
    match value:
        case None:
            return "null"
        case bool():
            return f"boolean `{json.dumps(value)}`"
        case int():
            return f"integer `{value}`"
        case float():
            return f"floating point `{value}`"
        case str():
            return f"string {json.dumps(value, ensure_ascii=False)}"
        case list():
            return "sequence"
    return "map"


def _wrong(value: Any, expected: str) -> Refused:
    return _undeserialisable(f"invalid type: {_seen(value)}, expected {expected}")


def _field(of: Mapping[str, Any], name: str) -> Any:
    if name not in of:
        raise _undeserialisable(f"missing field `{name}`")
    return of[name]


def _of(kind: type, value: Any, expected: str) -> None:
    if not isinstance(value, kind):
        raise _wrong(value, expected)


def _text(value: Any) -> None:
    _of(str, value, "a string")


def _flag(value: Any) -> None:
    _of(bool, value, "a boolean")


def _number(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(value, "f32")


def _unsigned(bits: int) -> Callable[[Any], None]:
    def shape(value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise _wrong(value, f"u{bits}")
        if not 0 <= value < 2**bits:
            raise _undeserialisable(f"invalid value: integer `{value}`, expected u{bits}")

    return shape


def _variant(value: Any, *names: str) -> None:
    _of(str, value, "string or map")
    if value not in names:
        listed = ", ".join(f"`{name}`" for name in names)
        raise _undeserialisable(f"unknown variant `{value}`, expected {'one of ' if len(names) > 1 else ''}{listed}")


def _thinking(value: Any) -> None:
    _of(dict, value, "struct ChatCompletionThinking")
    _variant(_field(value, "type"), "adaptive", "enabled", "disabled")


def _response_format(value: Any) -> None:
    _of(dict, value, "internally tagged enum ChatCompletionResponseFormat")
    _variant(_field(value, "type"), "json_object", "json_schema", "regex", "text")


def _stop_shape(value: Any) -> None:
    if not isinstance(value, str | list):
        raise _undeserialisable("expected a string or a list")
    for item in value if isinstance(value, list) else ():
        _text(item)


def _stream_options(value: Any) -> None:
    _of(dict, value, "struct StreamOptions")
    if value.get("include_usage") is not None:
        _flag(value["include_usage"])


def _tool_list(value: Any) -> None:
    _of(list, value, "a sequence")
    for tool in value:
        _of(dict, tool, "internally tagged enum ChatCompletionTool")
        _variant(_field(tool, "type"), "function")
        _of(dict, _field(tool, "function"), "struct FunctionDefinition")
        _text(_field(tool["function"], "name"))


def _tool_choice(value: Any) -> None:
    named = isinstance(value, dict) and isinstance(value.get("function"), dict) and "name" in value["function"]
    if value not in ("none", "auto", "required") and not named:
        raise _undeserialisable("expected one of `none`, `auto`, `required` or a tool")


def _message_list(value: Any) -> None:
    _of(list, value, "a sequence")
    for message in value:
        _of(dict, message, "internally tagged enum ChatCompletionRequestMessage")
        _variant(_field(message, "role"), *_ROLES)
        if message["role"] != "assistant":
            _content(_field(message, "content"))
        elif message.get("content") is not None:
            _content(message["content"])
        if message["role"] == "tool":
            _text(_field(message, "tool_call_id"))
        for name, shape in (("name", _text), ("reasoning_content", _text), ("prefix", _flag), ("tool_calls", _calls)):
            if message.get(name) is not None and (message["role"] == "assistant" or name == "name"):
                shape(message[name])


def _content(value: Any) -> None:
    if not isinstance(value, str | list):
        raise _undeserialisable("content should be a string or a list")
    for part in value if isinstance(value, list) else ():
        _of(dict, part, "internally tagged enum ContentPart")
        _variant(_field(part, "type"), "text", "image_url", "file")
        if part["type"] == "text":
            _text(_field(part, "text"))


def _calls(value: Any) -> None:
    _of(list, value, "a sequence")
    for call in value:
        _variant(_field(call, "type"), "function")
        _text(_field(call, "id"))
        function = _field(call, "function")
        _text(_field(function, "name"))
        _text(_field(function, "arguments"))


_REQUIRED: Final[Mapping[str, Callable[[Any], None]]] = {"model": _text, "messages": _message_list}
_OPTIONAL: Final[Mapping[str, Callable[[Any], None]]] = {
    "thinking": _thinking,
    "reasoning_effort": lambda value: _variant(value, *_EFFORTS),
    "max_tokens": _unsigned(32),
    "response_format": _response_format,
    "stop": _stop_shape,
    "stream": _flag,
    "stream_options": _stream_options,
    "temperature": _number,
    "top_p": _number,
    "frequency_penalty": _number,
    "presence_penalty": _number,
    "tools": _tool_list,
    "tool_choice": _tool_choice,
    "logprobs": _flag,
    "top_logprobs": _unsigned(8),
    "seed": _unsigned(64),
    "n": _unsigned(32),
}


def check_shape(body: Any) -> None:
    """Raise Refused where a field is missing or has the wrong JSON type."""
    _of(dict, body, "struct ChatCompletionRequest")
    for name, shape in _OPTIONAL.items():
        if body.get(name) is not None:
            shape(body[name])
    for name, shape in _REQUIRED.items():
        shape(_field(body, name))
