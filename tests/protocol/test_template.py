"""``{name}`` is filled; every other brace is the user's text."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.protocol.template import fill, show

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
    "text",
    [
        '{"a": {1}}',
        "{ name }",
        "{name!r}",
        "{name:>10}",
        "{}",
        "{",
        "}{",
        "\\frac{a}{b}",
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
    assert "did you mean name?" in filled.notices[0]


def test_a_long_value_is_cut_with_a_notice() -> None:
    filled = fill("{v}", {"v": "x" * 50}, max_chars=10)
    assert filled.text.startswith("x" * 10 + "\n")
    assert "40 more" in filled.text
    assert "only the first 10" in filled.notices[0]


def test_a_frame_becomes_a_small_table_with_its_shape() -> None:
    pandas = pytest.importorskip("pandas", reason="the dataframes extra is not installed")
    frame = pandas.DataFrame({"city": ["Köln", "a|b"], "n": [1, 2]})
    assert show(frame) == "| city | n |\n| --- | --- |\n| Köln | 1 |\n| a\\|b | 2 |\n\n(2 rows, 2 columns)"
    assert "(the first 20 of 30 rows, 1 columns)" in show(pandas.DataFrame({"n": range(30)}))
