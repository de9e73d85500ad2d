"""The same with the journal, written while it streams, as the session writes it for sweeps."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from . import Ask, Target
from .ours import client_of
from .ours_journal import Kept
from .ours_unwatched import asking

TITLE = "deepseek-magic, nobody watches, with the journal"
PACKAGE = None


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Ask]:
    keeper = Kept()
    async with client_of(target, keeper) as client:
        yield asking(client, target)
    keeper.journal.close()
