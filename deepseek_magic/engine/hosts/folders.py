"""Which folders may speak for a notebook: its own and those above it, within the project and never where others write."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path


def project_folders(start: Path, roots: Sequence[str]) -> Iterator[Path]:
    """``start`` and the folders above it, up to the first that holds one of ``roots``, or the home folder.

    A folder that everybody may write ends the search: what lies there may be anybody's.
    """
    start, home = start.absolute(), Path(os.path.expanduser("~"))  # noqa: PTH111  # Path raises where there is no home
    homes = (home, home.resolve())
    for folder in (start, *start.parents):
        if _is_writable_by_all(folder):
            return
        yield folder
        if folder in homes or holds_one_of(folder, roots):
            return


def holds_one_of(folder: Path, names: Sequence[str]) -> bool:
    """Whether one of ``names`` is in ``folder``; what cannot be looked into counts as empty."""
    return any(os.path.lexists(folder / name) for name in names)


def _is_writable_by_all(folder: Path) -> bool:
    try:
        return os.name == "posix" and bool(folder.stat().st_mode & stat.S_IWOTH)
    except OSError:
        return True  # what cannot be asked is not trusted
