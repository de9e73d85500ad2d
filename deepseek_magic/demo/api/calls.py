"""Which tool the demo calls and with what, and what it answers to a schema: as much as can be read from the words of a prompt and a JSON schema."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_VALUE_CHARS: Final = 60

Tool = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalledTool:
    """A tool call of the reply; ``arguments`` is JSON text."""

    id: str
    name: str
    arguments: str


def calls_for(prompt: str, tools: Sequence[Tool], choice: Any) -> Iterator[CalledTool]:
    """At most one call: the tool that was demanded by ``tool_choice``, or the first that the prompt speaks of."""
    if choice == "none":
        return
    if isinstance(choice, dict):
        wanted = [tool for tool in tools if tool["name"] == choice["function"]["name"]]
    else:
        wanted = [tool for tool in tools if _suits(tool, prompt)]
    if not wanted and choice == "required":
        wanted = list(tools)
    for tool in wanted[:1]:
        arguments = json.dumps(value_for(tool.get("parameters") or {}, prompt), ensure_ascii=False)
        digest = hashlib.sha256(f"{tool['name']}{arguments}{prompt}".encode()).hexdigest()[:20]
        yield CalledTool(id=f"call_00_{digest}", name=tool["name"], arguments=arguments)


_COMMON_WORDS: Final = frozenset(
    ("this", "that", "with", "from", "what", "when", "which", "given", "returns", "return", "tool", "your")
)


def _suits(tool: Tool, prompt: str) -> bool:
    said = prompt.lower()
    words = re.findall(r"[a-z]{4,}", f"{tool['name']} {tool.get('description') or ''}".lower().replace("_", " "))
    chinese = re.findall(r"[\u3400-\u9fff]{2}", str(tool.get("description") or ""))
    heard = set(re.findall(r"[a-z]{4,}", said))
    return (
        tool["name"].lower() in said
        or bool((set(words) - _COMMON_WORDS) & heard)
        or any(pair in said for pair in chinese)
    )


def value_for(schema: Any, prompt: str) -> Any:
    """A value that fits a JSON schema, taken from the prompt where that is possible."""
    return _fill(schema, prompt, schema.get("$defs", {}) if isinstance(schema, dict) else {})


def _fill(schema: Any, prompt: str, definitions: Mapping[str, Any]) -> Any:
    if not isinstance(schema, dict):
        return {}
    schema = definitions.get(schema.get("$ref", "").rpartition("/")[2], schema)
    schema = (schema.get("anyOf") or [schema])[0]
    if schema.get("enum"):
        return next((option for option in schema["enum"] if str(option).lower() in prompt.lower()), schema["enum"][0])
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    numbers = re.findall(r"-?\d+(?:\.\d+)?", prompt)
    match kind:
        case "object":
            properties = schema.get("properties") or {}
            names = schema.get("required") or properties
            return {name: _fill(properties.get(name), prompt, definitions) for name in names}
        case "array":
            return [_fill(schema.get("items") or {"type": "string"}, prompt, definitions)]
        case "integer":
            return int(float(numbers[0])) if numbers else 1
        case "number":
            return float(numbers[0]) if numbers else 1.0
        case "boolean":
            return True
        case "null":
            return None
    quoted = re.search(r"[\"“']([^\"”']+)[\"”']", prompt)
    names = re.findall(r"(?<=[a-z,] )[A-Z][\w-]+", prompt)
    return quoted[1] if quoted else names[-1] if names else " ".join(prompt.split())[:_VALUE_CHARS]
