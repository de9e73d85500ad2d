"""``{name}`` is filled; every other brace is the user's text."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from deepseek_magic.protocol import template
from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.protocol.template import Filled, Uncut, before_sending, fill, paths, show

ROW = SimpleNamespace(title="Tea", tags=["hot", "green"], meta={"id": 7, "in stock": True})


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Hello {name}!", "Hello Ada!"),
        (
            "{row.title}: {row.tags[1]}, {row.tags[-1]}, {row.meta['id']}, {row.meta[\"in stock\"]}",
            "Tea: green, green, 7, True",
        ),
        ("{名}", "值"),
        ("{name}{name}", "AdaAda"),
        ('{"a": {"b": {name}}}', '{"a": {"b": Ada}}'),
        ("{{name}", "{Ada"),
    ],
)
def test_a_path_that_starts_with_a_variable_is_filled(template: str, text: str) -> None:
    assert fill(template, {"name": "Ada", "row": ROW, "名": "值"}).text == text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{unit price} {user.name}", "3 Ada"),
        ("{{unit price}} {{{unit price}}}", "{unit price} {3}"),
        ("{user.name} {user.other} {unit price }", "Ada {user.other} {unit price }"),
        ("`x = {unit price}`", "`x = {unit price}`"),
    ],
)
def test_a_name_that_only_a_column_can_have_is_filled_as_a_whole(template: str, text: str) -> None:
    assert fill(template, {"unit price": 3, "user.name": "Ada"}).text == text


@pytest.mark.parametrize(
    "text",
    [
        '{"a": {1}}',
        "{ name }",
        "{name!r}",
        "{name:>10}",
        "{}",
        "{",
        "}{",
        "{other}",
        "{name()}",
        "{1}",
        "{name + 1}",
    ],
)
def test_every_other_brace_is_sent_as_it_was_typed(text: str) -> None:
    assert fill(text, {"name": "Ada"}).text == text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{name}}", "{name}"),
        ("{{row.tags[1]}}", "{row.tags[1]}"),
        ("{{{name}}}", "{Ada}"),
        ("{{{{name}}}}", "{{name}}"),
        ("{{other}} {{ name }} {{name}: 1}", "{{other}} {{ name }} {Ada: 1}"),
    ],
)
def test_doubled_braces_around_what_would_be_filled_mean_its_name(template: str, text: str) -> None:
    assert fill(template, {"name": "Ada", "row": ROW}).text == text


def test_what_was_filled_in_is_not_read_again() -> None:
    assert fill("{a}", {"a": "{b}", "b": "no"}).text == "{b}"


def test_a_step_that_leads_nowhere_is_one_clear_sentence() -> None:
    with pytest.raises(ConfigurationError, match=r"row\.colour does not exist") as caught:
        fill("{row.colour}", {"row": ROW})
    assert "\n" not in str(caught.value)


def test_a_path_is_looked_up_and_never_evaluated() -> None:
    class Bomb:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("secret")

    with pytest.raises(ConfigurationError) as caught:
        fill("{bomb.x}", {"bomb": Bomb()})
    assert "secret" not in str(caught.value)


def test_a_near_miss_is_told_and_sent_as_it_is() -> None:
    filled = fill("{nmae}", {"name": "Ada"})
    assert filled.text == "{nmae}"
    assert "did you mean name?" in str(filled.notices[0])


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("Our {dataset} has {rows} rows of {dataset}.", "{dataset} and {rows} are not variables: sent as typed."),
        ("{a}, {b} and {c}", "{a}, {b} and {c} are not variables: sent as typed."),
        ("costs $5 in {town} and $7 here", "{town} is not a variable: sent as typed."),
    ],
)
def test_plain_names_that_nothing_defines_are_told_in_one_sentence(typed: str, said: str) -> None:
    assert list(map(str, fill(typed, {}).notices)) == [said]


@pytest.mark.parametrize(
    "text",
    [
        '{"a": {1}} {} { b } {c.d} {{e}} {f!r}',
        r"\frac{x}{y} and x_{i}, $a = {b} + {c}$, \({d}\)",
        "$$\n{a}\n$$\n\n\\[\n{b}\n\\]",
        "```\nprint(f'{x}')\n{y}\n```\n`{z}`",
        "echo ${HOME}",
        "function f() {return} and {None}",
    ],
)
def test_braces_of_formulas_code_and_json_are_no_names_that_are_missing(text: str) -> None:
    assert fill(text, {}) == Filled(text=text)


def test_a_closing_sign_alone_ends_no_formula() -> None:
    assert fill(r"\] {a} \) {a}", {"a": "1"}).text == r"\] 1 \) 1"


def test_what_has_two_dimensions_but_no_columns_is_no_table() -> None:
    class Grid:
        shape = (1, 2)

        def __str__(self) -> str:
            return "1 2"

    assert fill("{grid}", {"grid": Grid()}).text == "1 2"


def test_before_a_request_is_sent_its_notices_do_not_say_that_it_was() -> None:
    said = [
        str(before_sending(notice))
        for notice in fill(r"{nmae} {v} $x_{name}$ {other} {another}", {"name": "", "v": "x" * 30}, max_chars=9).notices
    ]
    assert len(said) == 4
    assert all("would be sent" in each for each in said)
    assert before_sending("a sentence of somebody else") == "a sentence of somebody else"


def test_a_long_value_is_cut_with_a_notice() -> None:
    filled = fill("{v}", {"v": "x" * 50}, max_chars=10)
    assert filled.text.startswith("x" * 10 + "\n")
    assert "40 more" in filled.text
    assert "only the first 10" in str(filled.notices[0])


def test_a_frame_becomes_a_small_table_with_its_shape() -> None:
    pandas = pytest.importorskip("pandas", reason="the dataframes extra is not installed")
    frame = pandas.DataFrame({"city": ["Köln", "a|b"], "n": [1, 2]})
    assert show(frame) == "| city | n |\n| --- | --- |\n| Köln | 1 |\n| a\\|b | 2 |\n\n(2 rows, 2 columns)"
    assert "(the first 20 of 30 rows, 1 columns)" in show(pandas.DataFrame({"n": range(30)}))


X = {"x": 1, "i": 2, "name": "Ada", "N": len}


@pytest.mark.parametrize(
    "text",
    [
        r"\frac{x}{2} = e^{x}",
        r"$X \sim \mathcal{N}(0, 1)$",
        r"\sum_{i} a_{i}^{x}",
        r"\sqrt[3]{x}_{i}",
        r"\text{for {x} in {i}}",
        r"\sum_{i=1}^{N} x_i",
        "$${x}$$",
        r"\[ {x} \] and \( {name} \)",
        "```python\nprint(f'{name}')\n```",
        "~~~\nf'{x}'\n~~~",
        "what does `f'{name}'` print?",
        "> ```\n> f'{name}'\n> ```",
    ],
)
def test_a_name_in_latex_or_code_is_sent_as_typed_and_that_is_said_once(text: str) -> None:
    filled = fill(text + "\n\n" + text, X)
    assert filled.text == text + "\n\n" + text
    assert len(filled.notices) == 1
    assert "was sent as typed" in str(filled.notices[0])


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("```\n{name}\n```", "```\nAda\n```"),
        ("what is `{name}`?", "what is `Ada`?"),
    ],
)
def test_a_name_alone_in_code_is_filled_and_that_is_said(text: str, filled: str) -> None:
    done = fill(text, X)
    assert (done.text, len(done.notices)) == (filled, 1)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("report_{name}.md", "report_Ada.md"),
        ("_{name}_", "_Ada_"),
        ("{name}_{x}", "Ada_1"),
        ("```\ncode\n```\n{name}", "```\ncode\n```\nAda"),
        (r"\alpha and {x}", r"\alpha and 1"),
        (r"\frac{1}{2} of {x}", r"\frac{1}{2} of 1"),
        ("$${x} or $${x}", "$$1 or $$1"),
        ("$$ and\n\n{x} $$", "$$ and\n\n1 $$"),
    ],
)
def test_what_only_resembles_latex_or_code_is_filled_without_a_word(text: str, filled: str) -> None:
    assert fill(text, X) == Filled(text=filled)


def test_a_text_of_somebody_else_is_filled_only_with_what_the_user_named() -> None:
    filled = fill("{os.environ} {name} {name.upper}", {"os": X, "name": "Ada"}, only={"name"})
    assert filled.text == "{os.environ} Ada {name.upper}"
    assert "{os.environ}, {name.upper} was sent as typed" in str(filled.notices[0])
    assert list(paths("{a} {b.c[0]} {{d}} {1}")) == ["a", "b.c[0]", "1"]


def test_guessing_at_names_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    guessed: list[str] = []
    monkeypatch.setattr(template, "closest", lambda name, known: guessed.append(name) or "")
    fill("".join(f"{{nmae{n}}}" for n in range(3000)), {f"name{n}": n for n in range(300)})
    assert guessed == []
    fill("{nmae} " * 200, {"name": 1})
    assert guessed == ["nmae"]


def test_row_labels_that_say_something_are_sent() -> None:
    pandas = pytest.importorskip("pandas", reason="the dataframes extra is not installed")
    frame = pandas.DataFrame({"v": [1.5, None]}, index=pandas.Index(["a", "b"], name="key"))
    assert show(frame) == "| key | v |\n| --- | --- |\n| a | 1.5 |\n| b | nan |\n\n(2 rows, 1 columns)"
    assert show(frame.v) == show(frame)
    assert show(frame.index) == "| key |\n| --- |\n| a |\n| b |\n\n(2 rows, 1 columns)"
    two = pandas.DataFrame({"v": [1]}, index=pandas.MultiIndex.from_tuples([("a", "x")], names=["k", None]))
    assert show(two).startswith("| k |  | v |\n| --- | --- | --- |\n| a | x | 1 |\n")
    assert show(pandas.DataFrame({"v": range(9)})[5:6]).splitlines()[2] == "| 5 | 5 |"
    kinds = pandas.DataFrame({"v": pandas.Categorical(["a", None]), "t": pandas.to_datetime(["2026-01-01", None])})
    assert show(kinds).splitlines()[2:4] == ["| a | 2026-01-01 00:00:00 |", "| nan | NaT |"]


def test_what_is_left_out_of_a_table_or_an_array_is_said() -> None:
    pandas = pytest.importorskip("pandas", reason="the dataframes extra is not installed")
    polars, numpy = pytest.importorskip("polars"), pytest.importorskip("numpy")
    for value in (pandas.Series(range(200)), pandas.DataFrame({"v": range(200)}), polars.Series("v", range(200))):
        (notice,) = fill("{v}", {"v": value}).notices
        assert str(notice) == "{v} has 200 rows; only the first 20 were sent."
    whole = fill("{v} {v[0]}", {"v": numpy.arange(2000)})
    assert "777" in whole.text
    assert whole.notices == ()
    long = numpy.arange(2000)
    inside: list[Any] = [
        [1, [long]],
        {"a": [long]},
        numpy.array([long, None], dtype=object),
        pandas.DataFrame({"a": [long]}),
    ]
    itself: list[Any] = []
    itself.append(itself)
    for value in (numpy.zeros(1_000_000), [long], {"a": pandas.Series(range(200))}, *inside, itself):
        (notice,) = fill("{v}", {"v": value}).notices
        assert "leaves values out" in str(notice)
    assert fill("{v}", {"v": ["wait ... what", "..."]}).notices == ()
    assert "| a | None |" in show(polars.DataFrame({"x": ["a"], "y": [None]}))


def test_a_lazy_frame_is_shown_as_it_prints_itself_and_asked_for_nothing() -> None:
    lazy = pytest.importorskip("polars").LazyFrame({"v": [1]})
    assert show(lazy) == str(lazy)


def test_a_name_in_code_that_is_no_variable_is_passed_over_in_silence() -> None:
    assert fill("Explain `{missing}` to me.", {}) == Filled(text="Explain `{missing}` to me.", notices=())


def test_a_value_that_sees_to_its_own_length_is_filled_in_as_it_is() -> None:
    class Whole(Uncut):
        @property
        def text(self) -> str:
            return "x" * 50_000

    assert fill("{it} {it}", {"it": Whole()}).text == f"{'x' * 50_000} {'x' * 50_000}"
    with pytest.raises(NotImplementedError):
        assert Uncut().text


def test_a_slice_of_a_variable_is_filled_in() -> None:
    assert fill("{rows[1:3]} {rows[:-1]} {rows[2:]}", {"rows": [1, 2, 3, 4]}).text == "[2, 3] [1, 2, 3] [3, 4]"
