"""Two languages: every text that is said has its Chinese, with the same fields, and finished sentences are recognised."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepseek_magic.protocol.errors import RateLimited, status_error
from deepseek_magic.protocol.options import OPTIONS
from deepseek_magic.text import language
from deepseek_magic.text.catalogue import catalogue
from deepseek_magic.text.language import of_locales, translated, use
from deepseek_magic.text.messages import say

PACKAGE = Path(language.__file__).parents[1]
FIELD = re.compile(r"\{[a-z_]+\}")


@pytest.fixture(autouse=True)
def back_to_english() -> Iterator[None]:
    yield
    use("en")


def said_in(path: Path) -> Iterator[tuple[str, set[str]]]:
    """The templates that a file says, with the fields that it fills."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "say":
            match node.args:
                case [ast.Constant(value=str(text))]:
                    yield text, {str(keyword.arg) for keyword in node.keywords}


SAID = sorted(
    (path.relative_to(PACKAGE).as_posix(), text, fields)
    for path in PACKAGE.rglob("*.py")
    for text, fields in said_in(path)
)


@pytest.mark.parametrize(
    ("where", "text", "fields"), SAID, ids=lambda value: str(sorted(value) if isinstance(value, set) else value)[:40]
)
def test_every_text_that_is_said_has_its_chinese(where: str, text: str, fields: set[str]) -> None:
    assert text in catalogue("zh"), f"{where} says a text that text/chinese.py does not have"
    if fields:
        assert {field[1:-1] for field in FIELD.findall(text)} == fields, where


def test_something_is_said() -> None:
    assert len(SAID) > 50


@pytest.mark.parametrize("text", catalogue("zh"), ids=lambda text: str(text)[:40])
def test_a_translation_has_the_fields_of_its_text(text: str) -> None:
    fields = set(FIELD.findall(text))
    assert set(FIELD.findall(catalogue("zh")[text])) <= fields
    assert catalogue("zh")[text].strip()


def test_every_flag_is_explained_in_chinese() -> None:
    assert [option.name for option in OPTIONS if option.flags and option.help not in catalogue("zh")] == []


def test_a_text_is_filled_in_either_language() -> None:
    assert say("attempt {attempt} of {of}", attempt=2, of=5) == "attempt 2 of 5"
    use("zh")
    assert say("attempt {attempt} of {of}", attempt=2, of=5) == "第 2/5 次尝试"


def test_what_is_filled_in_is_not_filled_again() -> None:
    assert say("{name} is deleted.", name="{name}") == "{name} is deleted."


def test_a_finished_sentence_is_recognised_with_the_sentence_it_quotes() -> None:
    use("zh")
    told = "The connection was reset after 120 characters; going on from there in 2 s, attempt 2 of 6."
    assert translated(told) == "连接被重置（已收到 120 个字符）；2 秒后从此处继续，第 2/6 次尝试。"


def test_what_somebody_called_something_is_not_translated() -> None:
    use("zh")
    told = "{nmae} was sent as it is: there is no variable nmae (did you mean name?)."
    assert translated(told) == "{nmae} 已原样发送：没有变量 nmae（是否想用 name？）。"


def test_what_no_template_fits_stays_english() -> None:
    use("zh")
    assert translated("Something new has happened.") == "Something new has happened."


def test_an_error_is_shown_in_the_readers_language_and_logged_in_english() -> None:
    use("zh")
    error = status_error(429, "Too many requests")
    assert isinstance(error, RateLimited)
    assert error._render_traceback_() == [
        "RateLimited: API 返回 429：Too many requests。请减少同时发送的请求，或稍候。"
    ]
    assert str(error).startswith("The API answered with 429")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["zh_CN.UTF-8"], "zh"),
        (["zh"], "zh"),
        (["Chinese (Simplified)_China"], "zh"),
        ([None, "", "zh_SG"], "zh"),
        (["en", "zh_CN"], "en"),
        (["C.UTF-8"], "en"),
        ([None], "en"),
    ],
)
def test_the_first_locale_that_is_set_decides(names: list[str | None], expected: str) -> None:
    assert of_locales(names) == expected
