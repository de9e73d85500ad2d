"""One MCP server that runs: started, asked what it offers, called, ended.

The official client (``mcp``) speaks the protocol. It wants to be entered and left by one task, so each server has one that
lives as long as it does. Whatever a server does, a caller waits a bounded time and gets one sentence: a program that is not
there, that dies, hangs, or prints what is no protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...protocol.errors import ConfigurationError, DeepSeekError, TransportError
from ...text.characters import named, visible
from ...text.messages import Message
from . import leash
from .configuration import ServerEntry

if TYPE_CHECKING:
    from mcp import Client

START_S: Final = 60.0
"""So long a server may take to start: ``uvx`` and ``npx`` may have to fetch it first."""
CALL_S: Final = 120.0
MAX_TOOLS: Final = 128
"""What the API takes of functions (API page "create chat completion", tools)."""
MAX_PAGES: Final = 20
_SAID_CHARS: Final = 300
_TAIL_BYTES: Final = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A tool as its server describes it; what it says of itself is a stranger's text."""

    name: str
    description: str
    schema: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAnswer:
    """What a call brought. ``failed``: the server says that it is an error."""

    text: str
    failed: bool = False


def error_seen(done: asyncio.Future[Any]) -> None:
    """Take note of what a future failed of. Somebody is told in another way, and asyncio would print it into some later cell."""
    if not done.cancelled():
        done.exception()


