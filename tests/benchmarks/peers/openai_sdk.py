"""The official client of the API's dialect, async."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import openai

from . import KEY, MODEL, Answer, Ask, Target

TITLE = "openai (async)"
PACKAGE = "openai"


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Ask]:
    encoding = {"Accept-Encoding": "gzip" if target.gzip else "identity"}
    async with openai.AsyncOpenAI(base_url=target.base_url, api_key=KEY, default_headers=encoding) as client:

        async def ask(prompt: str) -> Answer:
            answer = Answer(keep=target.keep)
            stream = await client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": prompt}], stream=True
            )
            async for chunk in stream:
                answer.take(chunk, chunk.choices[0].delta.content if chunk.choices else None)
            return answer.whole()

        yield ask
