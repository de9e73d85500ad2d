"""httpx-sse and json: the usual recipe of those who need no SDK."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from httpx_sse import aconnect_sse

from . import Answer, Ask, Target, body, content, headers

TITLE = "httpx-sse + json"
PACKAGE = "httpx-sse"


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Ask]:
    async with httpx.AsyncClient(base_url=target.base_url, headers=headers(target), timeout=120) as client:

        async def ask(prompt: str) -> Answer:
            answer = Answer(keep=target.keep)
            async with aconnect_sse(client, "POST", "/chat/completions", json=body(prompt)) as source:
                async for event in source.aiter_sse():
                    if event.data == "[DONE]":
                        break
                    chunk = json.loads(event.data)
                    answer.take(chunk, content(chunk))
            return answer.whole()

        yield ask
