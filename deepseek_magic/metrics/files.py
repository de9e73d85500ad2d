"""Rows → a file: CSV, a JSON object a line, Parquet. An existing file is replaced.

Apart from the log, because the journal writes the same files with its own columns.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from .frames import Columns, Types, arrow_table, library, polars_frame


def write_csv(path: str | Path, rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> None:
    """UTF-8, a head line, ISO times, unknown empty."""
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for row in rows:
            writer.writerow([v.isoformat() if isinstance(v, date) else v for v in row.values()])


def write_jsonl(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object a line."""
    encode = msgspec.json.Encoder().encode
    with Path(path).open("wb") as file:
        file.writelines(encode(row) + b"\n" for row in rows)


def write_parquet(path: str | Path, columns: Columns, types: Types) -> None:
    """With what is installed: pyarrow or polars."""
    try:
        table = arrow_table(columns, types)
    except ImportError:
        polars_frame(columns, types).write_parquet(Path(path))
        return
    library("pyarrow.parquet").write_table(table, str(path))
