"""The functions that one question offers, and how they are confirmed: from what was typed, or given in Python."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...engine.hosts import keys
from ...policy.tools.approval import Confirm
from ...protocol.errors import ConfigurationError
from ...protocol.options import OPTIONS_BY_NAME, Options
from ...protocol.tools.functions import named, tool_of
from ...protocol.tools.tool import Tool, distinct
from ...text.messages import Message
from ..confirming.question import WAIT_S
from .servers import Servers, of_servers


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolbox:
    """Tools by name, and whether and how long somebody is asked before one is run."""

    tools: Mapping[str, Tool]
    confirm: Confirm = "ask"
    wait_s: float = WAIT_S

    @property
    def definitions(self) -> list[dict[str, Any]]:
        """What the API is told of them, with known keys masked: a docstring may quote one."""
        told = [tool.definition for tool in self.tools.values()]
        try:
            masked: list[dict[str, Any]] = json.loads(keys.mask_content(json.dumps(told, ensure_ascii=False)))
        except (TypeError, ValueError, RecursionError):  # no JSON, so it cannot be sent either
            return told
        return masked


def given_tools(typed: dict[str, Any]) -> list[Tool]:
    """Take the functions out of ``tools`` of a call from Python; the API's own list of definitions stays there.

    Raises ConfigurationError for a name in a function's place, and where both are mixed, since nobody could run the one half.
    """
    given = typed.get("tools")
    if isinstance(given, Tool | str) or callable(given):
        given = [given]
    if not isinstance(given, Sequence) or not given:
        return []
    for each in given:
        if isinstance(each, str):
            raise _only_named(each)
    ours = [each for each in given if isinstance(each, Tool) or callable(each)]
    if not ours:
        return []
    if len(ours) < len(given):
        raise _mixed()
    del typed["tools"]
    return [each if isinstance(each, Tool) else tool_of(each) for each in ours]


def _mixed() -> ConfigurationError:
    return ConfigurationError(
        Message("tools has functions and the API's definitions."),
        hint=Message("Give functions, which are run here, or definitions, whose calls you answer yourself."),
    )


def _only_named(name: str) -> ConfigurationError:
    said = Message('tools takes functions, and "{name}" is a name.', name=name[:80])
    if all(part.isidentifier() for part in name.split(".")):
        return ConfigurationError(said, hint=Message("Give the function itself: tools=[{name}].", name=name[:80]))
    return ConfigurationError(said, hint=Message('Names are for tool: tool=["{name}"].', name=name[:80]))


def toolbox(
    given: Sequence[Tool], options: Options, variables: Mapping[str, Any] | None, servers: Servers
) -> Toolbox | None:
    """The functions that were given or named, and those of servers, if there are any. Raises ConfigurationError, and what
    ``servers`` raises."""
    of_theirs, ours = of_servers(options.get("tool", ()))
    tools = [*given, *(named(path, variables) for path in ours)]
    if not tools and not of_theirs:
        return None
    if "tools" in options:
        raise _mixed()
    if options.get("background"):
        raise ConfigurationError(
            Message("A cell in the background has nobody who could be asked, so it takes no --tool."),
            hint=Message("Leave out --background."),
        )
    confirm = options.get("confirm", OPTIONS_BY_NAME["confirm"].default)
    wait_s = float(options.get("confirm_wait", WAIT_S))
    taken = [tool.name for tool in tools]
    tools += servers.tools(of_theirs, taken=taken, unasked=confirm == "unasked", wait_s=wait_s)
    return Toolbox(tools=distinct(tools), confirm=confirm, wait_s=wait_s)
