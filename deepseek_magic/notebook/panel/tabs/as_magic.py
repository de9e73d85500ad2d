"""A prompt and its settings → the cell that asks the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ....protocol.options import OPTIONS_BY_NAME, Option

SYSTEM_VARIABLE: Final = "system_prompt"
"""A system prompt of several lines does not fit on the line of a magic; this variable then holds it."""

_PLAIN: Final = re.compile(r"[\w./:@%+$,={}-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The text of a cell, and the variables that it needs."""

    source: str
    variables: Mapping[str, str]


def as_cell(
    prompt: str,
    options: Mapping[str, Any],
    *,
    magic: str = "%%deepseek",
    known: Mapping[str, Option] = OPTIONS_BY_NAME,
) -> Cell:
    """The cell for ``prompt`` with the options that were given, which ``known`` has; those without a flag are left out."""
    words, variables = [magic], dict[str, str]()
    for name, value in options.items():
        flags = known[name].flags
        if not flags or value is None or value is False:
            continue
        for one in value if isinstance(value, list | tuple) else (value,):
            text = str(one)
            if "\n" in text and name == "system":
                variables[SYSTEM_VARIABLE] = text
                text = f"${SYSTEM_VARIABLE}"
            words += [flags[-1]] if one is True else [flags[-1], _quoted(text)]
    return Cell(source=f"{' '.join(words)}\n{prompt}", variables=variables)


def _quoted(text: str) -> str:
    """``text`` as one word of a magic's line; a line break, which no line can hold, becomes a space."""
    text = " ".join(text.splitlines()) if text.splitlines() != [text] else text
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
