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
        answer, text = Answer(), []
        async for message in model.astream(prompt):
            if message.content:
                answer.begun()
                text.append(message.content)
            if target.keep:
                answer.kept.append(message)
        answer.chars = len("".join(text))
        return answer

    yield ask
