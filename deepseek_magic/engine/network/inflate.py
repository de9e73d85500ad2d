"""A gzip body, decompressed as it comes.

httpx and urllib3 take a compressed body that ends early for a whole one, and lose what precedes damage in the same
read. Here both are noticed and nothing sound is lost. zlib itself reads the header and compares the checksum (RFC 1952).
"""

from __future__ import annotations

import contextlib
import re
import zlib
from collections.abc import Iterator
from typing import Final

from ...text.messages import Message

PIECE_BYTES: Final = 256 * 1024
"""No piece is larger, however well it was compressed: a small read must not become a flood of memory."""

_GZIP: Final = zlib.MAX_WBITS | 16
_DAMAGES: Final = (
    (re.compile("incorrect header|unknown compression"), Message("it is not gzip, though the server says so")),
    (re.compile("incorrect data|incorrect length|crc mismatch"), Message("its checksum is wrong")),
    (re.compile(""), Message("its compressed data is damaged")),
)
"""zlib's words for what is wrong, and ours."""


class Damaged(Exception):
    """The compressed body is not what its encoding promises; the message says how."""


class EndsEarly(Damaged):
    """What came is sound, but the body ended before its compressed data did."""


class Inflater:
    """One gzip body. A second member in it is read on, as RFC 1952 asks."""

    def __init__(self) -> None:
        self._member: zlib._Decompress | None = None
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The text that ``data`` completes, after what an iteration that was left had not given. Raises Damaged, after
        everything before the damage was given."""
        self._rest += data
        while self._rest:
            if self._member is None or self._member.eof:
                self._member = zlib.decompressobj(_GZIP)
            before = self._member.copy()  # 3 µs; without it what precedes the damage would be lost
            try:
                piece = self._member.decompress(self._rest, PIECE_BYTES)
            except zlib.error as error:
                if sound := _up_to_the_damage(before, self._rest):
                    yield sound
                raise Damaged(next(why for words, why in _DAMAGES if words.search(str(error)))) from None
            self._rest = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if piece:
                yield piece

    def close(self) -> None:
        """Say that no more will come. Raises EndsEarly when the body was not whole."""
        if self._member is not None and not self._member.eof:
            raise EndsEarly(Message("it ends before its compressed data does"))


def _up_to_the_damage(member: zlib._Decompress, data: bytes) -> bytes:
    """What ``data``, which is damaged somewhere, holds before that: zlib gives it out only byte by byte."""
    sound = bytearray()
    with contextlib.suppress(zlib.error):
        for at in range(len(data)):
            sound += member.decompress(data[at : at + 1], PIECE_BYTES)
    return bytes(sound)
