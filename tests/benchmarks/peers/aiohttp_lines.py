"""aiohttp, lines and json: another HTTP client, read as its documentation reads a stream."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from . import Answer, Ask, Target, body, content, headers

TITLE = "aiohttp + json"
PACKAGE = "aiohttp"


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Ask]:
    connector = aiohttp.TCPConnector(limit=target.most or 100)
    timeout = aiohttp.ClientTimeout(total=None, sock_read=120)
    async with aiohttp.ClientSession(connector=connector, headers=headers(target), timeout=timeout) as session:

        async def ask(prompt: str) -> Answer:
            answer = Answer(keep=target.keep)
            url = f"{target.base_url}/chat/completions"
            async with session.post(url, json=body(prompt), raise_for_status=True) as response:
                async for line in response.content:
                    if line.startswith(b"data: ") and not line.startswith(b"data: [DONE]"):
                        chunk = json.loads(line[6:])
                        answer.take(chunk, content(chunk))
            return answer.whole()

        yield ask
