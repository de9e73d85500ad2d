"""Files that go along with a prompt: found by name or pattern, read as text. What cannot be sent is refused in one sentence."""

from __future__ import annotations

import codecs
import csv
import glob
import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from ...protocol.context.pieces import Attached
from ...protocol.errors import ConfigurationError
from ...protocol.options import closest
from ...text.characters import in_one_line
from ...text.fences import fenced
from ...text.messages import Message
from . import documents, tables
from .documents import Unreadable
from .gathering import Gathering

MAX_FILES: Final = 100
MAX_FILE_BYTES: Final = 100_000_000
MAX_TEXT_BYTES: Final = 5_000_000
"""A text of this length is longer than any model's context; that it is too long can be said without reading it."""

_PATTERN: Final = re.compile(r"[*?\[]")
_PICTURES: Final = (".png", ".jpg", ".jpeg", ".gif", ".webp")
_SECRET: Final = re.compile(
    r"\.env(\..+)?|\.netrc|_netrc|\.pgpass|\.htpasswd|\.git-credentials|\.npmrc|\.pypirc|id_(rsa|dsa|ecdsa|ed25519)|credentials"
    r"|.+\.(pem|key|p12|pfx|jks|keystore|kdbx|ppk)"
)
"""Files that are there to hold secrets."""
_OF_THE_KERNEL: Final = (("/", "proc"), ("/", "sys"))
"""What Linux shows there as files says no size, and may never end, or wait for ever."""
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LANGUAGES: Final = {
    ".py": "python",
    ".js": "javascript",
    ".ts": "typescript",
    ".md": "markdown",
    ".rs": "rust",
    ".rb": "ruby",
    ".sh": "bash",
    ".yml": "yaml",
    ".jl": "julia",
    ".htm": "html",
    ".tex": "latex",
}


def attached(named: Iterable[tuple[str, Path]], gathering: Gathering) -> list[Attached]:
    """Files, each with the name that it is shown by, as parts of a message. Raises ConfigurationError for one that cannot be
    sent."""
    found: list[Attached] = []
    for name, path in named:
        shown = in_one_line(name)  # a name may hold line ends, and what steers a terminal
        try:
            text, whole = read(path)
        except ConfigurationError as error:
            said = error.message.filled(path=shown) if isinstance(error.message, Message) else error.message
            raise ConfigurationError(said, hint=error.hint) from None
        text = gathering.clean(shown, text)
        said = f"File {shown}:\n{fenced(text, _language(path))}".rstrip("\n")
        if (part := gathering.part(shown, text, said, whole=whole)) is not None:
            found.append(part)
    return found


def expanded(names: Iterable[str]) -> list[Path]:
    """The files that names and patterns stand for, each once, in order. Raises ConfigurationError for what is none."""
    found: dict[str, Path] = {}
    for name in names:
        try:
            paths = _named(name)
        except (ValueError, RuntimeError):  # a zero byte; the home of a user whom this machine does not know
            raise _not_sent(name, Message("no file can have this name")) from None
        for real, path in paths:
            found.setdefault(real, path)
        if len(found) > MAX_FILES:
            hint = Message("Name fewer of them, or a narrower pattern.")
            raise ConfigurationError(
                Message("{count} files are too many: --file takes {limit}.", count=len(found), limit=MAX_FILES),
                hint=hint,
            )
    return list(found.values())


def _named(name: str) -> list[tuple[str, Path]]:
    """What a name or a pattern stands for, each with where it really is. Raises ConfigurationError, ValueError, RuntimeError."""
    path = Path(name).expanduser()
    paths = [path]
    if _PATTERN.search(name) and not os.path.lexists(path):
        paths = [each for each in map(Path, sorted(glob.glob(str(path), recursive=True))) if each.is_file()]  # noqa: PTH207
        if not paths:
            raise _not_sent(name, Message("no file matches it"))
    return [(os.path.realpath(each), each) for each in paths]


