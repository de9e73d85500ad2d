"""An answer as a type of the user's."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict

import msgspec
import pytest
from pydantic import BaseModel, Field

from deepseek_magic.protocol.chat import ChatMessage, Request
from deepseek_magic.protocol.completion import Completion
from deepseek_magic.protocol.errors import ConfigurationError, ProtocolError
from deepseek_magic.protocol.schema import Schema


@dataclass
class Step:
    text: str
    minutes: float = 0.0


@dataclass
class Recipe:
    title: str
    steps: list[Step] = field(default_factory=list)


class Point(TypedDict):
    x: int
    label: NotRequired[str]


class Planet(BaseModel):
    name: str
    moons: list[int] = Field(max_length=2)


class Struct(msgspec.Struct):
    x: int


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Recipe, '{"title": "Tea", "steps": [{"text": "Boil", "minutes": 3}]}', Recipe("Tea", [Step("Boil", 3.0)])),
        (Recipe, '```json\n{"title": "Tea"}\n```', Recipe("Tea")),
        (Point, '{"x": 1}', {"x": 1}),
        (Planet, '{"name": "Mars", "moons": [1, 2]}', Planet(name="Mars", moons=[1, 2])),
        (Struct, '{"x": 1, "more": 2}', Struct(1)),
    ],
)
def test_an_answer_that_fits_is_a_value_of_the_type(kind: Any, text: str, value: Any) -> None:
    assert Schema.of(kind).read(text) == value


@pytest.mark.parametrize(
    ("kind", "text", "sentence"),
    [
        (Recipe, '{"title": 1}', "Expected `str`, got `int` - at `$.title`"),
        (Recipe, '{"title": "Tea", "steps": [{"text": "a"}, {}]}', "missing required field `text` - at `$.steps[1]`"),
        (Point, '{"x": "1"}', "Expected `int`, got `str` - at `$.x`"),
        (Planet, '{"name": "Mars", "moons": ["one", 2]}', " - at `$.moons[0]`"),
        (Planet, '{"moons": [1, 2, 3]}', " - at `$.name` (and 1 more)"),
        (Recipe, "Tea, of course", "line 1, column 1"),
    ],
)
def test_an_answer_that_does_not_fit_is_kept_and_told_where(kind: Any, text: str, sentence: str) -> None:
    completion = Completion(request=Request.of("hi"), text=text, schema=Schema.of(kind))
    with pytest.raises(ProtocolError) as caught:
        _ = completion.value
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.completion.text == text


def test_the_schema_stands_behind_the_system_prompt() -> None:
    schema = Schema.of(Point)
    bare, with_system = schema.ask_in(Request.of("hi")), schema.ask_in(Request.of("hi", system="Be brief."))
    parts = schema.ask_in(
        Request.of([ChatMessage(role="system", content=({"type": "text", "text": "Be."},)), *bare.messages[1:]])
    )
    assert [m.role for m in bare.messages] == [m.role for m in with_system.messages] == ["system", "user"]
    assert str(with_system.messages[0].content).startswith("Be brief.\n\nAnswer with one JSON object")
    assert [part["type"] for part in parts.messages[0].content] == ["text", "text"]  # type: ignore[index]
    assert json.loads(str(bare.messages[0].content).splitlines()[-1])["$defs"]["Point"]["required"] == ["x"]


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (3, "3 cannot be a schema: it is not a class. A schema is a dataclass"),
        (int, "int cannot be a schema: it is not an object with named fields."),
        (dict, "dict cannot be a schema: it is not an object with named fields."),
        (type("Odd", (), {"__annotations__": {"x": int}}), "Odd cannot be a schema: "),
    ],
)
def test_what_is_no_schema_is_refused_in_one_sentence(kind: Any, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Schema.of(kind)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_a_schema_is_found_by_its_name() -> None:
    here = {"Recipe": Recipe, "models": msgspec.structs, "x": 3}
    assert Schema.named("Recipe", here).kind is Recipe
    with pytest.raises(ConfigurationError, match=r"did you mean Recipe\?"):
        Schema.named("Recpie", here)
    with pytest.raises(ConfigurationError, match=r"models\.Nothing does not exist"):
        Schema.named("models.Nothing", here)


def test_a_validation_error_without_details_is_told_in_its_first_line() -> None:
    class Strict(BaseModel):
        @classmethod
        def model_validate(cls, *_: object, **__: object) -> Any:
            raise ValueError("no such thing.\nand more")

    with pytest.raises(ValueError, match=r"\Ano such thing\Z"):
        Schema.of(Strict).read("{}")


def test_a_number_that_no_column_holds_is_left_away() -> None:
    class Size(msgspec.Struct):
        metres: float

    schema = Schema.of(Size)
    assert schema.values(f'{{"metres": 1{"0" * 400}}}') == {}
    assert schema.values('{"metres": 2}') == {"metres": 2.0}
