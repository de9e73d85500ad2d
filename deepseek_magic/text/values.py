"""A variable's value as text for a prompt: text as it is, a table as Markdown, all else as Python prints it.

What is left out of a value is reported with its text, because nobody sees it in the prompt.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

MAX_TABLE_ROWS: Final = 20
MAX_ARRAY_VALUES: Final = 20_000
"""A longer array is not printed whole: its text would be cut anyway, and takes seconds to make."""

_DEEPEST: Final = 8

_ELIDED: Final = re.compile(r"(?:^|[\s,\[(])(?:\.\.\.|…)(?:[\s,\])]|$)")


class Shown(NamedTuple):
    """A value's text. ``part`` of ``whole`` rows are in it, where it has rows that are left out; ``elided``: Python left
    out values while it printed."""

    text: str
    part: int = 0
    whole: int = 0
    elided: bool = False


def shown(value: Any) -> Shown:
    """``value`` as text, and what is not in it."""
    if isinstance(value, str):
        return Shown(str(value))
    table = as_table(value)
    if table is not None:
        return table
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray) and value.size <= MAX_ARRAY_VALUES:
        text = numpy.array2string(value, threshold=sys.maxsize)
        return Shown(text, elided=value.dtype.hasobject and _leaves_out(value.ravel().tolist(), text))
    text = str(value)
    return Shown(text, elided=_leaves_out(value, text))


def _leaves_out(value: Any, text: str) -> bool:
    return _ELIDED.search(text) is not None and _may_elide(value)


def _may_elide(value: Any, depth: int = _DEEPEST) -> bool:
    """Whether its kind leaves values out of its text: Python's own kinds do not, but what is in them may, and what holds
    itself does."""
    inside = value.values() if isinstance(value, Mapping) else value
    if isinstance(inside, list | tuple | set | frozenset | type({}.values())):
        return not depth or any(_may_elide(each, depth - 1) for each in inside)
    return type(value).__module__ != "builtins"


def as_table(value: Any) -> Shown | None:
    """A DataFrame or a Series (pandas or polars, known by shape and columns) as a small Markdown table."""
    one = getattr(value, "shape", None)
    if isinstance(one, tuple) and len(one) == 1 and callable(getattr(value, "to_frame", None)):
        pandas = sys.modules.get("pandas")
        is_index = pandas is not None and isinstance(value, pandas.Index)
        value = value.to_frame(index=False) if is_index else value.to_frame()  # an index is no label of itself
    shape = getattr(value, "shape", None)
    if not (isinstance(shape, tuple) and len(shape) == 2):  # a lazy frame has none, and warns when asked for columns
        return None
    columns, head = getattr(value, "columns", None), getattr(value, "head", None)
    if columns is None or not callable(head):
        return None
    first = head(MAX_TABLE_ROWS)
    labels = list(_labels(first))
    names = [*(labels.pop(0) if labels else ()), *(str(column) for column in columns)]
    rows = [[*label, *row] for label, row in zip(labels or ((),) * shape[0], _rows(first), strict=False)]
    texts = [[str(cell) for cell in row] for row in rows]
    elided = any(
        _leaves_out(cell, text) for pair in zip(rows, texts, strict=True) for cell, text in zip(*pair, strict=True)
    )
    lines = [markdown_row(names), markdown_row(["---"] * len(names)), *map(markdown_row, texts)]
    of = f"the first {len(rows)} of {shape[0]:,} rows" if shape[0] > len(rows) else f"{shape[0]} rows"
    lines.append(f"\n({of}, {shape[1]} columns)")
    return Shown("\n".join(lines), part=len(rows), whole=shape[0], elided=elided)


def _labels(head: Any) -> Iterator[Sequence[Any]]:
    """The names of the row labels, then the label of each row; nothing where they only count the rows."""
    index = getattr(head, "index", None)
    names = getattr(index, "names", None)
    if names is None or index is None:
        return
    if type(index).__name__ == "RangeIndex" and names[0] is None and (index.start, index.step) == (0, 1):
        return
    yield ["" if name is None else str(name) for name in names]
    yield from (label if len(names) > 1 else (label,) for label in index)


def _rows(head: Any) -> Iterator[Sequence[Any]]:
    rows = getattr(head, "rows", None)
    if callable(rows):
        yield from rows()
    else:
        yield from head.itertuples(index=False, name=None)


def markdown_row(cells: Iterable[str]) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
