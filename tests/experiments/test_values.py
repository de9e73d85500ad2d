"""The fields of a schema are columns with fixed types, whatever the answers are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic
import pytest

from deepseek_magic.demo.api import frames
from deepseek_magic.demo.api.inquiry import Inquiry
from deepseek_magic.demo.api.replies import Reply
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.protocol.schema import Schema
from deepseek_magic.session.experiments.sweep import Sweep
from tests.experiments.conftest import Run


@dataclass
class Fruit:
    name: str
    weight: int
    sweet: bool | None = None
    price: float | None = None
    colours: list[str] | None = None


class Meal(pydantic.BaseModel):
    """The same kinds of fields, as pydantic says them."""

    kind: Literal["soup", "salad"]
    size: Literal[1, 2]
    seats: int | None = None
    at: date
    sum: int | float
    rest: int | str
    fruit: dict[str, int]


ANSWERS = {
    "whole": {"name": "apple", "weight": 3.0, "sweet": True, "price": 2, "colours": ["red", "gelb"]},
    "part": {"name": "pear", "weight": "heavy", "sweet": 1, "price": True},
    "large": {"name": 7, "weight": 10**30, "price": float("nan"), "colours": None},
    "none": None,
}
ROWS = [{"which": name} for name in ANSWERS]


@pytest.fixture
def sweep(demo: DemoServer, run: Run, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    def reply(asked: Inquiry) -> Reply:
        found = ANSWERS[asked.prompt]
        return Reply(text="no JSON" if found is None else f"```json\n{json.dumps(found)}\n```")

    monkeypatch.setattr(frames, "reply", reply)
    return run("{which}", over=ROWS, schema=Fruit)


NAMES = [f"value.{name}" for name in ("name", "weight", "sweet", "price", "colours")]
VALUES = [
    ["apple", 3, True, 2.0, '["red", "gelb"]'],
    ["pear", None, None, None, None],
    ["7", None, None, None, None],
    [None] * 5,
]


def test_each_field_is_a_column_of_its_type(sweep: Sweep) -> None:
    assert [[row[name] for name in NAMES] for row in sweep.rows()] == VALUES
    frame = sweep.to_pandas()
    kinds = ["string", "Int64", "boolean", "float64", "string"]
    assert [str(frame[name].dtype) for name in NAMES] == kinds
    assert list(frame.columns)[frame.columns.get_loc("text") + 1 :][:5] == NAMES
    polars = sweep.to_polars()
    assert [polars.schema[name] for name in NAMES] == [pl.String, pl.Int64, pl.Boolean, pl.Float64, pl.String]
    assert polars.select(NAMES).rows() == [tuple(row) for row in VALUES]
    arrow = sweep.to_arrow()
    assert arrow.schema.field("value.weight").type == pa.int64()
    assert arrow.column("value.price").to_pylist() == [2.0, None, None, None]


def test_files_have_them_too_and_a_sweep_of_the_journal_has_the_same(sweep: Sweep, tmp_path: Path) -> None:
    again = Sweep(sweep.journal, sweep.sweep_id)
    again.to_csv(tmp_path / "s.csv")
    again.to_jsonl(tmp_path / "s.jsonl")
    again.to_parquet(tmp_path / "s.parquet")
    assert pd.read_csv(tmp_path / "s.csv")["value.name"].tolist()[:2] == ["apple", "pear"]
    assert json.loads((tmp_path / "s.jsonl").read_text("utf-8").splitlines()[0])["value.weight"] == 3
    assert pl.read_parquet(tmp_path / "s.parquet").select(NAMES).rows() == [tuple(row) for row in VALUES]
    assert again.rows() == sweep.rows()


def test_a_failed_trial_has_the_columns_and_nothing_in_them(demo: DemoServer, run: Run) -> None:
    demo.fault = "400 p=1"
    made = run("{which}", over=ROWS[:1], schema=Fruit)
    assert [made.rows()[0][name] for name in NAMES] == [None] * 5
    assert str(made.to_pandas()["value.weight"].dtype) == "Int64"


def test_an_input_with_the_name_of_a_field_s_column_is_refused_in_the_plan(demo: DemoServer, run: Run) -> None:
    with pytest.raises(ConfigurationError, match=r"have a column value\.name"):
        run("{which}", over=[{"which": "whole", "value.name": 1}], schema=Fruit)
    assert demo.requests == []


def test_what_is_no_number_truth_or_text_is_text() -> None:
    fields: dict[str, Any] = Schema.of(Meal).fields
    whole = {"kind": str, "size": int, "seats": int, "at": str, "sum": float, "rest": str, "fruit": str}
    assert fields == whole
    assert Schema.of(Meal).values('{"fruit": {"a": 1}, "rest": 3, "seats": null}') == {"fruit": '{"a": 1}', "rest": "3"}
    assert Schema.of(Meal).values("[1]") == {}
