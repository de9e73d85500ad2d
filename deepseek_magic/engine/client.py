"""The streaming loop: one request → events → completion.

A ``Client`` is what calls share (endpoint, key, connections); a ``Stream`` is one call. The loop asks an ``Attempt``
for what the wire brings and knows nothing of HTTP; it is the only place where an ending becomes a completion.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any, Self

import msgspec

from ..policy.deadlines import Happening, Timeouts
from ..policy.recovery import Ending, RecoveryPolicy
from ..protocol.chat import Prompt, Request
from ..protocol.completion import Accumulator, Completion
from ..protocol.errors import ConfigurationError, DeepSeekError, IncompleteStream, ReadTimeout
from ..protocol.events import AttemptStarted, Event, Finish, Heartbeat, ReasoningDelta, TextDelta, ToolCallDelta
from ..protocol.models import Model, resolve_model
from . import health
from .attempt import Attempt
from .endpoints import Endpoint, resolve
from .health import Balance, Health
from .keys import Key, find_key, mask
from .transport import HTTPCall, HTTPXTransport, Transport
from .watch import Watch

__all__ = ["Client", "Stream"]


class Client:
    """Calls to one endpoint with one key. Belongs to the loop on which it is used; close it with ``async with``.

    ``endpoint`` is a name, a base URL or an Endpoint. The key is looked for at the first call (see ``keys.find_key``)
    unless ``api_key`` gives it. Raises ConfigurationError for an unknown endpoint.
    """

    def __init__(
        self,
        endpoint: str | Endpoint | None = "deepseek",
        *,
        api_key: str | Key | None = None,
        recovery: RecoveryPolicy | None = None,
        timeouts: Timeouts | None = None,
        transport: Transport | None = None,
    ) -> None:
        self.endpoint = resolve(endpoint)
        self.recovery = recovery or RecoveryPolicy()
        self.timeouts = timeouts or Timeouts()
        self.transport: Transport = transport or HTTPXTransport()
        self._api_key = api_key
        self._key: Key | None = api_key if isinstance(api_key, Key) else None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        if isinstance(self.transport, HTTPXTransport):
            await self.transport.aclose()

    @property
    def key(self) -> Key | None:
        """The key in use. Raises MissingKey when the endpoint needs one and there is none."""
        if self._key is None:
            explicit = self._api_key.reveal() if isinstance(self._api_key, Key) else self._api_key
            self._key = find_key(self.endpoint, explicit=explicit)
        return self._key

    def stream(self, prompt: Prompt, **options: Any) -> Stream:
        """Begin a call; nothing is sent before the stream is iterated. ``options`` as in ``protocol.options``.

        Raises ConfigurationError for options that do not exist or are out of bounds, and MissingKey.
        """
        return Stream(self, self.request(prompt, **options), self.key)

    async def complete(self, prompt: Prompt, **options: Any) -> Completion:
        """The whole answer. Raises the DeepSeekError that ended the call; its ``completion`` has what had arrived."""
        stream = self.stream(prompt, **options)
        async with contextlib.aclosing(stream):
            async for _ in stream.batches():
                pass
        return stream.completion

    def request(self, prompt: Prompt, **options: Any) -> Request:
        """The request as this endpoint is sent it: with a model, and DeepSeek's old model names translated."""
        request = Request.of(prompt, **options)
        given = request.options.get("model") or self.endpoint.default_model
        if given is None:
            raise ConfigurationError(
                f"{self.endpoint.title} needs to know which model.", hint="Name one with -m (model=)."
            )
        if self.endpoint.continuing != "deepseek_prefix":
            return dataclasses.replace(request, options=request.options.replace(model=given))
        model = resolve_model(given)
        think = request.options.get("think") or model.think
        return dataclasses.replace(request, options=request.options.replace(model=model.id, think=think))

    async def models(self) -> list[Model]:
        """The models that the server lists."""
        return await health.models(self.transport, self.endpoint, self.key)

    async def balance(self) -> Balance:
        """The account's balance. Raises ConfigurationError where the endpoint has none."""
        return await health.balance(self.transport, self.endpoint, self.key)

    async def check(self) -> Health:
        """Name, connection, TLS, first byte, models and balance, each timed, on a connection of its own."""
        return await health.check(self.endpoint, lambda: self.key)

    async def warm_up(self) -> float | None:
        """Connect before anything is asked, so that the first call finds a connection. Its seconds, if one was made."""
        if isinstance(self.transport, HTTPXTransport):
            return await self.transport.warm_up(self.endpoint.base_url)
        return None


