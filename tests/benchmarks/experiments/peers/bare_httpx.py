"""httpx, a few coroutines and a list: no journal, no score, no table, no second try; nothing done to the bytes."""

from __future__ import annotations

import asyncio

import httpx

from ... import peers
from ..work import Work

DECODES = False


def run(work: Work) -> list[str | None]:
    return asyncio.run(_run(work))


async def _run(work: Work) -> list[str | None]:
    answers: list[str | None] = [None] * work.trials
    left = iter(enumerate(work.questions))
    headers = {"Authorization": f"Bearer {peers.KEY}"}

    async with httpx.AsyncClient(base_url=work.base_url, headers=headers, timeout=120) as client:

        async def one_after_another() -> None:
            for place, question in left:
                last = b""
                try:
                    async with client.stream("POST", "/chat/completions", json=peers.body(question)) as response:
                        async for data in response.aiter_bytes():
                            last = (last + data)[-32:]
                except httpx.HTTPError:
                    continue
                if response.status_code == 200 and last.rstrip().endswith(b"[DONE]"):
                    answers[place] = ""

        await asyncio.gather(*(one_after_another() for _ in range(work.at_once)))
    return answers
