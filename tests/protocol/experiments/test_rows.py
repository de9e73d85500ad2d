"""Any table of inputs becomes the same rows of plain values."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.protocol.experiments.rows import (
    check_columns,
    columns_of,
    plain,
    rows_of,
    rows_of_csv,
    rows_of_jsonl,
)

VALUES = {"n": [1, 2], "x": [0.5, None], "word": ["a", None], "ok": [True, False]}
ROWS = ({"n": 1, "x": 0.5, "word": "a", "ok": True}, {"n": 2, "x": None, "word": None, "ok": False})


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame(VALUES),
        pd.DataFrame(VALUES).convert_dtypes(),
        pd.DataFrame(VALUES).astype({"word": "category"}),
        pd.DataFrame(VALUES, index=[7, 7]),
        pl.DataFrame(VALUES),
        pl.LazyFrame(VALUES),
        pa.table(VALUES),
        pa.RecordBatch.from_pydict(VALUES),
        [dict(row) for row in ROWS],
        tuple(ROWS),
        [ROWS[0], {"n": np.int64(2), "ok": np.bool_(False), "x": float("nan")}],
    ],
    ids=["pandas", "nullable", "categorical", "labels", "polars", "lazy", "arrow", "batch", "dicts", "tuple", "ragged"],
)
def test_every_kind_of_table_gives_the_same_rows(table: Any) -> None:
    rows = rows_of(table)
    assert rows == ROWS
    assert columns_of(rows) == tuple(VALUES)
    assert {type(value) for row in rows for value in row.values()} == {int, float, str, bool, type(None)}


@pytest.mark.parametrize(
    ("table", "name"),
    [
        (["a", "b"], "input"),
        (pd.Series(["a", "b"]), "input"),
        (pd.Series(["a", "b"], name="word"), "word"),
        (pd.Index(["a", "b"]), "input"),
        (pl.Series(["a", "b"]), "input"),
        (pl.Series("word", ["a", "b"]), "word"),
        (np.array(["a", "b"]), "input"),
    ],
    ids=["list", "pandas", "named", "index", "polars", "named polars", "numpy"],
)
def test_plain_values_are_one_column(table: Any, name: str) -> None:
    assert rows_of(table) == ({name: "a"}, {name: "b"})


def test_named_row_labels_are_columns_and_levels_of_columns_are_joined() -> None:
    index = pd.MultiIndex.from_tuples([("x", 1), ("x", 1)], names=["group", None])
    frame = pd.DataFrame([[1, 2], [3, 4]], index=index, columns=pd.MultiIndex.from_tuples([("a", "b"), ("c", "")]))
    assert rows_of(frame) == ({"group": "x", "a_b": 1, "c": 2}, {"group": "x", "a_b": 3, "c": 4})
    same = pd.DataFrame({"group": [1]}, index=pd.Index(["x"], name="group"))
    assert rows_of(same) == ({"group": 1},)


def test_a_frame_without_rows_or_columns_has_none() -> None:
    assert rows_of(pd.DataFrame({"a": []})) == ()
    assert rows_of(range(2)) == ({"input": 0}, {"input": 1})


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "The inputs have two columns called a."),
        (pd.DataFrame([[1, 2]], columns=[1, "1"]), "The inputs have two columns called 1."),
        (pa.table([[1], [2]], names=["a", "a"]), "The inputs have two columns called a."),
        ([{"a": 1}, "b"], "Some of the inputs are dicts and some are not: row 2."),
        (["b", {"a": 1}], "Some of the inputs are dicts and some are not: row 2."),
        ({"a": [1]}, "dict is no table of inputs."),
        ("rows.csv", "str is no table of inputs."),
        pytest.param(iter([1]), "list_iterator is no table of inputs.", id="an iterator"),
    ],
    ids=str,
)
def test_what_is_no_table_is_refused_in_one_sentence(table: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        rows_of(table)
    assert str(refused.value.message) == said
    assert refused.value.hint


@pytest.mark.parametrize(
    ("value", "made"),
    [
        (np.float64(1.5), 1.5),
        (np.str_("a"), "a"),
        (np.datetime64("2026-01-02"), "2026-01-02"),
        (float("nan"), None),
        (float("inf"), "inf"),
        (pd.NA, None),
        (pd.NaT, None),
        (pd.Timestamp("2026-01-02 03:04"), "2026-01-02T03:04:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, 3), "2026-01-02T03:00:00"),
        (Decimal("1.50"), "1.50"),
        (b"x", "b'x'"),
        ({1: np.array([1, 2]), "b": (None, pd.NA)}, {"1": [1, 2], "b": [None, None]}),
    ],
    ids=repr,
)
def test_a_value_is_plain(value: Any, made: Any) -> None:
    assert plain(value) == made
    assert type(plain(value)) is type(made)
    json.dumps(plain(value), allow_nan=False)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_text_is_read_with_the_separator_of_its_header(delimiter: str) -> None:
    text = '问题|answer\r\n"two\nlines, ""and"" more"|2\r\n\r\n3|\r\n'.replace("|", delimiter)
    assert rows_of_csv(text) == ({"问题": 'two\nlines, "and" more', "answer": "2"}, {"问题": "3", "answer": ""})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n1\n", "Row 2 of the CSV file is not as long as its header: 1 instead of 2."),
        ("a,a\n1,2\n", "The inputs have two columns called a."),
    ],
)
def test_a_csv_text_that_is_none_says_where(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        rows_of_csv(text)
    assert str(refused.value.message) == said


def test_an_empty_file_has_no_rows() -> None:
    assert rows_of_csv("") == rows_of_jsonl("\n") == ()


def test_a_jsonl_text_has_a_value_a_line() -> None:
    assert rows_of_jsonl('{"a": 1}\n\n{"b": "\u2028"}\n') == ({"a": 1, "b": None}, {"a": None, "b": "\u2028"})
    with pytest.raises(ConfigurationError, match="Line 2 of the JSONL file is no JSON"):
        rows_of_jsonl('{"a": 1}\n{"a": \n')


def test_a_column_to_group_by_has_to_be_there() -> None:
    check_columns(["topic"], [], cluster="topic")
    with pytest.raises(ConfigurationError) as refused:
        check_columns(["topic"], [], cluster="topics")
    assert (
        str(refused.value) == "There is no column topics in the inputs (did you mean topic?). The columns are: topic."
    )
