"""What calls share: a server, a key, connections, limits; and the questions one asks besides chatting."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Callable
from typing import Any, Self

from ..policy.attempts import Abilities, RecoveryPolicy
from ..policy.deadlines import Timeouts
from ..policy.limits import LimitPolicy
from ..policy.pricing import cost_of
from ..protocol.chat import Prompt, Request
from ..protocol.completion import Completion
from ..protocol.errors import ConfigurationError
from ..protocol.models import Model, resolve_model
from . import health
from .endpoints import Endpoint, resolve
from .gate import gate_of
from .health import Balance, Health
from .keys import Key, find_key
from .segment import Terms
from .stream import Stream
from .transport import HTTPXTransport, Transport

__all__ = ["Client"]


class Client:
    """Calls to one endpoint with one key. Belongs to the loop on which it is used; close it with ``async with``.

    ``endpoint`` is a name, a base URL or an Endpoint. The key is looked for at the first call (see ``keys.find_key``)
    unless ``api_key`` gives it. ``rewind`` is false for a consumer that can never take text back: then an answer goes
    on behind its last character or not at all. ``chance`` spreads waits. Raises ConfigurationError for an unknown
    endpoint.
    """

    def __init__(
        self,
        endpoint: str | Endpoint | None = "deepseek",
        *,
        api_key: str | Key | None = None,
        recovery: RecoveryPolicy | None = None,
        limits: LimitPolicy | None = None,
        timeouts: Timeouts | None = None,
        transport: Transport | None = None,
        rewind: bool = True,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.endpoint = resolve(endpoint)
        self.recovery = recovery or RecoveryPolicy()
        self.limits = limits or LimitPolicy()
        self.timeouts = timeouts or Timeouts()
        self.transport: Transport = transport or HTTPXTransport()
        self.rewind = rewind
        self._chance = chance
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

    def stream(
        self,
        prompt: Prompt,
        *,
        continue_on_length: bool | None = None,
        recovery: RecoveryPolicy | None = None,
        **options: Any,
    ) -> Stream:
        """Begin a call; nothing is sent before the stream is iterated. ``options`` as in ``protocol.options``.

        ``recovery`` replaces the client's policy for this call, ``continue_on_length`` that part of it. Raises ConfigurationError
        for options that do not exist or are out of bounds, and MissingKey.
        """
        return Stream(self.request(prompt, **options), self._terms(continue_on_length, recovery))

    def resume(
        self,
        before: Completion,
        *,
        continue_on_length: bool | None = None,
        recovery: RecoveryPolicy | None = None,
        **options: Any,
    ) -> Stream:
        """Go on with an answer that was stopped, broke off or reached its length; the completion will be the whole.

        ``options`` replace those of its request; its usage and cost are those of the new call alone. Raises
        ConfigurationError when the answer is complete or cannot be gone on from.
        """
        return Stream(self.request(before.request, **options), self._terms(continue_on_length, recovery), before)

    def can(self, request: Request) -> Abilities:
        """How an answer to ``request`` may be gone on from at this endpoint."""
        return self._terms().can(request)

    def _terms(self, continue_on_length: bool | None = None, recovery: RecoveryPolicy | None = None) -> Terms:
        key, recovery = self.key, recovery or self.recovery
        if continue_on_length is not None:
            recovery = dataclasses.replace(recovery, continue_on_length=continue_on_length)
        return Terms(
            endpoint=self.endpoint,
            key=key,
            transport=self.transport,
            gate=gate_of(self.endpoint.base_url, key, self.limits),
            recovery=recovery,
            timeouts=self.timeouts,
            rewind=self.rewind,
            price=cost_of if self.endpoint.is_priced else None,
            chance=self._chance,
        )

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
