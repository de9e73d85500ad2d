"""docs/metrics.md says of every column of the log what the code says: type, unit, meaning and source, in order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deepseek_magic.metrics.columns import MEANINGS
from deepseek_magic.metrics.log import COLUMNS

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text("utf-8")
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in PAGE.splitlines()
    if line.startswith("| `")
]
UNITS = {"_per_s": "1/s", "_s": "s", "_tokens": "tokens", "_bytes": "bytes", "chars": "characters"}


def test_every_column_is_explained_in_the_order_of_the_log() -> None:
    assert [name.strip("`") for name, *_ in ROWS] == list(COLUMNS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_column_means_what_the_code_says(row: list[str]) -> None:
    name, _, *said = (cell.replace("`", "") for cell in row)
    meaning = MEANINGS[name]
    assert said == [meaning.unit, meaning.says, meaning.source]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_column_has_the_type_and_the_unit_that_its_name_promises(row: list[str]) -> None:
    name, kind, unit, *_ = row
    assert kind == COLUMNS[name.strip("`")].__name__
    expected = next((unit for ending, unit in UNITS.items() if name.strip("`").endswith(ending)), None)
    if expected is not None:
        assert unit == expected
    assert bool(unit) == (kind in ("int", "float") and name != "`status`")
