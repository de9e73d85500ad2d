"""The source article's loop: ``requests``, blocking, a new connection for every call, lines and json."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import requests

from . import Answer, Ask, Target, body, content, headers

TITLE = "the article's requests loop"
PACKAGE = "requests"


def asking(post: Callable[..., Any], target: Target) -> Ask:
    """The loop, over ``requests.post`` or a session's."""

    async def ask(prompt: str) -> Answer:
        answer = Answer(keep=target.keep)
        with post(
            f"{target.base_url}/chat/completions",
            json=body(prompt),
            headers=headers(target),
            stream=True,
            timeout=(30, 120),
        ) as response:
            for line in response.iter_lines():
                if line.startswith(b"data: ") and line != b"data: [DONE]":
                    chunk = json.loads(line[6:])
                    answer.take(chunk, content(chunk))
        return answer.whole()

    return ask


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Ask]:
    yield asking(requests.post, target)
