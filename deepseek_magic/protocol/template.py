"""``{name}`` in a prompt: filled from variables, with every other brace left as it was typed.

Prompts are full of braces (JSON, code, LaTeX, sets), so nothing is an error merely for being a brace and nothing needs
doubling: only a path that starts with the name of an existing variable is filled. The path may go on with attributes
and subscripts (``{row.title}``, ``{rows[0]["id"]}``); it is looked up, never evaluated. Doubled braces around such a path
mean the path itself, as in an f-string: ``{{name}}`` is sent as ``{name}``, and ``{{{name}}}`` as the value in braces.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .errors import ConfigurationError
from .options import closest

__all__ = ["MAX_VALUE_CHARS", "Filled", "fill", "lookup", "show"]

MAX_VALUE_CHARS: Final = 20_000
"""A longer value is cut, with a notice: some 6,000 tokens, more than anyone wants to send by accident."""

MAX_TABLE_ROWS: Final = 20

_STEP = r"""\.[^\W\d]\w*|\[(?:-?\d+|"[^"\\\n]*"|'[^'\\\n]*')\]"""
_PATH: Final = re.compile(rf"(\{{+)([^\W\d]\w*)((?:{_STEP})*)(\}}+)")
_STEPS: Final = re.compile(_STEP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """The filled text, and sentences for the user about what was cut or looks like a slip."""

    text: str
    notices: tuple[str, ...] = ()


def fill(template: str, variables: Mapping[str, Any], *, max_chars: int = MAX_VALUE_CHARS) -> Filled:
    """Fill every ``{path}`` whose first name is in ``variables``.

    Raises ConfigurationError when the variable exists but the rest of the path does not.
    """
    notices: list[str] = []

    def replace(match: re.Match[str]) -> str:
        opened, name, steps, closed = match.groups()
        if name not in variables:
            near = closest(name, [v for v in variables if not v.startswith("_")])
            if near:
                notices.append(f"{match[0]} was sent as it is: there is no variable {name}{near}.")
            return match[0]
        pairs = min(len(opened), len(closed))  # what is more on one side belongs to the text around
        before, after = "{" * (len(opened) - pairs + pairs // 2), "}" * (len(closed) - pairs + pairs // 2)
        return f"{before}{value(name, steps) if pairs % 2 else name + steps}{after}"

    def value(name: str, steps: str) -> str:
        text = show(lookup(variables, name, steps))
        if len(text) > max_chars:
            notices.append(f"{{{name}{steps}}} has {len(text):,} characters; only the first {max_chars:,} were sent.")
            text = f"{text[:max_chars]}\n… (cut: {len(text) - max_chars:,} more characters)"
        return text

    return Filled(text=_PATH.sub(replace, template), notices=tuple(notices))


def lookup(variables: Mapping[str, Any], name: str, steps: str = "") -> Any:
    """The value at a path. Raises ConfigurationError in one sentence when a step leads nowhere."""
    value, path = variables[name], name
    for step in _STEPS.findall(steps):
        path += step
        try:
            value = getattr(value, step[1:]) if step.startswith(".") else value[ast.literal_eval(step[1:-1])]
        except Exception as error:
            raise ConfigurationError(
                f"{{{name}{steps}}} cannot be filled: {path} does not exist ({type(error).__name__}).",
                hint="Change the path, or define the value first.",
            ) from None
    return value


def show(value: Any) -> str:
    """A value as text for a prompt: text as it is, a table as Markdown with its shape, all else by ``str``."""
    if isinstance(value, str):
        return value
    frame = _as_frame(value)
    return frame if frame is not None else str(value)


def _as_frame(value: Any) -> str | None:
    """A DataFrame (pandas or polars, told by its shape and columns) as a small Markdown table."""
    shape, columns, head = getattr(value, "shape", None), getattr(value, "columns", None), getattr(value, "head", None)
    if not (isinstance(shape, tuple) and len(shape) == 2 and columns is not None and callable(head)):
        return None
    names = [str(c) for c in columns]
    rows = list(_rows(head(MAX_TABLE_ROWS)))
    lines = [_row(names), _row(["---"] * len(names)), *(_row([str(cell) for cell in row]) for row in rows)]
    if shape[0] > len(rows):
        lines.append(f"\n(the first {len(rows)} of {shape[0]:,} rows, {shape[1]} columns)")
    else:
        lines.append(f"\n({shape[0]} rows, {shape[1]} columns)")
    return "\n".join(lines)


def _rows(head: Any) -> Iterator[Sequence[Any]]:
    rows: Callable[[], Any] | None = getattr(head, "rows", None)
    if callable(rows):
        yield from rows()
    else:
        yield from head.itertuples(index=False, name=None)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
