"""``ds.map``: the same table with the answers beside its rows, whatever kind of table it is."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from deepseek_magic.demo.api import frames
from deepseek_magic.demo.api.inquiry import Inquiry
from deepseek_magic.demo.api.replies import Reply
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.session.calls import Session
from deepseek_magic.session.experiments.mapping import TableMap
from deepseek_magic.session.experiments.running import start_sweep
from tests.experiments.maps import KINDS, one


@pytest.fixture
def mapped(session: Session, demo: DemoServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A map from its beginning to its end; the demo answers with what it was asked, in capitals."""

    def reply(asked: Inquiry) -> Reply:
        return Reply(text=asked.prompt.upper())

    monkeypatch.setattr(frames, "reply", reply)

    def run(table: Any, prompt: str = "echo {text}", **options: Any) -> Any:
        made = TableMap.of(session, table, prompt, think="off", **options)
        return made.result(None if made.plan is None else start_sweep(session, made.prepared(session)).wait())

    return run


def test_a_frame_of_pandas_keeps_its_index_its_order_and_its_columns(mapped: Any, demo: DemoServer) -> None:
    index = pd.MultiIndex.from_tuples([("b", 2), ("a", 1), ("b", 2)], names=["letter", None])
    frame = pd.DataFrame({"text": ["x", "y", "x"], "model": ["m", None, "n"]}, index=index)
    made = mapped(frame, into="label")
    assert made.index.equals(index)
    assert list(made.columns) == ["text", "model", "label", "label_error"]
    assert list(made["label"]) == ["ECHO X", "ECHO Y", "ECHO X"]
    assert made["label"].dtype == made["label_error"].dtype == "string"
    assert made["label_error"].isna().all()
    assert len(demo.requests) == 2
    assert "label" not in frame


def test_rows_that_fail_have_their_reason_and_no_answer(mapped: Any, demo: DemoServer) -> None:
    demo.fault = "400 p=0.3 seed=4"
    frame = pd.DataFrame({"text": [f"item {number}" for number in range(30)]})
    made = mapped(frame)
    failed = {json.dumps(seen.body["messages"]) for seen in demo.requests if seen.status == 400}
    assert 0 < len(failed) < 30
    assert made["answer"].isna().sum() == len(failed)
    assert list(made["answer"].isna()) == list(made["answer_error"].notna())
    assert all("400" in why for why in made["answer_error"].dropna())


def test_only_the_chosen_rows_are_asked_and_the_others_keep_what_they_have(mapped: Any, demo: DemoServer) -> None:
    frame = pd.DataFrame({"text": ["x", "y", "z"], "label": ["old", None, None]})
    made = mapped(frame, into="label", where=frame["label"].isna())
    assert list(made["label"]) == ["old", "ECHO Y", "ECHO Z"]
    assert len(demo.requests) == 2
    none = mapped(frame, into="label", where=[False] * 3)
    assert none["label"].tolist()[0] == "old"
    assert len(demo.requests) == 2
    with pytest.raises(ConfigurationError, match="2 instead of 3"):
        mapped(frame, where=[True, False])


def test_polars_arrow_series_and_lists_come_back_as_what_they_were(mapped: Any) -> None:
    table = {"text": ["x", "y"]}
    answers = ["ECHO X", "ECHO Y"]
    of_polars = mapped(pl.DataFrame(table), into="label")
    assert of_polars["label"].to_list() == answers
    assert of_polars.schema["label_error"] == pl.String
    assert mapped(pa.table(table), into="label").column("label").to_pylist() == answers
    series = pd.Series(["x", "y"], index=[7, 7], name="text")
    of_series = mapped(series)
    assert list(of_series.index) == [7, 7]
    assert list(of_series["answer"]) == answers
    assert [row["answer"] for row in mapped(["x", "y"], "echo {input}")] == answers
    assert mapped([{"text": "x"}]) == [{"text": "x", "answer": "ECHO X", "answer_error": None}]


@dataclass
class Fruit:
    name: str
    weight: int


def test_the_fields_of_a_schema_are_columns_and_an_answer_that_does_not_fit_says_why(
    mapped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reply(asked: Inquiry) -> Reply:
        return Reply(text="none" if "y" in asked.prompt else json.dumps({"name": asked.prompt[-1], "weight": 3}))

    monkeypatch.setattr(frames, "reply", reply)
    made = mapped(pd.DataFrame({"text": ["x", "y", "z"]}), into="fruit", schema=Fruit)
    assert made["fruit.name"].tolist()[::2] == ["x", "z"]
    assert made["fruit.weight"].tolist()[::2] == [3, 3]
    assert made["fruit.weight"].isna().tolist() == [False, True, False]
    assert made["fruit_error"].notna().tolist() == [False, True, False]


def test_a_row_of_which_it_is_not_known_is_not_asked_and_keeps_whatever_it_has(mapped: Any, demo: DemoServer) -> None:
    frame = pd.DataFrame({"text": ["x", "y", "z"], "answer": [np.array([1, 2]), None, None]})
    made = mapped(frame, where=pd.array([None, False, True], dtype="boolean"))
    assert list(made["answer"])[1:] == [None, "ECHO Z"]
    assert list(made["answer"][0]) == [1, 2]
    assert mapped(frame, where=[float("nan"), None, True])["answer"][2] == "ECHO Z"
    assert len(demo.requests) == 1
    assert list(mapped(pd.Index(["z"], name="text"))["answer"]) == ["ECHO Z"]


@dataclass
class Stars:
    stars: int
    share: float | None = None
    good: bool | None = None
    tags: list[str] | None = None


def test_the_columns_of_a_schema_have_their_types_whatever_came(mapped: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"x": '```json\n{"stars": 3, "share": 2, "tags": ["a"]}\n```', "y": '{"stars": 4, "share": 1.0}'}
    monkeypatch.setattr(frames, "reply", lambda asked: Reply(text=answers[asked.prompt[-1]]))
    table = {"text": ["x", "y"]}
    of_pandas = mapped(pd.DataFrame(table), into="s", schema=Stars)
    assert of_pandas["s_error"].isna().all()
    assert of_pandas["s.tags"].tolist()[0] == ["a"]
    types = [str(of_pandas[f"s.{name}"].dtype) for name in ("stars", "share", "good")]
    assert types == ["Int64", "float64", "boolean"]
    of_polars = mapped(pl.DataFrame(table), into="s", schema=Stars)
    assert [of_polars.schema[f"s.{n}"] for n in ("stars", "share", "good")] == [pl.Int64, pl.Float64, pl.Boolean]
    of_arrow = mapped(pa.table(table), into="s", schema=Stars)
    assert [str(of_arrow.schema.field(name).type) for name in ("s.share", "s.good", "s_error")] == [
        "double",
        "bool",
        "string",
    ]
    with pytest.raises(ConfigurationError, match="into cannot be"):
        mapped(pd.DataFrame(table), into=" ")


def test_the_same_map_asks_nothing_and_each_distinct_row_once(mapped: Any, demo: DemoServer) -> None:
    frame = pd.DataFrame({"text": [f"item {number % 20}" for number in range(100)]})
    first, second = mapped(frame), mapped(frame)
    assert first.equals(second)
    bodies = Counter(json.dumps(seen.body) for seen in demo.requests)
    assert (len(bodies), set(bodies.values())) == (20, {1})


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_large_table_get_their_own_answer_or_their_own_reason(
    kind: str, session: Session, demo: DemoServer
) -> None:
    mapped = one(kind, 150, 1, demo, session)
    assert mapped.holds, mapped
