"""One reader of a flight, as an ASGI response: frames from its own place on, or the whole answer at the end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, Final

from ..board import LEFT, Visit
from ..flight import Flight
from ..refusals import Refusal
from ..service import Boarded, ClassService

HOLD_S: Final = 10.0
"""The status waits so long for the first piece of the answer, so that a failure before it has the provider's own status. Then
the stream begins, for a client must hear something; a failure after that is an error inside of it."""
FRAMES_AT_ONCE: Final = 64
LOST: Final = b": the answer that Last-Event-ID names is not kept any more; this one begins at its front\n\n"
"""Told as a comment of the stream, by which a client sees that this is no continuation; ids of another flight say it, too."""
TRANSPORT: Final = "deepseek_magic.transport"
"""Where the connection's transport is in a scope: a reader who takes nothing is dropped with what waits for them."""

_STREAM_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class FlightReader:
    """The response to one request."""

    def __init__(self, service: ClassService, student: str, boarded: Boarded, *, stream: bool) -> None:
        self._board = service.board
        self._flight: Flight = boarded.flight
        self._place = boarded.place
        self._stream = stream
        self._dropped = False
        self._status = LEFT
        self._visit = Visit(student=student, flight=boarded.flight, shared=boarded.shared)
        self._again = boarded.again
        self._lost = boarded.lost
        late = boarded.shared and not boarded.again and boarded.flight.over.is_set()
        self._pace = service.replay_pace if late else 0.0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        task = asyncio.current_task()
        assert task is not None
        left = asyncio.get_running_loop().create_task(_left(receive))

        def over(_: object = None) -> None:
            self._dropped = True
            task.cancel()

        left.add_done_callback(over)
        self._visit.drop = over
        self._flight.enter()
        self._board.enter(self._visit, again=self._again)
        try:
            await (self._give(send) if self._stream else self._give_whole(send))
        except asyncio.CancelledError:
            if not self._dropped:
                raise
            if (transport := scope.get(TRANSPORT)) is not None:
                transport.abort()  # what waits to be sent would keep it open for as long as nobody takes it
                await asyncio.sleep(0)
        finally:
            left.remove_done_callback(over)
            left.cancel()
            self._flight.leave()
            self._board.leave(self._visit, self._status)

    async def _give(self, send: Any) -> None:
        flight, visit, place, pace = self._flight, self._visit, self._place, self._pace
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HOLD_S):
                await flight.begun.wait()
        if flight.failure is not None and not flight.has_pieces and not place:
            await self._refuse(send, flight.failure)
            return
        await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
        if self._lost:
            await send({"type": "http.response.body", "body": LOST, "more_body": True})
        frames, began_s = flight.frames, time.monotonic()
        while True:
            while place < len(frames):
                if pace:
                    await asyncio.sleep(began_s + pace * (flight.at_s[place] - flight.at_s[0]) - time.monotonic())
                some = frames[place : place + (1 if pace else FRAMES_AT_ONCE)]
                place += len(some)
                data = some[0] if len(some) == 1 else b"".join(some)
                visit.sending_s = time.monotonic()
                await send({"type": "http.response.body", "body": data, "more_body": True})
                visit.sending_s = None
                visit.taken_bytes += len(data)
            if flight.over.is_set():
                break
            await flight.news()
        self._status = flight.failure.status if flight.failure is not None else 200
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _give_whole(self, send: Any) -> None:
        await self._flight.over.wait()
        if self._flight.failure is not None:
            await self._refuse(send, self._flight.failure)
            return
        self._status = 200
        await _answer(send, 200, {"content-type": "application/json"}, self._flight.answer)

    async def _refuse(self, send: Any, refused: Refusal) -> None:
        self._status = refused.status
        await _answer(send, refused.status, refused.headers, refused.body())


async def _left(receive: Any) -> None:
    """Wait until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _answer(send: Any, status: int, headers: dict[str, str], body: bytes) -> None:
    told = [(name.encode(), value.encode()) for name, value in headers.items()]
    told.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": body})
