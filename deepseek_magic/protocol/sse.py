"""Bytes → server-sent events, by the WHATWG text (HTML, section 9.2 "Server-sent events").

Works on bytes, because a chunk border may fall inside a character or between CR and LF, and because only LF, CR and CRLF
end a line here: text that is split by ``str.splitlines`` also breaks at U+2028 and U+0085, which are legal inside JSON.
Whatever the borders of the chunks, the same bytes give the same events.
"""

from __future__ import annotations

from typing import Final

import msgspec

from .errors import ProtocolError

__all__ = ["MAX_EVENT_BYTES", "Comment", "SSEDecoder", "ServerSentEvent"]

MAX_EVENT_BYTES: Final = 16 * 2**20
"""The largest event by default. A chat chunk has some 300 bytes; a whole answer in one event stays below 2 MiB."""

_BOM: Final = b"\xef\xbb\xbf"
_LF: Final = 0x0A
_DATA: Final = b"data: "
_NEXT_DATA: Final = b"\n\n" + _DATA
_MAX_RETRY_DIGITS: Final = 18
"""A longer ``retry`` is no waiting time (and Python refuses to read numbers of some thousand digits)."""


class ServerSentEvent(msgspec.Struct, frozen=True, gc=False):
    """One dispatched event.

    ``event`` is "message" when the stream named none. ``id`` is the last event id that held when the event was
    dispatched, so it may come from an earlier event; "" when the stream never set one. ``retry`` is the reconnection
    time in milliseconds if this event's own lines set it.
    """

    event: str = "message"
    data: str = ""
    id: str = ""
    retry: int | None = None


class Comment(msgspec.Struct, frozen=True, gc=False):
    """A line that began with a colon, without the colon and one space after it. Servers send them as signs of life."""

    text: str


class SSEDecoder:
    """Takes the stream's bytes as they come, gives its events and comments in order.

    ``last_event_id`` is committed at the blank line that ends an event, also of an event without data;
    ``retry_ms`` is the latest reconnection time, None if the stream never set one. An event that the stream leaves
    unfinished is never given out. ``max_event_bytes`` bounds what one event may keep in memory.
    """

    __slots__ = (
        "_after_cr",
        "_at_start",
        "_data",
        "_data_bytes",
        "_event",
        "_id",
        "_line",
        "_max_event_bytes",
        "_retry",
        "_too_large",
        "last_event_id",
        "retry_ms",
    )

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.last_event_id = ""
        self.retry_ms: int | None = None
        self._max_event_bytes = max_event_bytes
        self._too_large = False
        self._at_start = True
        self._after_cr = False
        self._line = bytearray()  # the open line; a bytearray grows in place, so tiny chunks cost linear time
        self._data: list[bytes] = []  # the open event, a line each
        self._data_bytes = 0
        self._event = ""
        self._id = ""
        self._retry: int | None = None

    def feed(self, data: bytes) -> list[ServerSentEvent | Comment]:
        """The events and comments that ``data`` completes.

        Raises ProtocolError once an event is larger than ``max_event_bytes``, after everything before it was given out.
        """
        given: list[ServerSentEvent | Comment] = []
        if not self._too_large:
            self._read(data, given)
        if self._too_large and not given:
            raise ProtocolError(
                f"The stream sends an event of more than {self._max_event_bytes} bytes.",
                hint="Something else than a chat stream may be answering at this address.",
            )
        return given

    def payloads(self, data: bytes) -> bytes | None:
        """The data of the events that ``data`` completes, a line each, when these are all of one data line and nothing else.

        None when there is anything else among them; then nothing was taken, and ``feed`` is to be asked. A chat stream
        is nearly always of this kind, and so three passes in C do what costs ``feed`` a turn for each token.
        """
        if (self._at_start and self._line) or self._after_cr or self._data or self._event or self._id:
            return None
        if not self._line and data.find(b"\n") == len(data) - 2 and data.startswith(_DATA) and data.endswith(b"\n\n"):
            if b"\r" in data or len(data) > self._max_event_bytes or self._retry is not None or self._too_large:
                return None
            self._at_start = False
            return data[len(_DATA) : -2]  # one event, as nearly every read of a paced stream is
        end = data.rfind(b"\n\n") + 2
        block, rest = bytes(self._line) + data[:end], data[end:]
        if end < 2 or b"\r" in data or b"\n" in rest or len(block) > self._max_event_bytes:
            return None
        if not block.startswith(_DATA) or self._retry is not None or self._too_large:
            return None
        lines = block[len(_DATA) : -2].replace(_NEXT_DATA, b"\n")
        borders = (len(block) - len(_DATA) - 2 - len(lines)) // (len(_NEXT_DATA) - 1)
        if lines.count(b"\n") != borders:
            return None  # comments, other fields, or data of several lines
        self._at_start = False
        self._line[:] = rest
        return lines

    def _read(self, data: bytes, given: list[ServerSentEvent | Comment]) -> None:
        lines = self._split(data)
        rest = lines.pop()
        if lines and self._line:
            lines[0] = bytes(self._line) + lines[0]
            self._line.clear()
        pieces, limit = self._data, self._max_event_bytes
        for line in lines:
            if not line:
                self.last_event_id = self._id
                if pieces:
                    text = b"\n".join(pieces).decode("utf-8", "replace")
                    given.append(ServerSentEvent(self._event or "message", text, self._id, self._retry))
                    pieces.clear()
                    self._data_bytes = 0
                self._event = ""
                self._retry = None
            elif self._data_bytes + len(line) > limit:
                break
            elif line.startswith(_DATA):  # nearly every line; the general rule would cost twice as much
                pieces.append(line[len(_DATA) :])
                self._data_bytes += len(line)
            else:
                self._field(line, given)
        else:
            self._line += rest
            if self._data_bytes + len(self._line) <= limit:
                return
        self._too_large = True
        self._line.clear()
        pieces.clear()

    def _split(self, data: bytes) -> list[bytes]:
        """The lines that end in ``data``, and in last place the beginning of one that does not."""
        if self._at_start:
            data = bytes(self._line) + data
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._line[:] = data
                return [b""]
            self._line.clear()
            self._at_start = False
            data = data.removeprefix(_BOM)
        if self._after_cr and data:
            self._after_cr = False
            if data[0] == _LF:
                data = data[1:]
        if b"\r" in data:
            # A bare CR ends its line at once; if an LF follows in the next chunk it belongs to it.
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data.split(b"\n")

    def _field(self, line: bytes, given: list[ServerSentEvent | Comment]) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"":
                given.append(Comment(_text(value)))
            case b"data":
                self._data.append(value)
                self._data_bytes += len(line)
            case b"event":
                self._event = _text(value)
            case b"id" if b"\0" not in value:
                self._id = _text(value)
            case b"retry" if value.isdigit() and len(value) <= _MAX_RETRY_DIGITS:
                self.retry_ms = self._retry = int(value)
            case _:
                pass  # the text says: any other field is ignored


def _text(value: bytes) -> str:
    # Always UTF-8, whatever the response header claims: so the text demands it.
    return value.decode("utf-8", "replace")
