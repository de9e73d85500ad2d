"""The single declaration of the settings: what each takes, what it refuses and in which words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.protocol.options import (
    OPTIONS,
    OPTIONS_BY_NAME,
    THEMES,
    CallOptions,
    Option,
    Options,
    ProjectText,
    RequestOptions,
    closest,
    notices,
)


def test_every_setting_with_a_flag_belongs_to_one_theme() -> None:
    assert sorted(name for names in THEMES.values() for name in names) == sorted(o.name for o in OPTIONS if o.flags)


BOUNDED = [option for option in OPTIONS if option.maximum is not None]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_is_declared_in_full(option: Option) -> None:
    assert option.help
    assert not str(option.help).endswith(".")
    assert option.name.isidentifier()
    assert bool(option.choices) == (option.kind == "choice")
    assert (option.metavar is None) or option.flags
    if option.kind in ("text", "integer", "number") and option.flags:
        assert option.metavar
    if option.flags:
        assert option.flags[-1] == "--" + option.name.replace("_", "-")


def test_no_name_and_no_flag_is_declared_twice() -> None:
    flags = [flag for option in OPTIONS for flag in option.flags]
    assert len(set(flags)) == len(flags)
    assert len(OPTIONS_BY_NAME) == len(OPTIONS)


def test_a_type_checker_knows_every_option_by_name() -> None:
    assert set(CallOptions.__annotations__) | {"endpoint"} == set(OPTIONS_BY_NAME)
    of_requests = {option.name for option in OPTIONS if option.scope == "request"}
    assert set(RequestOptions.__annotations__) == of_requests | {"system"}


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.name != "endpoint"], ids=lambda option: option.name)
def test_a_type_checker_takes_what_an_option_takes_and_nothing_else(option: Option) -> None:
    hint = get_type_hints(CallOptions)[option.name]
    kinds = {get_origin(kind) or kind for kind in get_args(hint)} - {type(None)}
    match option.kind:
        case "choice":
            assert get_args(get_args(hint)[0]) == option.choices
            assert kinds == {Literal}
        case "json":
            assert kinds == {list: {Sequence}, dict: {Mapping}, None: {str, Mapping}}[option.shape]
        case "text" if option.name in ("image", "schema"):
            assert isinstance("Recipe", hint)
        case "text" if option.name == "file":
            assert kinds == {str, Path, Sequence}
        case "text" if option.many > 1:
            assert kinds == {str, list, tuple}
        case kind:
            assert kinds == {{"text": str, "integer": int, "number": float, "switch": bool}[kind]}


@pytest.mark.parametrize("option", BOUNDED, ids=lambda option: option.name)
def test_bounds_are_taken_and_what_is_beyond_them_is_refused(option: Option) -> None:
    assert option.minimum is not None
    assert option.maximum is not None
    step = 1 if option.kind == "integer" else 0.001
    inside = [option.maximum, option.minimum + step if option.above_minimum else option.minimum]
    outside = [option.maximum + step, option.minimum if option.above_minimum else option.minimum - step]
    for value in inside:
        assert Options(**{option.name: value})[option.name] == value
    for wrong in (*outside, 10**400, -(10**400)):
        with pytest.raises(ConfigurationError, match=r" (from|above) "):
            Options(**{option.name: wrong})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", "0.5"),
        ("temperature", True),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", [1]),
        ("max_tokens", 1.5),
        ("max_tokens", 10.0),
        ("max_tokens", False),
        ("think", "medium"),
        ("think", True),
        ("think", ["off"]),
        ("json", "yes"),
        ("json", 1),
        ("model", 3),
        ("stop", ""),
        ("stop", []),
        ("stop", ["a", ""]),
        ("stop", ["a", 3]),
        ("stop", b"ab"),
        ("stop", 3),
        ("stop", ["a"] * 17),
        ("tools", {"type": "function"}),
        ("tools", [object()]),
        ("tools", "[]"),
        ("extra_body", [1]),
        ("extra_body", {"x": math.nan}),
        ("tool_choice", {1, 2}),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence_that_names_the_setting(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        Options(**{name: value})
    option = OPTIONS_BY_NAME[name]
    assert str(refusal.value).startswith(option.flags[-1] if option.flags else name)
    assert "it takes" in str(refusal.value) or "it is on or off" in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("temperature", "0.5", 0.5),
        ("temperature", "1", 1.0),
        ("max_tokens", "32_000", 32_000),
        ("think", "off", "off"),
        ("stop", "END", ("END",)),
        ("model", "pro", "pro"),
        ("tools", "[]", []),
        ("extra_body", '{"a": 1}', {"a": 1}),
    ],
)
def test_what_is_typed_becomes_its_value(name: str, typed: str, value: Any) -> None:
    assert OPTIONS_BY_NAME[name].parse(typed) == value


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("temperature", "warm"),
        ("temperature", "nan"),
        ("temperature", "1e999"),
        ("temperature", ""),
        ("max_tokens", "1.5"),
        ("max_tokens", "9" * 5000),
        ("think", "hihg"),
        ("extra_body", "{"),
    ],
)
def test_what_is_typed_wrong_is_refused(name: str, typed: str) -> None:
    with pytest.raises(ConfigurationError):
        OPTIONS_BY_NAME[name].parse(typed)


def test_a_slip_is_answered_with_the_word_that_was_meant() -> None:
    with pytest.raises(ConfigurationError, match="did you mean high"):
        OPTIONS_BY_NAME["think"].parse("hihg")
    with pytest.raises(ConfigurationError, match="did you mean temperature"):
        Options(temprature=1)
    with pytest.raises(ConfigurationError, match=r"did you mean file\?"):
        Options(fiel="a.txt")
    assert closest("zzz", ["temperature"]) == ""


def test_none_counts_as_not_given() -> None:
    assert dict(Options(temperature=None, seed=1)) == {"seed": 1}
    assert dict(Options(seed=1).replace(seed=None, top_p=1)) == {"top_p": 1}


def test_options_that_say_the_same_are_equal_and_of_one_hash() -> None:
    one, two = Options(temperature=1, stop="END"), Options(stop=["END"], temperature=1.0)
    assert one == two
    assert hash(one) == hash(two)
    assert list(one.body()) == list(two.body())
    assert one != Options(temperature=1)


def test_what_the_caller_changes_later_was_not_given() -> None:
    tools: list[Any] = [{"type": "function"}]
    options = Options(tools=tools)
    tools.append("other")
    assert options["tools"] == [{"type": "function"}]


def test_only_request_settings_reach_the_body() -> None:
    options = Options(temperature=0.5, output="x", endpoint="ollama", quiet=True, system="s", buffer="sentence")
    assert options.body() == {"temperature": 0.5}
    assert dict(options.of("call")) == {"endpoint": "ollama", "system": "s"}
    assert dict(options.of("cell", "request")) == {
        "temperature": 0.5,
        "output": "x",
        "quiet": True,
        "buffer": "sentence",
    }


def test_options_cannot_be_changed() -> None:
    options = Options(seed=1)
    with pytest.raises(TypeError):
        options["seed"] = 2  # type: ignore[index]
    assert repr(options) == "Options(seed=1)"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, []),
        ({"think": "off", "temperature": 1}, []),
        ({"temperature": 1}, ["temperature has no effect"]),
        ({"think": "low", "temperature": 1}, ["temperature has no effect"]),
        ({"think": "off", "top_p": 0.5}, ["top_p is ignored"]),
        ({"top_p": 0.95}, []),
        ({"top_p": 0.5}, ["top_p below 0.95 is raised"]),
        ({"max_tokens": 2048}, ["max_tokens counts the reasoning"]),
        ({"max_tokens": 2048, "think": "off"}, []),
        ({"max_tokens": 32_000}, []),
    ],
)
def test_a_setting_that_cannot_act_is_said(options: dict[str, Any], said: list[str]) -> None:
    notes = notices(options)
    assert len(notes) == len(said)
    assert all(str(note).startswith(start) for note, start in zip(notes, said, strict=True))


@given(name=st.sampled_from([option.name for option in OPTIONS]), value=st.from_type(object) | st.text() | st.floats())
def test_any_value_is_either_taken_or_refused_with_our_error(name: str, value: Any) -> None:
    try:
        options = Options(**{name: value})
    except ConfigurationError:
        return
    options.body()
    hash(options)


def test_options_whose_making_was_refused_still_show_themselves() -> None:
    assert repr(Options.__new__(Options)) == "Options(…)"


def test_a_number_without_an_upper_bound_names_the_lower_one() -> None:
    option = next(option for option in OPTIONS if option.minimum is not None and option.maximum is None)
    with pytest.raises(ConfigurationError, match=rf"number from {option.minimum:g}"):
        option.check(option.minimum - 1)


def test_a_text_of_a_project_remembers_where_it_comes_from() -> None:
    text = ProjectText("Hi {name}", folder="/a/project", digest="d1")
    assert (str(text), text.folder, text.digest) == ("Hi {name}", "/a/project", "d1")


def test_settings_can_be_counted_chosen_and_merged() -> None:
    options = Options(seed=1, temperature=0.5)
    assert len(options) == 2
    assert dict(options.only({"seed"})) == {"seed": 1}
    assert dict(options.merged(Options(seed=2))) == {"seed": 2, "temperature": 0.5}


def test_a_bound_without_an_upper_limit_names_the_lower_one() -> None:
    with pytest.raises(ConfigurationError, match="it takes a number above 0"):
        Options(idle=0)


def test_a_path_is_a_text_of_an_option_that_takes_several() -> None:
    assert Options(file=Path("data.csv"))["file"] == ("data.csv",)
