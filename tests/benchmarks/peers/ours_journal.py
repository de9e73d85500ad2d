"""The same with the journal, written while it streams."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deepseek_magic.engine.journal import Journal

from . import Answer, Ask, Target
from .ours import client_of, took

TITLE = "deepseek-magic, with the journal"
PACKAGE = None


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Ask]:
    journal = Journal()
    async with client_of(target) as client:

        async def ask(prompt: str) -> Answer:
            answer = Answer()
            stream = client.stream(prompt)
            journal.begin(stream.call_id, stream.request, client.endpoint.name)
            async for batch in stream.batches():
                journal.append(stream.call_id, batch)
                took(answer, batch, target)
            journal.end(stream.call_id, stream.completion, stream.completion.record)
            answer.chars = len(stream.completion.text)
            return answer

        yield ask
    journal.close()