class MCPServer:
    """A server in the making, running or ended; for the engine's loop alone."""

    def __init__(self, entry: ServerEntry, *, start_s: float = START_S, call_s: float = CALL_S) -> None:
        self.entry = entry
        self._start_s = start_s
        self._call_s = call_s
        self._client: Client | None = None
        self._life: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[tuple[Offered, ...]] | None = None
        self._leave = asyncio.Event()

    @property
    def running(self) -> bool:
        """Whether it has started, or is about to, and has not ended."""
        return self._life is not None and not self._life.done()

    async def tools(self) -> tuple[Offered, ...]:
        """What it offers; the first call starts it. Raises ConfigurationError or TransportError in one sentence."""
        if self._ready is None:
            self._ready = asyncio.get_running_loop().create_future()
            self._ready.add_done_callback(error_seen)
            self._life = asyncio.create_task(self._live(self._ready), name=f"MCP server {self.entry.name}")
        return await asyncio.shield(self._ready)

    async def call(self, name: str, arguments: Mapping[str, Any]) -> ServerAnswer:
        """Have a tool run. Raises TransportError where no answer comes; what the tool itself says of a failure is a result."""
        from mcp.shared.exceptions import MCPError

        await self.tools()
        client, life = self._client, self._life
        if client is None or life is None or life.done():
            raise TransportError(Message("The MCP server {name} has ended.", name=visible(self.entry.name)))
        asked = asyncio.ensure_future(client.call_tool(name, dict(arguments)))
        asked.add_done_callback(error_seen)
        try:
            done, _ = await asyncio.wait((asked, life), timeout=self._call_s, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                said = Message("The MCP server {name} did not answer {tool} within {seconds} s.")
                said = said.filled(name=visible(self.entry.name), tool=visible(name), seconds=f"{self._call_s:g}")
                raise TransportError(said, hint=Message("It was told to stop; ask again, or look what it is doing."))
            if asked not in done:
                raise TransportError(Message("The MCP server {name} has ended.", name=visible(self.entry.name)))
            try:
                return _returned(asked.result())
            except MCPError as error:
                if not life.done() and error.code not in (-32000, -32001):  # not a closed connection, nor a time-out
                    return ServerAnswer(text=self._clean(error.message), failed=True)
                raise TransportError(
                    Message("The MCP server {name} has ended.", name=visible(self.entry.name))
                ) from None
            except DeepSeekError:
                raise
            except Exception as error:
                raise self._broken(error) from None
        finally:
            if not asked.done():
                asked.cancel()
                await asyncio.wait((asked,), timeout=1)

    async def close(self) -> None:
        """End it, if it runs."""
        self._leave.set()
        if self._life is not None:
            await asyncio.wait((self._life,), timeout=10)

    async def _live(self, ready: asyncio.Future[tuple[Offered, ...]]) -> None:
        try:
            async with contextlib.AsyncExitStack() as stack:
                errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
                stack.enter_context(errors)
                try:
                    async with asyncio.timeout(self._start_s):
                        client = await stack.enter_async_context(await self._made(stack, errors))
                        offered = await _listed(client)
                except DeepSeekError as error:
                    ready.set_exception(error)
                    return
                except TimeoutError:
                    said = Message("The MCP server {name} did not start within {seconds} s.")
                    said = said.filled(name=visible(self.entry.name), seconds=f"{self._start_s:g}")
                    ready.set_exception(self._not_started(said, _tail(errors)))
                    return
                except Exception:
                    said = Message("The MCP server {name} did not start.", name=visible(self.entry.name))
                    ready.set_exception(self._not_started(said, _tail(errors)))
                    return
                self._client = client
                ready.set_result(offered)
                await self._leave.wait()
        except Exception:  # what goes wrong while it ends is nobody's any more
            pass
        finally:
            self._client = None
            if not ready.done():
                ready.set_exception(TransportError(Message("The MCP server {name} has ended.", name=self.entry.name)))

    async def _made(self, stack: contextlib.AsyncExitStack, errors: Any) -> Client:
        """A client that is not connected yet. Raises ConfigurationError."""
        try:
            import httpx2
            from mcp import Client, StdioServerParameters
            from mcp.client.stdio import stdio_client
            from mcp.client.streamable_http import streamable_http_client
        except ImportError:
            said = Message("MCP servers are spoken to by the package mcp, which is missing or too old.")
            raise ConfigurationError(said, hint=Message("pip install 'deepseek-magic[mcp]'")) from None
        logging.getLogger("mcp").addHandler(logging.NullHandler())  # else what a server prints is printed in the cell
        logging.getLogger("mcp").propagate = False
        if self.entry.url:
            limits = httpx2.Timeout(self._start_s, read=self._call_s)
            http = await stack.enter_async_context(httpx2.AsyncClient(headers=dict(self.entry.headers), timeout=limits))
            return Client(streamable_http_client(self.entry.url, http_client=http))
        command = [self._program(), *self.entry.args]
        if os.name == "posix":
            command = [sys.executable, "-I", "-S", str(Path(leash.__file__)), str(os.getpid()), *command]
        parameters = StdioServerParameters(
            command=command[0],
            args=command[1:],
            env=dict(self.entry.env),
            cwd=str(self.entry.folder),
            encoding_error_handler="replace",
        )
        return Client(stdio_client(parameters, errlog=errors))

    def _program(self) -> str:
        found = self.entry.program
        if found is None:
            said = Message("The MCP server {name} cannot be started: there is no program {command}.")
            said = said.filled(
                name=visible(self.entry.name), command=visible((self.entry.written or self.entry).command)
            )
            raise ConfigurationError(
                said, hint=Message("Install it, or correct the command in {file}.", file=self.entry.file)
            )
        return found

    def _not_started(self, said: Message, why: str) -> TransportError:
        """With the last that a program wrote, and what it has of the environment: what it misses is often a variable."""
        if self.entry.url:
            return TransportError(said)
        last, file = self._clean(why), self.entry.file
        hint = Message(
            "Of your environment it has only PATH, HOME and the like, and what env in {file} gives it.", file=file
        )
        if last:
            hint = Message(
                'The last that it said: "{text}". Of your environment it has only PATH, HOME and the like, and what env in {file} gives it.',
                text=last,
                file=file,
            )
        return TransportError(said, hint=hint)

    def _broken(self, error: Exception) -> TransportError:
        said = Message("The MCP server {name} answered with what is no result: {why}.")
        why = f"{type(error).__name__}: {error}".partition("\n")[0]
        return TransportError(said.filled(name=visible(self.entry.name), why=self._clean(why)))

    def _clean(self, text: str) -> str:
        """One line without secrets; of a long one the beginning, which names the error, up to the end of a word."""
        text = visible(self.entry.without_secrets(text)).replace("\n", " ").strip()
        return text if len(text) <= _SAID_CHARS else f"{text[:_SAID_CHARS].rpartition(' ')[0] or text[:_SAID_CHARS]} …"


async def _listed(client: Client) -> tuple[Offered, ...]:
    """The tools of a server, all pages of them up to a bound."""
    found: list[Offered] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        found += [
            Offered(name=tool.name, description=named(tool.description or ""), schema=tool.input_schema)
            for tool in page.tools
        ]
        cursor = page.next_cursor
        if not cursor or len(found) >= MAX_TOOLS:
            break
    return tuple(found[:MAX_TOOLS])


def _returned(result: Any) -> ServerAnswer:
    """The parts of a result as one text; of what is no text only that it was there."""
    import json

    parts = []
    for part in result.content:
        resource = getattr(part, "resource", None)
        if part.type == "text":
            parts.append(part.text)
        elif (text := getattr(resource, "text", None)) is not None:
            parts.append(text)
        elif part.type == "resource_link":
            parts.append(f"[link: {part.uri}]")
        else:
            kind = getattr(part, "mime_type", None) or getattr(resource, "mime_type", None) or part.type
            parts.append(f"[{kind}]")
    if not parts and result.structured_content is not None:
        parts.append(json.dumps(result.structured_content, ensure_ascii=False))
    return ServerAnswer(text="\n".join(parts), failed=bool(result.is_error))


def _tail(errors: Any) -> str:
    """The last line that a server wrote to its standard error; of a very long one the end, from a word on."""
    with contextlib.suppress(OSError, ValueError):
        errors.seek(0, os.SEEK_END)
        start = max(0, errors.tell() - _TAIL_BYTES)
        errors.seek(start)
        lines = [line.strip() for line in errors.read().splitlines() if line.strip()]
        if start and len(lines) == 1:
            return f"… {lines[0].partition(' ')[2]}"  # half a word may be half a secret
        return lines[-1] if lines else ""
    return ""
