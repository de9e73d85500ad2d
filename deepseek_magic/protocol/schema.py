"""An answer as a type of the user's: a dataclass, a TypedDict or a pydantic model → what is asked, and how it is read.

DeepSeek's chat API knows JSON mode and no schema, so the schema goes into the system prompt and the answer is checked
when it is there. msgspec reads all types but pydantic's models, which read themselves; pydantic is not imported here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from ..text.extract import read_json
from ..text.messages import Message
from .chat import ChatMessage, Request
from .errors import ConfigurationError
from .options import closest
from .template import lookup

INSTRUCTION: Final = "Answer with one JSON object and nothing else. It must fit this JSON Schema:"
_TAKES: Final = Message(
    "A schema is a dataclass, a TypedDict, a pydantic model, or any other class with named, typed fields."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What an answer must fit: the type, its name, and its JSON Schema as text."""

    kind: Any
    name: str
    text: str

    @classmethod
    def of(cls, kind: Any) -> Schema:
        """The schema of a type. Raises ConfigurationError for what is none, or what JSON cannot hold."""
        name = getattr(kind, "__name__", str(kind))
        if not isinstance(kind, type):
            raise _no_schema(name[:40], Message("it is not a class"))
        try:
            found = _json_schema(kind)
        except (TypeError, ValueError) as error:
            why = str(error).splitlines()[0].rstrip(".")
            raise _no_schema(name, why) from None
        root = _resolved(found, found)
        if root.get("type") != "object" or "properties" not in root:
            raise _no_schema(name, Message("it is not an object with named fields"))
        return cls(kind=kind, name=name, text=json.dumps(found, ensure_ascii=False))

    @classmethod
    def named(cls, name: str, variables: Mapping[str, Any] | None) -> Schema:
        """The schema of the class that a path (``Recipe``, ``models.Recipe``) leads to. Raises ConfigurationError."""
        first, dot, rest = name.partition(".")
        if variables is None or first not in variables:
            known = [key for key in variables or () if not key.startswith("_")]
            raise ConfigurationError(
                Message(
                    "The schema {name} names a class that does not exist{near}.", name=name, near=closest(first, known)
                ),
                hint=Message("Define it first.") if variables is not None else Message("Give the class itself."),
            )
        return cls.of(lookup(variables, first, dot + rest))

    @property
    def fields(self) -> dict[str, type]:
        """The fields, each with the type of a column that holds it: int, float, bool, or str, which is JSON where the field is
        neither of these nor text."""
        whole = json.loads(self.text)
        return {name: _column(each, whole) for name, each in _resolved(whole, whole).get("properties", {}).items()}

    def values(self, text: str) -> dict[str, Any]:
        """The fields of an answer as ``fields`` has their types. What an answer lacks, or has of another type, is not among them."""
        try:
            found = read_json(text)
        except ValueError:
            return {}
        if not isinstance(found, Mapping):
            return {}
        made = {name: _as(found.get(name), kind) for name, kind in self.fields.items()}
        return {name: value for name, value in made.items() if value is not None}

    def ask_in(self, request: Request) -> Request:
        """``request`` with the schema after its system prompt."""
        said = f"{INSTRUCTION}\n{self.text}"
        first, *rest = request.messages
        if first.role != "system":
            return replace(request, messages=(ChatMessage(role="system", content=said), first, *rest))
        if isinstance(first.content, str):
            return replace(request, messages=(replace(first, content=f"{first.content}\n\n{said}"), *rest))
        parts = (*first.content, {"type": "text", "text": said})
        return replace(request, messages=(replace(first, content=parts), *rest))

    def read(self, text: str) -> Any:
        """The answer as a value of the type. Raises ValueError that says what does not fit, and where."""
        value = read_json(text)
        if not _is_pydantic(self.kind):
            try:
                return msgspec.convert(value, self.kind, str_keys=True)
            except (msgspec.ValidationError, TypeError) as error:
                raise ValueError(str(error).rstrip(".")) from None
        try:
            return self.kind.model_validate(value)
        except ValueError as error:
            raise ValueError(_told_by_pydantic(error)) from None


def _no_schema(name: str, why: Message | str) -> ConfigurationError:
    return ConfigurationError(Message("{name} cannot be a schema: {why}.", name=name, why=why), hint=_TAKES)


def _is_pydantic(kind: Any) -> bool:
    return hasattr(kind, "model_json_schema") and hasattr(kind, "model_validate")


def _json_schema(kind: Any) -> dict[str, Any]:
    found: dict[str, Any] = kind.model_json_schema() if _is_pydantic(kind) else msgspec.json.schema(kind)
    return found


def _resolved(part: Mapping[str, Any], whole: Mapping[str, Any]) -> Mapping[str, Any]:
    """A part of a JSON Schema, or what it refers to."""
    found: Mapping[str, Any] = whole.get("$defs", {}).get(part.get("$ref", "").rpartition("/")[2], part)
    return found


_COLUMNS: Final = {"string": str, "integer": int, "number": float, "boolean": bool}
_INT64: Final = 2**63


def _column(part: Mapping[str, Any], whole: Mapping[str, Any]) -> type:
    """The type of a column for a field; what may be missing is not another type."""
    part = _resolved(part, whole)
    choices = part.get("anyOf") or part.get("oneOf") or part.get("allOf")
    kinds: Iterable[type]
    if choices:
        kinds = (_column(each, whole) for each in choices if each.get("type") != "null")
    elif "enum" in part or "const" in part:
        kinds = (type(each) for each in part.get("enum", [part.get("const")]) if each is not None)
    else:
        said = part.get("type", "")
        kinds = (_COLUMNS.get(each, str) for each in (said if isinstance(said, list) else [said]) if each != "null")
    found = set(kinds)
    if found == {int, float}:
        return float
    (kind,) = found if len(found) == 1 else {str}
    return kind if kind in (int, float, bool) else str


def _as(value: Any, kind: type) -> Any:
    """A value of an answer's JSON in a column of that type; None where it is of another one."""
    if kind is str:
        return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if kind is bool or isinstance(value, bool):
        return value if kind is bool and isinstance(value, bool) else None
    if not isinstance(value, int | float):
        return None
    if kind is float:
        return _float(value)
    whole = isinstance(value, int) or value.is_integer()
    return int(value) if whole and -_INT64 <= value < _INT64 else None  # no frame has other numbers


def _float(value: float) -> float | None:
    try:
        made = float(value)
    except OverflowError:
        return None
    return made if math.isfinite(made) else None


def _told_by_pydantic(error: ValueError) -> Message | str:
    """The first of the errors, in msgspec's form; pydantic's own text has several lines and an address."""
    wrong: list[Any] = getattr(error, "errors", list)()
    if not wrong:
        return str(error).splitlines()[0].rstrip(".")
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in wrong[0]["loc"])
    said = f"{wrong[0]['msg']} - at `${place}`"
    return Message("{error} (and {count} more)", error=said, count=len(wrong) - 1) if len(wrong) > 1 else said
