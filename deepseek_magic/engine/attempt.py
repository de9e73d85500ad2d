"""One exchange: a call goes out, batches of events come back, and a value says how it ended.

What to do about the ending is decided elsewhere. So nothing here is repeated, and nothing that the API or the network
does is raised: it is the ending.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from ..policy.limits.ratelimit_headers import headers_in_body, retry_after_s, should_retry
from ..policy.recovery import Ending
from ..protocol.chat import DONE, ChatDecoder, error_from_body
from ..protocol.chunks import plain_text, web_page
from ..protocol.errors import APIStatusError, DeepSeekError, Disconnected, IncompleteStream, ProtocolError
from ..protocol.events import Event, Finish, Heartbeat, ResponseStarted, Strategy
from ..protocol.sse import BodyKind, Comment, ServerSentEvent, SSEDecoder, kind_of_body
from ..text.characters import named
from ..text.messages import Message
from ..text.think_tags import ThinkTags
from .calls import HTTPAnswer, HTTPCall, Transport
from .hosts.endpoints import Endpoint
from .hosts.keys import mask

LARGEST_BODY_BYTES: Final = 64 * 2**20
"""The largest body that is read whole; an answer of 393,216 tokens has some 2 MiB."""
LARGEST_ERROR_BYTES: Final = 64 * 2**10
_TRACE_HEADERS: Final = ("x-ds-trace-id", "x-request-id", "x-siliconcloud-trace-id", "x-generation-id")
_LAST: Final = f"\n{DONE}".encode()
SEEN_IDS_MAX: Final = 4096


@dataclass(slots=True)
class StreamPosition:
    """How far a stream with event ids was read. ``last_id`` is None when it cannot be taken up again by its id:
    no ids, ids that not every event has, or none that may stand in a header."""

    completion_id: str | None = None
    last_id: str | None = None
    seen: dict[str, int] = field(default_factory=dict)
    broken: bool = False
    replayed: bool = False
    tags: ThinkTags = field(default_factory=ThinkTags)
    _newest: str = ""

    def repeats(self, id_: str, payload: str) -> bool:
        """Whether the event was read before: a proxy sent a piece of the stream twice.

        An event without an id of its own carries the one before it, so an equal id proves a repetition only after the
        ids have jumped back; and an id that comes back with other words is no repetition.
        """
        jumped = self.replayed or id_ != self._newest
        self.replayed = jumped and self.seen.get(id_) == hash(payload)
        return self.replayed

    def read(self, id_: str, payload: str) -> None:
        """An event was read; ``id_`` is "" when it had none."""
        if not id_ or id_ in self.seen or not (id_.isascii() and id_.isprintable()):
            self.last_id, self.broken = None, True
            return
        self.seen[id_] = hash(payload)
        self._newest = id_
        if len(self.seen) > SEEN_IDS_MAX:
            del self.seen[next(iter(self.seen))]
        if not self.broken:
            self.last_id = id_


class Attempting(Protocol):
    """One exchange, wherever it takes place; see ``Attempt``. ``late_s``: so long ago did happen what came out last."""

    answer: HTTPAnswer | None
    ending: Ending | None
    anomalies: list[str]
    late_s: float

    @property
    def finish_reason(self) -> str | None:
        """See ``Attempt``."""

    @property
    def retry_s(self) -> float | None:
        """See ``Attempt``."""

    def batches(self) -> AsyncGenerator[list[Event], None]:
        """See ``Attempt``."""


class Exchanges(Protocol):
    """Who makes the exchanges of a call that are not had by this process."""

    def exchange(
        self,
        call: HTTPCall,
        *,
        call_id: str,
        endpoint: Endpoint,
        strategy: Strategy,
        position: StreamPosition,
        watched: bool,
        on_answer: Callable[[HTTPAnswer, APIStatusError | None], None],
    ) -> Attempting:
        """One exchange, of a call without a key; ``call_id`` names the answer that it is a part of. ``watched``: somebody waits
        for each piece."""


class Attempt:
    """One exchange. ``ending`` is None until ``batches`` is over, and stays None when it was cancelled from outside.

    ``answer`` is there once the headers are. ``position`` is where the stream is, for one that could be taken up
    again; given one, the stream is expected to go on from there, and what it repeats is passed over. ``on_answer`` is
    told the headers, and with them the error when the status is one. ``anomalies`` names oddities that harmed nothing.
    """

    def __init__(
        self,
        transport: Transport,
        call: HTTPCall,
        *,
        strategy: Strategy = "first",
        position: StreamPosition | None = None,
        on_answer: Callable[[HTTPAnswer, APIStatusError | None], None] | None = None,
    ) -> None:
        self.answer: HTTPAnswer | None = None
        self.ending: Ending | None = None
        self.late_s = 0.0
        self.position = position if position is not None else StreamPosition()
        self._repeated = frozenset(self.position.seen) if strategy == "resume" else frozenset()
        self._transport = transport
        self._call = call
        self._strategy: Strategy = strategy
        self._on_answer = on_answer
        self._chat = ChatDecoder(self.position.tags)
        self._sse = SSEDecoder(objects=True)
        self.anomalies = self._sse.anomalies = self._chat.anomalies
        self._done = False
        self._ended = False
        self._diverged = False

    @property
    def finish_reason(self) -> str | None:
        """The provider's reason for the end, once it was read. Where text came after one, only ``[DONE]`` proves it; where
        it came inside a tool call, the proper end of the body does, too: models do write arguments that are no JSON."""
        chat = self._chat
        proven = self._done or not (chat.finish_was_early or (chat.finish_in_call and not self._ended))
        return chat.finish_reason if proven else None

    @property
    def retry_s(self) -> float | None:
        """The pause in seconds that the stream asked for before it is taken up again."""
        return None if self._sse.retry_ms is None else self._sse.retry_ms / 1000

    async def batches(self) -> AsyncGenerator[list[Event], None]:
        """The events, one list for each network read that brought any. Closing the generator closes the connection."""
        failure: DeepSeekError | None = None
        try:
            async with self._transport.open(self._call) as answer:
                await self._begin(answer)
                async with contextlib.aclosing(answer.chunks()) as chunks:
                    label = answer.headers.get("content-type", "")
                    data, kind = await _first_bytes(chunks, label)
                    if kind == "page":
                        raise web_page(data)
                    if kind == "json":
                        yield await self._whole(chunks, data)
                        data = b""
                    opening, heard = data, False
                    while data:
                        batch: list[Event] = []
                        try:
                            self._read(data, batch)
                        except (ProtocolError, APIStatusError) as error:
                            failure = error  # it counts only after what came before it was given out
                        if self._done:
                            batch += self._held_finish()
                        if batch:
                            heard = True
                            yield batch
                        if failure is not None or self._done or self._diverged:
                            break
                        data = await anext(chunks, b"")
                    if kind != "json" and not (failure or self._done or self._diverged):
                        if last := self._rest():
                            yield last
                        elif kind == "other" and not heard and "event-stream" not in label:
                            failure = plain_text(opening)  # in a stream, it is a line of a proxy that gave up
                if self._done and await answer.drain() is False:
                    self.anomalies.append("damaged_end")
        except DeepSeekError as error:
            failure = error
        self.ending = self._verdict(failure)

    async def _begin(self, answer: HTTPAnswer) -> None:
        """The headers are there. Raises the error of a status."""
        self.answer = answer
        refusal = None if 200 <= answer.status < 300 else await status_error_of(answer)
        # Who is told holds this in turn: of a ring nothing would go, the answer neither, before a collector looks for it.
        on_answer, self._on_answer = self._on_answer, None
        if on_answer is not None:
            on_answer(answer, refusal)
        if refusal is not None:
            raise refusal

    def _read(self, data: bytes, batch: list[Event]) -> None:
        """One network read → events. The hot path: everything that a token costs happens here."""
        payloads = self._sse.payloads(data)
        if payloads is None:
            self._read_each(self._sse.feed(data), batch)
            return
        if not self._chat.started:  # the first chunk says which response this is
            first, _, payloads = payloads.partition(b"\n")
            self._read_each([ServerSentEvent(data=self._sse.text(first))], batch)
        if self._done or self._diverged or not payloads:
            return
        done = payloads.endswith(_LAST)
        if self._chat.started and self._chat.decode_lines(payloads[: -len(_LAST)] if done else payloads, batch):
            if not self.position.broken:
                self.position.read("", "")
            self._done = done
        else:
            lines = payloads.split(b"\n")
            self._read_each([ServerSentEvent(data=self._sse.text(line)) for line in lines], batch)

    def _read_each(self, items: Sequence[ServerSentEvent | Comment], batch: list[Event]) -> None:
        """The events of a stream one by one: what has ids, comments, errors, or its first chunk."""
        for item in items:
            if isinstance(item, Comment):
                batch.append(Heartbeat(comment=item.text))
                continue
            payload = item.data
            if payload == DONE:
                self._done = True
                return
            if not payload or payload.isspace():
                continue
            if item.id in self._repeated:
                if self.position.seen.get(item.id) == hash(payload):
                    continue
                self._chat.decode(payload, name=item.event)  # an error, or garbage, in its place is raised
                self._diverged = True  # the ids of another run of the answer
                return
            if item.id and self.position.repeats(item.id, payload):
                if "events_repeated" not in self.anomalies:
                    self.anomalies.append("events_repeated")
                continue
            events = self._chat.decode(payload, name=item.event)
            self.position.read(item.id, payload)
            if events and type(events[0]) is ResponseStarted and self._is_another(events[0]):
                return
            batch += events

    def _is_another(self, started: ResponseStarted) -> bool:
        """Whether a stream that should go on turns out to be a new one."""
        known = self.position.completion_id
        self._diverged = self._strategy == "resume" and None not in (known, started.id) and known != started.id
        self.position.completion_id = started.id or known
        return self._diverged

    def _rest(self) -> list[Event]:
        """The last event of a stream that ended without the blank line after it, if its JSON proves it whole, and the
        finish that waited for the end."""
        batch: list[Event] = []
        with contextlib.suppress(ProtocolError):
            self._read_each(self._sse.close(), batch)
        if (batch or self._done) and "missing_blank_line" not in self.anomalies:
            self.anomalies.append("missing_blank_line")
        self._ended = True
        return batch + self._held_finish()

    def _held_finish(self) -> list[Event]:
        """The finish that only the end of the stream proves, which is there."""
        held = self._chat.finish_was_early or self._chat.finish_in_call
        return [Finish(reason=self.finish_reason)] if held and self.finish_reason is not None else []

    async def _whole(self, chunks: AsyncGenerator[bytes, None], beginning: bytes) -> list[Event]:
        """A host that answers in one piece although a stream was asked for; blank lines kept it alive until then."""
        body = (await read_all(chunks, LARGEST_BODY_BYTES, beginning)).strip()
        self.anomalies.append("not_a_stream")
        batch = self._chat.decode_whole(body)
        self._done = True
        return batch + self._held_finish()

    def _verdict(self, failure: DeepSeekError | None) -> Ending:
        if self._diverged:
            return Ending(kind="diverged", strategy=self._strategy)
        if self.finish_reason is not None:
            # The answer was whole before anything else happened.
            if not self._done:
                self.anomalies.append("missing_done")
            return Ending(kind="finished", strategy=self._strategy, finish_reason=self.finish_reason)
        if failure is None:
            said = Message("ended with [DONE]") if self._done else Message("ended")
            cut = IncompleteStream(
                Message("The stream {how} without a finish reason.", how=said), hint=Message("Ask again.")
            )
            return Ending(kind="cut", strategy=self._strategy, error=cut)
        if isinstance(failure, Disconnected) and self.answer is None:
            return Ending(kind="unreachable", strategy=self._strategy, error=failure)
        told = should_retry(self.answer.headers) if self.answer is not None else None
        return Ending.of(failure, strategy=self._strategy, should_retry=told)


async def _first_bytes(chunks: AsyncGenerator[bytes, None], label: str) -> tuple[bytes, BodyKind]:
    """The body as far as it takes to see what it is; the label counts where the bytes do not say."""
    data = b""
    while (kind := kind_of_body(data)) is None and (more := await anext(chunks, b"")):
        data += more
    return data, kind or ("json" if "json" in label else "stream")


async def read_all(chunks: AsyncGenerator[bytes, None], limit_bytes: int, beginning: bytes = b"") -> bytes:
    """A whole body, of which ``beginning`` was read. Raises ProtocolError when it is larger than ``limit_bytes``,
    TransportError when it breaks."""
    body = bytearray(beginning)
    async for data in chunks:
        body += data
        if len(body) > limit_bytes:
            raise ProtocolError(Message("The server sent an answer of more than {limit} bytes.", limit=limit_bytes))
    return bytes(body)


async def status_error_of(answer: HTTPAnswer) -> APIStatusError:
    """The error for an answer whose status is none of success. A body that breaks off explains what it can."""
    body = bytearray()
    with contextlib.suppress(DeepSeekError):
        async for data in answer.chunks():
            body += data
            if len(body) > LARGEST_ERROR_BYTES:
                break
    text = mask(bytes(body[:LARGEST_ERROR_BYTES]).decode("utf-8", "replace"))
    if 300 <= answer.status < 400 and "location" in answer.headers:
        text = mask(f"Location: {answer.headers['location'][:200]}")
    headers = {**headers_in_body(text), **answer.headers}
    return error_from_body(
        answer.status,
        text,
        retry_after_s=retry_after_s(headers, time.time()),
        trace_id=next((named(headers[name]) for name in _TRACE_HEADERS if name in headers), None),
    )
