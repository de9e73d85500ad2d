"""What is typed by clicks is read back as it was: prompts under their names, and the values of an axis."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.protocol.experiments.axes import Axis
from deepseek_magic.protocol.experiments.rows import is_table
from deepseek_magic.protocol.experiments.templates import templates, written


@pytest.mark.parametrize(
    "named", [[("prompt", "One\n---\ntwo")], [("short", "Say {n}"), ("a  long one", "Say\n{n}\nagain")]]
)
def test_prompts_are_read_as_they_were_written(named: list[tuple[str, str]]) -> None:
    read = templates(written(named))
    assert [each.text for each in read] == [text for _, text in named]
    if len(named) > 1:
        assert [each.name for each in read] == ["short", "a long one"]


@pytest.mark.parametrize(
    ("named", "said"),
    [([("prompt", "a\n--- b\nc")], "would begin another"), ([("a", "x"), (" ", "y")], "has no name")],
)
def test_a_prompt_that_would_be_read_as_another_is_refused(named: list[tuple[str, str]], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        written(named)


def test_the_values_of_an_axis_are_read_as_they_were_typed() -> None:
    words = ["a", "b, c", 'say "d"']
    assert Axis.read(f"system={Axis.typed(words)}").values == tuple(words)


def test_several_prompts_are_no_axis() -> None:
    with pytest.raises(ConfigurationError, match="no values of --vary"):
        Axis.of("prompt", ["a", "b"])


@pytest.mark.parametrize(
    "table",
    [[1], (1,), range(2), pd.DataFrame({"a": [1]}), pl.DataFrame({"a": [1]}), pl.LazyFrame({"a": [1]}), pd.Series([1]),
     pa.table({"a": [1]}), np.arange(3)],
)  # fmt: skip
def test_a_table_is_known_by_its_class(table: object) -> None:
    assert is_table(table)


@pytest.mark.parametrize("value", [[], "text", 1, {"a": 1}, np.zeros((2, 2)), object()])
def test_what_is_no_table_is_known_too(value: object) -> None:
    assert not is_table(value)
