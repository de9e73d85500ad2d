"""A text that is sent along, without its secrets: the keys that are in use here, what the environment and ``.env`` files
hold under the name of a secret, and what looks like a key or a password (``protocol.context.secrets``)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import Final

from ...protocol.context.secrets import Masked, masked, without_secrets
from . import keys

_NAMED: Final = re.compile(r"(?i)(?:^|_)(?:key|token|secret|passwd|password|passphrase|credentials?|pat)(?:_\w+)?$")
"""The names of variables that hold secrets: HF_TOKEN, AWS_SECRET_ACCESS_KEY, DEEPSEEK_API_KEY_GATEWAY_EXAMPLE."""
_LINE: Final = re.compile(r"^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*=[ \t]*[\"']?([^\s\"'#]+)", re.MULTILINE)
_SHORTEST_CHARS: Final = 8
_ORDINARY: Final = re.compile(r"[A-Za-z]+([-_.][A-Za-z]+)*|[\d.]+|[/~.]\S*")
"""Words, numbers and paths: a variable that is named so may hold the name of a file or ``true``."""


class Shield:
    """Knows the secrets of this process, looked for once: what is sent along with one prompt is cleaned by one of it."""

    def __init__(self) -> None:
        self._values = tuple(sorted({*_of_environment(), *_of_files()}, key=len, reverse=True))

    def clean(self, text: str) -> Masked:
        """``text`` with every secret masked."""
        spans = keys.spans(text)
        for value in self._values:
            spans += _places(text, value)
        known = masked(text, spans)
        shaped = without_secrets(known.text)
        return Masked(shaped.text, known.left_out + shaped.left_out)


def _places(text: str, value: str) -> Iterator[tuple[int, int]]:
    at = text.find(value)
    while at >= 0:
        yield at, at + len(value)
        at = text.find(value, at + len(value))


def _of_environment() -> Iterator[str]:
    return _secret(os.environ.items())


def _of_files() -> Iterator[str]:
    for path in keys.env_files():
        try:
            text = path.read_text("utf-8-sig", "replace") if path.stat().st_size <= keys.LARGEST_ENV_FILE_BYTES else ""
        except OSError:
            continue
        yield from _secret(_LINE.findall(text))


def _secret(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, value in pairs:
        value = value.strip()
        if _NAMED.search(name) and len(value) >= _SHORTEST_CHARS and not _ORDINARY.fullmatch(value):
            yield value
