"""Which of the calls that a model asks for are run, are asked about, are refused, or end the answer. Pure: it runs nothing.

the answer is not whole (cut off, at its length, filtered, stopped)   nothing is run; half a call is no call
more than 8 rounds                                                    the answer ends
the same call, name and arguments, for the third time                 the answer ends
a name that was not given                                             refused: the model is told, nobody is asked
arguments that are no JSON, or do not fit                             refused: the model is told, nobody is asked
confirm "unasked"; "once" and this name was confirmed before          run
else                                                                  somebody is asked
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from ...protocol.completion import Completion, ToolCall
from ...protocol.errors import ToolsEnded
from ...protocol.tools.returned import text_of_error
from ...protocol.tools.tool import Tool, read_arguments
from ...text.messages import Message

MAX_ROUNDS: Final = 8
"""Answers in a row that ask for functions."""
MAX_SAME: Final = 3
"""The third time that the same is asked ends it: twice may be a second look, three times is a loop."""

Confirm = Literal["ask", "once", "unasked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedCall:
    """The call is not run; ``text`` tells the model why, in English."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """The call may be run with these ``arguments``, as the tool takes them; first somebody is asked, where ``asks``."""

    tool: Tool
    arguments: Any
    asks: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """What has been asked for and confirmed so far, in one answer. Each step gives a new one."""

    tools: Mapping[str, Tool]
    confirm: Confirm = "ask"
    rounds: int = 0
    same: Mapping[tuple[str, str], int] = field(default_factory=dict)
    confirmed: frozenset[str] = frozenset()

    def after_round(self, completion: Completion) -> Approval:
        """After one more answer that asks for functions. Raises ToolsEnded where that was one too many."""
        if self.rounds >= MAX_ROUNDS:
            said = Message(
                "The model asked for functions in more than {count} answers in a row, so it was ended.",
                count=MAX_ROUNDS,
            )
            raise ToolsEnded(said, hint=Message("Ask for less at once, or ask again."))
        same = dict(self.same)
        for call in completion.tool_calls:
            key = _key(call)
            same[key] = same.get(key, 0) + 1
            if same[key] >= MAX_SAME:
                raise ToolsEnded(
                    Message(
                        "The model asked for the same call of {name} {count} times, so it was ended.",
                        name=call.name[:80],
                        count=MAX_SAME,
                    ),
                    hint=Message("Ask again, or say in the prompt what it is to do with the result."),
                )
        return replace(self, rounds=self.rounds + 1, same=same)

    def judge(self, call: ToolCall) -> RefusedCall | Allowed:
        """What is to be done about one call."""
        tool = self.tools.get(call.name)
        if tool is None:
            known = ", ".join(self.tools)
            return RefusedCall(text=f"Error: there is no function {call.name[:80]!r}. These can be called: {known}.")
        try:
            arguments = tool.convert(read_arguments(call.arguments))
        except (ValueError, RecursionError) as error:
            return RefusedCall(text=f"Error: wrong arguments, so it was not called: {error}")
        except Exception as error:  # the types of a tool may run code of its user, which may raise anything
            why = text_of_error(error).removeprefix("Error: ")
            return RefusedCall(text=f"Error: wrong arguments, so it was not called: {why}")
        asks = self.confirm == "ask" or (self.confirm == "once" and call.name not in self.confirmed)
        return Allowed(tool=tool, arguments=arguments, asks=asks)

    def with_confirmed(self, name: str) -> Approval:
        """After somebody said yes to a function."""
        return replace(self, confirmed=self.confirmed | {name})


def asks_for_tools(completion: Completion) -> bool:
    """Whether a whole answer asks for functions; what broke off, was cut at its length or stopped asks for nothing."""
    return completion.outcome == "complete" and completion.error is None and bool(completion.tool_calls)


def _key(call: ToolCall) -> tuple[str, str]:
    """The same for arguments that are written differently and mean the same."""
    try:
        return call.name, json.dumps(read_arguments(call.arguments), sort_keys=True)
    except (ValueError, RecursionError):
        return call.name, call.arguments
