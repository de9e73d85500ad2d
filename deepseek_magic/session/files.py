"""Files that a magic writes: never over one that is there, unless it was told to."""

from __future__ import annotations

from pathlib import Path

from ..protocol.errors import ConfigurationError

__all__ = ["free_path"]


def free_path(name: str, suffixes: tuple[str, ...], *, overwrite: bool) -> Path:
    """The path to write to. Raises ConfigurationError for another suffix, for a file that exists and a folder that does not."""
    path = Path(name).expanduser()
    if path.suffix.lower() not in suffixes:
        raise ConfigurationError(f"{name} was not written: its name must end in {' or '.join(suffixes)}.")
    if path.exists() and not overwrite:
        raise ConfigurationError(
            f"{name} was not written: it exists already.", hint="Take another name, or add --overwrite."
        )
    if not path.parent.is_dir():
        raise ConfigurationError(f"{name} was not written: there is no folder {path.parent}.")
    return path
