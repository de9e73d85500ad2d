"""One exchange: a call goes out, batches of events come back, and a value says how it ended.

What to do about the ending is decided elsewhere. So nothing here is repeated, and nothing that the API or the network
does is raised: it is the ending.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from ..policy.recovery import Ending
from ..protocol.chat import DONE, ChatDecoder, error_from_body
from ..protocol.errors import APIStatusError, DeepSeekError, Disconnected, IncompleteStream, ProtocolError
from ..protocol.events import Event, Finish, Heartbeat, Strategy
from ..protocol.sse import Comment, SSEDecoder
from .keys import mask
from .transport import HTTPAnswer, HTTPCall, Transport

__all__ = ["LARGEST_BODY_BYTES", "Attempt", "read_all", "status_error_of"]

LARGEST_BODY_BYTES: Final = 64 * 2**20
"""The largest body that is read whole; an answer of 393,216 tokens has some 2 MiB."""
LARGEST_ERROR_BYTES: Final = 64 * 2**10
_TRACE_HEADERS: Final = ("x-ds-trace-id", "x-request-id", "x-siliconcloud-trace-id", "x-generation-id")


class Attempt:
    """One exchange. ``ending`` is None until ``batches`` is over, and stays None when it was cancelled from outside.

    ``answer`` is there once the headers are; ``last_event_id`` is the last one committed, "" when the stream has none.
    ``anomalies`` names oddities that harmed nothing.
    """

    def __init__(self, transport: Transport, call: HTTPCall, *, strategy: Strategy = "first") -> None:
        self.answer: HTTPAnswer | None = None
        self.ending: Ending | None = None
        self.anomalies: list[str] = []
        self.finish_reason: str | None = None
        self._transport = transport
        self._call = call
        self._strategy: Strategy = strategy
        self._chat = ChatDecoder()
        self._sse = SSEDecoder()
        self._done = False

    @property
    def last_event_id(self) -> str:
        """The id by which the stream could be taken up again."""
        return self._sse.last_event_id

    @property
    def retry_ms(self) -> int | None:
        """The pause that the stream asked for before it is taken up again."""
        return self._sse.retry_ms

    async def batches(self) -> AsyncGenerator[list[Event], None]:
        """The events, one list for each network read that brought any. Closing the generator closes the connection."""
        failure: DeepSeekError | None = None
        try:
            async with self._transport.open(self._call) as answer:
                self.answer = answer
                if not 200 <= answer.status < 300:
                    raise await status_error_of(answer)
                kind = answer.headers.get("content-type", "")
                batches = self._whole(answer) if "json" in kind else self._stream(answer, kind)
                async with contextlib.aclosing(batches):
                    async for batch in batches:
                        yield batch
                if self._done:
                    await answer.drain()
        except DeepSeekError as error:
            failure = error
        self.ending = self._verdict(failure)

    async def _stream(self, answer: HTTPAnswer, kind: str) -> AsyncGenerator[list[Event], None]:
        if "html" in kind:
            raise ProtocolError(
                f"The server answered with {kind.partition(';')[0]} instead of a stream.",
                hint="Check the base URL: a web page is answering there.",
            )
        async for data in answer.chunks():
            batch: list[Event] = []
            failure: DeepSeekError | None = None
            try:
                self._read(data, batch)
            except (ProtocolError, APIStatusError) as error:
                failure = error  # raised only after what came before it was given out
            if batch:
                yield batch
            if failure is not None:
                raise failure
            if self._done:
                return

    def _read(self, data: bytes, batch: list[Event]) -> None:
        """One network read → events. The hot path: everything that a token costs happens here."""
        decode = self._chat.decode
        for item in self._sse.feed(data):
            if isinstance(item, Comment):
                batch.append(Heartbeat(comment=item.text))
                continue
            payload = item.data
            if payload == DONE:
                self._done = True
                return
            if item.event == "error":
                raise error_from_body(200, payload)
            if not payload or payload.isspace():
                continue
            batch += decode(payload)
            if batch and type(batch[-1]) is Finish:
                self.finish_reason = batch[-1].reason

    async def _whole(self, answer: HTTPAnswer) -> AsyncGenerator[list[Event], None]:
        """A host that answers in one piece although a stream was asked for; blank lines kept it alive until then."""
        body = (await read_all(answer, LARGEST_BODY_BYTES)).strip()
        self.anomalies.append("not_a_stream")
        batch = self._chat.decode(body)
        self.finish_reason = next((e.reason for e in batch if isinstance(e, Finish)), None)
        self._done = True
        yield batch

    def _verdict(self, failure: DeepSeekError | None) -> Ending:
        if self.finish_reason is not None:
            # The answer was whole before anything else happened.
            if not self._done:
                self.anomalies.append("missing_done")
            return Ending(kind="finished", strategy=self._strategy, finish_reason=self.finish_reason)
        if failure is None:
            said = "said that it was done" if self._done else "ended"
            cut = IncompleteStream(f"The stream {said} without a reason to finish the answer.", hint="Ask again.")
            return Ending(kind="cut", strategy=self._strategy, error=cut)
        if isinstance(failure, Disconnected) and self.answer is None:
            return Ending(kind="unreachable", strategy=self._strategy, error=failure)
        return Ending.of(failure, strategy=self._strategy, should_retry=self._should_retry())

    def _should_retry(self) -> bool | None:
        said = self.answer.headers.get("x-should-retry", "") if self.answer is not None else ""
        return {"true": True, "false": False}.get(said.strip().lower())


async def read_all(answer: HTTPAnswer, limit_bytes: int) -> bytes:
    """The whole body. Raises ProtocolError when it is larger than ``limit_bytes``, TransportError when it breaks."""
    body = bytearray()
    async for data in answer.chunks():
        body += data
        if len(body) > limit_bytes:
            raise ProtocolError(f"The server sent an answer of more than {limit_bytes} bytes.")
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
    if 300 <= answer.status < 400:
        text = f"moved to {answer.headers.get('location', 'another address')[:200]}"
    headers = answer.headers
    return error_from_body(
        answer.status,
        text,
        retry_after_s=_retry_after_s(headers, datetime.now(UTC)),
        trace_id=next((headers[name] for name in _TRACE_HEADERS if name in headers), None),
    )


def _retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """What the server asks to wait, in seconds; the variants in milliseconds win. None when it does not say."""
    for name, unit_s in (("retry-after-ms", 0.001), ("x-ms-retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        with contextlib.suppress(ValueError):
            return max(0.0, float(text) * unit_s)
    text = headers.get("retry-after", "")
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (TypeError, ValueError):
        return None
