"""How an HTTP/1.1 answer is framed: where its head ends, and what its chunks hold.

Bytes in, bytes out, no I/O. h11 reads the same, an event for each chunk, and each event passes seven generators on its
way up; a server that streams sends a chunk for every token, so that was nearly all a token cost. Here all chunks of one
network read come out as one piece. What h11 would refuse is refused here, but for trailers: nobody asks for them.
Source: RFC 9112, sections 2.1 (message), 6.3 (length) and 7.1 (chunked transfer coding).
"""

from __future__ import annotations

import re
from typing import Final

from ...text.messages import Message

END_OF_CHUNKS: Final = b"0\r\n\r\n"

LARGEST_LINE_BYTES: Final = 8 * 1024
"""A chunk's size line or the trailers together; h11's own limit in httpcore is 100 KiB for a whole head."""

_CHUNK_HEAD: Final = re.compile(rb"([0-9A-Fa-f]{1,20})(?:;[^\n]*?)?[ \t]*\r\n")
_BLANK_LINE: Final = re.compile(rb"\n\r?\n")
_HTTP: Final = b"HTTP/"
_LARGEST_HEAD_BYTES: Final = 100 * 1024
_STATUS_AT: Final = len(b"HTTP/1.1 ")


class ResponseHead:
    """Finds the end of a response's head, so that what follows can be kept from a reader that wants the head alone.

    Informational responses (1xx) have heads of their own in front. ``open`` turns false after the last head, and as
    soon as what comes is no HTTP/1 at all: then nothing is kept back any more.
    """

    __slots__ = ("_seen", "open")

    @property
    def whole(self) -> bool:
        """Whether no head has begun that has not ended."""
        return not (self.open and self._seen)

    def __init__(self) -> None:
        self.open = True
        self._seen = bytearray()

    def feed(self, data: bytes) -> int:
        """How many bytes of ``data``, which comes next, belong to the head that is open."""
        before = len(self._seen)
        self._seen += data
        if not self._seen.startswith(_HTTP[: len(self._seen)]) or before > _LARGEST_HEAD_BYTES:
            self.open = False
            return len(data)
        blank = _BLANK_LINE.search(self._seen, max(0, before - 2))
        if blank is None:
            return len(data)
        status = self._seen[_STATUS_AT : _STATUS_AT + 3]
        self.open = status.startswith(b"1") and status != b"101"
        self._seen.clear()
        return blank.end() - before


_CODINGS: Final = re.compile(rb"\r?\ntransfer-encoding:((?:[ \t]|,|chunked\b|identity\b)*)(?=\r?\n)", re.IGNORECASE)
"""A line of codings that h11 knows, or that change nothing."""


def chunked_once(head: bytes) -> bytes:
    """The head with "chunked" in it once: gateways in a row each say it and mean the same, and h11 refuses that.

    It refuses "identity" and an empty place in the list as well, which older servers send and which say nothing.
    """
    said = b"".join(_CODINGS.findall(head)).lower()
    if not said:
        return head
    first = [b"\r\nTransfer-Encoding: chunked"] if b"chunked" in said else []
    return _CODINGS.sub(lambda _: first.pop() if first else b"", head)


class ChunkedBody:
    """A body in the chunked coding, taken as it comes. Trailers are read and dropped.

    ``ended`` is true after the last chunk and its trailers; ``rest`` is then what came after the body. ``damage`` says
    why the bytes are no chunked body; what came before the damage was given out.
    """

    __slots__ = ("_in_trailers", "_left", "_open", "damage", "ended", "rest")

    def __init__(self) -> None:
        self.ended = False
        self.damage: Message | None = None
        self.rest = b""
        self._left = 0
        """Bytes of the running chunk that have not come, with the CRLF after them; 0 in front of a size line."""
        self._open = b""
        """The beginning of a size line or of the trailers."""
        self._in_trailers = False

    def feed(self, data: bytes) -> bytes:
        """The content that ``data`` brings. Not to be called once ``ended`` or with ``damage``."""
        pieces: list[bytes] = []
        at, end = 0, len(data)
        if self._left:
            at = self._finish_chunk(data, pieces)
        elif self._open:
            data, self._open = self._open + data, b""
            end = len(data)
        match_head = _CHUNK_HEAD.match
        while at < end and not self._in_trailers and self.damage is None:
            # One turn for each chunk, which is one for each token: this loop is all that the framing costs.
            head = match_head(data, at)
            if head is None:
                self._keep_line(data[at:])
                break
            size = int(head[1], 16)
            begin = head.end()
            at = begin + size + 2
            if not size:
                at, self._in_trailers = begin, True
            elif at <= end and data[at - 2 : at] == b"\r\n":
                pieces.append(data[begin : at - 2])
            else:
                self._left = size + 2
                at = begin + self._finish_chunk(data[begin:], pieces)
        if self._in_trailers and not self.ended:
            self._read_trailers(data[at:])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _finish_chunk(self, data: bytes, pieces: list[bytes]) -> int:
        """Take what ``data`` has of the running chunk and of the CRLF after it; returns how many bytes that was."""
        taken = min(self._left, len(data))
        content = max(0, min(self._left - 2, taken))
        if content:
            pieces.append(data[:content])
        behind = data[content:taken]
        if behind != b"\r\n"[-self._left if self._left < 2 else 0 :][: len(behind)]:
            self.damage = Message("a chunk is longer than it says")
        self._left -= taken
        return taken

    def _keep_line(self, line: bytes) -> None:
        """A size line that is not all there, or none at all."""
        if b"\n" in line or len(line) > LARGEST_LINE_BYTES:
            self.damage = Message("a chunk has no size")
        self._open = line

    def _read_trailers(self, data: bytes) -> None:
        # The line break in front makes an empty trailer part look like the blank line that ends a full one.
        data, self._open = self._open + data, b""
        blank = _BLANK_LINE.search(b"\n" + data)
        if blank is not None:
            self.ended, self.rest = True, data[blank.end() - 1 :]
        elif len(data) > LARGEST_LINE_BYTES:
            self.damage = Message("its trailers do not end")
        else:
            self._open = data
