"""xAI's messages ⇄ the demo's own terms: a request as the chat API's body, a frame as a chunk. By xAI's own classes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from ..api.frames import Frame, frame
from ..tour import import_extra

EFFORTS: Final = {1: "low", 2: "medium", 3: "high", 5: "max"}
_NONE: Final = 4
_ROLES: Final = {1: "user", 2: "assistant", 3: "system", 4: "tool", 5: "tool", 6: "system"}
_MODES: Final = {1: "auto", 2: "none", 3: "required"}
_FORMATS: Final = {1: "text", 2: "json_object", 3: "json_schema"}
_REASONS: Final = {"length": 1, "stop": 3, "tool_calls": 4, "insufficient_system_resource": 5, "aborted": 5}
_SAME: Final = (
    "temperature",
    "top_p",
    "max_tokens",
    "seed",
    "n",
    "top_logprobs",
    "frequency_penalty",
    "presence_penalty",
)
Proto = Any
"""A message of protobuf, whose classes have no types here."""


def chat() -> Any:
    """xAI's messages of a chat. Raises ConfigurationError without the extra."""
    import_extra("xai_sdk", "grpc")
    return import_extra("xai_sdk.proto", "grpc").chat_pb2


def body_of(request: Proto) -> dict[str, Any]:
    """The chat API's body for a request. A last message of the assistant is the beginning of the answer."""
    body: dict[str, Any] = {"model": request.model, "messages": [*map(_message, request.messages)], "stream": True}
    body["stream_options"] = {"include_usage": True}
    body |= {name: getattr(request, name) for name in _SAME if request.HasField(name)}
    if request.stop:
        body["stop"] = [*request.stop]
    if request.logprobs:
        body["logprobs"] = True
    if request.user:
        body["user_id"] = request.user
    if request.tools:
        body["tools"] = [_tool(tool.function) for tool in request.tools if tool.HasField("function")]
    if request.HasField("tool_choice"):
        named = {"type": "function", "function": {"name": request.tool_choice.function_name}}
        body["tool_choice"] = _MODES.get(request.tool_choice.mode, named)
    if request.HasField("response_format"):
        body["response_format"] = {"type": _FORMATS.get(request.response_format.format_type, "text")}
    if request.HasField("reasoning_effort"):
        off = request.reasoning_effort == _NONE
        body["thinking"] = {"type": "disabled" if off else "enabled"}
        body |= {} if off else {"reasoning_effort": EFFORTS.get(request.reasoning_effort, "high")}
    last = body["messages"][-1] if body["messages"] else {}
    if last.get("role") == "assistant" and "tool_calls" not in last:
        last["prefix"] = True
    return body


def _message(message: Proto) -> dict[str, Any]:
    parts = [_part(part) for part in message.content]
    plain = all(part["type"] == "text" for part in parts)
    content = "\n\n".join(part["text"] for part in parts) if plain else parts
    said: dict[str, Any] = {"role": _ROLES.get(message.role, "user"), "content": content}
    if message.name:
        said["name"] = message.name
    if said["role"] == "assistant":
        said["reasoning_content"] = message.reasoning_content  # which xAI does not want back, and DeepSeek does
    if message.tool_calls:
        said["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function.name, "arguments": call.function.arguments},
            }
            for call in message.tool_calls
        ]
    if message.HasField("tool_call_id"):
        said["tool_call_id"] = message.tool_call_id
    return said


def _part(part: Proto) -> dict[str, Any]:
    if part.HasField("image_url"):
        return {"type": "image_url", "image_url": {"url": part.image_url.image_url}}
    return {"type": "text", "text": part.text}


def _tool(function: Proto) -> dict[str, Any]:
    described = {"name": function.name, "description": function.description, "strict": function.strict}
    return {"type": "function", "function": {**described, "parameters": json.loads(function.parameters or "{}")}}


def with_whole_calls(frames: Sequence[Frame]) -> Iterator[Frame]:
    """The frames with each tool call in one piece: xAI sends none in parts."""
    whole: dict[str, Any] | None = None
    for one in frames:
        payload = json.loads(one.payload) if one.phase == "tool" else {"choices": [{"delta": {}}]}
        calls = payload["choices"][0]["delta"].get("tool_calls")
        if whole is not None and calls and "id" not in calls[0]:
            function = whole["choices"][0]["delta"]["tool_calls"][0]["function"]
            function["arguments"] += calls[0]["function"]["arguments"]
        elif one.phase == "tool" and not calls:  # a reason to finish that comes too early
            yield one
        else:
            if whole is not None:
                yield frame("tool", whole)
            whole = payload if calls else None
            if not calls:
                yield one


def chunk_of(one: Frame) -> Proto:
    """A frame as a chunk."""
    messages = chat()
    payload = json.loads(one.payload)
    chunk = messages.GetChatCompletionChunk(id=payload["id"], model=payload["model"])
    chunk.system_fingerprint = payload.get("system_fingerprint") or ""
    chunk.created.FromSeconds(payload["created"])
    for choice in payload["choices"]:
        output = chunk.outputs.add(index=choice["index"], finish_reason=_REASONS.get(choice["finish_reason"], 0))
        delta = choice.get("delta") or {}
        output.delta.role = messages.ROLE_ASSISTANT
        output.delta.content = delta.get("content") or ""
        output.delta.reasoning_content = delta.get("reasoning_content") or ""
        for call in delta.get("tool_calls") or ():
            made = output.delta.tool_calls.add(id=call["id"], type=messages.TOOL_CALL_TYPE_CLIENT_SIDE_TOOL)
            made.function.name, made.function.arguments = call["function"]["name"], call["function"]["arguments"]
        for token in ((choice.get("logprobs") or {}).get("content")) or ():
            output.logprobs.content.add(token=token["token"], logprob=token["logprob"], bytes=bytes(token["bytes"]))
    if usage := payload.get("usage"):
        thought = usage.get("completion_tokens_details", {}).get("reasoning_tokens", 0)
        counted = chunk.usage
        counted.prompt_tokens = counted.prompt_text_tokens = usage["prompt_tokens"]
        counted.completion_tokens, counted.reasoning_tokens = usage["completion_tokens"] - thought, thought
        counted.total_tokens = usage["total_tokens"]
        counted.cached_prompt_text_tokens = usage["prompt_cache_hit_tokens"]
    return chunk
