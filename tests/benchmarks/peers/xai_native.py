"""xAI's own client, async: gRPC over HTTP/2, since it speaks nothing else, so there is no proxy before its server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import xai_sdk
from xai_sdk.chat import user

from . import KEY, MODEL, Answer, Ask, Target

TITLE = "xai-sdk (async), native gRPC"
PACKAGE = "xai-sdk"


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Ask]:
    client = xai_sdk.AsyncClient(api_key=KEY, api_host=target.base_url, use_insecure_channel=True)

    async def ask(prompt: str) -> Answer:
        answer = Answer(keep=target.keep)
        async for _, chunk in client.chat.create(model=MODEL, messages=[user(prompt)]).stream():
            answer.take(chunk, chunk.content)
        return answer.whole()

    yield ask
    await client.close()
