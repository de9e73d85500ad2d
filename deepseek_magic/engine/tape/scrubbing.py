"""What a tape must not hold: keys, the person's home folder, the machine's name. Bodies stay in the pieces they came in.

A server that repeats a key writes it token by token, so a key is also looked for across the words of a stream.
"""

from __future__ import annotations

import itertools
import json
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ...protocol.context.secrets import MASK
from ...protocol.tape.finding import HOME, HOST
from ...text.messages import Message
from ..hosts import keys

Edit = tuple[int, int, str]
"""From where to where, and what stands there instead."""

KEPT_HEADERS: Final = re.compile(r"content-type|date|location|retry-after(-ms)?|x-should-retry|.*(rate|token)limit.*")
"""The headers that say how to go on. All others name a session, a trace or a server."""
_SHORTEST_NAME_CHARS: Final = 4
_EVERYBODYS: Final = frozenset({"localhost", "localhost.localdomain", "emscripten"})
_DELTA: Final = re.compile(r'"(content|reasoning_content|arguments)"\s*:\s*"((?:[^"\\]|\\.)*)"')
"""A text of a chunk: the name of its field, and its words as JSON writes them."""


class Scrubber:
    """``home`` and ``host`` are those of this machine unless given."""

    def __init__(self, home: str | None = None, host: str | None = None) -> None:
        patterns: list[tuple[re.Pattern[str], str]] = []
        home = _home() if home is None else home
        if len(home) >= _SHORTEST_NAME_CHARS:
            # As it is, as JSON writes it with and without other scripts, and as the bytes of either.
            plain = (home, json.dumps(home)[1:-1], json.dumps(home, ensure_ascii=False)[1:-1])
            written = dict.fromkeys((*plain, *(each.encode("utf-8", "replace").decode("latin-1") for each in plain)))
            patterns += [(re.compile(rf"{re.escape(each)}(?![\w-])"), HOME) for each in written]
        host = socket.gethostname() if host is None else host
        for name in dict.fromkeys((host, host.partition(".")[0])):
            if len(name) >= _SHORTEST_NAME_CHARS and name not in _EVERYBODYS:
                patterns.append((re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])", re.IGNORECASE), HOST))
        self._patterns = patterns

    def text(self, text: str) -> str:
        """``text`` without what a tape must not hold."""
        return _edited(text, 0, self._edits(text))

    def error_text(self, text: str) -> str:
        """The same, for a text in which a server may show a part of a key."""
        return _edited(text, 0, self._edits(text, echoes=True))

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Those that are kept."""
        kept = {name.lower(): value for name, value in headers.items() if KEPT_HEADERS.fullmatch(name.lower())}
        return {name: self.error_text(value) for name, value in kept.items()}

    def pieces(self, pieces: Sequence[bytes], *, echoes: bool = False) -> list[bytes]:
        """A body, piece by piece; of what lies across two pieces the first one has the replacement."""
        # Each byte as one character: keys are ASCII, and places in the text are places in the body.
        whole = b"".join(pieces).decode("latin-1")
        edits = self._edits(whole, echoes=echoes)
        edits = _merged([*edits, *self._edits_across(whole, echoes)])
        if not edits:
            return list(pieces)
        ends = itertools.accumulate(map(len, pieces))
        return [
            _edited(piece.decode("latin-1"), end - len(piece), edits).encode("latin-1")
            for piece, end in zip(pieces, ends, strict=True)
        ]

    def said(self, said: Any) -> Any:
        """A message or text of an error."""
        return said.mapped(self.error_text) if isinstance(said, Message) else self.error_text(str(said))

    def _edits(self, text: str, *, echoes: bool = False) -> list[Edit]:
        found: list[Edit] = [(start, end, MASK) for start, end in keys.spans(text, echoes=echoes)]
        found += [(*match.span(), word) for pattern, word in self._patterns for match in pattern.finditer(text)]
        return _merged(found)

    def _edits_across(self, whole: str, echoes: bool) -> Iterator[Edit]:
        """Edits of words that several chunks write together."""
        fields: dict[str, list[tuple[int, str]]] = {}
        for match in _DELTA.finditer(whole):
            fields.setdefault(match[1], []).append((match.start(2), match[2]))
        for deltas in fields.values():
            for start, end, word in self._edits("".join(text for _, text in deltas), echoes=echoes):
                at = 0
                for place, text in deltas:
                    first, last = max(start - at, 0), min(end - at, len(text))
                    if first < last:
                        yield place + first, place + last, word if start >= at else ""
                    at += len(text)


def _home() -> str:
    try:
        return str(Path.home())
    except RuntimeError:  # nobody knows whose process this is
        return ""


def _merged(edits: Sequence[Edit]) -> list[Edit]:
    """In order; of two that overlap, one that covers both."""
    merged: list[Edit] = []
    for start, end, word in sorted(edits, key=lambda edit: edit[:2]):
        if merged and start < merged[-1][1]:
            before = merged[-1]
            merged[-1] = (before[0], max(end, before[1]), before[2] or word)
        else:
            merged.append((start, end, word))
    return merged


def _edited(text: str, offset: int, edits: Sequence[Edit]) -> str:
    """``text``, which begins at ``offset`` of what the edits are of."""
    kept, at, until = [], offset, offset + len(text)
    for start, end, word in edits:
        if end <= offset or start >= until:
            continue
        kept.append(text[at - offset : max(start, at) - offset])
        if start >= offset:
            kept.append(word)
        at = max(at, min(end, until))
    kept.append(text[at - offset :])
    return "".join(kept)
