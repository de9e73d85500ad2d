"""deepseek-magic: ``ds.Client`` as it comes, with verdict, metrics, limiter and recovery on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import deepseek_magic as ds
from deepseek_magic.engine.stream import Keeper
from deepseek_magic.engine.transport import HTTPXTransport
from deepseek_magic.protocol.events import Event, TextDelta

from . import KEY, Answer, Ask, Target

TITLE = "deepseek-magic"
PACKAGE = None
AT_ONCE = 64


@asynccontextmanager
async def client_of(target: Target, keeper: Keeper | None = None) -> AsyncIterator[ds.Client]:
    """A client that is not held back by its own limit of four requests at once."""
    transport = HTTPXTransport(gzip=target.gzip)
    limits = ds.LimitPolicy(concurrency=target.most or AT_ONCE)
    async with ds.Client(target.base_url, api_key=KEY, transport=transport, limits=limits, keeper=keeper) as client:
        yield client


def took(answer: Answer, batch: list[Event]) -> None:
    """What a consumer does with a batch."""
    if answer.first_s is None and any(type(event) is TextDelta for event in batch):
        answer.begun()
    if answer.keep:
        answer.kept += batch


def asking(client: ds.Client, target: Target) -> Ask:
    """A consumer that takes a network read at a time."""

    async def ask(prompt: str) -> Answer:
        answer, stream = Answer(keep=target.keep), client.stream(prompt)
        async for batch in stream.batches():
            took(answer, batch)
        answer.chars = len(stream.completion.text)
        return answer

    return ask


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Ask]:
    async with client_of(target) as client:
        yield asking(client, target)
