"""Where two segments of one answer meet: what is sent again, what is held back, what is dropped.

The only text that may be dropped is text known to have been asked for again. There is no search for overlaps here: a
longest-match guess deletes honest repetition ("ha ha" + " ha ha", list bullets, closing braces).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

REWIND_MAX_CHARS: Final = 32
"""A longer "word" is a URL or a string of signs; rewriting 32 characters is enough to begin on a visible token."""

ECHO_MIN_CHARS: Final = 16
"""A shorter prefix may honestly come again, so only a longer one is recognised as an echo, and none shorter is sent."""

LOOP_WINDOW_CHARS: Final = 4096
LOOP_MIN_CHARS: Final = 160
LOOP_MIN_TIMES: Final = 4

_REPLACEMENT: Final = "\ufffd"
_NEWLINES: Final = "\r\n"
_VISIBLE: Final = re.compile(r"\S")
_UNSPACED: Final = (
    (0x2E80, 0x312F),  # radicals, CJK punctuation, kana, bopomofo
    (0x31A0, 0x9FFF),  # more bopomofo and kana, CJK signs, ideographs
    (0xF900, 0xFAFF),  # compatibility ideographs
    (0xFF00, 0xFFEF),  # full-width forms
    (0x20000, 0x3FFFF),  # further ideographs
)
"""Scripts written without spaces, where the last character takes the place of the last word."""


def torn_from(text: str, end: int | None = None) -> int:
    """Where the trailing run of torn characters (U+FFFD, lone surrogates) of ``text[:end]`` begins; its end if there is
    none."""
    end = len(text) if end is None else end
    while end and (text[end - 1] == _REPLACEMENT or "\ud800" <= text[end - 1] <= "\udfff"):
        end -= 1
    return end


def rewind(text: str) -> int:
    """How many characters of ``text`` to send as the prefix of a continuation; 0 means that nothing is left.

    The prefix ends before the last visible word (in Chinese and Japanese the last character) and before the spaces in
    front of it, so that the continuation begins with a visible token: models go on badly after a dangling space. A
    newline in front of the word stays in the prefix: DeepSeek drops those that begin a non-thinking continuation.
    At most ``REWIND_MAX_CHARS`` visible characters are given up; torn ones are never sent.
    """
    # Counted from the end and never sliced: the answer may be long, and this is asked at every end.
    end = torn_from(text)
    while end and text[end - 1].isspace():
        end -= 1
    start = end
    while start and end - start < REWIND_MAX_CHARS and not (text[start - 1].isspace() or _is_unspaced(text[start - 1])):
        start -= 1
    if start == end and end:
        start -= 1  # no spaced word at the end: one character of a script without spaces
    while 0 < start < end and _belongs_to_previous(text[start]) and not text[start - 1].isspace():
        start -= 1
    while start and text[start - 1].isspace() and text[start - 1] not in _NEWLINES:
        start -= 1
    if _VISIBLE.search(text, 0, start) is None:
        return 0
    return start if torn_from(text, start) == start else rewind(text[:start])


def _is_unspaced(char: str) -> bool:
    return any(low <= ord(char) <= high for low, high in _UNSPACED)


def _belongs_to_previous(char: str) -> bool:
    """Combining marks, variation selectors and joiners make no sense at the start of a continuation."""
    return unicodedata.category(char) in ("Mn", "Me", "Mc", "Cf")


class EchoFilter:
    """Strips a prefix that a gateway sends back in front of the continuation, and nothing else.

    Text is held back while it equals the prefix from its first character on; at the first difference everything held
    is released. It holds at most ``len(prefix)`` characters; a caller that will not wait calls ``release``.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._open = len(prefix) >= ECHO_MIN_CHARS
        self.held = ""
        self.stripped = False
        self.suspicious = False

    def feed(self, delta: str) -> str:
        """The text to deliver now, possibly none."""
        if not self._open:
            return delta
        text = self.held + delta
        if text.startswith(self._prefix):
            self._open, self.held, self.stripped = False, "", True
            return text[len(self._prefix) :]
        if self._prefix.startswith(text):
            self.held = text
            return ""
        self._open, self.held = False, ""
        self.suspicious = _common(text, self._prefix) >= ECHO_MIN_CHARS
        return text

    def release(self) -> str:
        """What is still held back, when the segment ends or two seconds have passed; the filter is open from now on."""
        held, self.held, self._open = self.held, "", False
        self.suspicious = self.suspicious or len(held) >= ECHO_MIN_CHARS
        return held


