"""Our transport and readers alone, as fast as they are in the engine: no recovery, no deadlines, no limiter, no metrics,
no journal."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deepseek_magic.engine.attempt import Attempt
from deepseek_magic.engine.hosts.keys import Key
from deepseek_magic.engine.transport import HTTPCall, HTTPXTransport
from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.completion import Accumulator

from . import KEY, Answer, Ask, Target, body

TITLE = "deepseek-magic, transport and readers alone"
PACKAGE = None


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Ask]:
    transport = HTTPXTransport(gzip=target.gzip)

    async def ask(prompt: str) -> Answer:
        call = HTTPCall(
            method="POST",
            url=f"{target.base_url}/chat/completions",
            headers={"content-type": "application/json"},
            body=json.dumps(body(prompt)).encode(),
            key=Key(KEY, source="the benchmark"),
        )
        answer, result = Answer(), Accumulator(Request.of(prompt))
        async for batch in Attempt(transport, call).batches():
            for event in batch:
                result.add(event)
            answer.begun()
        answer.chars = len(result.completion().text)
        return answer

    yield ask
    await transport.aclose()
