"""What is inside an answer: the code of its code blocks, the value of its JSON."""

from __future__ import annotations

import ast
import json
import re
import warnings
from typing import Any, Final

__all__ = ["code_of", "fenced", "read_json"]

_OPENING: Final = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*([^\s`{]*)[^`]*\Z")
_TICKS: Final = re.compile(r"`{3,}")
NOTEBOOK_LANGUAGES: Final = frozenset({"", "python", "python3", "py", "ipython", "ipython3"})


def fenced(text: str, language: str = "") -> str:
    """``text`` as a code block of a Markdown document, whatever backticks are in it."""
    fence = "`" * (max((len(run) for run in _TICKS.findall(text)), default=2) + 1)
    return f"{fence}{language}\n{text}{'' if text.endswith(chr(10)) else chr(10)}{fence}\n"


def _blocks(text: str) -> list[tuple[str, str]]:
    """Language and code of every fenced block; one that is never closed ends with the text."""
    blocks: list[tuple[str, str]] = []
    fence, language, lines = "", "", list[str]()
    for line in text.splitlines():
        if fence:
            marks = line.strip()
            if len(marks) >= len(fence) and set(marks) == {fence[0]}:
                blocks.append((language, "\n".join(lines)))
                fence = ""
            else:
                lines.append(line)
        elif opening := _OPENING.match(line):
            fence, language, lines = opening[1], opening[2].lower(), []
    if fence:
        blocks.append((language, "\n".join(lines)))
    return blocks


def code_of(text: str) -> str | None:
    """The code of an answer: its Python blocks one after the other, or else its first block in whatever language.

    An answer without blocks that is Python as it stands is code itself. None when there is no code.
    """
    blocks = [(language, code) for language, code in _blocks(text) if code.strip()]
    python = [code for language, code in blocks if language in NOTEBOOK_LANGUAGES]
    if python:
        return "\n\n".join(python)
    if blocks:
        return blocks[0][1]
    return text.strip() if _is_code(text) else None


def _is_code(text: str) -> bool:
    """Whether a text is Python that does something: a word or a number is Python too, but no code to run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(not isinstance(s, ast.Expr) or isinstance(s.value, ast.Call | ast.Await) for s in statements)


def read_json(text: str) -> Any:
    """The value of an answer that is JSON, bare or in one code block. Raises ValueError saying what is wrong where."""
    blocks = _blocks(text)
    source = blocks[0][1] if len(blocks) == 1 and not text.lstrip().startswith(("{", "[")) else text
    try:
        return json.loads(source)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} in line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
