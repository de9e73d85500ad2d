"""What the demo says, in English and Chinese, and the figures that it goes by: read from the data files in ``texts/`` at first use."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

Language = Literal["en", "zh"]
_LANGUAGES: Final[tuple[Language, ...]] = ("en", "zh")


def _read(name: str) -> str:
    return (files(__package__) / "texts" / name).read_text("utf-8")


@cache
def _tables(file: str) -> dict[str, dict[str, Any]]:
    return tomllib.loads(_read(f"{file}.toml"))


def figures(name: str) -> dict[str, Any]:
    """The table ``name`` of the figures about sums. Not to be changed."""
    return _tables("sums")[name]


def table_of(language: Language, name: str) -> dict[str, Any]:
    """The table ``name`` of a language's file. Not to be changed."""
    return _tables(language)[name]


def say(language: Language, phrase: str, **values: Any) -> str:
    """A phrase with its names filled."""
    return str(table_of(language, "phrases")[phrase]).format(**values)


def sections(language: Language, prompt: str) -> Iterator[str]:
    """The pieces that a prompt asks for by a word of either language; English words are whole ones, with plural."""
    for name, section in table_of(language, "sections").items():
        words = [word for each in _LANGUAGES for word in table_of(each, "sections")[name]["words"]]
        pattern = "|".join(rf"\b{re.escape(word)}s?\b" if word.isascii() else word for word in words)
        if re.search(pattern, prompt, re.IGNORECASE):
            yield section["text"]


def unsafe() -> str:
    """Text that a hostile page might put into an answer; a renderer that runs any of it is broken."""
    return _read("unsafe.md").rstrip("\n")
