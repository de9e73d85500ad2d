"""The same with the journal, written while it streams, as the session writes it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deepseek_magic.engine.journal.reader import Journal
from deepseek_magic.engine.stream import Stream
from deepseek_magic.protocol.events import Event

from . import Ask, Target
from .ours import asking, client_of

TITLE = "deepseek-magic, with the journal"
PACKAGE = None


class Kept:
    """See ``engine.stream.Keeper``."""

    def __init__(self) -> None:
        self.journal = Journal()

    def began(self, stream: Stream) -> None:
        self.journal.begin(stream.call_id, stream.request, stream.terms.endpoint.name)

    def taken(self, stream: Stream) -> None: ...

    def brought(self, stream: Stream, events: list[Event]) -> None:
        self.journal.append(stream.call_id, events)

    def ended(self, stream: Stream) -> None:
        self.journal.end(stream.call_id, stream.completion, stream.completion.record)


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Ask]:
    keeper = Kept()
    async with client_of(target, keeper) as client:
        yield asking(client, target)
    keeper.journal.close()