def read(path: Path) -> tuple[str, int]:
    """The text of a file, and how many bytes the file has. Raises ConfigurationError."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError):
            raise _missing(path) from None
        raise _not_sent(path, getattr(error, "strerror", None) or str(error)) from None
    if stat.S_ISDIR(status.st_mode):
        hint = Message("Name its files, or a pattern: --file '{pattern}'.", pattern=in_one_line(f"{path}/*.py"))
        raise _not_sent(path, Message("it is a folder"), hint)
    if not stat.S_ISREG(status.st_mode) or path.resolve().parts[:2] in _OF_THE_KERNEL:
        raise _not_sent(path, Message("it is no ordinary file"))
    if _holds_secrets(path):
        hint = Message("Copy what is no secret into the cell.")
        raise _not_sent(path, Message("files of this name hold keys or passwords"), hint)
    if status.st_size > MAX_FILE_BYTES:
        limit = f"{MAX_FILE_BYTES // 1_000_000}"
        raise _not_sent(path, Message("it is larger than {limit} MB", limit=limit), PART_OF_IT)
    try:
        return _reader(path)(path), status.st_size
    except Unreadable as error:
        raise _not_sent(path, error.args[0]) from None
    except csv.Error as error:
        raise _not_sent(path, Message("it is no table that can be read ({error})", error=str(error))) from None
    except OSError as error:
        raise _not_sent(path, error.strerror or type(error).__name__) from None


def _holds_secrets(path: Path) -> bool:
    """Whether a file is there to hold secrets, by the name that is asked for or, behind links, by its own."""
    behind = path.resolve()
    return any(_SECRET.fullmatch(name.lower()) for name in (path.name, behind.name)) or ".ssh" in behind.parts


PART_OF_IT: Final = Message("Read the part that matters into a variable, and name it in the prompt.")


def _reader(path: Path) -> Callable[[Path], str]:
    suffix = path.suffix.lower()
    if suffix in tables.SUFFIXES:
        return _table
    if suffix in tables.COLUMNAR:
        return _columnar
    return {".pdf": documents.of_pdf, ".ipynb": documents.of_notebook}.get(suffix, _text)


def _table(path: Path) -> str:
    with path.open("rb") as file:
        encoding = _encoding(path, file.read(8192))
    try:
        with path.open(encoding=encoding, newline="") as text:
            return tables.of_text(text, path.suffix.lower())
    except UnicodeDecodeError as error:
        raise _undecodable(error) from None


def _columnar(path: Path) -> str:
    try:
        return tables.columnar(path)
    except (ConfigurationError, OSError):
        raise
    except Exception as error:  # pyarrow's own, which are imported with it alone
        raise Unreadable(Message("it is no table that can be read ({error})", error=f"{error}"[:80])) from None


def _text(path: Path) -> str:
    if path.stat().st_size > MAX_TEXT_BYTES:
        limit = f"{MAX_TEXT_BYTES // 1_000_000}"
        raise ConfigurationError(
            Message(
                "{path} was not sent: {why}.",
                path=in_one_line(str(path)),
                why=Message("it is larger than {limit} MB", limit=limit),
            ),
            hint=PART_OF_IT,
        )
    data = path.read_bytes()
    encoding = _encoding(path, data)
    try:
        return data.decode(encoding).replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise _undecodable(error) from None


def _encoding(path: Path, data: bytes) -> str:
    """Raises Unreadable for what is no text."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    if b"\0" in data:
        if path.suffix.lower() in _PICTURES:
            raise Unreadable(Message("it is a picture; --image shows it to the model"))
        raise Unreadable(Message("it is no text"))
    return "utf-8"


def _undecodable(error: UnicodeDecodeError) -> Unreadable:
    return Unreadable(
        Message(
            "it is no UTF-8 text (byte {value} at {place}); save it as UTF-8",
            value=f"0x{error.object[error.start]:02x}",
            place=f"{error.start:,}",
        )
    )


def _language(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in (*tables.SUFFIXES, *tables.COLUMNAR, ".pdf", ".ipynb"):
        return ""
    return _LANGUAGES.get(suffix, suffix[1:] if suffix[1:].isalnum() else "")


def _missing(path: Path) -> ConfigurationError:
    try:
        beside = [each.name for each in path.parent.iterdir()]
    except OSError:
        beside = []
    near = closest(path.name, [name for name in beside if name.isprintable()])
    said = Message("There is no file {path}{near}, so nothing was sent.", path=in_one_line(str(path)), near=near)
    folder = in_one_line(str(Path.cwd()))
    return ConfigurationError(said, hint="" if near else Message("Paths begin in {folder}.", folder=folder))


def _not_sent(path: Path | str, why: Message | str, hint: Message | str = "") -> ConfigurationError:
    shown = in_one_line(str(path))
    return ConfigurationError(Message("{path} was not sent: {why}.", path=shown, why=why), hint=hint)
