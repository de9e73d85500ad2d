"""What decides a reply: the part of a checked body that the model would see."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ...protocol.models import resolve_model
from .checks import is_prefix, text_of, thinks
from .texts import Language
from .tokens import tokenize

_CJK: Final = re.compile(r"[\u3400-\u9fff]")
_EFFORT_LINES: Final = {"low": 50, "high": 75, "max": 100}
_EFFORTS: Final = {"minimal": "low", "medium": "high", "xhigh": "high", "ultra": "max", "none": "high"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """What decides a reply; ``messages`` without a prefix to be continued. ``draw`` counts the times that a sum was asked."""

    model: str
    messages: tuple[Mapping[str, Any], ...]
    thinking: bool = True
    effort: str = "high"
    temperature: float | None = None
    json_mode: bool = False
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: Any = None
    draw: int = 1

    @property
    def said(self) -> list[str]:
        """The texts of the user's messages."""
        return [text_of(message.get("content")) for message in self.messages if message["role"] == "user"]

    @property
    def prompt(self) -> str:
        """What the last user message asks: of several texts the last, since files and cells stand before the question."""
        content = next((message.get("content") for message in reversed(self.messages) if message["role"] == "user"), "")
        if not isinstance(content, list):
            return text_of(content)
        return next((str(part["text"]) for part in reversed(content) if part.get("type") == "text"), "")

    @property
    def system(self) -> str:
        """The text of the first system message."""
        return next((text_of(m.get("content")) for m in self.messages if m["role"] == "system"), "")

    @property
    def language(self) -> Language:
        """The language of the question, which is that of the answer."""
        return "zh" if _CJK.search(self.prompt) else "en"


def asked_for(body: Mapping[str, Any]) -> Inquiry:
    """The part of a checked body that decides the reply."""
    messages = body["messages"]
    if is_prefix(messages[-1]):
        messages = messages[:-1]
    effort = body.get("reasoning_effort") or "high"
    return Inquiry(
        model=resolve_model(body["model"]).id,
        messages=tuple(messages),
        thinking=thinks(body),
        effort=_EFFORTS.get(effort, effort),
        temperature=body.get("temperature"),
        json_mode=(body.get("response_format") or {}).get("type") == "json_object",
        tools=tuple(tool["function"] for tool in body.get("tools") or ()),
        tool_choice=body.get("tool_choice"),
    )


def prompt_tokens(asked: Inquiry) -> list[str]:
    """The prompt as the model sees it, in tokens; the thinking line comes first, so changing it loses the cache."""
    tokens = tokenize(f"<|System|>Reasoning Effort: {_EFFORT_LINES[asked.effort]}\n") if asked.thinking else []
    for tool in asked.tools:
        tokens += tokenize(json.dumps(tool, ensure_ascii=False, sort_keys=True))
    for message in asked.messages:
        tokens.append(f"<|{message['role']}|>")
        tokens += tokenize(text_of(message.get("content")))
        if message.get("tool_calls"):
            tokens += tokenize(json.dumps(message["tool_calls"], ensure_ascii=False))
    return [*tokens, "<|assistant|>"]
