"""What a client posts → a request, with only such fields as the relay knows.

A lock cannot pass on what it does not understand: a field of some host that names other models, or a search that costs money,
would go around every rule. So an unknown field is refused, and what only tells who asks is dropped.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from ..protocol.chat import ChatMessage, Request
from ..protocol.errors import ConfigurationError
from ..protocol.options import Options
from ..text.messages import Message

_OPTIONS: Final = (
    *("model", "temperature", "top_p", "max_tokens", "stop", "seed", "tools", "tool_choice"),
    *("logprobs", "top_logprobs"),
)
"""Fields that are options of the same name."""

_PASSED: Final = frozenset(
    (
        *("response_format", "frequency_penalty", "presence_penalty", "logit_bias", "parallel_tool_calls"),
        *("functions", "function_call", "thinking", "reasoning_effort", "top_k", "min_p", "repetition_penalty"),
        *("chat_template_kwargs", "continue_final_message", "add_generation_prompt"),
    )
)
"""Fields that go along as they are. None of them changes who answers, or what is charged besides tokens."""

_DROPPED: Final = frozenset(
    (
        *("user", "user_id", "safety_identifier", "prompt_cache_key", "metadata", "store", "stream"),
        *("stream_options", "service_tier"),
    )
)
"""Fields that tell who asks, or how the answer is wanted: two who ask the same should get the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """A request, and whether its answer is wanted as a stream."""

    request: Request
    stream: bool


def read(body: bytes) -> Posted:
    """The request in a body. Raises ConfigurationError, in one sentence, for what is none or cannot be passed on."""
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        raise ConfigurationError(Message("The request is not JSON.")) from None
    if not isinstance(raw, dict) or not isinstance(raw.get("messages"), list):
        raise ConfigurationError(Message("The request has no list of messages."))
    fields = {name: value for name, value in raw.items() if value is not None and name not in _DROPPED}
    messages = [ChatMessage.from_json(each) for each in fields.pop("messages")]
    if fields.pop("n", 1) != 1:
        raise ConfigurationError(Message("The relay gives one answer to a request: leave n out."))
    if (limit := fields.pop("max_completion_tokens", None)) is not None:
        fields.setdefault("max_tokens", limit)
    options: dict[str, Any] = {name: fields.pop(name) for name in _OPTIONS if name in fields}
    options |= _think(fields)
    for name in fields:
        if name not in _PASSED:
            said = Message("The relay does not pass on the field {name}.", name=name[:40])
            raise ConfigurationError(said, hint=Message("Leave it out."))
    if fields:
        options["extra_body"] = fields
    stream = raw.get("stream", False)
    if not isinstance(stream, bool):
        raise ConfigurationError.of_setting("stream", repr(stream)[:40], Message("is true or false"))
    request = Request.asking(messages, Options(**options))
    try:
        request.encoded()
    except (ValueError, TypeError, RecursionError):  # half of a character, or a thousand lists in each other
        raise ConfigurationError(Message("The request has text or values that cannot be sent on.")) from None
    return Posted(request=request, stream=stream)


def _think(fields: dict[str, Any]) -> dict[str, str]:
    """The thinking option, where the two fields say what it says; they are taken out then."""
    effort = fields.get("reasoning_effort")
    match fields.get("thinking"):
        case {"type": "disabled"} if effort is None:
            found = "off"
        case {"type": "enabled"} if effort in ("low", "high", "max"):
            found = str(effort)
        case _:
            return {}
    fields.pop("thinking")
    fields.pop("reasoning_effort", None)
    return {"think": found}
