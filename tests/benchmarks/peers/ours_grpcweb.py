"""deepseek-magic by gRPC-Web: ``ds.Client`` as it comes, through the Envoy."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from . import MODEL, Answer, Ask, Target
from .ours import client_of, took

TITLE = "deepseek-magic, gRPC-Web through an Envoy"
PACKAGE = None


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Ask]:
    async with client_of(target) as client:

        async def ask(prompt: str) -> Answer:
            answer, stream = Answer(keep=target.keep), client.stream(prompt, model=MODEL)
            async for batch in stream.batches():
                took(answer, batch)
            answer.chars = len(stream.completion.text)
            return answer

        yield ask
