"""Prompts that speak of other cells and of errors, and the repair of what failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deepseek_magic.demo.server import DemoServer

from .conftest import Kernel

Run = Callable[..., list[list[Any]]]


def said(demo: DemoServer) -> str:
    """The last prompt."""
    return str(demo.requests[-1].body["messages"][-1]["content"])


def test_a_prompt_speaks_of_cells_and_of_the_last_error(run_headless: Run, demo: DemoServer) -> None:
    run_headless(
        "6 * 7",
        "def f(): return {}['key']\nf()",
        '%deepseek --no-history {In[2]} gave {Out[2]}; {In[3]} {Err} {"x": 1}',
    )
    prompt = said(demo)
    assert prompt.startswith("6 * 7 gave 42; def f(): return {}['key']\nf() Traceback")
    assert "KeyError: 'key'" in prompt
    assert "return {}['key']" in prompt.split("Traceback")[1]
    assert "site-packages" not in prompt
    assert "ipykernel_" not in prompt
    assert prompt.endswith('{"x": 1}')


def test_a_cell_of_ours_is_quoted_as_it_was_typed(run_headless: Run, demo: DemoServer) -> None:
    run_headless("%%deepseek\nhello there", "%deepseek --no-history say {In[2]} again")
    assert said(demo) == "say %%deepseek\nhello there again"


def test_ipython_evaluates_nothing_in_a_line_that_blocks(run_headless: Run, demo: DemoServer) -> None:
    _, outputs = run_headless(
        "voice, x = 'be very brief', 'ex'",
        "if True:\n    %deepseek -s $voice {1 + 1} {x} $x {\"a\": 1} {print('evaluated')}",
    )
    assert said(demo) == "{1 + 1} ex $x {\"a\": 1} {print('evaluated')}"
    assert demo.requests[-1].body["messages"][0]["content"] == "be very brief"
    assert [output.output_type for output in outputs] == ["display_data"]


def test_speaking_of_an_error_before_there_is_one_is_refused(run_headless: Run, demo: DemoServer) -> None:
    outputs, own = run_headless("%deepseek why {Err}", "Err = 'mine'\n%deepseek why {Err}")
    assert outputs[0].evalue.startswith("No cell has failed so far")
    assert said(demo) == "why mine"
    assert own


def test_an_error_of_ours_is_not_taken_for_the_users(run_headless: Run, demo: DemoServer) -> None:
    run_headless("1 / 0", "%deepseek --modle x hi", "%deepseek why {Err}")
    assert "ZeroDivisionError" in said(demo)


def test_the_failed_cell_is_sent_with_its_error_and_the_repair_is_the_next_cell(
    kernel: Kernel, demo: DemoServer
) -> None:
    kernel.run("x = {'a': 1}\nx['{b}']", cell="1")
    ran = kernel.run("%deepseek_fix --think off use {x} and Python code", cell="2")
    prompt = said(demo)
    assert "```python\nx = {'a': 1}\nx['{b}']\n```" in prompt
    assert "KeyError: '{b}'" in prompt
    assert prompt.endswith("use {'a': 1} and Python code")
    (offered,) = [p for p in ran.reply["payload"] if p["source"] == "set_next_input"]
    assert offered["text"]
    assert kernel.run("from deepseek_magic.session import session; print(dict(session().chats))").printed == "{}\n"


def test_the_repair_goes_into_a_variable(run_headless: Run) -> None:
    _, shown, used = run_headless("1 / 0", "%deepseek_fix -o code", "print(type(code).__name__)")
    assert [output.output_type for output in shown] == ["display_data"]
    assert used[0].text == "str\n"


def test_a_syntax_error_is_repaired_too(run_headless: Run, demo: DemoServer) -> None:
    run_headless("for x in\n  pass", "%deepseek_fix")
    assert "SyntaxError" in said(demo)
    assert "for x in\n  pass" in said(demo)


def test_there_is_nothing_to_repair_before_something_failed(run_headless: Run) -> None:
    (outputs,) = run_headless("%deepseek_fix")
    assert outputs[0].traceback == ["ConfigurationError: No cell has failed so far, so there is no error to explain."]
