"""Frames onto the wire: at the pace that was asked for, and with the fault that was drawn."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ..api.frames import Frame
from ..wire.http import Answer, Framing
from ..wire.pace import Pace
from .spec import Fault, Trigger

KEEP_ALIVE: Final = b": keep-alive\n\n"
_PROXY_LINE: Final = (
    b"upstream connect error or disconnect/reset before headers. reset reason: connection termination\n"
)
_ERROR_EVENT: Final = b'data: {"error":{"message":"The server had an error while writing the answer.","type":"server_error","param":null,"code":"server_error"}}\n\n'
_GARBAGE: Final = b'data: {"id":"damaged","choices":[{"index":0,"delta":{"content":"lo\n\n'
_PINGS: Final = b'event: ping\ndata: {"type":"ping"}\n\ndata: {"type":"ping"}\n\n'
_CARVE_S: Final = 0.05
_TAIL_BYTES: Final = 64 * 1024
_YIELD_EVERY: Final = 16
"""At full speed the loop is given to others after so many frames."""


def head_of(fault: Fault | None, *, version: str, gzip: bool) -> tuple[Framing, bool, str]:
    """Framing, compression and HTTP version of a body, for a client of this ``version``, as the fault wants them."""
    kind = fault.kind if fault else ""
    if kind == "http10" or version == "HTTP/1.0":
        return "close", gzip, "HTTP/1.0"
    framing: Framing = "close" if kind == "eof-close" else "length" if kind == "wrong-content-length" else "chunked"
    return framing, (gzip or kind.startswith("gzip-")) and framing != "length", "HTTP/1.1"


@dataclass(slots=True, kw_only=True)
class Delivery:
    """One streamed answer on its way. ``run`` returns whether the body was ended properly, so the connection may go on.

    Raises ConnectionError when the client leaves first. ``sent`` counts the frames that went out whole, ``fired`` says
    whether the fault has happened.
    """

    answer: Answer
    pace: Pace
    fault: Fault | None = None
    event_id: Callable[[int], str] | None = None
    retry_ms: int | None = None
    first: int = 0  # the first frame to send, when a stream is resumed
    sent: int = 0
    fired: bool = False
    _began_s: float = 0.0
    _tail: bytes = b""

    def encode(self, frames: Sequence[Frame]) -> list[bytes]:
        """The frames as server-sent events."""
        end = "\r\n" if self.fault and self.fault.kind == "crlf" else "\n"
        events = []
        for place, one in enumerate(frames):
            retry = f"retry: {self.retry_ms}{end}" if self.retry_ms is not None and place == self.first else ""
            name = f"id: {self.event_id(place)}{end}" if self.event_id else ""
            blank = "" if self.fault and self.fault.kind == "no-blank-line" and place == len(frames) - 1 else end
            events.append(f"{retry}{name}data: {one.payload}{end}{blank}".encode())
        return events

    async def run(self, frames: Sequence[Frame], arrived_s: float) -> bool:
        """Send what is to be sent; ``arrived_s`` is the loop's time at which the request came."""
        self._began_s = arrived_s
        if self.fault is not None:
            self._prepare(self.fault)
        trigger = Trigger(self.fault) if self.fault and self.fault.kind in _PLACED else None
        due = self.pace.schedule([one.phase for one in frames[self.first :]])
        await self._queue()
        events = self.encode(frames)
        for place in range(self.first, len(frames)):
            if trigger is not None and trigger.due(frames[place].phase) and self._breakable(frames[place]):
                trigger, self.fired = None, True
                if await self._happen(events[place]):
                    return False
            await self._wait_until(due[place - self.first])
            self.sent += 1
            if place == len(frames) - 1:
                return await self._close(events[place])
            await self.answer.send(events[place])
            self._tail = (self._tail + events[place])[-_TAIL_BYTES:]
        return await self._close(b"")

    def _breakable(self, one: Frame) -> bool:
        """Whether this frame can be broken where the fault wants it: inside a character needs one of several bytes."""
        inside = self.fault.word("inside") if self.fault else ""
        return inside != "utf8" or one.phase in ("finish", "done") or not one.payload.isascii()

    def _prepare(self, fault: Fault) -> None:
        number = fault.number
        match fault.kind:
            case "slow":
                self.pace = replace(self.pace, tokens_per_s=number("rate") or 1.0, thinking_s=None)
            case "slice":
                self.answer.carve = _pieces(int(number("bytes") or 1))
            case "bandwidth":
                rate = 1024 * (number("kib") or 1.0)  # bytes/s
                self.answer.carve = _pieces(max(1, int(rate * _CARVE_S)), 1 / rate)
            case kind if kind in _PLACED or kind in _AT_THE_END:
                return
        self.fired = True  # seen in the frames or in the head, or at work from now on

    async def _queue(self) -> None:
        if not self.pace.queue_s:
            return
        for beat in range(math.ceil(self.pace.queue_s / self.pace.keepalive_s)):
            await self._wait_until(beat * self.pace.keepalive_s)
            await self.answer.send(KEEP_ALIVE)

    async def _wait_until(self, offset_s: float) -> None:
        wait_s = self._began_s + offset_s - asyncio.get_running_loop().time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        elif self.sent % _YIELD_EVERY == 0:
            await asyncio.sleep(0)

    async def _happen(self, event: bytes) -> bool:
        """Let the fault happen before ``event``; True when the answer ends with it."""
        fault, answer = self.fault, self.answer
        assert fault is not None
        match fault.kind:
            case "cut" | "reset":
                await self._tear(event, fault.word("inside"))
                await answer.close(rst=fault.kind == "reset")
            case "eof-close":
                answer.cut()
            case "eof-chunked":
                await answer.end()
            case "proxy-line" | "error-event":
                await answer.send(_PROXY_LINE if fault.kind == "proxy-line" else _ERROR_EVENT)
                await answer.end()
            case "gzip-truncated":
                await answer.end(trailer=b"")
            case "gzip-corrupt":
                await answer.raw(answer.framed(b"\xff" * 64))
                await answer.end(trailer=b"")
            case _:
                await self._disturb(fault)
                return False
        return True

    async def _tear(self, event: bytes, inside: str) -> None:
        """Send the beginning of an event: up to inside the chunk size, the JSON, or a character of several bytes."""
        if not inside:
            return
        whole = self.answer.framed(event)
        half = len(event) // 2
        if inside == "utf8":
            half = next((place + 1 for place, byte in enumerate(event) if byte > 0x7F), half)
        if self.answer.compressed:
            await self.answer.send(event[:half])
        else:
            await self.answer.raw(whole[:1] if inside == "size" else whole[: whole.index(event) + half])

    async def _disturb(self, fault: Fault) -> None:
        """Faults after which the answer goes on, later than planned."""
        before_s = asyncio.get_running_loop().time()
        match fault.kind:
            case "stall":
                await self.answer.until_client_leaves(fault.number("for"))
            case "keepalive-drip":
                await self._drip_comments(fault.number("every") or 1.0, fault.number("for"))
            case "latency":
                await self.answer.until_client_leaves(fault.number("s"))
            case "garbage" | "ping-events":
                await self.answer.send(_GARBAGE if fault.kind == "garbage" else _PINGS)
            case "replay":
                await self.answer.send(self._tail[-int(fault.number("bytes") or 0) :])
            case "gzip-members":
                await self.answer.next_member()
            case "drip":
                size = int(fault.number("bytes") or 1)
                self.answer.carve = _pieces(size, (fault.number("every") or 0.0) / size)
        if self.answer.client_left and fault.kind in ("stall", "keepalive-drip", "latency"):
            raise ConnectionResetError("the client did not wait")
        self._began_s += asyncio.get_running_loop().time() - before_s

    async def _drip_comments(self, every_s: float, for_s: float | None) -> None:
        for _ in itertools.count() if for_s is None else range(math.ceil(for_s / every_s)):
            await self.answer.send(KEEP_ALIVE)
            await self.answer.until_client_leaves(every_s)

    async def _close(self, last: bytes) -> bool:
        """Send the last event and the end of the body in one write, as a server that flushes at the end does."""
        fault, answer = self.fault, self.answer
        kind = fault.kind if fault else ""
        self.fired = self.fired or kind in _AT_THE_END
        if fault and kind == "slow-close":
            await answer.send(last)
            await answer.until_client_leaves(fault.number("s"))
            await answer.end()
        elif kind in ("gzip-no-trailer", "gzip-bad-crc"):
            await answer.send(last)
            trailer = answer.trailer()
            wrong = b"" if kind == "gzip-no-trailer" else bytes(byte ^ 0xFF for byte in trailer[-8:-4]) + trailer[-4:]
            await answer.end(trailer=trailer[:-8] + wrong)
        else:
            await answer.end(last=last)
        return not answer.closed


_AT_THE_END: Final = frozenset(("slow-close", "gzip-no-trailer", "gzip-bad-crc"))
_PLACED: Final = frozenset(
    (
        *("cut", "reset", "eof-chunked", "eof-close", "stall", "keepalive-drip", "proxy-line", "error-event"),
        *("latency", "drip", "garbage", "ping-events", "replay", "gzip-truncated", "gzip-corrupt", "gzip-members"),
    )
)


def _pieces(size: int, s_per_byte: float = 0.0) -> Callable[[bytes], Iterable[tuple[bytes, float]]]:
    """Bytes in pieces of ``size``, each followed by the time that it takes at this rate."""

    def carve(data: bytes) -> Iterator[tuple[bytes, float]]:
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            yield piece, len(piece) * s_per_byte

    return carve
