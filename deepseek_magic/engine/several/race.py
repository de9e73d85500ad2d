"""Two requests for one answer: when the first token of the first is late, the second is sent, and who begins first is the answer.

The other is closed before any of its text has been given out, so no text is ever taken back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Final

from ...policy.attempts import Delivered
from ...protocol.chat import Request
from ...protocol.completion import Completion
from ...protocol.errors import DeepSeekError
from ...protocol.events import AttemptStarted, Event, Finish, ReasoningDelta, TextDelta, ToolCallDelta, Waiting
from ...text.messages import Message
from ..batched import Batched
from ..segment import Segment, Terms
from ..stream import Stream
from .second import SecondRequests

_BEGUN: Final = (TextDelta, ReasoningDelta, ToolCallDelta)


class _Runner:
    """A stream that is read one batch at a time in a task of its own, so that two can be waited for."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.before: list[Event] = []
        """What came before its first word, and was not given out."""
        self._batches = stream.batches()
        self._step: asyncio.Task[list[Event]] | None = None

    @property
    def step(self) -> asyncio.Task[list[Event]]:
        """The next batch, under way."""
        if self._step is None:
            self._step = asyncio.create_task(self._next())
        return self._step

    async def _next(self) -> list[Event]:
        return await anext(self._batches, [])

    def take(self) -> list[Event] | None:
        """The batch that has come: nothing in it at the end of the stream, None where none has come yet. Raises the
        DeepSeekError that ended it."""
        if self._step is None or not self._step.done():
            return None
        step, self._step = self._step, None
        return step.result()

    async def leave(self) -> None:
        """Let go of what is under way, as if whoever reads had been cancelled."""
        if self._step is not None:
            self._step.cancel()
            await asyncio.wait({self._step})
            with contextlib.suppress(DeepSeekError, asyncio.CancelledError):
                self._step.result()

    async def discard(self) -> None:
        """Close the stream of which nothing was given out."""
        await self.stream.discard()
        if self._step is not None:  # it has ended with the stream
            await asyncio.wait({self._step})
            with contextlib.suppress(DeepSeekError, asyncio.CancelledError):
                self._step.result()


class Hedged(Batched):
    """The answer to ``first``, or to the second request that ``seconds`` allows for it, whichever begins first.

    All else is as for a stream: ``request``, ``terms``, ``completion`` and ``delivered`` are those of the one that answers.
    """

    def __init__(self, first: Stream, seconds: SecondRequests) -> None:
        super().__init__()
        self._leading = first
        self._seconds = seconds
        self._first = _Runner(first)
        self._second: _Runner | None = None
        self._closing: list[asyncio.Task[None]] = []
        self._held = contextlib.ExitStack()
        self._waiting = False
        self._decided = False
        self._stopped = False
        self._why: Message | None = None

    @property
    def request(self) -> Request:
        """What is asked of the endpoint that answers."""
        return self._leading.request

    @property
    def terms(self) -> Terms:
        """On which terms."""
        return self._leading.terms

    @property
    def completion(self) -> Completion:
        """See Batched."""
        found = self._leading.completion
        if self._why is None or self._leading is self._first.stream or not (found.text or found.reasoning):
            return found
        return replace(found, remarks=(*found.remarks, self._why))

    @property
    def working(self) -> bool:
        """Whether a task waits inside the call right now."""
        return self._waiting or (self._decided and self._leading.working)

    def delivered(self, segment: Segment | None = None) -> Delivered:
        """What the consumer has of this answer."""
        return self._leading.delivered(segment)

    async def aclose(self) -> None:
        """See Batched."""
        self._ready = iter(())
        self._stopped = True
        if not self.working:
            await self._source.aclose()
        await self._leading.aclose()
        if self._second is not None and self._second.stream is not self._leading:
            await self._second.discard()
        await asyncio.gather(*self._closing)

    async def _run(self) -> AsyncGenerator[list[Event], None]:
        try:
            if (late_s := self._seconds.late_after_s(self._leading)) is not None:
                async with contextlib.aclosing(self._race(late_s)) as race:
                    async for batch in race:
                        yield batch
            self._decided = True
            async with contextlib.aclosing(self._leading) as stream:
                async for batch in stream.batches():
                    yield batch
        finally:
            await self._first.leave()
            await self._leading.aclose()
            if self._second is not None and self._second.stream is not self._leading:
                await self._second.discard()
            await asyncio.gather(*self._closing)
            self._held.close()

    async def _race(self, late_s: float) -> AsyncGenerator[list[Event], None]:
        """What is given out until it is decided who answers."""
        first, due_s = self._first, None
        loop = asyncio.get_running_loop()
        while True:
            second = self._second
            left_s = None if due_s is None else max(0.0, due_s - loop.time())
            self._waiting = True
            try:
                steps = {each.step for each in (first, second) if each is not None}
                done, _ = await asyncio.wait(steps, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._waiting = False
            if not done:
                due_s = None
                if not self._stopped and (said := await self._send_second(late_s)) is not None:
                    yield [said]
                continue
            try:
                batch = first.take()
            except DeepSeekError:
                if second is None or self._stopped:
                    raise
                self._leading = self._seconds.adopt(second.stream)
                yield second.before
                return
            if batch is not None:
                if not batch or any(isinstance(event, (*_BEGUN, Finish)) for event in batch):
                    self._drop_second()
                    if batch:
                        yield batch
                    return
                kinds = {type(event) for event in batch}
                if AttemptStarted in kinds and second is None:
                    due_s = loop.time() + late_s
                elif Waiting in kinds:
                    due_s = None
                yield batch
            if second is not None and self._second is second and (begun := self._begun(second)) is not None:
                self._leading = self._seconds.adopt(second.stream)
                self._closing.append(asyncio.create_task(first.discard()))
                yield begun
                return

    async def _send_second(self, late_s: float) -> Waiting | None:
        first = self._leading
        if (found := await self._seconds.second(first)) is None:
            return None
        stream, cost = found
        self._held.enter_context(self._seconds.seen.holding(cost.amount, cost.currency))
        self._second = _Runner(stream)
        names: dict[str, str] = {
            "place": first.terms.endpoint.title,
            "seconds": f"{late_s:.1f}",
            "other": stream.terms.endpoint.title,
        }
        self._why = Message(
            "Answered by the second request, to {other}, because {place} had been silent for {seconds} s.", **names
        )
        said = Message("{place} has been silent for {seconds} s; {other} is asked as well.", **names)
        return Waiting(reason="queue", detail=said)

    def _begun(self, second: _Runner) -> list[Event] | None:
        """All of the second stream up to its first words, as soon as they are there. One that fails, waits or ends without
        any is out of the race."""
        try:
            batch = second.take()
        except DeepSeekError:
            batch = []
        if batch is None:
            return None
        second.before += batch
        if any(isinstance(event, _BEGUN) for event in batch):
            return second.before
        if not batch or any(isinstance(event, Waiting | Finish) for event in batch):
            self._drop_second()
        return None

    def _drop_second(self) -> None:
        if self._second is not None:
            self._closing.append(asyncio.create_task(self._second.discard()))
            self._second = None
