"""One call as a flat row: which columns there are, what each says, and the types a table gives them.

Apart from the meter that fills them in, because a row is read long after: from the log, from the journal, in a table.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final

import msgspec

from ..protocol.measured import StreamRecord

Cell = str | int | float | bool | datetime | date | None
Row = dict[str, Cell]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a call comes from: the run of the kernel, the notebook, how its answer is shown (None: it is not), and why it
    is sent (ask, tool, trial, judge, hedge, ahead)."""

    run_id: str | None = None
    notebook: str | None = None
    mode: str | None = None
    purpose: str = "ask"


NO_COLUMNS: Final = ("phases", "timeline")


def _column_types() -> Mapping[str, type]:
    kinds: dict[str, type] = {}
    for field in msgspec.structs.fields(StreamRecord):
        union = isinstance(field.type, types.UnionType)
        kind = next(t for t in typing.get_args(field.type) if t is not type(None)) if union else field.type
        if field.name not in NO_COLUMNS:
            kinds[field.name] = float if kind is Decimal else kind
    return types.MappingProxyType(kinds)


COLUMNS: Final = _column_types()
"""Column → its Python type (str, int, float, bool, datetime in UTC, date); each may be None. Money is a float here."""


def row_of(record: StreamRecord) -> Row:
    """The record as a flat mapping with the columns of ``COLUMNS``."""
    row = msgspec.structs.asdict(record)
    for name in NO_COLUMNS:
        del row[name]
    for name in ("cost", "recorded_cost"):
        if row[name] is not None:
            row[name] = float(row[name])
    return row
