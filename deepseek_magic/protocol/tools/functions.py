"""A Python function as a tool: its JSON Schema from the signature and the docstring, its arguments checked by msgspec.

The function's own defaults stay its own: what the model leaves out is not passed. pydantic's models check themselves; pydantic
is not imported here.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final, get_args, get_origin

import msgspec

from ...text.messages import Message
from ..errors import ConfigurationError
from ..options import closest
from ..template import lookup
from .tool import Tool

_TAKES: Final = Message("A tool is a function with a name, whose parameters have types that JSON can hold.")
_DEFINE: Final = Message("Define it first.")
_STRUCT: Final = "Arguments_of_the_tool"
_MAX_DESCRIPTION_CHARS: Final = 4_000
_NAMED: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)


def tool_of(function: Callable[..., Any]) -> Tool:
    """The tool that a function is. Raises ConfigurationError for what cannot be one."""
    name = str(getattr(function, "__name__", None) or getattr(getattr(function, "func", None), "__name__", ""))
    if not callable(function) or not name or name == "<lambda>":
        shown = name or type(function).__name__
        raise _no_tool(shown, Message("it has no name") if callable(function) else Message("it is no function"))
    try:
        parameters = inspect.signature(function).parameters
        hints = _hints(function)
    except (TypeError, ValueError, NameError) as error:
        raise _no_tool(name, str(error).splitlines()[0].rstrip(".")) from None
    taken = {key: each for key, each in parameters.items() if each.kind in _NAMED}
    fields: list[Any] = []
    for key, each in taken.items():
        kind = hints.get(key, Any)
        if each.default is inspect.Parameter.empty:
            fields.append((key, kind))
        else:
            fields.append((key, kind | msgspec.UnsetType if kind is not Any else kind, msgspec.UNSET))
    try:
        struct = msgspec.defstruct(_STRUCT, fields, kw_only=True, forbid_unknown_fields=True)
        schema = _schema(struct, taken, hints)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _no_tool(name, str(error).splitlines()[0].rstrip(".")) from None
    positional = {key: each for key, each in taken.items() if each.kind is inspect.Parameter.POSITIONAL_ONLY}

    def convert(arguments: Any) -> dict[str, Any]:
        try:
            made = msgspec.convert(arguments, struct, strict=False, str_keys=True, dec_hook=_by_itself)
        except (msgspec.ValidationError, TypeError, RecursionError) as error:
            raise ValueError(str(error).rstrip(".")) from None
        found = {key: getattr(made, key) for key in taken}
        return {key: value for key, value in found.items() if value is not msgspec.UNSET}

    def call(arguments: dict[str, Any]) -> Any:
        by_place = [arguments.get(key, each.default) for key, each in positional.items()]
        return function(*by_place, **{key: value for key, value in arguments.items() if key not in positional})

    description = (inspect.getdoc(function) or "") if not isinstance(function, functools.partial) else ""
    return Tool(
        name=name, description=description[:_MAX_DESCRIPTION_CHARS], parameters=schema, convert=convert, call=call
    )


def named(path: str, variables: Mapping[str, Any] | None) -> Tool:
    """The tool that a path (``forecast``, ``station.forecast``) leads to. Raises ConfigurationError."""
    if variables is None:
        raise _not_here(path, "", Message("Give the function itself, in tools=[…]."))
    first, dot, rest = path.partition(".")
    if first not in variables:
        known = [key for key in variables if not key.startswith("_") and _is_readable(variables, key)]
        known = [key for key in known if callable(variables[key])]
        raise _not_here(path, closest(first, known), _DEFINE)
    try:
        found = lookup(variables, first, dot + rest)
    except ConfigurationError:
        raise _not_here(path, _near_step(path, variables), _DEFINE) from None
    return found if isinstance(found, Tool) else tool_of(found)


def _not_here(path: str, near: Message | str, hint: Message) -> ConfigurationError:
    return ConfigurationError(Message("The tool {name} is not a function here{near}.", name=path, near=near), hint=hint)


def _is_readable(variables: Mapping[str, Any], name: str) -> bool:
    """Whether a variable has a value now: a notebook's last error has none before a cell has failed."""
    try:
        variables[name]
    except (ConfigurationError, KeyError):
        return False
    return True


def _near_step(path: str, variables: Mapping[str, Any]) -> Message | str:
    """The first step of a path that leads nowhere, as it may have been meant."""
    reached, *steps = path.split(".")
    if not _is_readable(variables, reached):
        return ""
    value = variables[reached]
    for step in steps:
        try:
            value = getattr(value, step)
        except Exception:  # a property of the user's raises what it likes
            near = closest(step, [name for name in dir(value) if not name.startswith("_")])
            return near.filled(word=f"{reached}.{near.values['word']}") if isinstance(near, Message) else ""
        reached = f"{reached}.{step}"
    return ""


def _no_tool(name: str, why: Message | str) -> ConfigurationError:
    return ConfigurationError(Message("{name} cannot be a tool: {why}.", name=name[:80], why=why), hint=_TAKES)


def _hints(function: Any) -> dict[str, Any]:
    """The types of the parameters, with what ``Annotated`` says of them."""
    if isinstance(function, functools.partial):
        return _hints(function.func)
    if isinstance(function, type):
        return typing.get_type_hints(inspect.getattr_static(function, "__init__"), include_extras=True)
    if not hasattr(function, "__annotations__"):
        function = type(function).__call__  # an object that can be called
    return typing.get_type_hints(inspect.unwrap(function), include_extras=True)


def _schema(struct: Any, taken: Mapping[str, inspect.Parameter], hints: Mapping[str, Any]) -> dict[str, Any]:
    definitions: dict[str, Any] = {}

    def of_its_own(kind: Any) -> dict[str, Any]:
        if not hasattr(kind, "model_json_schema"):
            raise NotImplementedError
        found = dict(kind.model_json_schema())
        definitions.update(found.pop("$defs", {}))
        return found

    _, components = msgspec.json.schema_components([struct], schema_hook=of_its_own, ref_template="#/$defs/{name}")
    schema: dict[str, Any] = dict(components.pop(_STRUCT))
    schema.pop("title", None)
    definitions.update(components)
    for key in taken:
        about = schema["properties"][key]
        if said := _said(hints.get(key)):
            about.setdefault("description", said)
    return dict(_without_defaults(schema | ({"$defs": definitions} if definitions else {})))


def _without_defaults(schema: Any, *, names: bool = False) -> Any:
    """A schema without the defaults in it, which may be secrets; the model needs to know only what may be left out. With
    ``names``, its keys are names of the user's and no words of JSON Schema."""
    if isinstance(schema, list):
        return [_without_defaults(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: value
        if not names and key in ("enum", "const", "examples")
        else _without_defaults(value, names=not names and key in ("properties", "patternProperties", "$defs"))
        for key, value in schema.items()
        if names or key != "default"
    }


def _said(hint: Any) -> str:
    """What a plain string in ``Annotated`` says of a parameter."""
    if get_origin(hint) is not typing.Annotated:
        return ""
    return next((each for each in get_args(hint)[1:] if isinstance(each, str)), "")


def _by_itself(kind: Any, value: Any) -> Any:
    """msgspec's hook for types it does not know: pydantic's models read themselves. No other has come so far."""
    return kind.model_validate(value)
