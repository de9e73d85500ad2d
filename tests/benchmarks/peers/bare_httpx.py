"""httpx with nothing done to the bytes: the floor for everything that stands on it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from . import Answer, Ask, Target, body, headers

TITLE = "bare httpx (nothing decoded)"
PACKAGE = "httpx"


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Ask]:
    limits = httpx.Limits(max_connections=target.most or 100, max_keepalive_connections=20)
    async with httpx.AsyncClient(
        base_url=target.base_url, headers=headers(target), timeout=120, limits=limits
    ) as client:

        async def ask(prompt: str) -> Answer:
            answer = Answer(keep=target.keep)
            async with client.stream("POST", "/chat/completions", json=body(prompt)) as response:
                response.raise_for_status()
                async for data in response.aiter_bytes():
                    answer.begun()
                    if answer.keep:
                        answer.kept.append(data)
            return answer

        yield ask
