"""Content-Encoding undone piece by piece, noticing a body that ends early.

HTTP clients do not check that a compressed body is whole, and ``zlib`` in its gzip mode throws away what it had already
inflated when the checksum at the very end is wrong. So the gzip frame is read here: text is handed out as it inflates,
a missing end is a cut, and a damaged checksum is told only after everything was delivered.
Source: RFC 1952 (gzip), RFC 9110 section 8.4.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from typing import Final

__all__ = ["PIECE_BYTES", "Damaged", "EndsEarly", "Inflater"]

PIECE_BYTES: Final = 256 * 1024
"""No piece is larger, however well it was compressed: a small read must not become a flood of memory."""

_MAGIC: Final = b"\x1f\x8b\x08"
_FIXED_HEADER_BYTES: Final = 10
_TRAILER_BYTES: Final = 8
_LARGEST_HEADER_BYTES: Final = 64 * 1024
_HAS_CHECKSUM, _HAS_EXTRA, _HAS_NAME, _HAS_COMMENT = 0x02, 0x04, 0x08, 0x10


class Damaged(Exception):
    """The compressed body is not what its encoding promises; the message says how."""


class EndsEarly(Damaged):
    """What came is sound, but the body ended before its compressed data did."""


class Inflater:
    """One gzip body. A second member in it is read on, as RFC 1952 asks."""

    def __init__(self) -> None:
        self._pending = b""
        self._member: zlib._Decompress | None = None
        self._trailing = False
        self._crc = 0
        self._size = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The text that ``data`` completes. Raises Damaged, after everything before the damage was given."""
        self._pending += data
        while self._pending:
            if self._trailing:
                if len(self._pending) < _TRAILER_BYTES:
                    return
                self._check_trailer()
            elif self._member is None:
                length = _header_bytes(self._pending)
                if length is None:
                    return
                self._pending = self._pending[length:]
                self._member, self._crc, self._size = zlib.decompressobj(-zlib.MAX_WBITS), 0, 0
            else:
                yield from self._inflate(self._member)

    def _inflate(self, member: zlib._Decompress) -> Iterator[bytes]:
        before = member.copy()  # 3 µs; without it what stands in front of the damage in the same read would be lost
        try:
            piece = member.decompress(self._pending, PIECE_BYTES)
        except zlib.error:
            if sound := _up_to_the_damage(before, self._pending):
                yield sound
            raise Damaged("its compressed data is damaged") from None
        self._pending = member.unused_data if member.eof else member.unconsumed_tail
        self._trailing = member.eof
        if piece:
            self._crc = zlib.crc32(piece, self._crc)
            self._size += len(piece)
            yield piece

    def _check_trailer(self) -> None:
        trailer, self._pending = self._pending[:_TRAILER_BYTES], self._pending[_TRAILER_BYTES:]
        self._trailing, self._member = False, None
        if trailer != self._crc.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little"):
            raise Damaged("its checksum is wrong")

    def close(self) -> None:
        """Say that no more will come. Raises EndsEarly when the body was not whole."""
        if self._member is not None or self._pending:
            raise EndsEarly("it ends before its compressed data does")


def _up_to_the_damage(member: zlib._Decompress, data: bytes) -> bytes:
    """What ``data``, which is damaged somewhere, holds before that: zlib gives it out only byte by byte."""
    sound = bytearray()
    with contextlib.suppress(zlib.error):
        for at in range(len(data)):
            sound += member.decompress(data[at : at + 1], PIECE_BYTES)
    return bytes(sound)


def _header_bytes(data: bytes) -> int | None:
    """Length of the gzip header at the start of ``data``, or None while it is not all there."""
    if not data.startswith(_MAGIC[: len(data)]):
        raise Damaged("it is not gzip, though the server says so")
    if len(data) > _LARGEST_HEADER_BYTES:
        raise Damaged("its gzip header does not end")
    if len(data) < _FIXED_HEADER_BYTES:
        return None
    flags, end = data[3], _FIXED_HEADER_BYTES
    if flags & _HAS_EXTRA:
        if len(data) < end + 2:
            return None
        end += 2 + int.from_bytes(data[end : end + 2], "little")
    for flag in (_HAS_NAME, _HAS_COMMENT):
        if flags & flag:
            zero = data.find(b"\0", end)
            if zero < 0:
                return None
            end = zero + 1
    if flags & _HAS_CHECKSUM:
        end += 2
    return end if len(data) >= end else None
