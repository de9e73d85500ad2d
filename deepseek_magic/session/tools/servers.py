"""The tools of MCP servers that a question names: ``--tool mcp:NAME``, ``--tool mcp:NAME/TOOL``.

A server of the user's own file is started without a word. One of the project's ``.mcp.json`` is a program that a repository
names, so whoever looks on is asked before it starts, once in a process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ...engine.mcp.offered import PREFIX, meant, tools_of
from ...protocol.errors import ConfigurationError
from ...protocol.tools.tool import Tool
from ...text.messages import Message
from ..confirming.hook import confirmer
from ..confirming.question import Choice, ToConfirm

START: Final = Choice(name="start", label=Message("Start"), key="s", icon="play")
NO: Final = Choice(name="no", label=Message("Do not start"), key="n", icon="stop")


class Servers:
    """What a session knows of MCP servers. ``own_file``: the user's configuration, besides the project's; may be empty."""

    def __init__(self) -> None:
        self.own_file = ""
        self._allowed: set[str] = set()

    def tools(self, words: Sequence[str], *, taken: Sequence[str], unasked: bool, wait_s: float) -> Iterator[Tool]:
        """The tools that these words name, under names that are not ``taken``; starts their servers.

        Raises ConfigurationError, TransportError or NotConfirmed in one sentence.
        """
        names = [*taken]
        for word in dict.fromkeys(words):
            found, only = meant(word, self.own_file)
            if found.from_project and not unasked and found.digest not in self._allowed:
                question = ToConfirm(
                    said=Message(
                        "{file} of this project starts this as the MCP server {name}:",
                        file=found.file.name,
                        name=found.name,
                    ),
                    what=Message("the start of {name}", name=found.name),
                    detail=found.shown,
                    choices=(START, NO),
                    otherwise=Message("--confirm unasked starts it without a question."),
                )
                if confirmer(wait_s=wait_s, awaited=False).ask(question) != START.name:
                    raise ConfigurationError(
                        Message("The MCP server {name} was not started, so nothing was sent.", name=found.name)
                    )
                self._allowed.add(found.digest)
            for tool in tools_of(found, only, taken=names):
                names.append(tool.name)
                yield tool


def of_servers(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """These words, those of servers first, then the others."""
    return [word for word in words if word.startswith(PREFIX)], [word for word in words if not word.startswith(PREFIX)]
