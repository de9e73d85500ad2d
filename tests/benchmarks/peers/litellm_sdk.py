"""litellm: ``acompletion(stream=True)``. It would fetch its price list from the internet; here it may not."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

from . import KEY, MODEL, Answer, Ask, Target

TITLE = "litellm"
PACKAGE = "litellm"
litellm.telemetry = False


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Ask]:
    encoding = {"Accept-Encoding": "gzip" if target.gzip else "identity"}

    async def ask(prompt: str) -> Answer:
        answer = Answer(keep=target.keep)
        stream = await litellm.acompletion(
            model=f"deepseek/{MODEL}",
            messages=[{"role": "user", "content": prompt}],
            api_base=target.base_url,
            api_key=KEY,
            stream=True,
            extra_headers=encoding,
        )
        async for chunk in stream:
            answer.take(chunk, chunk.choices[0].delta.content if chunk.choices else None)
        return answer.whole()

    yield ask
