"""What MCP servers offer as tools: ``mcp:NAME`` has all of a server's, ``mcp:NAME/TOOL`` one of them.

Servers start when they are first named, and run as long as the kernel. A tool keeps its own name where that is free, else
its server's stands before it.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ...protocol.errors import ConfigurationError, DeepSeekError
from ...protocol.options import closest
from ...protocol.tools.tool import NAME, Tool
from ...text.characters import named, visible
from ...text.messages import Message
from ..home import IN_PAGE, engine
from ..loop import HEARTBEAT_S
from .configuration import ServerEntry, entries, entry
from .server import MCPServer, Offered, error_seen

PREFIX: Final = "mcp:"
MAX_DESCRIPTION_CHARS: Final = 4_000
MAX_SCHEMA_CHARS: Final = 20_000
_NO_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]+")
_MAX_NAME_CHARS: Final = 64
_NOT_CHECKED: Final = (
    *("pattern", "patternProperties", "format"),
    *("unevaluatedProperties", "unevaluatedItems", "uniqueItems"),
)
"""A stranger's regular expressions can take for ever, and so can what looks through all else again; the server checks these by
itself."""
_MAX_STEPS: Final = 100_000
_STEPS_OF_A_REFERENCE: Final = 20
"""So many keywords are looked at for one call: a few references that double reach 2^40. To follow one may mean to look through
the whole schema."""

_RUNNING: dict[str, MCPServer] = {}


class MCPToolFailed(DeepSeekError):
    """A tool of an MCP server says that it failed; the message is its own."""


class _TooMuchToCheck(Exception):
    """To check these arguments would take too many steps."""


def meant(word: str, own_file: str = "") -> tuple[ServerEntry, str]:
    """The server that ``mcp:NAME`` or ``mcp:NAME/TOOL`` means, and the tool or nothing. Raises ConfigurationError."""
    if IN_PAGE:
        raise ConfigurationError(Message("A web page cannot start MCP servers."))
    name = word.removeprefix(PREFIX)
    server, slash, tool = name.rpartition("/")
    if slash and name not in entries(own_file):
        return entry(server, own_file), tool
    return entry(name, own_file), ""


def tools_of(found: ServerEntry, only: str = "", *, taken: Sequence[str] = ()) -> list[Tool]:
    """The tools of a server, or the one called ``only``, under names that are not ``taken``. Waits for the server to start.

    Raises ConfigurationError or TransportError in one sentence.
    """
    server, offered = engine.run(_started(found))
    if only:
        known = [each.name for each in offered]
        offered = tuple(each for each in offered if each.name == only)
        if not offered:
            near = closest(only, known)
            said = Message("The MCP server {name} has no tool {tool}{near}.")
            hint = Message("It has: {names}.", names=", ".join(map(visible, known)) or "–")
            raise ConfigurationError(said.filled(name=visible(found.name), tool=visible(only), near=near), hint=hint)
    if not offered:
        raise ConfigurationError(Message("The MCP server {name} offers no tools.", name=visible(found.name)))
    names = [*taken]
    tools = []
    for each in offered:
        tools.append(_tool(server, each, _free(each.name, found.name, names)))
        names.append(tools[-1].name)
    return tools


async def _started(found: ServerEntry) -> tuple[MCPServer, tuple[Offered, ...]]:
    server = _RUNNING.get(found.digest)
    if server is None or not server.running:
        old = [key for key, each in _RUNNING.items() if each.entry.name == found.name]
        for key in old:  # its entry was changed, or it has ended
            asyncio.get_running_loop().create_task(_RUNNING.pop(key).close())
        server = _RUNNING[found.digest] = MCPServer(found)
    return server, await server.tools()


async def close_all() -> None:
    """End every server that runs."""
    servers = [*_RUNNING.values()]
    _RUNNING.clear()
    await asyncio.gather(*(each.close() for each in servers))


def _free(name: str, server: str, taken: Sequence[str]) -> str:
    """A name that the API takes and that no other tool has. Raises ConfigurationError."""
    for wanted in (name, f"{server}_{name}"):
        possible = _NO_NAME.sub("_", wanted)[:_MAX_NAME_CHARS]
        if possible not in taken and NAME.fullmatch(possible):
            return possible
    said = Message("The tool {tool} of the MCP server {name} has the name of another tool.")
    hint = Message("Name the tools that you need one by one: --tool mcp:NAME/TOOL.")
    raise ConfigurationError(said.filled(tool=visible(name), name=visible(server)), hint=hint)


def _tool(server: MCPServer, offered: Offered, name: str) -> Tool:
    if len(json.dumps(dict(offered.schema))) > MAX_SCHEMA_CHARS:
        said = Message(
            "The tool {tool} of the MCP server {name} describes its arguments in more than {most} characters."
        )
        said = said.filled(tool=visible(offered.name), name=visible(server.entry.name), most=f"{MAX_SCHEMA_CHARS:,}")
        raise ConfigurationError(said, hint=Message("Name the tools that you need one by one: --tool mcp:NAME/TOOL."))

    async def call(arguments: Mapping[str, Any]) -> str:
        work = engine.submit(server.call(offered.name, arguments))
        answer = asyncio.wrap_future(work)
        answer.add_done_callback(error_seen)
        try:
            while not answer.done():  # in short steps: an interrupt is noticed only when something wakes the loop
                await asyncio.wait((answer,), timeout=HEARTBEAT_S)
        finally:
            work.cancel()
        returned = answer.result()
        if returned.failed:
            raise MCPToolFailed(named(returned.text) or Message("no reason given"))
        return returned.text

    return Tool(
        name=name,
        description=offered.description[:MAX_DESCRIPTION_CHARS],
        parameters={"type": "object", "properties": {}} | dict(offered.schema),
        call=call,
        convert=_converter(offered.schema),
        origin=f"{PREFIX}{visible(server.entry.name)}/{visible(offered.name)}",
    )


def _converter(schema: Mapping[str, Any]) -> Callable[[Any], Any]:
    """What checks arguments against a schema, as far as that is safe to do with a stranger's."""
    of_one_draft = _of_one_draft(schema)

    def convert(arguments: Any) -> Any:
        import jsonschema
        import referencing

        if not isinstance(arguments, dict):
            raise ValueError("Expected `object`")
        left = [_MAX_STEPS]

        def counted(keyword: str, check: Callable[..., Any]) -> Callable[..., Any]:
            def checked(validator: Any, value: Any, instance: Any, around: Any) -> Any:
                left[0] -= _STEPS_OF_A_REFERENCE if keyword.endswith(("Ref", "$ref")) else 1
                if left[0] < 0:
                    raise _TooMuchToCheck
                if keyword in _NOT_CHECKED or (keyword == "additionalProperties" and "patternProperties" in around):
                    return ()
                return check(validator, value, instance, around)

            return checked

        base = jsonschema.Draft202012Validator
        checks = {keyword: counted(keyword, check) for keyword, check in base.VALIDATORS.items()}
        checker = jsonschema.validators.extend(base, checks)
        try:  # without a way to fetch what a reference names
            wrong = next(checker(of_one_draft, registry=referencing.Registry()).iter_errors(arguments), None)
        except Exception as error:
            raise ValueError(f"its schema cannot be used ({type(error).__name__.lstrip('_')})") from None
        if wrong is not None:
            raise ValueError(f"{wrong.message[:200]} - at {wrong.json_path}")
        return arguments

    return convert


def _of_one_draft(schema: Any) -> Any:
    """A schema that names no draft in any of its parts: for such a part the library takes its own checks, and not ours."""
    if isinstance(schema, Mapping):
        return {
            key: _of_one_draft(value) for key, value in schema.items() if key != "$schema" or not isinstance(value, str)
        }
    return [*map(_of_one_draft, schema)] if isinstance(schema, list) else schema
