"""Files that a magic writes: never over one that is there, unless it was asked to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..protocol.errors import ConfigurationError
from ..text.messages import Message


@contextmanager
def free_path(name: str, suffixes: tuple[str, ...], *, overwrite: bool) -> Iterator[Path]:
    """The path to write to. Raises ConfigurationError for another suffix, for a file that exists and a folder that does not,
    and for what the system refuses while it is written."""
    path = Path(name).expanduser()
    if path.suffix.lower() not in suffixes:
        raise ConfigurationError(
            Message("{name} was not written: its name must end in {choices}.", name=name, choices=" or ".join(suffixes))
        )
    if path.exists() and not overwrite:
        said = Message("{name} was not written: it exists already.", name=name)
        raise ConfigurationError(said, hint=Message("Take another name, or add --overwrite."))
    if not path.parent.is_dir():
        raise ConfigurationError(
            Message("{name} was not written: there is no folder {path}.", name=name, path=path.parent)
        )
    try:
        yield path
    except OSError as error:
        raise ConfigurationError(
            Message("{name} was not written: {why}.", name=name, why=error.strerror or type(error).__name__)
        ) from None
