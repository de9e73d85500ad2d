"""Columns → a data frame of pandas, polars or pyarrow, each with the types that are native there.

The types are given, not guessed: a column that happens to be all unknown has the same type as any other. None of the
libraries is imported before it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from ..text.messages import Message

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

Columns = Mapping[str, Sequence[Any]]
Types = Mapping[str, type]
"""Column → one of ``_TYPES``, with datetimes in UTC; any value may be None."""
_TYPES: Final = (str, int, float, bool, datetime, date)


def arrow_table(columns: Columns, types: Types) -> pyarrow.Table:
    """A pyarrow.Table: string, int64, double, bool, timestamp[us, UTC], date32; unknown is null."""
    pa = library("pyarrow")
    native = (pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.timestamp("us", tz="UTC"), pa.date32())
    kinds = dict(zip(_TYPES, native, strict=True))
    schema = pa.schema([(name, kinds[kind]) for name, kind in types.items()])
    return pa.table(dict(columns), schema=schema)


def pandas_frame(columns: Columns, types: Types) -> pandas.DataFrame:
    """A pandas.DataFrame: string, Int64, float64, boolean, datetime64[us, UTC]; unknown is NA, NaN or NaT."""
    pd = library("pandas")
    native = ("string", "Int64", "float64", "boolean", "datetime64[us, UTC]", "datetime64[s]")
    kinds = dict(zip(_TYPES, native, strict=True))
    series = {name: pd.Series(columns[name], dtype=kinds[kind]) for name, kind in types.items()}
    frame: pandas.DataFrame = pd.DataFrame(series)
    return frame


def polars_frame(columns: Columns, types: Types) -> polars.DataFrame:
    """A polars.DataFrame: String, Int64, Float64, Boolean, Datetime(us, UTC), Date; unknown is null."""
    pl = library("polars")
    native = (pl.String, pl.Int64, pl.Float64, pl.Boolean, pl.Datetime("us", "UTC"), pl.Date)
    kinds = dict(zip(_TYPES, native, strict=True))
    frame: polars.DataFrame = pl.DataFrame(columns, schema={name: kinds[kind] for name, kind in types.items()})
    return frame


def library(name: str) -> Any:
    """The library, imported now. Raises ImportError that says how to get it."""
    try:
        return import_module(name)
    except ImportError:
        raise ImportError(
            Message(
                "{name} is not installed, and this conversion needs it: pip install 'deepseek-magic[dataframes]'.",
                name=name,
            )
        ) from None
