"""Our transport and readers alone: no recovery, no deadlines, no limiter, no metrics, no journal."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deepseek_magic.engine.keys import Key
from deepseek_magic.engine.transport import HTTPCall, HTTPXTransport
from deepseek_magic.protocol.chat import ChatDecoder, Request
from deepseek_magic.protocol.completion import Accumulator
from deepseek_magic.protocol.sse import ServerSentEvent, SSEDecoder

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
        answer, read, decode = Answer(), SSEDecoder().feed, ChatDecoder().decode
        result = Accumulator(Request.of(prompt))
        add = result.add
        async with transport.open(call) as response:
            async for data in response.chunks():
                for item in read(data):
                    if isinstance(item, ServerSentEvent) and item.data != "[DONE]":
                        for event in decode(item.data):
                            add(event)
                answer.begun()
        answer.chars = len(result.completion().text)
        return answer

    yield ask
    await transport.aclose()
