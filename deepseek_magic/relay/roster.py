"""Who may ask: students and their tokens, of which the relay keeps the SHA-256 alone.

A token is 24 random bytes, so its digest says nothing about it and needs no salt; it is shown once, when it is made.
"""

from __future__ import annotations

import csv
import hashlib
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from ..protocol.errors import ConfigurationError
from ..text.messages import Message
from .file import RelayFile
from .refusals import unauthorised

TOKEN_PREFIX: Final = "sk-class-"
_TOKEN_BYTES: Final = 24
_NAME_COLUMNS: Final = ("name", "student", "email", "user")
LONGEST_NAME: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who asks. ``teaches``: they may see the class."""

    name: str
    teaches: bool = False


class Door(Protocol):
    """What knows tokens."""

    async def who(self, token: str) -> Person:
        """Whose token it is. Raises Refusal."""


class Roster:
    """The students of a relay that makes its own tokens."""

    def __init__(self, file: RelayFile) -> None:
        self._file = file
        self._names: dict[str, str] = {}
        self._read_of: int | None = None

    async def who(self, token: str) -> Person:
        """See Door. A token that another process has made or taken back counts at once."""
        name = (await self._file.apart(self._newest)).get(digest(token))
        if name is None:
            raise unauthorised(Message("The relay does not know this token; ask your teacher for yours."))
        return Person(name=name)

    def _newest(self) -> dict[str, str]:
        """Names by digest, read again only where another process has written: a stranger's guesses cost no query each."""
        version = self._file.written_elsewhere()
        if version != self._read_of:
            with self._file.transaction() as connection:
                rows = connection.execute("SELECT name, digest FROM students").fetchall()
            self._names, self._read_of = {str(digest): str(name) for name, digest in rows}, version
        return self._names


def digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def names_of(path: Path) -> list[str]:
    """The students of a CSV file: the column that is headed name, student, email or user, else the first one.

    Raises ConfigurationError for a file without names, and for a name that is there twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = [row for row in csv.reader(lines) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        said = Message("{path} cannot be read: {why}.", path=path, why=getattr(error, "strerror", None) or str(error))
        raise ConfigurationError(said, hint=Message("Give a CSV file with a column of names.")) from None
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    column = next((header.index(name) for name in _NAME_COLUMNS if name in header), None)
    if column is not None:
        rows = rows[1:]
    names = [row[column or 0].strip() for row in rows if len(row) > (column or 0)]
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    wrong = next((name for name in names if not name or len(name) > LONGEST_NAME or not name.isprintable()), None)
    if twice is not None or wrong is not None or not names:
        why: Message = Message("it has no names")
        if twice is not None:
            why = Message("the name {name} is there twice", name=twice)
        elif wrong is not None:
            why = Message("{name} is no name", name=repr(wrong[:40]))
        said = Message("{path} cannot be used: {why}.", path=path, why=why)
        raise ConfigurationError(said, hint=Message("Give a CSV file with a column of names."))
    return names


def make(file: RelayFile, names: Sequence[str], *, renew: bool = False) -> Iterator[tuple[str, str]]:
    """Make a token for each student who has none, or with ``renew`` for all: pairs of name and token."""
    with file.transaction() as connection:
        known = {str(name) for (name,) in connection.execute("SELECT name FROM students")}
        made = [
            (name, TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)) for name in names if renew or name not in known
        ]
        connection.executemany(
            "INSERT OR REPLACE INTO students (name, digest, made_at) VALUES (?, ?, ?)",
            [(name, digest(token), time.time()) for name, token in made],
        )
    yield from made


def take_back(file: RelayFile, names: Sequence[str]) -> list[str]:
    """Take back the tokens of these students; who of them had one."""
    with file.transaction() as connection:
        return [n for n in names if connection.execute("DELETE FROM students WHERE name = ?", (n,)).rowcount]
