"""Files that nobody but their owner may read or exchange: the journal, and what the user has confirmed."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final, Literal

from ..text.messages import Message

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def own_folder(kind: Literal["config", "data"]) -> Path:
    """``DEEPSEEK_MAGIC_HOME`` if it is set, else the platform's folder for what a user has of this kind."""
    if home := os.environ.get("DEEPSEEK_MAGIC_HOME"):
        return Path(home).expanduser()
    import platformdirs

    find = platformdirs.user_config_path if kind == "config" else platformdirs.user_data_path
    return find("deepseek-magic", appauthor=False)


def private_folder(folder: Path) -> None:
    """Make ``folder`` and its missing parents, for their owner alone. One that others may write is closed to them.

    Raises OSError where that cannot be: whoever may write a folder can put another file in the place of one of ours.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):  # not by parents=True, which leaves the modes of parents to the umask
        each.mkdir(mode=FOLDER_MODE, exist_ok=True)
    found = folder.stat()
    if os.name != "posix" or not found.st_mode & _OTHERS_WRITE:
        return
    if found.st_mode & stat.S_ISVTX or found.st_uid != os.geteuid():  # /tmp and its like are everybody's by intention
        raise OSError(errno.EPERM, Message("others may write the folder {folder}", folder=folder))
    folder.chmod(FOLDER_MODE)


def open_private(path: Path, flags: int) -> int:
    """The descriptor of ``path``, made if it is not there, with mode 0600. Raises OSError, also for a symbolic link."""
    try:
        opened = os.open(path, flags | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), FILE_MODE)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, Message("{path} is a symbolic link", path=path)) from None
        raise
    if os.name == "posix" and stat.S_IMODE(os.fstat(opened).st_mode) != FILE_MODE:
        try:
            os.fchmod(opened, FILE_MODE)
        except OSError:
            os.close(opened)
            raise
    return opened
