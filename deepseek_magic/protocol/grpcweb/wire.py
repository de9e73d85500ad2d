"""Protocol Buffers on the wire: numbers, texts and messages ⇄ bytes, without knowing what they mean.

Every field is a key (its number and its wire type) and a value, so a reader passes over the fields that it does not know.
Written by hand, because a chat needs a few dozen fields and every notebook would have to install the package.
Source: https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5
_LONGEST_VARINT: Final = 10
_SIZES: Final = {FIXED64: 8, FIXED32: 4}
_64_BITS: Final = (1 << 64) - 1
_SIGN: Final = 1 << 63

Value = int | bytes
"""A varint as the unsigned number that it is on the wire; anything else as its bytes."""


class Malformed(ValueError):
    """The bytes are no message."""


def varint(number: int) -> bytes:
    """A whole number in seven bits a byte, the lowest first; a negative one as its 64 bits, as int32 and int64 are written."""
    number &= _64_BITS
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def number_field(field: int, number: int) -> bytes:
    """A field of type int32, int64, bool or of an enumeration."""
    return varint(field << 3 | VARINT) + varint(number)


def float_field(field: int, number: float) -> bytes:
    """A field of type float. Raises OverflowError for a number that 32 bits cannot hold."""
    return varint(field << 3 | FIXED32) + struct.pack("<f", number)


def bytes_field(field: int, data: bytes) -> bytes:
    """A field that holds bytes or a message."""
    return varint(field << 3 | BYTES) + varint(len(data)) + data


def text_field(field: int, text: str) -> bytes:
    """A field of type string."""
    return bytes_field(field, text.encode())


def fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """The fields of a message in their order: number and value. Raises Malformed where the bytes are no message."""
    at, end = 0, len(data)
    while at < end:
        key = data[at]
        at += 1
        if key > 0x7F:
            key, at = _long_varint(data, at - 1)
        kind = key & 7
        if kind in (VARINT, BYTES):
            if at >= end:
                raise Malformed("it ends inside a field")
            value: Value = data[at]
            at += 1
            if value > 0x7F:  # type: ignore[operator]  # a byte
                value, at = _long_varint(data, at - 1)
            if kind == BYTES:
                stop = at + value  # type: ignore[operator]  # the length
                if stop > end:
                    raise Malformed("it ends inside a field")
                value, at = data[at:stop], stop
        elif (size := _SIZES.get(kind)) is not None:
            if at + size > end:
                raise Malformed("it ends inside a field")
            value, at = data[at : at + size], at + size
        else:
            raise Malformed(f"it has a field of the unknown kind {kind}")
        if not (number := key >> 3):
            raise Malformed("it has a field without a number")
        yield number, value


def _long_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins at ``at``, and where it ends."""
    number = 0
    for place, byte in enumerate(data[at : at + _LONGEST_VARINT]):
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number & _64_BITS, at + place + 1
    raise Malformed("a number in it does not end")


def signed(value: Value) -> int:
    """A value of type int32 or int64. Raises Malformed for one that is none."""
    if not isinstance(value, int):
        raise Malformed("a number was expected")
    return value - (1 << 64) if value & _SIGN else value


def real(value: Value) -> float:
    """A value of type float. Raises Malformed for one that is none."""
    if not isinstance(value, bytes) or len(value) != _SIZES[FIXED32]:
        raise Malformed("a float was expected")
    number: float = struct.unpack("<f", value)[0]
    return number


def inner(value: Value) -> bytes:
    """A value that is bytes or a message. Raises Malformed for one that is neither."""
    if not isinstance(value, bytes):
        raise Malformed("a message was expected")
    return value


def text(value: Value) -> str:
    """A value of type string. Raises Malformed for one that is none: the interface allows nothing but UTF-8."""
    try:
        return inner(value).decode()
    except UnicodeDecodeError:
        raise Malformed("a text in it is not UTF-8") from None