class Stream:
    """One call: an asynchronous iterator of events, or by ``batches`` of lists of events, a network read at a time.

    Iteration raises the DeepSeekError that ended the call; its ``completion`` is the partial one. ``aclose`` is the
    user's Stop. Cancelling the consumer's task closes the connection as well.
    """

    def __init__(self, client: Client, request: Request, key: Key | None) -> None:
        self.request = request
        self._client = client
        self._key = key
        self._answer = Accumulator(request)
        self._completion: Completion | None = None
        self._watch: Watch | None = None
        self._anomalies: list[str] = []
        self._over = asyncio.Event()
        self._source = self._run()
        self._ready: Iterator[Event] = iter(())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while (event := next(self._ready, None)) is None:
            self._ready = iter(await anext(self._source))
        return event

    def batches(self) -> AsyncIterator[list[Event]]:
        """The events in lists, as they arrive: the fast way."""
        return self._source

    async def run(self, put: Callable[[list[Event]], None]) -> Completion:
        """Hand every batch to ``put`` and return the completion, which has the error instead of raising it."""
        with contextlib.suppress(DeepSeekError):
            async for batch in self._source:
                put(batch)
        return self.completion

    @property
    def completion(self) -> Completion:
        """What the call amounts to, once it is over, also after an error or a Stop. Raises RuntimeError before."""
        if self._completion is None:
            raise RuntimeError("the stream has not ended yet")
        return self._completion

    async def aclose(self) -> None:
        """Stop: close the connection, keep what has arrived; the outcome is "interrupted" if it was still running.

        May be called from any task of the loop, also while another one waits for the next event.
        """
        if self._watch is not None and self._watch.working:
            self._watch.stop()
            await self._over.wait()
            return
        await self._source.aclose()
        if self._completion is None:
            self._end(interrupted=True)

    async def _run(self) -> AsyncGenerator[list[Event], None]:
        watch = self._watch = Watch(self._client.timeouts)
        watch.enter()
        try:
            start: list[Event] = [AttemptStarted(attempt=1, endpoint=self._client.endpoint.name)]
            self._take(start)
            watch.leave()
            yield start
            watch.enter()
            attempt = Attempt(self._client.transport, self._call(self.request))
            watch.told("sent")
            try:
                async with contextlib.aclosing(attempt.batches()) as batches:
                    async for batch in batches:
                        self._take(batch)
                        watch.leave()
                        yield batch
                        watch.enter()
                ending = attempt.ending
            except asyncio.CancelledError:
                if not watch.claims():
                    raise
                ending = self._cut_off(watch, attempt)
            assert ending is not None
            self._anomalies += attempt.anomalies
            self._settle(ending)
        except BaseException:
            if self._completion is None:
                self._end(interrupted=True)
            raise
        finally:
            watch.close()
            self._over.set()

    def _take(self, batch: list[Event]) -> None:
        """Fold a batch into the answer, and move the deadlines by what it brought."""
        add = self._answer.add
        for event in batch:
            add(event)
        assert self._watch is not None
        self._watch.told(_happening(batch))

    def _cut_off(self, watch: Watch, attempt: Attempt) -> Ending:
        if watch.stopped:
            return Ending(kind="stopped")
        if attempt.finish_reason is not None:
            attempt.anomalies.append("missing_done")
            return Ending(kind="finished", finish_reason=attempt.finish_reason)
        assert watch.passed is not None
        return Ending.of(ReadTimeout(watch.passed.why, deadline=watch.passed.name, hint="Ask again."))

    def _settle(self, ending: Ending) -> None:
        """The end of the call. Raises its error."""
        if ending.kind == "stopped":
            self._end(interrupted=True)
            return
        error = ending.error
        if ending.kind == "finished":
            if self._answer.completion().outcome != "incomplete":
                self._end()
                return
            what = "no answer in it" if ending.finish_reason in ("stop", "tool_calls") else ending.finish_reason
            error = IncompleteStream(f"The answer ended before it was whole ({what}).", hint="Ask again.")
        assert error is not None
        error.message = mask(error.message)
        error.args = (error.message,)
        self._end(error=error)
        raise error

    def _end(self, *, interrupted: bool = False, error: DeepSeekError | None = None) -> None:
        self._completion = self._answer.completion(
            interrupted=interrupted, error=error, anomalies=tuple(self._anomalies)
        )
        if error is not None:
            error.completion = self._completion

    def _call(self, request: Request) -> HTTPCall:
        try:
            body = msgspec.json.encode(request.body())
        except (UnicodeEncodeError, TypeError) as error:
            raise ConfigurationError(f"The request cannot be written as JSON: {error}.") from None
        timeouts = self._client.timeouts
        return HTTPCall(
            method="POST",
            url=self._client.endpoint.chat_url,
            headers={"accept": "text/event-stream", "content-type": "application/json"},
            body=body,
            key=self._key,
            connect_s=timeouts.connect_s,
            read_s=timeouts.read_s,
        )


def _happening(batch: list[Event]) -> Happening:
    """What a batch is evidence for: its end or its last piece of answer, else any data, else a sign of life."""
    found: Happening = "comment"
    for event in reversed(batch):
        kind = type(event)
        if kind is TextDelta:
            return "text"
        if kind is ReasoningDelta:
            return "reasoning"
        if kind is ToolCallDelta:
            return "tool"
        if kind is Finish:
            return "finish"
        if kind is not Heartbeat:
            found = "payload"
    return found
