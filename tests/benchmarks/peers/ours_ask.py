"""``ds.aask``: the session, the journal and the bridge from the engine's thread to the caller's loop."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import deepseek_magic as ds

from . import KEY, Answer, Ask, Target

TITLE = "ds.aask, everything on"
PACKAGE = None


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Ask]:
    os.environ["DEEPSEEK_BASE_URL"] = target.base_url

    async def ask(prompt: str) -> Answer:
        completion = await ds.aask(prompt, api_key=KEY)
        return Answer(chars=len(completion.text))

    yield ask