class StopFilter:
    """Finds a stop string that straddles a seam, where the server cannot see it.

    ``before`` is the text in front of what will be fed. Only characters that may begin a stop string are held back. Once
    ``matched`` is set nothing more is delivered, and the last ``void_chars`` of ``before`` belong to the stop string.
    """

    def __init__(self, stops: Sequence[str], before: str = "") -> None:
        self._stops = tuple(s for s in stops if s)
        self._keep = max(map(len, self._stops), default=1) - 1
        self._before = self._tail(before)
        self._held = ""
        self.matched: str | None = None
        self.void_chars = 0

    def _tail(self, text: str) -> str:
        return text[-self._keep :] if self._keep else ""

    def feed(self, delta: str) -> str:
        """The text to deliver now, possibly none."""
        if not self._stops:
            return delta
        if self.matched is not None:
            return ""
        known = len(self._before)
        window = self._before + self._held + delta
        # Only one that ends after the known text is new.
        places = ((window.find(stop, max(0, known - len(stop) + 1)), stop) for stop in self._stops)
        if found := min((place for place in places if place[0] >= 0), default=None):
            at, self.matched = found
            self.void_chars = max(0, known - at)
            self._held = ""
            return window[known:at]
        safe = max(known, len(window) - self._beginning_of_a_stop(window))
        self._held = window[safe:]
        self._before = self._tail(window[:safe])
        return window[known:safe]

    def release(self) -> str:
        """What is still held back, when the answer has ended without a stop string."""
        held, self._held = self._held, ""
        return held

    def _beginning_of_a_stop(self, window: str) -> int:
        for size in range(min(self._keep, len(window)), 0, -1):
            tail = window[-size:]
            if any(len(s) > size and s.startswith(tail) for s in self._stops):
                return size
        return 0


class RestartFilter:
    """Compares a second run with what was delivered, for a consumer that cannot rewind.

    While the new text equals the delivered one it is swallowed, up to ``at``; what goes beyond is delivered. At the first
    difference ``diverged_at`` says where, and nothing is delivered any more: to choose between two texts is not a
    filter's business.
    """

    def __init__(self, delivered: str) -> None:
        self._delivered = delivered
        self.at = 0
        self.diverged_at: int | None = None

    @property
    def verified(self) -> bool:
        """Whether the new run has repeated everything that was delivered."""
        return self.at == len(self._delivered) and self.diverged_at is None

    def feed(self, delta: str) -> str:
        """The text to deliver now, possibly none."""
        if self.diverged_at is not None:
            return ""
        expected = self._delivered[self.at : self.at + len(delta)]
        if delta.startswith(expected):
            self.at += len(expected)
            return delta[len(expected) :]
        self.at += _common(delta, expected)
        self.diverged_at = self.at
        return ""


def _common(one: str, other: str) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def repeats_itself(text: str) -> bool:
    """Whether the end of ``text`` is one passage over and over: a thought in a loop, which a replay would only feed.

    True when the last ``LOOP_MIN_CHARS`` or more are at least ``LOOP_MIN_TIMES`` exact repetitions. Linear in the
    window (the failure function of Knuth, Morris and Pratt, on the text read backwards).
    """
    tail = text[-LOOP_WINDOW_CHARS:].rstrip()[::-1]
    border = [0] * len(tail)
    matched = 0
    for i in range(1, len(tail)):
        while matched and tail[i] != tail[matched]:
            matched = border[matched - 1]
        matched += tail[i] == tail[matched]
        border[i] = matched
        size = i + 1
        if size >= LOOP_MIN_CHARS and size >= LOOP_MIN_TIMES * (size - matched):
            return True
    return False
