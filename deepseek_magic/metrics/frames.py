"""Columns → a data frame of pandas, polars or pyarrow, each with the types that are native there.

The types are given, not guessed: a column that happens to be all unknown has the same type as any other. None of the
libraries is imported before it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

Columns = Mapping[str, Sequence[Any]]
Types = Mapping[str, type]
"""Column → str, int, float, bool, datetime (UTC) or date; any value may be None."""


def arrow_table(columns: Columns, types: Types) -> pyarrow.Table:
    """A pyarrow.Table: string, int64, double, bool, timestamp[us, UTC], date32; unknown is null."""
    pa = library("pyarrow")
    kinds = {
        str: pa.string(),
        int: pa.int64(),
        float: pa.float64(),
        bool: pa.bool_(),
        datetime: pa.timestamp("us", tz="UTC"),
        date: pa.date32(),
    }
    schema = pa.schema([(name, kinds[kind]) for name, kind in types.items()])
    return pa.table(dict(columns), schema=schema)


def pandas_frame(columns: Columns, types: Types) -> pandas.DataFrame:
    """A pandas.DataFrame: string, Int64, float64, boolean, datetime64[us, UTC]; unknown is NA, NaN or NaT."""
    pd = library("pandas")
    kinds = {
        str: "string",
        int: "Int64",
        float: "float64",
        bool: "boolean",
        datetime: "datetime64[us, UTC]",
        date: "datetime64[s]",
    }
    frame: pandas.DataFrame = pd.DataFrame(
        {name: pd.Series(columns[name], dtype=kinds[kind]) for name, kind in types.items()}
    )
    return frame


def polars_frame(columns: Columns, types: Types) -> polars.DataFrame:
    """A polars.DataFrame: String, Int64, Float64, Boolean, Datetime(us, UTC), Date; unknown is null."""
    pl = library("polars")
    kinds = {
        str: pl.String,
        int: pl.Int64,
        float: pl.Float64,
        bool: pl.Boolean,
        datetime: pl.Datetime("us", "UTC"),
        date: pl.Date,
    }
    frame: polars.DataFrame = pl.DataFrame(columns, schema={name: kinds[kind] for name, kind in types.items()})
    return frame


def library(name: str) -> Any:
    """The library, imported now. Raises ImportError that says how to get it."""
    try:
        return import_module(name)
    except ImportError:
        raise ImportError(
            f"{name} is not installed, and this conversion needs it: pip install 'deepseek-magic[dataframes]'."
        ) from None
