"""A plan: what it makes of templates, axes and inputs, what it refuses, and that the same plan is the same sweep."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from typing import Any

import pytest

from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.protocol.experiments.axes import ASKED, VARIED, Axis
from deepseek_magic.protocol.experiments.plan import MAX_SETTINGS, Plan, Setting, Trial
from deepseek_magic.protocol.experiments.templates import Template, templates
from deepseek_magic.protocol.options import OPTIONS, OPTIONS_BY_NAME
from deepseek_magic.protocol.schema import Schema
from deepseek_magic.protocol.template import fill


@dataclass
class City:
    name: str


ROWS = ({"question": "1+1?", "answer": "2"}, {"question": "2+2?", "answer": "4"})


def plan(prompt: Any = "Say it: {question}", **more: Any) -> Plan:
    return Plan.of(prompt, rows=more.pop("rows", ROWS), **more)


def test_trials_are_numbered_by_setting_then_row_then_repeat() -> None:
    made = plan(grid={"temperature": [0, 1]}, repeats=3)
    trials = list(made.trials)
    assert len(made) == len(trials) == 12
    assert [t.number for t in trials] == list(range(12))
    assert trials[:4] == [
        *(Trial(number=n, setting=0, row=0, repeat=n) for n in range(3)),
        Trial(number=3, setting=0, row=1, repeat=0),
    ]
    assert (trials[-1].setting, trials[-1].row, trials[-1].repeat) == (1, 1, 2)
    assert made.trial(7) == trials[7]
    for number in (-1, 12):
        with pytest.raises(IndexError):
            made.trial(number)


def test_trials_come_one_by_one() -> None:
    made = plan(rows=[{"n": n} for n in range(1000)], repeats=1000, grid={"seed": range(1000)})
    assert len(made) == 10**9
    assert next(iter(made.trials)).number == 0
    assert made.trial(10**9 - 1) == Trial(number=10**9 - 1, setting=999, row=999, repeat=999)


def test_a_setting_has_what_is_sent_and_what_tables_show() -> None:
    made = plan(
        {"a": "…{question}", "b": "Now: {question}"},
        grid={"system": {"plain": None, "terse": "Be brief."}, "max_tokens": [5, 50]},
        options={"think": "off"},
    )
    assert len(made.settings) == 8
    first, last = made.settings[0], made.settings[-1]
    assert first == Setting(
        index=0,
        values={"system": None, "max_tokens": 5, "prompt": "a"},
        names={"system": "plain", "max_tokens": "5", "prompt": "a"},
        template=Template(name="a", text="…{question}"),
        options={"think": "off", "max_tokens": 5},
    )
    assert last.options == {"think": "off", "max_tokens": 50, "system": "Be brief."}
    assert (last.names, last.template.name) == ({"system": "terse", "max_tokens": "50", "prompt": "b"}, "b")


def test_without_a_table_there_is_one_row_without_columns() -> None:
    made = Plan.of("Tell a joke.", repeats=5)
    assert (made.rows, made.columns, len(made), len(made.settings)) == (({},), (), 5, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "Say it. {question}"},
        {"rows": [ROWS[0]]},
        {"rows": [ROWS[0], {**ROWS[1], "answer": "5"}]},
        {"grid": {"seed": [1, 2]}},
        {"grid": {"seed": {"x": 1}}},
        {"repeats": 2},
        {"options": {"model": "pro"}},
        {"options": {"endpoint": "demo"}},
        {"texts": {"tone": "kind"}},
        {"saved": {"@terse": "1f"}},
        {"schema": Schema(kind=dict, name="R", text="{}")},
        {"each": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_question_makes_another_sweep(change: dict[str, Any]) -> None:
    assert plan(**change).digest != plan().digest


@pytest.mark.parametrize(
    "change",
    [
        {"options": {"budget": 1.0}},
        {"options": {"total": 60, "quiet": True}},
        {"cluster": "answer"},
        {"rows": [dict(reversed(row.items())) for row in ROWS]},
    ],
)
def test_how_it_is_paid_for_shown_and_reckoned_does_not(change: dict[str, Any]) -> None:
    assert plan(**change).digest == plan().digest
    assert len(plan().digest) == 64


def test_a_plan_is_read_as_it_was_written() -> None:
    made = plan(
        {"短": "{question}", "long": "Think. {question}"},
        grid={"stop": {"none": None, "two": ["a", "b"]}, "temperature": [0, 1.5], "json": [True, False]},
        rows=[{"question": "多少？", "n": 1.5, "ok": None, "tags": ["a", {"b": 1}]}],
        repeats=2,
        options={"system": "Be kind.", "extra_body": {"x": [1]}, "budget": 0.5},
        texts={"tone": "kind"},
        saved={"@terse": "1f"},
        each=True,
        cluster="n",
    )
    again = Plan.from_json(made.to_json(), made.rows_json())
    assert again == made
    assert again.digest == made.digest
    assert again.settings == made.settings
    assert again.columns == made.columns == ("question", "n", "ok", "tags")
    assert again.to_json() == made.to_json()
    assert hash(again) == hash(made)
    for copied in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        assert copied == made


def test_of_a_schema_the_name_and_the_text_are_kept() -> None:
    made = plan(schema=Schema.of(City))
    again = Plan.from_json(made.to_json(), made.rows_json())
    assert again.schema is not None
    assert made.schema is not None
    assert (again.schema.name, again.schema.text) == (made.schema.name, made.schema.text)
    assert again.digest == made.digest
    assert again.schema.read('{"name": "Paris"}') == {"name": "Paris"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"prompt": " "}, "The template prompt is empty or no text."),
        ({"prompt": None}, "The template prompt is empty or no text."),
        ({"prompt": {"a": 1}}, "The template a is empty or no text."),
        ({"prompt": []}, "The prompt of a plan is a text or a dict of named texts, not list."),
        ({"grid": {"prompt": ["x"]}}, "The prompt is given twice, by itself and in the grid."),
        ({"grid": {"temprature": [1]}}, "temprature cannot be varied (did you mean temperature?)."),
        ({"grid": {"budget": [1]}}, "budget cannot be varied."),
        ({"grid": {"temperature": [3]}}, "--temperature cannot be 3: it takes a number from 0 to 2."),
        ({"grid": {"temperature": [1, 1.0]}}, "The axis temperature has 1 twice."),
        ({"grid": {"model": ["flash", "deepseek-flash"]}}, "The axis model has deepseek-flash twice."),
        (
            {"grid": {"model": "flash"}},
            "The axis model takes a list of values or a dict that names them.",
        ),
        ({"grid": {"model": []}}, "The axis model takes a list of values or a dict that names them."),
        (
            {"grid": {"seed": [1, 2]}, "options": {"seed": 1}},
            "seed is given twice, as an option and as an axis.",
        ),
        (
            {"grid": [Axis.of("seed", [1]), Axis.of("seed", [2])]},
            "The axis seed is given twice.",
        ),
        (
            {"grid": {"seed": range(200), "max_tokens": range(1, 101)}},
            "The axes make 20,000 settings; a plan has at most 10,000.",
        ),
        ({"repeats": 0}, "repeats cannot be 0: it takes a whole number from 1 to 1000."),
        ({"repeats": True}, "repeats cannot be True: it takes a whole number from 1 to 1000."),
        ({"repeats": 2.0}, "repeats cannot be 2.0: it takes a whole number from 1 to 1000."),
        ({"rows": []}, "The table of inputs is empty, so there is nothing to ask."),
        ({"options": {"temprature": 1}}, "There is no option temprature (did you mean temperature?)."),
        ({"cluster": "topik"}, "There is no column topik in the inputs."),
        ({"rows": [{"text": "x"}]}, "The inputs have a column text, which the table of a sweep has of its own."),
        ({"rows": [{"why.x": "x"}]}, "The inputs have a column why.x, which the table of a sweep has of its own."),
        (
            {"rows": [{"model": "x"}], "grid": {"model": ["flash", "pro"]}},
            "The inputs have a column model, which the table of a sweep has of its own.",
        ),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused_in_one_sentence(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        plan(**given)
    assert str(refused.value.message) == said
    assert refused.value.hint or "cannot be" in said


def test_a_column_may_have_the_name_of_an_option_that_is_not_varied() -> None:
    assert plan(rows=[{"model": "T"}]).columns == ("model",)


def test_where_no_table_of_trials_is_made_a_column_may_have_any_name() -> None:
    assert plan("{text}", rows=[{"text": "x", "cost": 1}], framed=False).columns == ("text", "cost")


def test_the_limit_of_settings_is_one_that_is_allowed() -> None:
    assert len(plan(grid={"seed": range(100), "max_tokens": range(1, 101)}).settings) == MAX_SETTINGS


def test_only_what_is_part_of_the_question_can_be_varied() -> None:
    assert set(VARIED) < ASKED < set(OPTIONS_BY_NAME)
    assert {option.name for option in OPTIONS if option.scope == "request"} <= set(VARIED)
    assert not ASKED & {option.name for option in OPTIONS if option.scope == "cell"}


@pytest.mark.parametrize(
    ("typed", "values", "names"),
    [
        ("temperature=0,1.5", (0.0, 1.5), ("0", "1.5")),
        ("model=flash, deepseek-v4-pro", ("flash", "deepseek-v4-pro"), ("flash", "deepseek-v4-pro")),
        ('system="Be brief, please.",@terse', ("Be brief, please.", "@terse"), ("Be brief, please.", "terse")),
        ("stop=a,b", (("a",), ("b",)), ("a", "b")),
        ("json=on,off", (True, False), ("on", "off")),
        ("max-tokens=10", (10,), ("10",)),
        ('tool_choice="""auto""","""none"""', ("auto", "none"), ('"auto"', '"none"')),
    ],
)
def test_an_axis_is_read_as_it_is_typed(typed: str, values: tuple[Any, ...], names: tuple[str, ...]) -> None:
    axis = Axis.read(typed)
    assert (axis.values, axis.names) == (values, names)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("temperature", "temperature names no values to vary."),
        ("temperature= ", "temperature=  names no values to vary."),
        ("temperature=hot", '--temperature cannot be "hot": it takes a number.'),
        ("temprature=1", "temprature cannot be varied (did you mean temperature?)."),
        ("model=a,b,a", "The axis model has a twice."),
        ("schema=A,B", "schema cannot be varied."),
        ("json=maybe", '--json cannot be "maybe": it is on or off (True or False).'),
    ],
)
def test_an_axis_that_is_typed_wrongly_says_what_it_takes(typed: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Axis.read(typed)
    assert str(refused.value.message) == said


def test_values_without_names_are_named_by_themselves() -> None:
    long = "You are a patient teacher who explains everything twice"
    assert Axis.of("system", [None, f"{long}.", f"{long}!", "Be\n brief."]).names == (
        "default",
        "You are a patient teacher who explains … (1)",
        "You are a patient teacher who explains … (2)",
        "Be brief.",
    )
    assert Axis.of("stop", [["a", "b"], "c"]).names == ("a, b", "c")
    assert Axis.of("extra_body", [{"b": 1, "a": 2}]).names == ('{"a":2,"b":1}',)


def test_templates_begin_at_a_line_with_a_name_and_a_rule_stays_a_rule() -> None:
    text = "--- short\nOne word: {x}\n\n---\n\nNo more.\n\n---  with steps \nThink. {x}\n"
    assert templates(text) == (
        Template(name="short", text="One word: {x}\n\n---\n\nNo more."),
        Template(name="with steps", text="Think. {x}"),
    )
    assert templates("a\n---\nb") == (Template(name="prompt", text="a\n---\nb"),)
    assert [t.name for t in Plan.of(grid={"prompt": ["a {x}", "b {x}"]}).templates] == ["1", "2"]
    assert Plan.of(grid={"prompt": {"only": "a"}}).axes == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hello\n--- a\nx", "There is text before the first template, --- a."),
        ("--- a\nx\n--- a\ny", "Two templates are called a."),
        ("--- a\n\n--- b\ny", "The template a is empty or no text."),
    ],
)
def test_templates_that_cannot_be_told_apart_are_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        templates(text)
    assert str(refused.value.message) == said


def test_a_row_fills_its_columns_first_once_and_whatever_they_are_called() -> None:
    made = plan(
        "{tone}/{unit price}/{user.name}/{名}/{empty}/{row.title}",
        rows=[{"tone": "{名}", "unit price": 3, "user.name": "Ada", "名": "值", "empty": None}, {"tone": "kind"}],
        texts={"tone": "of the notebook", "row.title": "Tea"},
    )
    text = made.templates[0].text
    assert fill(text, made.variables(0)).text == "{名}/3/Ada/值//Tea"
    assert fill(text, made.variables(1)).text == "kind/////Tea"
