"""A Python function as a tool: what the model is told, what its arguments become, and what goes back. Nothing is asked here."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
import json
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import pytest
from pydantic import BaseModel

from deepseek_magic.engine.hosts.keys import Key
from deepseek_magic.policy.tools.approval import Allowed, Approval, RefusedCall, asks_for_tools
from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.completion import Completion, ToolCall
from deepseek_magic.protocol.errors import ConfigurationError, ToolsEnded
from deepseek_magic.protocol.tools.functions import named, tool_of
from deepseek_magic.protocol.tools.returned import MAX_CHARS, text_of_error, text_of_value
from deepseek_magic.protocol.tools.tool import Tool, ToolRun, distinct, read_arguments, shown_call
from deepseek_magic.session.tools.box import Toolbox
from deepseek_magic.session.tools.rounds import _question, _run


class Unit(enum.Enum):
    C = "c"
    F = "f"


@dataclasses.dataclass
class Place:
    lat: float
    lon: float = 1.0


class Inner(BaseModel):
    a: int


class Model(BaseModel):
    x: int
    inner: Inner


class Station:
    def forecast(self, city: str) -> str:
        """The forecast of a city."""
        return city

    def __call__(self, city: str) -> str:
        return city


def forecast(
    city: Annotated[str, "the town"],
    days: int = 3,
    unit: Unit = Unit.C,
    where: Place | None = None,
    when: datetime.date | None = None,
    free: Any = None,
    model: Model | None = None,
    count: Annotated[int, msgspec.Meta(ge=1)] = 1,
    *rest: str,
    **more: str,
) -> tuple[Any, ...]:
    """The weather.

    In a town."""
    return city, days, unit, where, when, free, model, count


def placed(a: int, b: int = 2, /, c: int = 3) -> tuple[int, int, int]:
    return a, b, c


def test_the_model_is_told_types_defaults_and_what_the_docstring_says() -> None:
    told = tool_of(forecast).definition["function"]
    schema = told["parameters"]
    assert told["description"] == "The weather.\n\nIn a town."
    assert schema["required"] == ["city"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["city"] == {"type": "string", "description": "the town"}
    assert schema["properties"]["days"] == {"type": "integer"}
    assert set(schema["properties"]) == {"city", "days", "unit", "where", "when", "free", "model", "count"}
    assert {"Unit", "Place", "Inner"} <= set(schema["$defs"])
    json.dumps(schema)


def test_arguments_are_converted_and_defaults_stay_the_function_s() -> None:
    tool = tool_of(forecast)
    read = tool.convert(
        {
            "city": "Ulm",
            "days": "4",
            "unit": "f",
            "where": {"lat": 2},
            "when": "2026-11-30",
            "model": {"x": 1, "inner": {"a": 2}},
        }
    )
    assert read == {
        "city": "Ulm",
        "days": 4,
        "unit": Unit.F,
        "where": Place(2.0),
        "when": datetime.date(2026, 11, 30),
        "model": Model(x=1, inner=Inner(a=2)),
    }
    assert tool.call(tool.convert({"city": "Ulm"})) == ("Ulm", 3, Unit.C, None, None, None, None, 1)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"city": 3},
        {"city": "a", "town": "b"},
        ["a"],
        "a",
        None,
        {"city": "a", "model": {"x": "?"}},
        {"city": "a", "count": 0},
        {"city": "a", "unit": "k"},
    ],
    ids=repr,
)
def test_wrong_arguments_are_refused(arguments: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        tool_of(forecast).convert(arguments)


@pytest.mark.parametrize(
    ("given", "became"), [({"a": 1}, (1, 2, 3)), ({"a": 1, "c": 4}, (1, 2, 4)), ({"a": 1, "b": 5}, (1, 5, 3))]
)
def test_parameters_by_place_are_passed_by_place(given: dict[str, int], became: tuple[int, ...]) -> None:
    tool = tool_of(placed)
    assert tool.call(tool.convert(given)) == became


def test_methods_classes_partials_and_functions_without_types_are_tools() -> None:
    assert tool_of(Station().forecast).definition["function"]["parameters"]["required"] == ["city"]
    assert tool_of(Place).name == "Place"
    assert tool_of(functools.partial(forecast, days=2)).name == "forecast"
    bare: Callable[[Any], Any] = Station().__call__
    assert tool_of(bare).parameters["properties"]["city"]["type"] == "string"
    station = Station()
    station.__name__ = "station"  # type: ignore[attr-defined]
    assert tool_of(station).parameters["required"] == ["city"]
    tool = tool_of(print)
    assert tool.convert({}) == {}


def nowhere(x: "Nowhere") -> None:  # type: ignore[name-defined]  # noqa: F821, UP037
    """Its type is not there."""


def of_a_thing(x: Callable[[], int]) -> None:
    """No JSON holds it."""


def 天气(city: str) -> None:  # noqa: N802
    """A name that the API refuses."""


@pytest.mark.parametrize(
    ("thing", "why"),
    [
        (lambda x: x, "it has no name"),
        (Station(), "it has no name"),
        (3, "it is no function"),
        (max, "cannot be a tool"),
        (nowhere, "Nowhere"),
        (of_a_thing, "cannot be a tool"),
        (天气, "cannot be the name of a tool"),
    ],
)
def test_what_is_no_tool_is_refused_in_one_sentence(thing: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        tool_of(thing)


def test_a_path_leads_to_a_function() -> None:
    tool = Tool(name="other", description="", parameters={}, call=print)
    here = {"station": Station(), "other": tool, "forecast": forecast}
    assert named("station.forecast", here).description == "The forecast of a city."
    assert named("other", here) is tool
    for missing in (here, None):
        with pytest.raises(ConfigurationError, match="not a function here"):
            named("forcast", missing)


def test_a_slip_in_a_path_gets_a_guess() -> None:
    class NothingFailed(dict[str, Any]):
        """As a notebook's variables are: reading one of them may be refused."""

        def __getitem__(self, name: str) -> Any:
            if name == "Err":
                raise ConfigurationError("No cell has failed so far.")
            return super().__getitem__(name)

    here = NothingFailed(Err=None, station=Station(), forecast=forecast)
    for typed, meant in (("forcast", "forecast"), ("station.forcast", "station.forecast")):
        with pytest.raises(
            ConfigurationError, match=rf"^The tool {typed} is not a function here \(did you mean {meant}\?\)"
        ):
            named(typed, here)
    with pytest.raises(ConfigurationError, match=r"^The tool Err is not a function here"):
        named("Err", here)


