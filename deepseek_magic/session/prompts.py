"""Saved prompts by name: files in a folder called prompts, and texts in a project's pyproject.toml.

Looked for in this order, the first one wins: ``prompts/`` beside the notebook, ``[tool.deepseek-magic.prompts]``, ``prompts/``
beside that pyproject.toml, ``prompts/`` in the user's own folder (where the journal lies). Files end in .md or .txt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..engine.journal.file import default_path
from ..protocol.errors import ConfigurationError
from ..protocol.options import ProjectText, closest
from ..text.messages import Message
from .project import Project, project

BODY: Final = "{prompt}"
"""Where the cell's own text goes in a saved prompt; after it where it says nothing."""

FOLDER: Final = "prompts"
_SUFFIXES: Final = (".md", ".txt")
_HOLE: Final = "\0"
_MAX_BYTES: Final = 1024 * 1024
_FIRST_NAMES: Final = 8


@dataclass(frozen=True, slots=True)
class Saved:
    """A file with a prompt. ``root`` is the folder that it may not leave; None for the user's own prompts."""

    path: Path
    root: Path | None


Source = Saved | ProjectText


def saved_prompts(start: Path | None = None) -> dict[str, Source]:
    """Every saved prompt: its text, or the file that holds it. Raises ConfigurationError for a broken pyproject.toml."""
    start = start or Path.cwd()
    here = project(start)
    found: dict[str, Source] = _files(default_path().parent / FOLDER, None)
    if here is not None:
        found |= _files(here.folder / FOLDER, here.folder) | _declared(here)
    return found | _files(start / FOLDER, start if here is None else here.folder)


def saved_prompt(name: str, start: Path | None = None) -> str:
    """The text of a saved prompt: a ``ProjectText``, unless it is one of the user's own.

    Raises ConfigurationError where there is none of that name, and for a file outside of its project.
    """
    known = saved_prompts(start)
    if name not in known:
        names = ", ".join(sorted(known)[:_FIRST_NAMES])
        hint = Message("Saved prompts: {names}.", names=names)
        if not names:
            hint = Message("Save it as {path} beside the notebook.", path=f"{FOLDER}/{name}.md")
        near = closest(name, tuple(known))
        raise ConfigurationError(Message("There is no saved prompt {name}{near}.", name=name, near=near), hint=hint)
    source = known[name]
    if isinstance(source, ProjectText):
        return source
    if source.root is None:
        return _read(source.path)
    return ProjectText(_read(_within(source.path, source.root, name)), folder=str(source.root))


def applied(text: str, prompt: str, filled: Callable[[str], str] = str) -> str:
    """A saved prompt with the cell's own text, which is filled already, in its place; ``filled`` fills the prompt's own."""
    marked = text.replace(BODY, _HOLE)  # whole, so that ``filled`` sees what is code and what is not
    made = filled(ProjectText(marked, folder=text.folder) if isinstance(text, ProjectText) else marked)
    if _HOLE in made:
        return made.replace(_HOLE, prompt)
    return f"{made.rstrip()}\n\n{prompt}" if prompt.strip() else made


def _files(folder: Path, root: Path | None) -> dict[str, Source]:
    if not folder.is_dir():
        return {}
    return {path.stem: Saved(path, root) for path in sorted(folder.iterdir()) if path.suffix.lower() in _SUFFIXES}


def _within(path: Path, root: Path, name: str) -> Path:
    """``path`` with its links resolved. Raises ConfigurationError where it leaves ``root``, or is hidden there: such
    files (``.env``, ``.git``) hold what is not meant to be sent."""
    real, root = path.resolve(), root.resolve()
    if real.is_relative_to(root) and not any(part.startswith(".") for part in real.relative_to(root).parts):
        return real
    said = Message("The saved prompt {name} was not read: {path} is not a visible file within {folder}.")
    hint = Message("Copy it into the project.")
    raise ConfigurationError(said.filled(name=name, path=real, folder=root), hint=hint)


def _declared(here: Project) -> dict[str, Source]:
    found: dict[str, Source] = {}
    for name, said in here.prompts.items():
        if isinstance(said, str):
            found[name] = here.wrote(said)
        elif isinstance(said, Mapping) and isinstance(said.get("file"), str):
            found[name] = Saved(here.folder / str(said["file"]), here.folder)
        else:
            raise ConfigurationError(
                Message("The prompt {name} of pyproject.toml is neither a text nor a file.", name=name),
                hint=Message('Write {name} = "…" or {new} = { file = "…" }.', name=name, new=name),
            )
    return found


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            limit = f"{_MAX_BYTES // 1024:,}"
            raise ConfigurationError(
                Message("The saved prompt {path} is longer than {limit} KiB.", path=path, limit=limit)
            )
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why: Any = getattr(error, "strerror", None) or Message("it is not UTF-8 text")
        raise ConfigurationError(
            Message("The saved prompt {path} cannot be read: {why}.", path=path, why=why)
        ) from None
