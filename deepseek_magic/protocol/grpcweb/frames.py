"""gRPC-Web's frames: messages and trailers in the body of an HTTP answer, and what a status of gRPC means.

A frame is a byte of flags, its length in four bytes, and its content. The trailers, which HTTP/1.1 and browsers do not
hand on, are the last frame, as lines of ``name: value``. Sources: gRPC's PROTOCOL-WEB.md, PROTOCOL-HTTP2.md and
statuscodes.md; google.rpc.Code for the HTTP statuses; proposal A6 for ``grpc-retry-pushback-ms``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from ...text.messages import Message
from ..errors import ProtocolError
from ..sse import MAX_EVENT_BYTES

SCHEME: Final = "grpc-web+"
"""What stands before http:// or https:// in the address of a server that is asked by gRPC-Web."""
CONTENT_TYPE: Final = "application/grpc-web+proto"
STATUS: Final = "grpc-status"
MESSAGE: Final = "grpc-message"
PUSHBACK: Final = "grpc-retry-pushback-ms"
"""The milliseconds after which the server wants to be asked again; below 0: not again."""
_TRAILERS: Final = 0x80
_COMPRESSED: Final = 0x01
_HEAD_BYTES: Final = 5
_LONGEST_SAID: Final = 1000
OK: Final = 0

_CODES: Final[tuple[tuple[str, int], ...]] = (
    ("OK", 200),
    ("CANCELLED", 503),
    ("UNKNOWN", 500),
    ("INVALID_ARGUMENT", 400),
    ("DEADLINE_EXCEEDED", 504),
    ("NOT_FOUND", 404),
    ("ALREADY_EXISTS", 409),
    ("PERMISSION_DENIED", 403),
    ("RESOURCE_EXHAUSTED", 429),
    ("FAILED_PRECONDITION", 400),
    ("ABORTED", 503),
    ("OUT_OF_RANGE", 400),
    ("UNIMPLEMENTED", 404),
    ("INTERNAL", 500),
    ("UNAVAILABLE", 503),
    ("DATA_LOSS", 500),
    ("UNAUTHENTICATED", 401),
)
"""gRPC's codes by number: the name, and the HTTP status that says the same to the one table of causes. Cancelled and aborted
calls were so by the server, for nobody here did: they may be repeated. A method that is not there is an address that is wrong."""
_TOO_LARGE: Final = "message larger than max"
"""What gRPC's own libraries say, under RESOURCE_EXHAUSTED, of a request that is too long."""


def frame(message: bytes) -> bytes:
    """``message`` as it is sent."""
    return b"\x00" + len(message).to_bytes(4) + message


class Frames:
    """Takes the body's bytes as they come and gives its messages in order. ``trailers`` is there once the body has ended
    as gRPC-Web says it must; what comes after them is no part of the answer."""

    def __init__(self) -> None:
        self.trailers: Mapping[str, str] | None = None
        self._open = bytearray()  # it grows in place: a large message in tiny pieces costs linear time

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that ``data`` completes. Raises ProtocolError for a frame that none can be: compressed though nobody
        asked for that, larger than ``MAX_EVENT_BYTES``, or of an unknown kind."""
        source: bytes | bytearray = data
        if self._open:
            self._open += data
            source = self._open
        at, end, messages = 0, len(source), []
        while self.trailers is None and end - at >= _HEAD_BYTES:
            flags, size = source[at], int.from_bytes(source[at + 1 : at + _HEAD_BYTES])
            if flags not in (0, _TRAILERS) or size > MAX_EVENT_BYTES:
                raise _not_a_frame(flags, size)
            if end - at - _HEAD_BYTES < size:
                break
            begin = at + _HEAD_BYTES
            at = begin + size
            if flags:
                self.trailers = read_trailers(bytes(source[begin:at]))
            else:
                messages.append(bytes(source[begin:at]))
        if source is data:
            self._open += data[at:]
        else:
            del self._open[:at]
        return messages


def _not_a_frame(flags: int, size: int) -> ProtocolError:
    if flags & _COMPRESSED and not flags & ~(_COMPRESSED | _TRAILERS):
        return ProtocolError(Message("The server sends compressed gRPC messages, which were not asked for."))
    if flags in (0, _TRAILERS):
        return ProtocolError(Message("The server sends a gRPC message of {size} bytes.", size=size))
    return ProtocolError(Message("The stream holds something that is no frame of gRPC-Web."))


def read_trailers(block: bytes) -> dict[str, str]:
    """The lines of the last frame, names in small letters."""
    pairs = (line.partition(":") for line in block.decode("utf-8", "replace").splitlines())
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}


def status_in(headers: Mapping[str, str]) -> int | None:
    """The code among trailers, or among the headers of an answer without a body; None where there is none. What is no code
    of gRPC counts as UNKNOWN, as its specification says."""
    said = headers.get(STATUS)
    if said is None:
        return None
    return int(said) if len(said) < 3 and said.isdecimal() and int(said) < len(_CODES) else 2


def name_of(code: int) -> str:
    """The name of a code."""
    return _CODES[code][0]


def http_status(code: int, said: str = "") -> int:
    """The HTTP status that means what the code and its sentence mean."""
    return 413 if _TOO_LARGE in said.lower() else _CODES[code][1]


def said_in(headers: Mapping[str, str]) -> str:
    """The server's sentence, which is percent-encoded on the wire; of a very long one its beginning."""
    return unquote(headers.get(MESSAGE, "")[:_LONGEST_SAID])[:_LONGEST_SAID]


def wait_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """What the server says about asking again, in the headers that other hosts use for it."""
    pause = headers.get(PUSHBACK, "").strip()
    if not pause:
        return {}
    return {"retry-after-ms": pause} if pause.isdecimal() else {"x-should-retry": "false"}
