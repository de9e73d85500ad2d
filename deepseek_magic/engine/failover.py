"""One answer from several endpoints in order: when one is down the next takes over, from where the answer stood.

Each endpoint's part is a ``Stream`` of its own, with its own record, because each was asked and each may have to be
paid. What to do with half an answer is decided in ``policy.failover``.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import replace
from typing import Final

from ..policy.causes import is_down
from ..policy.failover import DownEndpoints, patience, taking_over
from ..policy.recovery import Retry
from ..protocol.chat import Request
from ..protocol.completion import Completion
from ..protocol.errors import DeepSeekError
from ..protocol.events import Event, Seam, Waiting
from ..text.messages import Message
from .batched import Batched
from .hosts.endpoints import Endpoint
from .segment import Terms
from .several.race import Hedged
from .several.second import SecondRequests
from .stream import Earlier, Keeper, Stream, pieces_of

Leg = tuple[Request, Terms]
"""What one endpoint would be asked, and on which terms."""

_DOWN: Final = DownEndpoints()
"""Which endpoints failed lately; one memory for all calls of the process."""


class Relay(Batched):
    """The answer of the first of ``legs`` that can give it. ``before`` is what the first one begins with, if anything.

    An endpoint that failed a moment ago is asked last, except of an answer that had begun: that goes where it is meant
    to. ``request`` and ``completion`` are those of the endpoint that answers at the moment. When all fail,
    the answer that got furthest is kept. ``seconds`` allows the first one a second request.
    """

    def __init__(
        self,
        legs: Sequence[Leg],
        before: Earlier | None = None,
        *,
        keeper: Keeper | None = None,
        call_id: str | None = None,
        seconds: SecondRequests | None = None,
    ) -> None:
        super().__init__()
        urls = [terms.endpoint.address for _, terms in legs]
        order = range(len(legs)) if before is not None else _DOWN.order(urls, time.monotonic())
        self._legs = [legs[place] for place in order]
        self._given = legs[0][1].endpoint
        self._keeper = keeper
        self._furthest: Stream | Hedged | None = None
        self._failed: list[tuple[Endpoint, Message | str]] = []
        """Which endpoints had not said a word when another one was asked, and of what each failed."""
        self._completion: Completion | None = None
        self._stopped = False
        stream = self._stream_of(0, before, call_id)
        self._stream: Stream | Hedged = stream if seconds is None else Hedged(stream, seconds)

    @property
    def request(self) -> Request:
        """What is asked of the endpoint that answers."""
        return self._stream.request

    @property
    def completion(self) -> Completion:
        """See Batched."""
        if self._completion is not None:
            return self._completion
        found = self._stream.completion
        remarks = tuple(self._instead(found))
        return replace(found, remarks=(*found.remarks, *remarks)) if remarks else found

    def _instead(self, found: Completion) -> Iterator[Message]:
        """Why another endpoint than the one named first has answered, where one has."""
        if found.error is not None or not (found.text or found.reasoning or found.tool_calls):
            return
        other = self._stream.terms.endpoint.title
        if self._legs[0][1].endpoint != self._given:
            yield Message(
                "Answered by {other}, because {place} had failed a moment before.", other=other, place=self._given.title
            )
        for place, what in self._failed:
            yield Message(
                "Answered by {other}, because {place} failed: {what}", other=other, place=place.title, what=what
            )

    async def aclose(self) -> None:
        """See Batched."""
        self._ready = iter(())
        self._stopped = True
        if not self._stream.working:
            await self._source.aclose()
        await self._stream.aclose()

    def _stream_of(self, number: int, before: Earlier | None, call_id: str | None = None) -> Stream:
        request, terms = self._legs[number]
        last = number == len(self._legs) - 1
        terms = replace(terms, recovery=patience(terms.recovery, last=last))
        return Stream(request, terms, before, keeper=self._keeper, call_id=call_id)

    async def _run(self) -> AsyncGenerator[list[Event], None]:
        said: list[Event] = []
        if (first := self._stream.terms.endpoint) != self._given:
            names = {"down": self._given.title, "other": first.title}
            instead = Message("{down} failed a moment ago; trying {other} first.", **names)
            said = [Waiting(reason="backoff", detail=instead)]
        number = 0
        while True:
            error: DeepSeekError | None = None
            try:
                async with contextlib.aclosing(self._stream) as stream:
                    if said:
                        yield said
                    async for batch in stream.batches():
                        yield batch
            except DeepSeekError as caught:
                error = caught
            _DOWN.note(self._stream.terms.endpoint.address, error, time.monotonic())
            if error is None:
                return
            following = self._taken_over(number, error) if is_down(error) and not self._stopped else None
            if following is None:
                break
            number, self._stream, said = following
        kept = self._furthest
        if kept is not None and _extent(kept) > _extent(self._stream):
            error.completion = self._completion = replace(kept.completion, error=error)
            yield _back_to(kept)
        raise error

    def _taken_over(self, number: int, error: DeepSeekError) -> tuple[int, Stream, list[Event]] | None:
        """The next leg that can do something with what there is, its stream, and what to tell first; None if none can."""
        said: list[Event] = []
        if self._furthest is None or _extent(self._furthest) <= _extent(self._stream):
            self._furthest = self._stream
        else:
            said = _back_to(self._furthest)
        completion, delivered = self._furthest.completion, self._furthest.delivered()
        for following, (request, terms) in enumerate(self._legs[number + 1 :], number + 1):
            why = Message("{what} Continuing at {endpoint}.", what=error.message, endpoint=terms.endpoint.title)
            step = taking_over(delivered, can=terms.can(request), why=why)
            if isinstance(step, Retry):
                self._failed.append((self._stream.terms.endpoint, error.message))
                return following, self._stream_of(following, None), [Waiting(reason="backoff", detail=why)]
            if step is not None:
                before = Earlier(completion=completion, step=step, given_out=True)
                return following, self._stream_of(following, before), said
        return None


def _extent(stream: Stream | Hedged) -> tuple[int, int]:
    completion = stream.completion
    return len(completion.text), len(completion.reasoning)


def _back_to(stream: Stream | Hedged) -> list[Event]:
    """What takes the consumer back to the answer that got further than the one after it."""
    why = Message("The answer of {endpoint} got further and is kept.", endpoint=stream.terms.endpoint.title)
    back = Seam(kind="restarted", at_chars=0, reasoning_at_chars=0, detail=why)
    return [back, *pieces_of(stream.completion)]
