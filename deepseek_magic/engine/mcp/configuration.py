"""Which MCP servers there are: the ``mcpServers`` of the user's own file and of the project's ``.mcp.json``.

The format is that of Claude, Cursor and VS Code: a command with ``args`` and ``env``, or a ``url`` with ``headers``; ``${NAME}``
and ``${NAME:-else}`` take a variable of the environment. Values of ``env`` and ``headers`` may be
secrets: only the question before a project's program starts shows those of ``env``, as the file has them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ...protocol.errors import ConfigurationError
from ...protocol.options import closest
from ...text.characters import visible
from ...text.messages import Message
from ..hosts import keys
from ..hosts.endpoints import ENDPOINTS, HUB_TOKEN_VARIABLE
from ..hosts.folders import project_folders

FILE_NAME: Final = ".mcp.json"
MAX_FILE_BYTES: Final = 1_000_000
_ROOTS: Final = (".git", ".hg", "pyproject.toml")
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}")
_SHORTEST_SECRET_CHARS: Final = 4
_KEY_VARIABLES: Final = {HUB_TOKEN_VARIABLE, *(name for each in ENDPOINTS.values() for name in each.key_variables)}
_OF_ANOTHER_HOST: Final = "DEEPSEEK_API_KEY_"
_REMOTE: Final = ("http", "streamable-http", "streamable_http", "streamableHttp")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEntry:
    """One server: a program to start (``command``), or an address. ``from_project``: a repository wrote it, not the user."""

    name: str
    file: Path
    from_project: bool
    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: str | None = None
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    written: ServerEntry | None = field(default=None, repr=False)
    """The entry as its file has it, where this one has the variables' values in it."""

    @property
    def folder(self) -> Path:
        """Where the program is started: ``cwd``, from the folder of a project's file, or else from the working folder, on."""
        return (self.file.parent if self.from_project else Path.cwd()).absolute() / (self.cwd or "")

    @property
    def program(self) -> str | None:
        """The path of the program that is started, looked for as its environment and its folder say; None: there is none."""
        folders = self.env.get("PATH", os.environ.get("PATH", os.defpath)).split(os.pathsep)
        path = os.pathsep.join(str(self.folder / each) for each in folders)
        command = str(self.folder / self.command) if {*self.command} & {os.sep, "/"} else self.command
        return shutil.which(command, path=path)

    @property
    def shown(self) -> str:
        """What is started or asked, with the names of variables for their values. Of a program every line that decides what
        it does: its path and arguments, its folder, its environment. Known keys are masked."""
        written = self.written or self
        if self.url:
            parts = urlsplit(written.url)
            return _line(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")
        command = written.command if _VARIABLE.search(written.command) else self.program or written.command
        lines = [shlex.join((command, *written.args)), f"cwd={shlex.quote(str(written.folder))}"]
        lines += [f"{shlex.quote(key)}={shlex.quote(value)}" for key, value in written.env.items()]
        return "\n".join(map(_line, lines))

    @property
    def digest(self) -> str:
        """What tells this entry from another, or from itself after a change."""
        parts = [
            self.name,
            self.command,
            self.program if self.command else "",
            self.args,
            sorted(self.env.items()),
            self.cwd,
            self.url,
        ]
        whole = json.dumps([*parts, sorted(self.headers.items()), str(self.file)], default=list)
        return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()

    def without_secrets(self, text: str) -> str:
        """``text`` with stars for every value of ``env`` and ``headers``."""
        secrets = {
            value for value in (*self.env.values(), *self.headers.values()) if len(value) >= _SHORTEST_SECRET_CHARS
        }
        for header in self.headers.values():
            secrets.add(header.rpartition(" ")[2])  # "Bearer …"
        for secret in sorted(secrets, key=len, reverse=True):
            text = text.replace(secret, "****") if len(secret) >= _SHORTEST_SECRET_CHARS else text
        return text


def _line(text: str) -> str:
    return visible(keys.mask_content(text)).replace("\n", "[LF]").replace("\t", "[HT]")


def entries(own_file: str = "", start: Path | None = None) -> dict[str, ServerEntry]:
    """Every server by name: those of ``own_file`` (the user's, may be empty) win over those of the project.

    Raises ConfigurationError for a file that is missing or cannot be read.
    """
    found: dict[str, ServerEntry] = {}
    for folder in project_folders(start or Path.cwd(), _ROOTS):
        if (folder / FILE_NAME).is_file():
            found = _read(folder / FILE_NAME, from_project=True)
            break
    if own_file:
        found |= _read(Path(own_file).expanduser(), from_project=False)
    return found


def entry(name: str, own_file: str = "", start: Path | None = None) -> ServerEntry:
    """The server of this name. Raises ConfigurationError."""
    known = entries(own_file, start)
    if name in known:
        return _filled(known[name])
    if not known:
        said = Message("There is no MCP server {name}: no {file} was found.", name=name, file=FILE_NAME)
        raise ConfigurationError(said, hint=Message("%config DeepSeekMagics.mcp_config names another file."))
    near = closest(name, tuple(known))
    said = Message("There is no MCP server {name}{near}.", name=name, near=near)
    raise ConfigurationError(said, hint=Message("There are: {names}.", names=", ".join(map(visible, known))))


def _read(path: Path, *, from_project: bool) -> dict[str, ServerEntry]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(Message("it is too large"))
        read = json.loads(path.read_text("utf-8-sig"))
        listed = read.get("mcpServers", read.get("servers")) if isinstance(read, dict) else None
        if not isinstance(listed, dict):
            raise ValueError(Message("it has no object mcpServers"))
        return {str(name): _entry(str(name), raw, path, from_project) for name, raw in listed.items()}
    except OSError as error:
        why: object = error.strerror
    except json.JSONDecodeError as error:
        why = f"{error.msg}: {error.lineno}:{error.colno}"
    except (ValueError, RecursionError) as error:
        why = error.args[0] if error.args else type(error).__name__
    said = Message("{name} cannot be read: {error}.", name=path, error=why)
    raise ConfigurationError(said, hint=Message("Correct it, or move it away."))


def _entry(name: str, raw: Any, path: Path, from_project: bool) -> ServerEntry:
    """Raises ValueError, whose argument says what is wrong."""
    raw = dict(raw) if isinstance(raw, dict) else {}
    command, url = raw.get("command", ""), raw.get("url", "")
    args, env, headers = raw.get("args", []), raw.get("env", {}), raw.get("headers", {})
    texts = isinstance(command, str) and isinstance(url, str) and isinstance(args, list)
    maps = isinstance(env, dict) and isinstance(headers, dict) and isinstance(raw.get("cwd", ""), str)
    if not texts or not maps or bool(command) == bool(url):
        raise ValueError(Message("{name} needs a command with args and env, or a url with headers", name=visible(name)))
    if url and raw.get("type", "http") not in _REMOTE:
        kind = visible(str(raw["type"]))
        raise ValueError(
            Message("{name} is of type {kind}, and only stdio and http are spoken", name=visible(name), kind=kind)
        )
    return ServerEntry(
        name=name,
        file=path,
        from_project=from_project,
        command=command,
        args=tuple(map(str, args)),
        env={str(key): str(value) for key, value in env.items()},
        cwd=raw.get("cwd"),
        url=url,
        headers={str(key): str(value) for key, value in headers.items()},
    )


def _filled(found: ServerEntry) -> ServerEntry:
    """With the variables of the environment in it. Raises ConfigurationError where one is missing, or is an API key that a
    project's file may not ask for."""

    def fill(text: str) -> str:
        return _VARIABLE.sub(value, text)

    def value(match: re.Match[str]) -> str:
        if found.from_project and _is_a_key(match[1]):
            said = Message(
                "The MCP server {name} was not started, because {file} of this project asks for your API key {variable}."
            )
            said = said.filled(name=visible(found.name), file=found.file.name, variable=match[1])
            hint = Message("A server that may have it belongs in a file of yours: %config DeepSeekMagics.mcp_config.")
            raise ConfigurationError(said, hint=hint)
        if (known := os.environ.get(match[1])) is not None:
            return known
        if match.lastindex == 2:
            return match[2]
        said = Message("The MCP server {name} needs the environment variable {variable}.")
        said = said.filled(name=visible(found.name), variable=match[1])
        raise ConfigurationError(said, hint=Message("Set it, and start the kernel again."))

    return ServerEntry(
        name=found.name,
        file=found.file,
        from_project=found.from_project,
        command=fill(found.command),
        args=tuple(map(fill, found.args)),
        env={key: fill(text) for key, text in found.env.items()},
        cwd=fill(found.cwd) if found.cwd else None,
        url=fill(found.url),
        headers={key: fill(text) for key, text in found.headers.items()},
        written=found,
    )


def _is_a_key(variable: str) -> bool:
    """Whether a variable is one that keys of endpoints are read from, or has the value of a key."""
    name = variable.upper()  # Windows reads it in any case
    if name in _KEY_VARIABLES or name.startswith(_OF_ANOTHER_HOST):
        return True
    value = os.environ.get(variable, "")
    of_endpoints = {os.environ.get(each, "").strip() for each in _KEY_VARIABLES} - {""}
    return keys.looks_like_key(value) or value.strip() in of_endpoints
