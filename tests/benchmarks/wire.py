"""What is asked of the benchmark's server, and the bytes it answers with: chunks as DeepSeek writes them.

The prompt says which answer is wanted (``Ask.prompt``), so that one base URL serves every row and no peer has to know
more than how to send a prompt. Everything is made once and kept: serving costs a write, no more.
"""

from __future__ import annotations

import functools
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Final

BLOCK: Final = 1000
"""Frames are made and kept so many at a time; longer answers repeat them."""
_SYLLABLES: Final = (" to", "ken", " is", " on", "ly ", "wor", "th ", "its", " ti", "me ")
"""Not one token again and again: litellm takes that for a model that hangs."""
_PROSE: Final = (
    "### Step @: the mean\n\nThe **sum** of a row and @ its `mean` is so that $\\bar x = \\frac{1}{n}\\sum x_i$ holds, @ as the "
    "book says it of any sample, @ and of its parts.\n\n- @ first the rows are counted\n- @ then their values are added, one "
    "by one\n- @ then one is divided by the other\n\n| name | value @ |\n|---|---|\n| sum | 12.5 @ |\n| count | 5 @ |\n\n"
    "```python\ndef mean(values):\n    total = sum(values)  # @ \n    return total / len(values)  # @ \n```\n\n"
)
"""An answer as models write them, again and again. Each @ becomes a mark, which tells a reader of the screen how far it is."""
_PIECES: Final = tuple(re.findall(r"@ ?|[^\s@]{1,5}\s*|\s+", _PROSE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """An answer to ask for: ``chunks`` tokens, ``per_s`` of them a second (0: all at once) after ``wait_s``.

    ``prose`` is 1 for Markdown with marks in it, for the rows that look at a screen; else each token has 3 characters.
    ``number`` is what the server names the answer by, when it tells when it began; 0: it does not.
    """

    chunks: int
    per_s: float = 0
    wait_s: float = 0.0
    prose: int = 0
    number: int = 0

    @property
    def prompt(self) -> str:
        """The prompt that asks for it."""
        return " ".join(f"{field.name}={getattr(self, field.name)}" for field in fields(self))

    @classmethod
    def found_in(cls, body: bytes) -> Ask:
        """What a request's body asks for. Raises KeyError when it asks for nothing."""
        found = {
            name.decode(): float(value)
            for name, value in re.findall(rb"(chunks|per_s|wait_s|prose|number)=([\d.]+)", body)
        }
        return cls(
            chunks=int(found["chunks"]),
            per_s=found.get("per_s", 0),
            wait_s=found.get("wait_s", 0.0),
            prose=int(found.get("prose", 0)),
            number=int(found.get("number", 0)),
        )

    @property
    def chars(self) -> int:
        """How long the answer's text is."""
        return sum(len(token(self, i)) for i in range(self.chunks)) if self.prose else 3 * self.chunks


def is_mark(ask: Ask, index: int) -> bool:
    """Whether this chunk's text is a mark."""
    return bool(ask.prose) and _PIECES[index % len(_PIECES)].startswith("@")


def token(ask: Ask, index: int) -> str:
    """The text of one chunk."""
    if not ask.prose:
        return _SYLLABLES[index % len(_SYLLABLES)]
    return f"k{index:05d} " if is_mark(ask, index) else _PIECES[index % len(_PIECES)]


def in_words(ask: Ask) -> str:
    """The whole answer's text."""
    return "".join(token(ask, index) for index in range(ask.chunks))


def event(content: str, finish: str = "null") -> bytes:
    """One event, as long as DeepSeek's are."""
    return (
        'data: {"id":"930c60df-bf64-41c9-a88e-3ec75f81e00e","object":"chat.completion.chunk","created":1763800000,'
        '"model":"deepseek-flash","system_fingerprint":"fp_8802369eaa_prod0623_fp8_kvcache","choices":[{"index":0,'
        f'"delta":{{"content":{json.dumps(content)}}},"logprobs":null,"finish_reason":{finish}}}]}}\n\n'
    ).encode()


_USAGE: Final = (
    b'data: {"id":"930c60df-bf64-41c9-a88e-3ec75f81e00e","object":"chat.completion.chunk","created":1763800000,'
    b'"model":"deepseek-flash","system_fingerprint":"fp_8802369eaa_prod0623_fp8_kvcache","choices":[],'
    b'"usage":{"prompt_tokens":10,"completion_tokens":100,"total_tokens":110}}\n\n'
)
ENDING: Final = (event("", '"stop"'), _USAGE, b"data: [DONE]\n\n")


@functools.lru_cache(maxsize=4 * BLOCK)
def frame(content: str) -> bytes:
    """The chunk of HTTP that brings one token."""
    return framed(event(content))


def framed(data: bytes) -> bytes:
    """As one chunk of HTTP's chunked coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def in_one_piece(ask: Ask) -> bytes:
    """The answer for those who do not stream."""
    message = {"role": "assistant", "content": in_words(ask)}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    usage = {"prompt_tokens": 10, "completion_tokens": ask.chunks, "total_tokens": ask.chunks + 10}
    answer = {"id": "1", "object": "chat.completion", "created": 1763800000, "model": "deepseek-flash"}
    return json.dumps({**answer, "choices": [choice], "usage": usage}).encode()


@functools.cache
def _block() -> bytes:
    return b"".join(framed(event(token(Ask(chunks=BLOCK), index))) for index in range(BLOCK))


def whole(ask: Ask) -> Iterator[bytes]:
    """The body of an answer that is ready at once, an HTTP chunk for each event, in pieces that are good to write."""
    blocks, rest = divmod(ask.chunks, BLOCK)
    for _ in range(blocks):
        yield _block()
    yield _block()[: rest * (len(_block()) // BLOCK)] + b"".join(framed(each) for each in ENDING) + b"0\r\n\r\n"


@functools.lru_cache(maxsize=8)
def compressed(chunks: int) -> bytes:
    """The body of an answer that is ready at once, compressed in one go: one HTTP chunk."""
    squeeze = zlib.compressobj(6, wbits=31)
    events = [event(token(Ask(chunks=chunks), index)) for index in range(chunks)]
    data = squeeze.compress(b"".join((*events, *ENDING))) + squeeze.flush()
    return framed(data) + b"0\r\n\r\n"


def head(*, gzip: bool = False) -> bytes:
    """The head of a streamed answer."""
    coding = b"Content-Encoding: gzip\r\n" if gzip else b""
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
        b"%bTransfer-Encoding: chunked\r\n\r\n" % coding
    )
