"""chatlas: ``parallel_chat_text``, whose result is a list. It keeps nothing on disk and scores nothing.

It begins no more than ``rpm`` requests a minute, 500 unless told; that would be all that is measured.
"""

from __future__ import annotations

import asyncio

from chatlas import ChatOpenAICompletions, parallel_chat_text

from ... import peers
from ..work import Work

EVERYTHING = 1_000_000


def run(work: Work) -> list[str | None]:
    chat = ChatOpenAICompletions(base_url=work.base_url, api_key=peers.KEY, model=peers.MODEL)
    asked = parallel_chat_text(chat, work.questions, max_active=work.at_once, rpm=EVERYTHING, on_error="continue")
    return [answer if isinstance(answer, str) else None for answer in asyncio.run(asked)]
