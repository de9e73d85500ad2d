"""A table in a file as a small table in a prompt: its first rows, its shape, and the kind of value in each column.

CSV and TSV are read by the standard library, so they need no other; row after row, so a large file takes no memory.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

from ...protocol.errors import ConfigurationError
from ...text.messages import Message
from ...text.values import MAX_TABLE_ROWS, markdown_row

MAX_CELL_CHARS: Final = 200
SUFFIXES: Final = (".csv", ".tsv", ".tab")
COLUMNAR: Final = (".parquet", ".pq", ".feather", ".arrow")
_SNIFFED_CHARS: Final = 16_384
_DELIMITERS: Final = ",;\t|"
_WHOLE: Final = re.compile(r"[+-]?\d{1,18}")
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:nan|inf(?:inity)?)", re.IGNORECASE)
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?")
_TRUTH: Final = frozenset({"true", "false"})
_MISSING: Final = frozenset({"", "na", "n/a", "null", "none"})


class _Column:
    """What the values of a column have in common so far."""

    __slots__ = ("kind", "missing", "seen")

    def __init__(self) -> None:
        self.kind = ""
        self.missing = self.seen = 0

    def add(self, value: str) -> None:
        """Look at one more."""
        value = value.strip()
        self.seen += 1
        if value.lower() in _MISSING:
            self.missing += 1
        elif self.kind != "text":
            kind = _kind(value)
            self.kind = kind if not self.kind or self.kind == kind else _both(self.kind, kind)

    @property
    def shown(self) -> str:
        """In words, as the model reads them."""
        kind = self.kind or "empty"
        return f"{kind}, {self.missing:,} missing" if self.missing and self.kind else kind


def _kind(value: str) -> str:
    if _WHOLE.fullmatch(value):
        return "integer"
    if _NUMBER.fullmatch(value):
        return "number"
    if _DATE.fullmatch(value):
        return "date" if len(value) == 10 else "time"
    return "boolean" if value.lower() in _TRUTH else "text"


def _both(one: str, other: str) -> str:
    kinds = {one, other}
    return "number" if kinds == {"integer", "number"} else "time" if kinds == {"date", "time"} else "text"


def of_text(file: IO[str], suffix: str) -> str:
    """The table of a CSV or TSV file that is open, with ``newline=""``. Raises csv.Error and UnicodeDecodeError."""
    sample = file.read(_SNIFFED_CHARS)
    file.seek(0)
    rows = csv.reader(file, delimiter=_delimiter(sample, suffix))
    names = next(rows, [])
    columns, first, count = [_Column() for _ in names], list[list[str]](), 0
    for row in rows:
        if not row:
            continue
        count += 1
        if len(first) < MAX_TABLE_ROWS:
            first.append(row)
        while len(columns) < len(row):
            columns.append(_Column())
        for column, value in zip(columns, row, strict=False):
            column.add(value)
    return _table(names, [column.shown for column in columns], first, count)


def _delimiter(sample: str, suffix: str) -> str:
    if suffix in (".tsv", ".tab"):
        return "\t"
    line = sample.partition("\n")[0]
    return max(_DELIMITERS, key=line.count)  # the first of them where none is there


def columnar(path: Path) -> str:
    """The table of a Parquet or Arrow file. Raises ConfigurationError where pyarrow is missing, and what pyarrow raises."""
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError:
        raise ConfigurationError(
            Message("{path} was not sent: pyarrow reads such files, and is not installed.", path=path),
            hint=Message("pip install 'deepseek-magic[dataframes]'"),
        ) from None
    if path.suffix.lower() in (".parquet", ".pq"):
        with pyarrow.parquet.ParquetFile(path) as file:
            schema, count = file.schema_arrow, file.metadata.num_rows
            batch = next(file.iter_batches(batch_size=MAX_TABLE_ROWS), None)
            rows = [] if batch is None else batch.to_pylist()
    else:
        with pyarrow.memory_map(str(path)) as source, pyarrow.ipc.open_file(source) as file:
            schema = file.schema
            batches = [file.get_batch(number) for number in range(file.num_record_batches)]
            count = sum(batch.num_rows for batch in batches)
            rows = [row for batch in batches[:MAX_TABLE_ROWS] for row in batch.slice(0, MAX_TABLE_ROWS).to_pylist()]
    texts = [["" if value is None else str(value) for value in row.values()] for row in rows[:MAX_TABLE_ROWS]]
    return _table(schema.names, [str(kind) for kind in schema.types], texts, count)


def _table(names: Sequence[Any], kinds: Sequence[str], first: Iterable[Sequence[str]], count: int) -> str:
    rows = list(first)
    width = max([len(names), *map(len, rows)], default=0)
    if not width:
        return "(no rows, no columns)"
    heads = [str(name) for name in names] + [""] * (width - len(names))
    lines = [markdown_row(_short(heads)), markdown_row(["---"] * width)]
    lines += [markdown_row(_short([*row, *[""] * (width - len(row))])) for row in rows]
    of = f"the first {len(rows)} of {count:,} rows" if count > len(rows) else f"{count} rows"
    kinds_of = "; ".join(f"{name or '(no name)'}: {kind}" for name, kind in zip(heads, kinds, strict=False))
    return "\n".join([*lines, "", f"({of}, {width} columns)", f"Columns: {kinds_of}"])


def _short(values: Iterable[str]) -> Iterator[str]:
    for value in values:
        yield value if len(value) <= MAX_CELL_CHARS else f"{value[:MAX_CELL_CHARS]}…"