def test_a_tool_by_itself_takes_an_object() -> None:
    tool = Tool(name="other", description="", parameters={}, call=print)
    assert tool.convert({"a": 1}) == {"a": 1}
    with pytest.raises(ValueError, match="object"):
        tool.convert([1])


@dataclasses.dataclass
class Login:
    default: str = "hunter2"
    more: list[int] | None = None


class Door(BaseModel):
    code: str = "hunter2"


def query(sql: str, login: Login = Login(), door: Door = Door(), password: str = "hunter2") -> None:  # noqa: B008
    """Its defaults are nobody's business."""


def test_defaults_are_told_to_nobody() -> None:
    schema = tool_of(query).definition["function"]["parameters"]
    assert "hunter2" not in json.dumps(schema)
    assert schema["required"] == ["sql"]
    assert set(schema["$defs"]["Login"]["properties"]) == {"default", "more"}


def test_known_keys_are_masked_in_definitions_and_arguments() -> None:
    Key("sk-test-1234", source="a test")
    box = Toolbox(tools={"f": Tool(name="f", description="with sk-test-1234", parameters={}, call=print)})
    assert "sk-test-1234" not in str(box.definitions)
    call = ToolCall(index=0, id="1", name="f", arguments='{"a": "\\u0073k-test-1234"}')
    assert "sk-test-1234" not in f"{_run(call, 'ran', '').shown}{_question(call, box.tools['f']).detail}"


