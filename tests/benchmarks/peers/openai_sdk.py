"""The official client of the API's dialect, async."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import openai

from . import KEY, MODEL, Answer, Ask, Target

TITLE = "openai (async)"
PACKAGE = "openai"


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Ask]:
    encoding = {"Accept-Encoding": "gzip" if target.gzip else "identity"}
    # Of itself it makes up to a thousand connections.
    own = {"limits": httpx.Limits(max_connections=target.most)} if target.most else {}
    inner = openai.DefaultAsyncHttpxClient(**own)
    async with openai.AsyncOpenAI(
        base_url=target.base_url, api_key=KEY, default_headers=encoding, http_client=inner
    ) as client:

        async def ask(prompt: str) -> Answer:
            answer = Answer(keep=target.keep)
            stream = await client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": prompt}], stream=True
            )
            async for chunk in stream:
                answer.take(chunk, chunk.choices[0].delta.content if chunk.choices else None)
            return answer.whole()

        yield ask
