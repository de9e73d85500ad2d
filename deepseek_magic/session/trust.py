"""Which projects may say where requests go: folders that the user has confirmed, each with its hosts and settings.

Kept in a file of the user's own, never in the project: what a repository brings along must not confirm itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from ..engine.hosts.endpoints import in_order
from ..engine.private import open_private, own_folder, private_folder
from ..protocol.errors import ConfigurationError
from ..protocol.options import Options, ProjectText
from ..text.messages import Message

FILE_NAME: Final = "trusted.json"
_ADDRESS: Final = ("endpoint", "base_url")


class Confirmation(NamedTuple):
    """A folder, and the hosts that its settings name."""

    folder: str
    hosts: str


def settings_path() -> Path:
    """Where confirmations are kept: in ``DEEPSEEK_MAGIC_HOME`` if that is set, else in the user's settings folder."""
    return own_folder("config") / FILE_NAME


def named_by_project(options: Mapping[str, Any]) -> dict[str, ProjectText]:
    """The parts of the address that a project wrote."""
    return {name: said for name in _ADDRESS if isinstance(said := options.get(name), ProjectText)}


def confirmed(options: Options) -> Options:
    """``options`` with an address that a project wrote made the user's own, if it was confirmed; else as they are, and
    ``in_order`` refuses it."""
    said = next(iter(named_by_project(options).values()), None)
    if said is None:
        return options
    own, entry = _own(options), _read().get(said.folder)
    if not isinstance(entry, dict) or entry.get("settings") != said.digest:
        return options
    return own if set(_hosts(own)) <= set(entry.get("hosts", ())) else options


def confirm(options: Options, *, forget: bool = False) -> Confirmation | None:
    """Let the address in ``options`` that a project wrote be used from now on, or with ``forget`` no longer; None where
    no project wrote one.

    Raises ConfigurationError when the file cannot be written.
    """
    said = next(iter(named_by_project(options).values()), None)
    if said is None:
        return None
    others = {folder: entry for folder, entry in _read().items() if folder != said.folder}
    if forget:
        _write(others)  # first: a host that is not known any more must not keep its trust
    hosts = _hosts(_own(options))
    if not forget:
        _write({**others, said.folder: {"hosts": hosts, "settings": said.digest}})
    return Confirmation(said.folder, ", ".join(hosts))


def _own(options: Options) -> Options:
    return options.replace(**{name: str(options[name]) for name in _ADDRESS if name in options})


def _hosts(own: Options) -> list[str]:
    return sorted({place.host for place in in_order(own.get("endpoint"), own.get("base_url"))})


def _read() -> dict[str, Any]:
    """What is kept; nothing where the file is missing or damaged, so that everything is asked again."""
    try:
        kept = json.loads(settings_path().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _write(kept: Mapping[str, Any]) -> None:
    path = settings_path()
    try:
        private_folder(path.parent)
        with os.fdopen(open_private(path, os.O_WRONLY | os.O_TRUNC), "w", encoding="utf-8") as file:
            json.dump(kept, file, indent=2)
    except OSError as error:
        raise ConfigurationError(
            Message("{path} cannot be written: {error}.", path=path, error=error.strerror)
        ) from None
