"""A tool: what a model is told of it, how its arguments are read, and what is called with them.

It assumes no Python function: ``functions.tool_of`` makes one of a function, and a server's tools are others with the same five
fields. Nothing of a tool is run here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from ...text.characters import visible
from ...text.messages import Message
from ..errors import ConfigurationError

NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""What the API takes for a name; of its two limits the smaller one."""

SHOWN_VALUE_CHARS: Final = 200
"""So much of an argument is shown in one line."""


def _as_given(arguments: Any) -> Any:
    if not isinstance(arguments, dict):
        raise ValueError("Expected `object`")
    return arguments


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One function that a model may ask for.

    ``parameters`` is the JSON Schema of its arguments, an object's. ``convert`` makes what ``call`` takes of the arguments as
    JSON, and raises ValueError that says what is wrong and where; it runs before anybody is asked, so it does nothing
    else. ``call`` does the work, and may give an awaitable. ``origin`` says where a tool comes from that is no function of
    the notebook.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    call: Callable[[Any], Any]
    convert: Callable[[Any], Any] = _as_given
    origin: str = ""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ConfigurationError(
                Message("{name} cannot be the name of a tool.", name=self.name[:80]),
                hint=Message("Its name has up to 64 letters, digits, - and _, without accents and other scripts."),
            )

    @property
    def definition(self) -> dict[str, Any]:
        """The tool as the API is told of it."""
        told = {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        return {"type": "function", "function": told}


ToolState = Literal["begun", "ran", "failed", "skipped", "refused", "stopped"]
"""What became of a call: it is running; it gave a result; it raised; its user said no; no such tool or wrong arguments; nothing, the
answer ended before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRun:
    """A call that a model asked for, and what became of it. ``arguments`` is the JSON text as it came, ``result`` what went back
    to the model."""

    id: str
    name: str
    arguments: str
    state: ToolState
    result: str = ""
    origin: str = ""

    @property
    def shown(self) -> str:
        """The call on one line, as Python would write it."""
        return shown_call(self.name, self.arguments)


def read_arguments(text: str) -> Any:
    """The arguments of a call as JSON; none at all are an empty object. Raises ValueError."""
    return json.loads(text, parse_constant=_no_constant) if text.strip() else {}


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def shown_call(name: str, arguments: str, *, short: bool = True) -> str:
    """A call on one line; what is no JSON object is shown as it came. Characters that would turn a line around, or steer a
    terminal, are shown by their names: what is confirmed has to be what is read."""
    try:
        read = read_arguments(arguments)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        return f"{_plain(name, short)}({_plain(arguments, short)})"
    shown = (f"{_plain(_key(key), short)}={_plain(_python(value), short)}" for key, value in read.items())
    return f"{_plain(name, short)}({', '.join(shown)})"


def _key(key: str) -> str:
    """A key that could look like several arguments, or like none, is quoted."""
    return key if key.isidentifier() else json.dumps(key, ensure_ascii=False)


def _python(value: Any) -> str:
    return repr(value) if value is None or isinstance(value, bool) else json.dumps(value, ensure_ascii=False)


def _plain(text: str, short: bool) -> str:
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # half a character cannot be shown
    text = visible(text).replace("\n", "[LF]").replace("\t", "[HT]")
    return text if not short or len(text) <= SHOWN_VALUE_CHARS else f"{text[:SHOWN_VALUE_CHARS]}…"


def distinct(tools: Sequence[Tool]) -> dict[str, Tool]:
    """Tools by name. Raises ConfigurationError where two have the same one: the model could not tell them apart."""
    found: dict[str, Tool] = {}
    for tool in tools:
        if tool.name in found:
            raise ConfigurationError(
                Message("Two tools are called {name}.", name=tool.name),
                hint=Message("Give one of them another name, by a function that calls it."),
            )
        found[tool.name] = tool
    return found
