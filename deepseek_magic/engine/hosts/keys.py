"""Where a key comes from, and how it stays out of sight.

A key is a value that never shows itself: it is masked in every repr, it cannot be pickled, and every key that was ever
found lately is known to ``mask``, through which all text from a server passes before a person sees it.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn
from urllib.parse import urlsplit

from ...protocol.context.secrets import MASK
from ...protocol.errors import ConfigurationError, MissingKey
from ...text.messages import Message, say
from .endpoints import HUB_TOKEN_VARIABLE, HUB_VARIABLE, Endpoint
from .folders import holds_one_of, project_folders

KEYRING_SERVICE: Final = "deepseek-magic"
"""The service name in the system's keyring; the user name there is the environment variable's name."""

_SHORTEST_SECRET_CHARS: Final = 8
"""Shorter keys (``x``, ``EMPTY``) are no secrets; masking them would riddle ordinary text with asterisks."""
LARGEST_ENV_FILE_BYTES: Final = 64 * 1024
_PROJECT_ROOTS: Final = (".git", ".hg", "pyproject.toml", "setup.py", "environment.yml", "requirements.txt")
_ECHOED_TAIL: Final = re.compile(r"[\w-]*\*{3,}[\w-]{1,8}")
_KEY_LITERAL: Final = re.compile(r"(?<![\w-])sk-(?=[A-Za-z0-9_-]*[0-9])[A-Za-z0-9_-]{20,}")
_LEGAL_KEY: Final = re.compile(r"[\x21-\x7e]+")

_SHORTEST_ECHO_CHARS: Final = 6
"""What a server shows of a key, to say which one it means, is rarely shorter; shorter words are in keys by chance."""
_SHORTEST_PART_CHARS: Final = 12
_ORDINARY_WORDS: Final = re.compile(r"(?!sk-)[A-Za-z]+([-_.][A-Za-z]+)*")
"""What local servers take for a key (``no-key-required``). A part of it is a word that sentences need."""

_SECRETS_MAX: Final = 256
"""So many keys are masked, those used last; looking for each in every text must stay cheap."""

_secrets: dict[str, None] = {}
_asked: dict[tuple[str, str], Key] = {}


class Key:
    """A secret and where it was found. Equal keys are equal, so that one limiter can serve all calls with one key."""

    __slots__ = ("_secret", "source")

    def __init__(self, secret: str, *, source: Message | str) -> None:
        self._secret = secret = _legal(secret, source)
        self.source = source
        if len(secret) >= _SHORTEST_SECRET_CHARS:
            _secrets.pop(secret, None)
            _secrets[secret] = None
            while len(_secrets) > _SECRETS_MAX:
                _secrets.pop(next(iter(_secrets)), None)

    @classmethod
    def passed_on(cls, secret: str, *, source: Message | str) -> Key:
        """Somebody else's secret that is handed on once, as a student's token to their hub. It is not remembered: what is
        masked is bounded, and a thousand of them must not push out the key of this process. Raises as a key does."""
        made = cls.__new__(cls)
        made._secret, made.source = _legal(secret, source), source
        return made

    def reveal(self) -> str:
        """The secret itself; for the transport alone."""
        return self._secret

    @property
    def digest(self) -> str:
        """What tells it from others, and nothing of it: for the limiter of a cluster, which must not know keys."""
        return hashlib.blake2b(self._secret.encode(), digest_size=16, person=b"deepseek-magic").hexdigest()

    def __repr__(self) -> str:
        return f"<Key from {self.source}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self._secret == other._secret

    def __hash__(self) -> int:
        return hash(self._secret)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a key is not written down: it can be neither pickled nor copied")


def _legal(secret: str, source: Message | str) -> str:
    secret = secret.strip()
    if not _LEGAL_KEY.fullmatch(secret):
        said = Message("The key from {source} is empty or has characters that no key has.", source=source)
        raise ConfigurationError(said, hint=Message("Copy all of it again."))
    return secret


def wrapped(given: str | Key | None) -> Key | None:
    """A key that was given in an argument, from where on it does not show itself. Raises ConfigurationError."""
    return Key(given, source=Message("the api_key argument")) if isinstance(given, str) else given


def mask(text: str) -> str:
    """``text`` without any key that was ever found, and without the parts of keys that servers echo.

    For what servers and errors say. It also takes ordinary words that are in a key, so it is not for answers.
    """
    return _ECHOED_TAIL.sub(MASK, _without_runs(text, _an_echo))


def mask_content(text: str) -> str:
    """``text`` without any key that was ever found, and without the longer half of one: for prompts and answers, whose
    own words must stay."""
    return _without_runs(text, _the_longer_half)


def spans(text: str, *, echoes: bool = False) -> list[tuple[int, int]]:
    """Where ``mask_content`` would mask; with ``echoes``, where ``mask`` would: for what must stay in its pieces."""
    found = _spans(text, _an_echo if echoes else _the_longer_half)
    return sorted([*found, *(match.span() for match in _ECHOED_TAIL.finditer(text))]) if echoes else found


def _an_echo(secret: str) -> int:
    return _SHORTEST_ECHO_CHARS


def _the_longer_half(secret: str) -> int:
    return min(len(secret), max(_SHORTEST_PART_CHARS, (len(secret) + 1) // 2))


def _spans(text: str, shortest: Callable[[str], int]) -> list[tuple[int, int]]:
    """The runs that ``text`` has in common with a known key, if they are that long."""
    found: list[tuple[int, int]] = []
    for secret in tuple(_secrets):
        for sought in _sought(secret, shortest):
            for _, block in sought.blocks:
                if block in text:  # hardly ever: all else is asked of few texts
                    found += _runs(text, sought)
                    break
    return sorted(found)


def _without_runs(text: str, shortest: Callable[[str], int]) -> str:
    """``text`` with each run that it has in common with a known key masked, if it is that long."""
    found = _spans(text, shortest)
    if not found:
        return text
    kept, end = [], 0
    for start, until in found:
        if start >= end:
            kept += [text[end:start], MASK]
        end = max(end, until)
    return "".join((*kept, text[end:]))


class _Sought(NamedTuple):
    """A key in one way of writing, of which ``shortest`` characters in a row are masked: of such a run one of its
    ``blocks`` is there whole. Each block comes with its place in the key."""

    secret: str
    shortest: int
    blocks: tuple[tuple[int, str], ...]


@functools.lru_cache(maxsize=2 * _SECRETS_MAX)
def _sought(secret: str, shortest: Callable[[str], int]) -> tuple[_Sought, ...]:
    """A key as it is, and as JSON writes it, and JSON in a string of JSON, where that is not the same."""
    written = [secret]
    if '"' in secret or "\\" in secret:
        once = json.dumps(secret)[1:-1]
        written += [once, json.dumps(once)[1:-1]]
    sought = []
    for each in written:
        share = len(each) if _ORDINARY_WORDS.fullmatch(each) else shortest(each)
        block = (share + 1) // 2
        places = range(0, len(each) - block + 1, block)
        sought.append(_Sought(each, share, tuple((place, each[place : place + block]) for place in places)))
    return tuple(sought)


def _runs(text: str, sought: _Sought) -> Iterator[tuple[int, int]]:
    """Where ``text`` has so many characters of the key in a row."""
    for start, block in sought.blocks:
        at = text.find(block)
        while at >= 0:
            before = _alike(reversed(text[max(at - start, 0) : at]), reversed(sought.secret[:start]))
            behind = _alike(text[at : at + len(sought.secret) - start], sought.secret[start:])
            if before + behind >= sought.shortest:
                yield at - before, at + behind
            at = text.find(block, at + 1)


def looks_like_key(text: str) -> bool:
    """Whether ``text`` contains a key: one in the form of DeepSeek's, or one that is already in use.

    A magic refuses such a cell: what is typed into a notebook is saved with it.
    """
    return _KEY_LITERAL.search(text) is not None or any(secret in text for secret in tuple(_secrets))


def _alike(one: Iterable[str], other: Iterable[str]) -> int:
    """How many characters the two have in common from their start."""
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def find_key(
    endpoint: Endpoint, *, explicit: str | Key | None = None, ask: Callable[[str], str] | None = None
) -> Key | None:
    """The key for ``endpoint``, from the first of: ``explicit``, the environment, a ``.env`` file, the system's
    keyring, ``ask(prompt)``. None where none was found and none is needed.

    An answer to ``ask`` is remembered until ``forget``. Raises MissingKey where one is needed, and ConfigurationError
    for a key that would travel in clear text (http to another machine).
    """
    key = _given(endpoint, explicit)
    if key is None and ask is not None and endpoint.needs_key:
        typed = ask(say("API key for {name} (kept in memory only): ", name=endpoint.title))
        if typed.strip():
            key = _asked[_place(endpoint)] = Key(typed, source=Message("your input"))
    if key is not None and endpoint.is_clear_text and not _is_the_hubs_own(endpoint, key):
        raise ConfigurationError(
            Message(
                "The key was not sent, because {url} is not encrypted and anyone in between could read it.",
                url=endpoint.base_url,
            ),
            hint=Message(
                "Use the https:// address; for a server that needs no key, name its kind: --endpoint vllm, ollama, ..."
            ),
        )
    if key is None and endpoint.needs_key and not (endpoint.tape is not None and endpoint.tape.plays):
        raise MissingKey(
            Message(
                "There is no API key for {endpoint}: set {variable} (or type it with %deepseek_key), or try the demo without a key (%deepseek_demo here, deepseek-magic demo in a shell), or name a local server with --base-url (base_url= of ds.ask, or ds.Client('http://…')).",
                endpoint=endpoint.title,
                variable=(*endpoint.key_variables, "api_key")[0],
            )
        )
    return key


def _is_the_hubs_own(endpoint: Endpoint, key: Key) -> bool:
    """Whether the key is the token of this server in a JupyterHub, which that sends it to its own host in clear text anyway."""
    hub = urlsplit(os.environ.get(HUB_VARIABLE, "")).hostname
    return key.reveal() == os.environ.get(HUB_TOKEN_VARIABLE) and hub == urlsplit(endpoint.base_url).hostname


def forget(endpoint: Endpoint) -> None:
    """Drop the key that was typed for ``endpoint``, so that the next call asks again."""
    _asked.pop(_place(endpoint), None)


def _place(endpoint: Endpoint) -> tuple[str, str]:
    return endpoint.name, endpoint.base_url


def _given(endpoint: Endpoint, explicit: str | Key | None) -> Key | None:
    if explicit is not None:
        return wrapped(explicit)
    for variable in endpoint.key_variables:
        if os.environ.get(variable, "").strip():
            return Key(os.environ[variable], source=Message("the environment variable {variable}", variable=variable))
    for path, variable in itertools.product(env_files(), endpoint.key_variables):
        if value := _read_env_file(path, variable):
            return Key(value, source=Message("{variable} in {file}", variable=variable, file=path.name))
    for variable in endpoint.key_variables:
        if value := _from_keyring(variable):
            return Key(value, source=Message("the system's keyring"))
    return _asked.get(_place(endpoint))


def env_files() -> Iterator[Path]:
    """``.env`` beside the notebook, then in the folders above it up to the project's root; outside a project only
    the first, so that a file in a home or shared folder is never read by chance."""
    try:
        here = Path.cwd()
    except OSError:  # the folder was deleted under the kernel
        return
    folders = tuple(project_folders(here, _PROJECT_ROOTS))
    if not (folders and holds_one_of(folders[-1], _PROJECT_ROOTS)):
        folders = folders[:1]
    for folder in folders:
        if (folder / ".env").is_file():
            yield folder / ".env"


def _read_env_file(path: Path, variable: str) -> str | None:
    """One variable of a ``.env`` file: ``[export] NAME=value``, quoted or not, ``#`` begins a comment. The last wins."""
    try:
        if path.stat().st_size > LARGEST_ENV_FILE_BYTES:
            return None
        text = path.read_text("utf-8-sig", "replace")
    except OSError:
        return None
    line = re.compile(
        rf"""^[ \t]*(?:export[ \t]+)?{re.escape(variable)}[ \t]*=[ \t]*(?:"([^"\n]*)"|'([^'\n]*)'|([^\n#]*?))[ \t]*(?:\#.*)?$""",
        re.MULTILINE,
    )
    values = [double or single or bare for double, single, bare in line.findall(text)]
    return values[-1].strip() if values else None


def _from_keyring(variable: str) -> str | None:
    try:
        import keyring

        value = keyring.get_password(KEYRING_SERVICE, variable)
    except Exception:  # not installed, locked or broken, with errors by the dozen; it is one place of several
        return None
    return str(value) if value else None
