"""A table of inputs as rows of plain values, made once: frames of pandas, polars or Arrow, lists, the text of a file.

Plain is what JSON holds: a sweep is kept with its inputs and read again without the frame. What is missing in whatever way
(NaN, NA, NaT, null) is None. None of the libraries is imported: their tables are known by what they offer.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from ...text.messages import Message
from ..errors import ConfigurationError
from ..options import closest

Row = Mapping[str, Any]

ONLY_COLUMN: Final = "input"
"""The column of a list of plain values, and of a series without a name."""

_OF_THE_LOG: Final = (
    *("call_id", "response_model", "outcome", "attempts", "ttft_s", "total_s", "prompt_tokens", "completion_tokens"),
    *("reasoning_tokens", "cache_hit_tokens", "cost", "currency", "error"),
)
FRAME: Final = frozenset(("sweep", "trial", "repeat", "state", "text", "reused", "round", *_OF_THE_LOG))
"""The columns that every table of trials has of its own."""

PREFIXES: Final = ("value.", "score.", "label.", "why.")

_TAKES: Final = Message(
    "Give a DataFrame of pandas or polars, an Arrow table, a list of dicts, a list of values, or a CSV or JSONL file."
)


def rows_of(table: Any) -> tuple[Row, ...]:
    """The rows of a table.

    Named row labels of pandas become columns, several levels of column names are joined by ``_``; a lazy frame is collected.
    Raises ConfigurationError for what is no table, and for two columns of one name.
    """
    if isinstance(table, list | tuple | range):
        return _of_list(table)
    if hasattr(table, "collect") and hasattr(table, "collect_schema"):
        table = table.collect()
    if hasattr(table, "columns") and hasattr(table, "iloc"):
        return _of_pandas(table)
    if hasattr(table, "columns") and hasattr(table, "iter_rows"):
        return _of_columns(table.columns, table.iter_rows())
    if hasattr(table, "column_names") and hasattr(table, "to_pylist"):
        return _of_columns(table.column_names, zip(*(column.to_pylist() for column in table.columns), strict=True))
    if hasattr(table, "to_list"):
        name = ONLY_COLUMN if getattr(table, "name", None) in (None, "") else str(table.name)
        return tuple({name: plain(value)} for value in table.to_list())
    if getattr(table, "ndim", 0) == 1:
        return _of_list(table.tolist())
    raise ConfigurationError(Message("{kind} is no table of inputs.", kind=type(table).__name__), hint=_TAKES)


def is_table(value: Any) -> bool:
    """Whether ``rows_of`` may take this. Only its class is looked at: an attribute of a value may be computed, or waited for."""
    if isinstance(value, list | tuple | range):
        return len(value) > 0
    kind = type(value)
    pairs = (
        ("collect", "collect_schema"),
        ("columns", "iloc"),
        ("columns", "iter_rows"),
        ("column_names", "to_pylist"),
    )
    if any(hasattr(kind, one) and hasattr(kind, other) for one, other in pairs) or hasattr(kind, "to_list"):
        return True
    return hasattr(kind, "ndim") and hasattr(kind, "tolist") and value.ndim == 1


def rows_of_csv(text: str) -> tuple[Row, ...]:
    """The rows of a CSV text with a header line; every value is text. Commas, semicolons or tabs, whichever the header has.

    Raises ConfigurationError for a line that has more or fewer values than the header.
    """
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    header, *lines = [line for line in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if line] or [[]]
    for number, line in enumerate(lines, 1):
        if len(line) != len(header):
            said = Message("Row {number} of the CSV file is not as long as its header: {count} instead of {expected}.")
            raise ConfigurationError(
                said.filled(number=number, count=len(line), expected=len(header)),
                hint=Message("A value with the separator in it stands in double quotes."),
            )
    return _of_columns(header, lines)


def rows_of_jsonl(text: str) -> tuple[Row, ...]:
    """The rows of a text with one JSON value a line. Raises ConfigurationError for a line that is no JSON."""
    values = []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            values += [json.loads(line)] if line.strip() else []
        except ValueError as error:
            said = Message("Line {number} of the JSONL file is no JSON ({error}).", number=number, error=str(error))
            raise ConfigurationError(said, hint=Message("Each line is one JSON object.")) from None
    return _of_list(values)


def columns_of(rows: Iterable[Row]) -> tuple[str, ...]:
    """The names of all columns, in the order in which they come up."""
    return tuple(dict.fromkeys(name for row in rows for name in row))


def check_columns(columns: Sequence[str], axes: Sequence[str] | None, *, cluster: str | None = None) -> None:
    """Raises ConfigurationError where a table of trials could not tell an input's column from one of its own, and where the
    column ``cluster`` is not there. ``axes`` None: no such table is made."""
    if cluster is not None and cluster not in columns:
        near = closest(str(cluster), columns)
        raise ConfigurationError(
            Message("There is no column {name} in the inputs{near}.", name=cluster, near=near),
            hint=Message("The columns are: {names}.", names=", ".join(columns) or "–"),
        )
    for name in columns if axes is not None else ():
        if name in FRAME or name in (axes or ()) or name.startswith(PREFIXES):
            raise ConfigurationError(
                Message("The inputs have a column {name}, which the table of a sweep has of its own.", name=name),
                hint=Message("Rename it first, for instance to {name}.", name=f"input_{name.replace('.', '_')}"),
            )


def plain(value: Any) -> Any:
    """A value as JSON can hold it: numbers of NumPy as Python's, dates in ISO form, what is missing as None, else its text."""
    if isinstance(value, bool | int | None) or type(value) is str:
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None if math.isnan(value) else str(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if callable(listed := getattr(value, "tolist", None)):
        return plain(listed())
    return value.isoformat() if callable(getattr(value, "isoformat", None)) else str(value)


def canonical(value: Any) -> str:
    """JSON that is the same for what is the same."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _of_pandas(frame: Any) -> tuple[Row, ...]:
    names = [
        "_".join(str(part) for part in name if part != "") if isinstance(name, tuple) else str(name) for name in frame
    ]
    columns = [frame.iloc[:, place].tolist() for place in range(len(names))]
    index = frame.index
    labels = [name for name in index.names if name is not None and str(name) not in names]
    return _of_columns(
        [*map(str, labels), *names],
        zip(*(index.get_level_values(name).tolist() for name in labels), *columns, strict=True),
    )


def _of_columns(names: Sequence[Any], lines: Iterable[Sequence[Any]]) -> tuple[Row, ...]:
    header = [str(name) for name in names]
    twice = [name for name, times in Counter(header).items() if times > 1]
    if twice:
        raise ConfigurationError(
            Message("The inputs have two columns called {name}.", name=twice[0]),
            hint=Message("Rename one of them first."),
        )
    return tuple(dict(zip(header, map(plain, line), strict=True)) for line in lines)


def _of_list(values: Sequence[Any]) -> tuple[Row, ...]:
    tables = [isinstance(value, Mapping) for value in values]
    if not any(tables):
        return tuple({ONLY_COLUMN: plain(value)} for value in values)
    if not all(tables):
        raise ConfigurationError(
            Message(
                "Some of the inputs are dicts and some are not: row {number}.", number=tables.index(not tables[0]) + 1
            ),
            hint=_TAKES,
        )
    names = columns_of(values := [{str(name): each for name, each in value.items()} for value in values])
    return tuple({name: plain(value.get(name)) for name in names} for value in values)
