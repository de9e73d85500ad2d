"""Events that arrive in batches, and the three ways to take them: one by one, a batch at a time, or pushed.

What makes the batches is another matter: one endpoint's stream, or several endpoints' in order.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Self

from ..protocol.completion import Completion
from ..protocol.errors import DeepSeekError
from ..protocol.events import Event


class Batched(ABC):
    """One call: an asynchronous iterator of events, or by ``batches`` of lists of events, a network read at a time.

    Iteration raises the DeepSeekError that ended the call; its ``completion`` is the partial one. ``aclose`` is the
    user's Stop. Cancelling the consumer's task closes the connection as well. A ``Seam`` among the events says which
    text is void from then on; without one, nothing that was given out is ever taken back.
    """

    def __init__(self) -> None:
        self._source = self._run()
        self._ready: Iterator[Event] = iter(())

    @abstractmethod
    def _run(self) -> AsyncGenerator[list[Event], None]: ...

    @property
    @abstractmethod
    def completion(self) -> Completion:
        """What the call amounts to, once it is over, also after an error or a Stop. Raises RuntimeError before."""

    @abstractmethod
    async def aclose(self) -> None:
        """Stop: close the connection, keep what has arrived; the outcome is "interrupted" if it was still running.

        May be called from any task of the loop, also while another one waits for the next event.
        """

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
