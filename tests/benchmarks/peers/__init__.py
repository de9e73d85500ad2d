"""The peers: one module each, all asked in the same way.

A module has ``TITLE``, ``PACKAGE`` (whose version the report names; None for our own code) and ``connected(target)``, an
async context manager that yields ``ask(prompt) → Answer``; with ``LOOP`` it runs on a loop of that kind. It does what a
reader of that library's documentation would
do, and no more: text joined at the end, nothing else kept unless the target says ``keep``.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any, Final

KEY: Final = "sk-test-1234"
MODEL: Final = "deepseek-flash"

PEERS: Final = {
    "ours": "ours",
    "httpx": "bare_httpx",
    "httpx_sse": "httpx_sse_json",
    "aiohttp": "aiohttp_lines",
    "asyncio": "bare_asyncio",
    "openai": "openai_sdk",
    "langchain": "langchain_deepseek",
    "litellm": "litellm_sdk",
    "article": "article",
    "article_session": "article_session",
    "ours_bare": "ours_bare",
    "ours_journal": "ours_journal",
    "ours_ask": "ours_ask",
    "ours_unwatched": "ours_unwatched",
    "ours_sweep": "ours_sweep",
    "ours_uvloop": "ours_uvloop",
    "ours_grpcweb": "ours_grpcweb",
    "xai": "xai_native",
}
"""What a peer is called in a row, and its module. Those that begin with ``ours_`` are parts of our own engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where to ask, whether answers may be compressed, and whether to keep every object that the library makes. ``most`` is how
    many answers the client may have at once, 0: as many as it has by itself."""

    base_url: str
    gzip: bool = False
    keep: bool = False
    most: int = 0


@dataclass(slots=True)
class Answer:
    """What a peer made of an answer. ``chars`` stays None where nothing is decoded."""

    keep: bool = False
    first_s: float | None = None
    chars: int | None = None
    kept: list[Any] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    def take(self, made: Any, piece: str | None) -> None:
        """One object that the library made, and the piece of the answer in it, if there is one."""
        if piece:
            self.begun()
            self.pieces.append(piece)
        if self.keep:
            self.kept.append(made)

    def whole(self) -> Answer:
        """The answer at its end, its pieces joined."""
        self.chars = len("".join(self.pieces))
        return self

    def begun(self) -> None:
        """The first of the answer is there; only the first call counts."""
        if self.first_s is None:
            self.first_s = time.perf_counter()


Ask = Callable[[str], Awaitable[Answer]]


def module_of(peer: str) -> ModuleType:
    """The peer's module. Raises ImportError when its library is not installed."""
    return import_module(f"{__name__}.{PEERS[peer]}")


def body(prompt: str) -> dict[str, Any]:
    """The request for those who write it themselves."""
    return {"model": MODEL, "messages": [{"role": "user", "content": prompt}], "stream": True}


def content(chunk: dict[str, Any]) -> str | None:
    """The piece of the answer in a chunk, for those who read it themselves."""
    return chunk["choices"][0]["delta"].get("content") if chunk["choices"] else None


def headers(target: Target) -> dict[str, str]:
    """The headers for those who write them themselves."""
    return {"Authorization": f"Bearer {KEY}", "Accept-Encoding": "gzip" if target.gzip else "identity"}
