"""What a project says about itself: the table ``[tool.deepseek-magic]`` of the nearest pyproject.toml.

Read when it is asked for, and never beyond the project's own folder, so that a file further up does not speak for a
notebook that it does not know. Whoever wrote the project wrote this, not the user who opened it: see ``ProjectText``.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ..engine.hosts.folders import project_folders
from ..protocol.errors import ConfigurationError
from ..protocol.options import ProjectText
from ..text.messages import Message

TABLE: Final = "deepseek-magic"
FILE_NAME: Final = "pyproject.toml"
_ROOTS: Final = (".git", ".hg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project's folder, and what its table holds: settings by option name, and prompts by name."""

    folder: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    prompts: Mapping[str, Any] = field(default_factory=dict)

    def wrote(self, text: str) -> ProjectText:
        """``text`` as this project's, with the settings around it."""
        settings = json.dumps(dict(self.settings), sort_keys=True, default=str)
        digest = hashlib.sha256(settings.encode("utf-8", "replace")).hexdigest()
        return ProjectText(text, folder=str(self.folder), digest=digest)


def project(start: Path | None = None) -> Project | None:
    """The project that ``start`` (the working folder) belongs to; None where no pyproject.toml speaks of this package.

    Raises ConfigurationError for a file that cannot be read as TOML.
    """
    for folder in project_folders(start or Path.cwd(), (FILE_NAME, *_ROOTS)):
        if (folder / FILE_NAME).is_file():
            return _read(folder / FILE_NAME)
    return None


def _read(path: Path) -> Project | None:
    try:
        table = tomllib.loads(path.read_text("utf-8")).get("tool", {}).get(TABLE)
    except (OSError, ValueError, AttributeError) as error:
        said = Message("{name} cannot be read: {error}.", name=path, error=str(error))
        raise ConfigurationError(said, hint=Message("Correct it, or move it away.")) from None
    if not isinstance(table, dict):
        return None
    settings = {name.replace("-", "_"): value for name, value in table.items() if name != "prompts"}
    prompts = table.get("prompts", {})
    return Project(folder=path.parent, settings=settings, prompts=prompts if isinstance(prompts, dict) else {})
