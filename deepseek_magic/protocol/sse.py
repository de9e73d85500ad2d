"""Bytes → server-sent events, by the WHATWG text (HTML, section 9.2 "Server-sent events").

Works on bytes, because a chunk border may fall inside a character or between CR and LF, and because only LF, CR and CRLF
end a line here: text that is split by ``str.splitlines`` also breaks at U+2028 and U+0085, which are legal inside JSON.
Whatever the borders of the chunks, the same bytes give the same events.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from ..text.messages import Message
from .errors import ProtocolError

BodyKind = Literal["stream", "json", "page", "other"]

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


@dataclass(slots=True, eq=False, kw_only=True)
class SSEDecoder:
    """Takes the stream's bytes as they come, gives its events and comments in order.

    ``last_event_id`` is committed at the blank line that ends an event, also of an event without data;
    ``retry_ms`` is the latest reconnection time, None if the stream never set one. An event that the stream leaves
    unfinished is given out by ``close`` alone. ``max_event_bytes`` bounds what one event may keep in memory.

    ``objects`` reads streams of JSON objects more leniently than the text: a data line that begins an object also ends
    the event before it when that ended one, for home-made servers leave the blank lines out. No JSON has these two lines
    in a row. Such an event has no id, since nobody knows whose lines stand between them. ``anomalies`` names what was odd:
    ``missing_blank_line``, ``invalid_utf8``.
    """

    max_event_bytes: int = MAX_EVENT_BYTES
    objects: bool = False
    anomalies: list[str] = field(default_factory=list)
    last_event_id: str = ""
    retry_ms: int | None = None
    _too_large: bool = False
    _at_start: bool = True
    _after_cr: bool = False
    _line: bytearray = field(
        default_factory=bytearray
    )  # the open line; it grows in place: tiny chunks cost linear time
    _data: list[bytes] = field(default_factory=list)  # the open event, a line each
    _data_bytes: int = 0
    _event: str = ""
    _id: str = ""
    _retry: int | None = None

    def feed(self, data: bytes) -> list[ServerSentEvent | Comment]:
        """The events and comments that ``data`` completes.

        Raises ProtocolError once an event is larger than ``max_event_bytes``, after everything before it was given out.
        """
        given: list[ServerSentEvent | Comment] = []
        if not self._too_large:
            self._read(data, given)
        if self._too_large and not given:
            raise ProtocolError(
                Message("The stream sends an event of more than {limit} bytes.", limit=self.max_event_bytes),
                hint=Message("Something else than a chat stream may be answering at this address."),
            )
        return given

    def close(self) -> list[ServerSentEvent | Comment]:
        """The stream has ended: the event that it left open, which the text would drop. Whether it is whole is for its
        taker to see; a last line that is no data, or ends inside a character, is half a line and is dropped."""
        if not self._line.startswith(_DATA[:-1]) or _ends_inside_a_character(self._line):
            self._line.clear()
        self._after_cr = False
        return self.feed(b"\n\n")

    def text(self, data: bytes) -> str:
        """``data`` as text. Always UTF-8, whatever the response header claims: so the text demands it."""
        try:
            return data.decode()
        except UnicodeDecodeError:
            self._note("invalid_utf8")
            return data.decode("utf-8", "replace")

    def _note(self, anomaly: str) -> None:
        if anomaly not in self.anomalies:
            self.anomalies.append(anomaly)

    def payloads(self, data: bytes) -> bytes | None:
        """The data of the events that ``data`` completes, a line each, when these are all of one data line and nothing else.

        None when there is anything else among them; then nothing was taken, and ``feed`` is to be asked. A chat stream
        is nearly always of this kind, and so three passes in C do what costs ``feed`` a turn for each token.
        """
        if (self._at_start and self._line) or self._after_cr or self._data or self._event or self._id:
            return None
        if not self._line and data.find(b"\n") == len(data) - 2 and data.startswith(_DATA) and data.endswith(b"\n\n"):
            if b"\r" in data or len(data) > self.max_event_bytes or self._retry is not None or self._too_large:
                return None
            self._at_start = False
            return data[len(_DATA) : -2]  # one event, as nearly every read of a paced stream is
        end = data.rfind(b"\n\n") + 2
        block, rest = bytes(self._line) + data[:end], data[end:]
        if end < 2 or b"\r" in data or b"\n" in rest or len(block) > self.max_event_bytes:
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
        pieces, limit = self._data, self.max_event_bytes
        for line in lines:
            if not line:
                self.last_event_id = self._id
                if pieces:
                    text = self.text(b"\n".join(pieces))
                    given.append(ServerSentEvent(self._event or "message", text, self._id, self._retry))
                    pieces.clear()
                    self._data_bytes = 0
                self._event = ""
                self._retry = None
            elif self._data_bytes + len(line) > limit:
                break
            elif line.startswith(_DATA):  # nearly every line; the general rule would cost twice as much
                if pieces:
                    self._end_object(line[len(_DATA) :], given)
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

    def _end_object(self, following: bytes, given: list[ServerSentEvent | Comment]) -> None:
        """Give out the open event if it is whole by itself and ``following`` begins another one."""
        begins = following.startswith((b"{", b"[DONE]"))
        if self.objects and begins and self._data and self._data[-1].rstrip().endswith(b"}"):
            self._note("missing_blank_line")
            given.append(ServerSentEvent(self._event or "message", self.text(b"\n".join(self._data))))
            self._data.clear()
            self._data_bytes = 0

    def _field(self, line: bytes, given: list[ServerSentEvent | Comment]) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"":
                given.append(Comment(self.text(value)))
            case b"data":
                self._end_object(value, given)
                self._data.append(value)
                self._data_bytes += len(line)
            case b"event":
                self._event = self.text(value)
            case b"id" if b"\0" not in value:
                self._id = self.text(value)
            case b"retry" if value.isdigit() and len(value) <= _MAX_RETRY_DIGITS:
                self.retry_ms = self._retry = int(value)
            case _:
                pass  # the text says: any other field is ignored


def _ends_inside_a_character(line: bytearray) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return error.end == len(line)
    return False


_FIELD_LINE: Final = re.compile(rb"(?:data|event|id|retry)?:")
_FIELD_NAMES: Final = (b"data:", b"event:", b"id:", b"retry:", _BOM)


def kind_of_body(beginning: bytes) -> BodyKind | None:
    """What a body is by its first bytes, whatever its label says: events, JSON, a web page. None: more is needed.

    Gateways and home-made servers label streams as JSON, as HTML or as plain text.
    """
    begin = beginning.removeprefix(_BOM).lstrip()
    if not begin or any(name.startswith(begin) for name in _FIELD_NAMES):
        return None
    if _FIELD_LINE.match(begin):
        return "stream"
    return "json" if begin[:1] in b"{[" else "page" if begin[:1] == b"<" else "other"
