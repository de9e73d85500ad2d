"""The code and the JSON inside an answer."""

from __future__ import annotations

import json

import pytest

from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.completion import Completion
from deepseek_magic.protocol.errors import ProtocolError
from deepseek_magic.text.extract import code_of, ends_in_code, other_language, read_json
from deepseek_magic.text.fences import fenced


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("So:\n```python\nx = 1\n```\ndone", "x = 1"),
        ("```python\nx = 1\n```\nthen\n```\ny = 2\n```", "x = 1\n\ny = 2"),
        ("```bash\npip install x\n```\n```python\nx = 1\n```", "x = 1"),
        ("```sql\nselect 1\n```\n```bash\nls\n```", "select 1"),
        ("````\n```\ninner\n```\n````", "```\ninner\n```"),
        ("~~~py\nx = '```'\n~~~", "x = '```'"),
        ("```python\nx = 1", "x = 1"),
        ("1. Do this:\n\n   ```python\n   if x:\n       y = 1\n   ```\n", "if x:\n    y = 1"),
        ("- ```py\n  x = 1\n  ```\n- and\n\n    ```py\n    y = 2\n    ```", "x = 1\n\ny = 2"),
        ("> ```python\n> x = 1\n>\n> y = 2\n> ```\nend", "x = 1\n\ny = 2"),
        ("```python\nif x:\n    ```\n```\nend", "if x:\n    ```"),
        ("```{r}\nx <- 1\n```\n```{python}\nx = 1\n```", "x = 1"),
        ("```not a `fence`\nprint(1)", None),
        ("print('hello')", "print('hello')"),
        ("Just words, no code.", None),
        ("```python\n```", None),
        ("", None),
    ],
)
def test_code_is_what_stands_in_the_code_blocks(text: str, code: str | None) -> None:
    assert code_of(text) == code


@pytest.mark.parametrize("text", ['{"a": [1]}', '  {"a": [1]}\n ', 'Here:\n```json\n{"a": [1]}\n```\nbye'])
def test_json_is_read_bare_and_from_its_block(text: str) -> None:
    assert read_json(text) == {"a": [1]}


def test_line_breaks_in_a_string_are_read_as_models_write_them() -> None:
    assert read_json('{"a": "one\n\ttwo"}') == {"a": "one\n\ttwo"}


def test_a_string_with_a_fence_in_it_is_json_as_it_stands() -> None:
    assert read_json('{"a": "\\n```\\nx\\n```"}') == {"a": "\n```\nx\n```"}


@pytest.mark.parametrize("text", ["{", "words", "", "[" * 100_000])
def test_what_is_not_json_is_one_sentence_and_keeps_the_text(text: str) -> None:
    completion = Completion(request=Request.of("x"), text=text)
    with pytest.raises(ProtocolError, match="The answer is not JSON: ") as caught:
        completion.json  # noqa: B018
    assert caught.value.completion is completion
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["a", "a\n", "```\n````\n", "~~~"])
def test_a_text_is_fenced_whatever_fences_it_holds(text: str) -> None:
    assert code_of(fenced(text)) == text.rstrip("\n")


def test_a_closing_tag_inside_the_answer_is_a_word_of_it() -> None:
    code = "x = 1\ny = '</think>'\nprint(x)"
    assert code_of(code) == code
    assert code_of(f"```python\n{code}\n```") == code
    assert code_of(f"Hm.\n```python\nno\n```\n</think>\n```python\n{code}\n```") == code
    said = {"a": "see </think> here"}
    assert [read_json(text) for text in (json.dumps(said), f"```json\n{json.dumps(said)}\n```")] == [said, said]


@pytest.mark.parametrize(
    ("text", "language", "open"),
    [
        ("```python\nx = 1\n```\n```bash\nls\n```", "", False),
        ("```\nx = 1\n```", "", False),
        ("```bash\nls\n```\n```sql\nselect 1\n```", "bash", False),
        ("```text\n```\nWords.", "", False),
        ("Words.\n```python\nx = 1\n", "", True),
        ("<think>```</think>\n```sql\nselect 1", "sql", True),
    ],
)
def test_what_code_is_called_and_whether_it_has_an_end(text: str, language: str, open: bool) -> None:
    assert other_language(text) == language
    assert ends_in_code(text) is open
