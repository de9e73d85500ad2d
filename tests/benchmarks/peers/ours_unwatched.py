"""deepseek-magic as sweeps use it: nobody watches the words come."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import deepseek_magic as ds
from deepseek_magic.engine.calls import UNREAD_S
from deepseek_magic.protocol.chat import Request

from . import Answer, Ask, Target
from .ours import client_of, took

TITLE = "deepseek-magic, nobody watches"
PACKAGE = None


def asking(client: ds.Client, target: Target) -> Ask:
    """A consumer that wants the whole answer."""

    async def ask(prompt: str) -> Answer:
        answer = Answer(keep=target.keep)
        stream = client.begin(client.addressed(Request.of(prompt)), unread_s=UNREAD_S)
        async for batch in stream.batches():
            took(answer, batch)
        answer.chars = len(stream.completion.text)
        return answer

    return ask


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Ask]:
    async with client_of(target) as client:
        yield asking(client, target)
