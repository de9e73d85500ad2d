"""Saved prompts by name: files in a folder called prompts, and texts in a project's pyproject.toml.

Looked for in this order, the first one wins: ``prompts/`` beside the notebook, ``[tool.deepseek-magic.prompts]``, ``prompts/``
beside that pyproject.toml, ``prompts/`` in the user's own folder (where the journal lies). Files end in .md or .txt.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ..engine.journal.file import default_path
from ..protocol.errors import ConfigurationError
from ..protocol.options import closest
from .project import Project, project

__all__ = ["BODY", "applied", "saved_prompt", "saved_prompts"]

BODY: Final = "{prompt}"
"""Where the cell's own text goes in a saved prompt; behind it where it says nothing."""

FOLDER: Final = "prompts"
_SUFFIXES: Final = (".md", ".txt")
_MAX_BYTES: Final = 1024 * 1024
_FIRST_NAMES: Final = 8

Source = Path | str


def saved_prompts(start: Path | None = None) -> dict[str, Source]:
    """Every saved prompt: its text, or the file that holds it. Raises ConfigurationError for a broken pyproject.toml."""
    start = start or Path.cwd()
    here = project(start)
    found: dict[str, Source] = _files(default_path().parent / FOLDER)
    if here is not None:
        found |= _files(here.folder / FOLDER) | _declared(here)
    return found | _files(start / FOLDER)


def saved_prompt(name: str, start: Path | None = None) -> str:
    """The text of a saved prompt. Raises ConfigurationError where there is none of that name."""
    known = saved_prompts(start)
    if name not in known:
        names = ", ".join(sorted(known)[:_FIRST_NAMES])
        hint = f"Saved are {names}." if names else f"Save it as {FOLDER}/{name}.md beside the notebook."
        raise ConfigurationError(f"There is no saved prompt {name}{closest(name, tuple(known))}.", hint=hint)
    source = known[name]
    return source if isinstance(source, str) else _read(source)


def applied(text: str, prompt: str) -> str:
    """A saved prompt with the cell's own text in its place."""
    if BODY in text:
        return text.replace(BODY, prompt)
    return f"{text.rstrip()}\n\n{prompt}" if prompt.strip() else text


def _files(folder: Path) -> dict[str, Source]:
    if not folder.is_dir():
        return {}
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in _SUFFIXES}


def _declared(here: Project) -> dict[str, Source]:
    found: dict[str, Source] = {}
    for name, said in here.prompts.items():
        if isinstance(said, str):
            found[name] = said
        elif isinstance(said, Mapping) and isinstance(said.get("file"), str):
            found[name] = here.folder / str(said["file"])
        else:
            raise ConfigurationError(
                f"The prompt {name} of pyproject.toml is neither a text nor a file.",
                hint=f'Write {name} = "…" or {name} = {{ file = "…" }}.',
            )
    return found


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigurationError(f"The saved prompt {path} is longer than {_MAX_BYTES // 1024:,} KiB.")
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why: Any = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigurationError(f"The saved prompt {path} cannot be read: {why}.") from None
