"""--format: what is made of an answer besides Markdown."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from deepseek_magic.notebook.view.formats import Verbatim

from .conftest import Kernel

Run = Callable[..., list[list[Any]]]


def test_json_is_parsed_and_shown_as_such(run_headless: Run) -> None:
    shown, used = run_headless("%%deepseek -o a --json\nThree planets as json", "print(type(a.json))")
    assert "```json\n{\n  " in shown[0].data["text/markdown"]
    assert json.loads(shown[0].data["text/plain"])
    assert used[0].text == "<class 'dict'>\n"


def test_an_answer_that_is_no_json_is_kept_and_said_in_one_sentence(run_headless: Run) -> None:
    shown, used, raised = run_headless("%%deepseek -o a --format json\nA table", "print(len(a.text) > 0)", "a.json")
    assert [output.output_type for output in shown] == ["display_data"]
    assert "The answer is not JSON: " in shown[0].data["text/markdown"]
    assert used[0].text == "True\n"
    assert raised[0].ename == "ProtocolError"
    assert len(raised[0].traceback) == 1


def test_text_is_shown_as_it_is(run_headless: Run) -> None:
    (shown,) = run_headless("%%deepseek --format text\nA table")
    plain, markdown = shown[0].data["text/plain"], shown[0].data["text/markdown"]
    assert "| Planet |" in plain
    assert f"\n{plain.rstrip()}\n```" in markdown


def test_code_is_offered_as_the_next_cell_and_never_run(kernel: Kernel) -> None:
    ran = kernel.run("%%deepseek -o a --format code --think off\nPrimes as Python code")
    (offered,) = [p for p in ran.reply["payload"] if p["source"] == "set_next_input"]
    assert not offered["replace"]
    assert kernel.run("print(a.code)", cell="2").printed == offered["text"] + "\n"
    assert "def " in offered["text"]


def test_code_is_printed_where_nobody_could_take_it_over(run_headless: Run) -> None:
    shown, used = run_headless("%%deepseek -o a --format code\nPrimes as Python code", "print(a.code)")
    assert shown[-1].text == used[0].text


def test_an_answer_without_code_is_said_to_have_none(run_headless: Run) -> None:
    (shown,) = run_headless("%%deepseek --format code\necho Only words here.")
    if "```" not in shown[0].data["text/plain"]:
        assert "holds no code" in shown[0].data["text/markdown"]


@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_a_verbatim_text_is_cut_into_few_blocks_that_join_to_it(step: int) -> None:
    text = "".join(f"line {n} with `ticks` and $x$\n" for n in range(4_000)) + "end"
    cut, settled = Verbatim(), 0
    for start in range(0, len(text), step):
        cut.feed(text[start : start + step])
        settled += len(cut.settled())
    settled += len(cut.finish())
    assert cut.text == text
    assert 1 <= settled == len(cut.segments) < 10