@dataclasses.dataclass
class Raising:
    x: int

    def __post_init__(self) -> None:
        raise KeyError(self.x)


def of_raising(thing: Raising) -> None:
    """Its type raises what it likes."""


def test_whatever_a_type_raises_goes_back_to_the_model() -> None:
    approval = Approval(tools={"of_raising": tool_of(of_raising)})
    judged = approval.judge(ToolCall(index=0, id="1", name="of_raising", arguments='{"thing": {"x": 4}}'))
    assert isinstance(judged, RefusedCall)
    assert judged.text == "Error: wrong arguments, so it was not called: KeyError: 4"


# what is shown of a call


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ('{"a": "x", "b": null, "c": true, "d": [1.5]}', 'f(a="x", b=None, c=True, d=[1.5])'),
        ("", "f()"),
        ("{", "f({)"),
        ("[1]", "f([1])"),
        ('{"a": NaN}', 'f({"a": NaN})'),
        ('{"a": "\\u202eevil\\u001b[2J\\n"}', 'f(a="[RLO]evil\\u001b[2J\\n")'),
        ('{"a": "\\ud800"}', 'f(a="�")'),
        ('{"query=\\"SELECT 1\\", dry_run": true}', 'f("query=\\"SELECT 1\\", dry_run"=True)'),
        ('{"": 1, "a b": 2}', 'f(""=1, "a b"=2)'),
        (
            '{"a": "\u200b\u200e\u200f\u061c\u00ad\u3164\u00a0\U000e0041"}',
            'f(a="[U+200B][U+200E][U+200F][U+061C][U+00AD][U+3164][U+00A0][U+E0041]")',
        ),
    ],
)
def test_a_call_is_shown_on_one_line_with_nothing_hidden(arguments: str, shown: str) -> None:
    assert shown_call("f", arguments) == shown
    assert shown_call("f", arguments).isprintable()
    assert ToolRun(id="1", name="f", arguments=arguments, state="ran").shown == shown


def test_a_long_argument_is_cut_in_a_line_and_whole_in_a_question() -> None:
    arguments = json.dumps({"a": "x" * 1000})
    assert len(shown_call("f", arguments)) < 300
    assert "x" * 1000 in shown_call("f", arguments, short=False)


def test_arguments_that_are_no_json() -> None:
    for text in ("{", "NaN", '{"a": Infinity}'):
        with pytest.raises(ValueError, match=r"\w"):
            read_arguments(text)
    assert read_arguments(" ") == {}


# what goes back


class Broken:
    def __str__(self) -> str:
        raise RuntimeError


class BrokenModel:
    def model_dump_json(self) -> str:
        raise RuntimeError

    def __str__(self) -> str:
        return "broken model"


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


class Picture:
    def _repr_png_(self) -> bytes:
        return b""


class Odd:
    @property
    def figure(self) -> Any:
        raise RuntimeError

    def __str__(self) -> str:
        return "odd"


def test_values_become_text() -> None:
    numpy, pandas, pillow = (pytest.importorskip(name) for name in ("numpy", "pandas", "PIL.Image"))
    circle: list[Any] = []
    circle.append(circle)
    values: list[tuple[Any, str]] = [
        ("text", "text"),
        (None, "null"),
        (2**70, str(2**70)),
        ({"a": Place(1)}, '{"a":{"lat":1,"lon":1.0}}'),
        ({1, 2}, "[1,2]"),
        (b"xy", "[2 bytes]"),
        (ValueError("no"), "Error: ValueError: no"),
        (Mute(), "Error: Mute"),
        (numpy.arange(3), "[0 1 2]"),
        (pandas.DataFrame({"a": [1]}), "| a |\n| --- |\n| 1 |\n\n(1 rows, 1 columns)"),
        (Model(x=1, inner=Inner(a=2)), '{"x":1,"inner":{"a":2}}'),
        (BrokenModel(), "broken model"),
        (Broken(), "<Broken>"),
        (Odd(), "odd"),
        (circle, "[[...]]"),
        (Picture(), "[a picture: Picture]"),
        (pillow.new("RGB", (3, 2)), "[an image, 3 × 2 pixels, RGB]"),
        ("\ud800", "�"),
    ]
    for value, text in values:
        assert text_of_value(value) == text


