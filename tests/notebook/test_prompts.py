"""Saved prompts, system prompts, and a project's own defaults, in a notebook."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer

from .conftest import Kernel

Run = Callable[..., list[list[Any]]]

PYPROJECT = """\
[tool.deepseek-magic]
think = "off"
max-tokens = 100
modle = "pro"
temperature = "warm"

[tool.deepseek-magic.prompts]
review = "Review {prompt} for {who}."
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with a project's settings and one prompt in a file."""
    (tmp_path / "work" / "prompts").mkdir(parents=True)
    (tmp_path / "work" / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (tmp_path / "work" / "prompts" / "pirate.md").write_text("Talk like a pirate to {who}.\n", encoding="utf-8")
    return tmp_path / "work"


def messages(demo: DemoServer) -> list[tuple[str, str]]:
    return [(m["role"], m["content"]) for m in demo.requests[-1].body["messages"]]


def test_prompts_are_found_by_name_and_filled(run_headless: Run, demo: DemoServer, folder: Path) -> None:
    run_headless(f"%cd -q {folder}\nwho = 'Ada'", "%%deepseek --prompt review -s @pirate\nthe text of {who}")
    assert messages(demo) == [("system", "Talk like a pirate to Ada."), ("user", "Review the text of Ada for Ada.")]


def test_python_finds_them_too(run_headless: Run, demo: DemoServer, folder: Path) -> None:
    run_headless(f"%cd -q {folder}\nimport deepseek_magic as ds\nds.ask('it', template='review', system='@pirate');")
    assert messages(demo) == [("system", "Talk like a pirate to {who}."), ("user", "Review it for {who}.")]


def test_a_saved_prompt_needs_no_text_beside_it(run_headless: Run, demo: DemoServer, folder: Path) -> None:
    run_headless(f"%cd -q {folder}", "%%deepseek --prompt pirate")
    assert messages(demo) == [("user", "Talk like a pirate to {who}.")]


def test_a_system_prompt_is_filled_unless_braces_are_sent_raw(run_headless: Run, demo: DemoServer) -> None:
    run_headless("who = 'Ada'", "%deepseek -s 'You are {who}.' {who} {{who}}")
    assert messages(demo) == [("system", "You are Ada."), ("user", "Ada {who}")]
    run_headless("who = 'Ada'", "%deepseek --raw -s 'You are {who}.' {who} {{who}}")
    assert messages(demo) == [("system", "You are {who}."), ("user", "{who} {{who}}")]


def test_in_a_function_its_own_variables_are_filled_in(run_headless: Run, demo: DemoServer) -> None:
    asking = "def ask(topic):\n    %deepseek --new explain {topic} to {who}\nask('this')"
    run_headless(f"topic, who = 'not this', 'Ada'\n{asking}")
    assert messages(demo) == [("user", "explain this to Ada")]


def test_a_name_that_is_not_saved_is_one_sentence(run_headless: Run, demo: DemoServer, folder: Path) -> None:
    _, outputs = run_headless(f"%cd -q {folder}", "%deepseek -s @pirat hi")
    assert outputs[0].traceback == [
        "ConfigurationError: There is no saved prompt pirat (did you mean pirate?). Saved prompts: pirate, review."
    ]


def test_a_project_sets_defaults_and_a_wrong_one_is_said(run_headless: Run, demo: DemoServer, folder: Path) -> None:
    load = "import warnings; warnings.simplefilter('always')\n%reload_ext deepseek_magic"
    again, *_ = run_headless(f"%cd -q {folder}\n{load}", "%deepseek hi", "%deepseek --think low hi")
    first, second = (seen.body for seen in demo.requests)
    assert (first["max_tokens"], first["thinking"]) == (100, {"type": "disabled"})
    assert second["thinking"] == {"type": "enabled"}
    warned = "".join(output.text for output in again if output.output_type == "stream")
    assert "pyproject.toml: there is no setting modle (did you mean model?)." in warned
    assert "temperature" in warned
    assert "modle = " in warned  # the line itself


def test_tab_completes_saved_prompts(kernel: Kernel, folder: Path) -> None:
    kernel.run(f"%cd -q {folder}")

    assert kernel.offers("%%deepseek --prompt ", "pirate", "review")
    assert kernel.offers("%%deepseek -s @pi", "pirate")
