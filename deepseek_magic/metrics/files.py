"""A table of typed columns as a data frame, or as a file. An existing file is replaced.

Apart from the log, because the journal gives out the same with its own columns.
"""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import msgspec

from .frames import Columns, Types, arrow_table, library, pandas_frame, polars_frame

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow


class Tabular(ABC):
    """Calls, a row each, oldest first; ``TYPES`` are the types of the columns, in order."""

    TYPES: ClassVar[Types]

    @abstractmethod
    def _columns(self) -> Columns: ...

    def _types(self) -> Types:
        return self.TYPES

    def _both(self) -> tuple[Columns, Types]:
        """Columns and types, where one look at what is stored gives both."""
        return self._columns(), self._types()

    def to_arrow(self) -> pyarrow.Table:
        """All calls as an Arrow table; unknown is null. Raises ImportError without pyarrow (extra ``dataframes``)."""
        return arrow_table(*self._both())

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The Arrow C stream of the table, for any library that takes one (needs pyarrow)."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def to_pandas(self) -> pandas.DataFrame:
        """A row a call, oldest first, as string, Int64, float64, boolean and datetime64[us, UTC]; unknown is missing.

        ``ds.log.explain()`` tells what the columns mean. Raises ImportError without pandas (extra ``dataframes``).
        """
        return pandas_frame(*self._both())

    def to_polars(self) -> polars.DataFrame:
        """The same as a polars frame; unknown is null. Raises ImportError without polars (extra ``dataframes``)."""
        return polars_frame(*self._both())

    def to_csv(self, path: str | Path) -> None:
        """Write a CSV file (UTF-8, a head line, ISO times, unknown empty). An existing file is replaced."""
        columns, types = self._both()
        with Path(path).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([self._written(name) for name in types])
            for row in zip(*columns.values(), strict=True):
                writer.writerow([v.isoformat() if isinstance(v, date) else self._written(v) for v in row])

    def _written(self, value: object) -> object:
        """A value as a cell of a CSV file has it."""
        return value

    def to_jsonl(self, path: str | Path) -> None:
        """Write one JSON object a line. An existing file is replaced."""
        encode = msgspec.json.Encoder().encode
        columns, types = self._both()
        with Path(path).open("wb") as file:
            for row in zip(*columns.values(), strict=True):
                file.write(encode(dict(zip(types, row, strict=True))) + b"\n")

    def to_parquet(self, path: str | Path) -> None:
        """Write a Parquet file with what is installed: pyarrow or polars. An existing file is replaced."""
        columns, types = self._both()
        try:
            table = arrow_table(columns, types)
        except ImportError:
            polars_frame(columns, types).write_parquet(Path(path))
            return
        library("pyarrow.parquet").write_table(table, str(path))