def test_a_figure_is_named() -> None:
    figures = pytest.importorskip("matplotlib.figure")
    figure = figures.Figure(figsize=(4, 3), dpi=100)
    assert text_of_value(figure) == "[a figure, 400 × 300 pixels, 0 axes]"
    axes = figure.subplots()
    axes.set_title("Rain")
    assert text_of_value(axes) == "[a figure “Rain”, 400 × 300 pixels, 1 axes]"


def test_what_is_long_is_cut_with_a_notice() -> None:
    for text in (
        text_of_value("x" * 1_000_000),
        text_of_value(list(range(100_000))),
        text_of_error(ValueError("y" * 10**6)),
    ):
        assert len(text) == MAX_CHARS
        assert text.endswith(" characters]")


# the rules


def call(name: str = "f", arguments: str = "{}") -> ToolCall:
    return ToolCall(index=0, id="1", name=name, arguments=arguments)


def answer(*calls: ToolCall, **fields: Any) -> Completion:
    return Completion(request=Request.of("?"), **{"outcome": "complete", "tool_calls": calls, **fields})


def f() -> None:
    """One."""


RULES = Approval(tools={"f": tool_of(f)})


def test_only_a_whole_answer_asks_for_functions() -> None:
    assert asks_for_tools(answer(call()))
    assert not asks_for_tools(answer())
    for outcome in ("truncated", "filtered", "interrupted", "incomplete"):
        assert not asks_for_tools(answer(call(), outcome=outcome))
    assert not asks_for_tools(answer(call(), error=ToolsEnded("x")))


def test_a_call_is_judged_by_its_name_its_arguments_and_what_was_confirmed() -> None:
    assert isinstance(RULES.judge(call("g")), RefusedCall)
    assert isinstance(RULES.judge(call(arguments="{")), RefusedCall)
    assert isinstance(RULES.judge(call(arguments="[" * 100_000)), RefusedCall)
    asked = {
        mode: [
            isinstance(judged := rules.judge(call()), Allowed) and judged.asks
            for rules in (made, made.with_confirmed("f"))
        ]
        for mode in ("ask", "once", "unasked")
        for made in (dataclasses.replace(RULES, confirm=mode),)
    }
    assert asked == {"ask": [True, True], "once": [True, False], "unasked": [False, False]}


def test_equal_calls_are_counted_however_they_are_written() -> None:
    first, second = call(arguments='{"a": 1, "b": 2}'), call(arguments='{"b":2,"a":1}')
    rules = RULES.after_round(answer(first)).after_round(answer(second))
    with pytest.raises(ToolsEnded, match="same call of f 3 times"):
        rules.after_round(answer(first))
    broken = RULES.after_round(answer(call(arguments="{"), call(arguments="{")))
    with pytest.raises(ToolsEnded):
        broken.after_round(answer(call(arguments="{")))


def test_the_ninth_round_ends_it() -> None:
    rules = RULES
    for number in range(8):
        rules = rules.after_round(answer(call(arguments=f'{{"a": {number}}}')))
    with pytest.raises(ToolsEnded, match="more than 8 answers"):
        rules.after_round(answer(call()))


def test_two_tools_of_one_name_are_refused() -> None:
    tool = tool_of(f)
    assert distinct([tool]) == {"f": tool}
    with pytest.raises(ConfigurationError, match="Two tools are called f"):
        distinct([tool, tool])


def test_what_could_not_be_looked_up_and_then_can_has_nothing_near() -> None:
    class Held:
        tries = 0

        @property
        def value(self) -> int:
            self.tries += 1
            if self.tries == 1:
                raise ValueError("not yet")
            return 3

    with pytest.raises(ConfigurationError) as raised:
        named("held.value", {"held": Held()})
    assert str(raised.value).startswith("The tool held.value is not a function here.")
