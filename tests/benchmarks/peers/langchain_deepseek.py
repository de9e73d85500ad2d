"""langchain-deepseek: ``ChatDeepSeek.astream``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from langchain_deepseek import ChatDeepSeek

from . import KEY, MODEL, Answer, Ask, Target

TITLE = "langchain-deepseek"
PACKAGE = "langchain-deepseek"


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Ask]:
    encoding = {"Accept-Encoding": "gzip" if target.gzip else "identity"}
    model = ChatDeepSeek(model=MODEL, api_key=KEY, api_base=target.base_url, default_headers=encoding)

    async def ask(prompt: str) -> Answer:
        answer = Answer(keep=target.keep)
        async for message in model.astream(prompt):
            answer.take(message, message.content)
        return answer.whole()

    yield ask
