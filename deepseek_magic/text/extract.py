"""What is inside an answer: the code of its code blocks, the value of its JSON."""

from __future__ import annotations

import ast
import contextlib
import json
import re
import warnings
from typing import Any, Final

from .fences import FenceReader
from .messages import Message
from .think_tags import without_thought

_LINE_END: Final = re.compile("\r\n?|\n")
NOTEBOOK_LANGUAGES: Final = frozenset({"", "python", "python3", "py", "ipython", "ipython3"})


def _blocks(text: str) -> list[tuple[str, str]]:
    """Language and code of every fenced block; one that is never closed ends with the text."""
    blocks: list[tuple[str, list[str]]] = []
    reader = FenceReader()
    for line in _LINE_END.split(text):
        match reader.read(line):
            case "opening" if (fence := reader.fence) is not None:
                blocks.append((fence.language.lower() or fence.info, []))
            case "inside":
                blocks[-1][1].append(reader.code(line))
    return [(language, "\n".join(code)) for language, code in blocks]


def code_of(text: str) -> str | None:
    """The code of an answer: its Python blocks one after the other, or else its first block in whatever language.

    An answer without blocks that is Python as it stands is code itself. None when there is no code.
    """
    whole, text = text, _answer(text)
    blocks = [(language, code) for language, code in _blocks(text) if code.strip()]
    python = [code for language, code in blocks if language in NOTEBOOK_LANGUAGES]
    if python:
        return "\n\n".join(python)
    if blocks:
        return blocks[0][1]
    return next((code.strip() for code in (whole, text) if _is_code(code)), None)


def other_language(text: str) -> str:
    """The language that the code of an answer is marked with where that is not the notebook's; else empty."""
    blocks = [language for language, code in _blocks(_answer(text)) if code.strip()]
    return blocks[0] if blocks and not NOTEBOOK_LANGUAGES & set(blocks) else ""


def ends_in_code(text: str) -> bool:
    """Whether a text ends inside of a block of code that nothing has closed."""
    reader = FenceReader()
    for line in _LINE_END.split(text):
        reader.read(line)
    return reader.fence is not None


def _answer(text: str) -> str:
    """``text`` without the thought in front of it. A tag inside a block that is open is a word of the code there."""
    answer = without_thought(text)
    reader = FenceReader()
    for line in _LINE_END.split(text.removesuffix(answer)):
        reader.read(line)
    return answer if reader.fence is None else text


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
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(text, strict=False)  # whole as it is, whatever its strings hold
    text = _answer(text)
    blocks = _blocks(text)
    source = blocks[0][1] if len(blocks) == 1 and not text.lstrip().startswith(("{", "[")) else text
    try:
        return json.loads(source, strict=False)  # models write line breaks into strings as they are
    except json.JSONDecodeError as error:
        raise ValueError(
            Message("{error} in line {line}, column {column}", error=error.msg, line=error.lineno, column=error.colno)
        ) from None
    except RecursionError:
        raise ValueError(Message("it is nested too deeply")) from None
