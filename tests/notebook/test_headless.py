"""Runs that nobody watches: nbclient, papermill, jupyter execute."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import nbformat
import pytest

from deepseek_magic.demo.server import DemoServer

from .conftest import KEY, notebook_of

NOTEBOOKS: Final = Path(__file__).parents[2] / "notebooks"
Run = Callable[..., list[list[Any]]]


def only_markdown(outputs: list[Any]) -> Any:
    assert [output.output_type for output in outputs] == ["display_data"]
    assert set(outputs[0].data) == {"text/markdown", "text/plain"}
    return outputs[0]


@pytest.mark.parametrize("store_widget_state", [True, False])
def test_a_headless_run_leaves_one_markdown_output_whose_plain_text_is_the_answer(
    run_headless: Run, store_widget_state: bool
) -> None:
    answer, text = run_headless(
        "%%deepseek -o tide\nA table and a formula", "print(tide.text, end='')", store_widget_state=store_widget_state
    )
    output = only_markdown(answer)
    assert output.data["text/plain"] == text[0].text
    assert "| Planet |" in output.data["text/markdown"]
    assert "<details><summary>Reasoning" in output.data["text/markdown"]


def test_papermill_leaves_one_markdown_output(environment: dict[str, str], tmp_path: Path) -> None:
    source, target = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    nbformat.write(notebook_of("%%deepseek\nA table"), source)
    subprocess.run(
        [sys.executable, "-m", "papermill", str(source), str(target)],
        env=environment,
        check=True,
        capture_output=True,
        timeout=120,
    )
    only_markdown(nbformat.read(target, as_version=4).cells[-1].outputs)


def test_jupyter_execute_fails_with_the_cell_and_keeps_the_sentence(
    environment: dict[str, str], tmp_path: Path, demo: DemoServer
) -> None:
    demo.fault = "401"
    path = tmp_path / "in.ipynb"
    nbformat.write(notebook_of("%%deepseek\nA table"), path)
    ran = subprocess.run(
        [sys.executable, "-m", "jupyter", "execute", str(path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode != 0
    assert "AuthenticationError: The API answered with 401" in ran.stderr


def test_the_metadata_say_where_the_answer_comes_from(run_headless: Run) -> None:
    (answer,) = run_headless("%%deepseek --think off -t 0.5\nA table")
    said = answer[0].metadata["deepseek_magic"]
    assert said["model"] == "deepseek-flash"
    assert said["parameters"]["temperature"] == 0.5
    assert said["outcome"] == "complete"
    assert said["usage"]["completion_tokens"] > 0
    assert len(said["prompt_sha256"]) == 64


def test_braces_reach_the_server_as_typed_and_names_are_filled(run_headless: Run, demo: DemoServer) -> None:
    run_headless("city = 'Köln'", '%%deepseek\n{"a": {1}} in {city}\nreally?')
    sent = [seen.body["messages"][-1]["content"] for seen in demo.requests if seen.path.endswith("/chat/completions")]
    assert sent == ['{"a": {1}} in Köln\nreally?']


def test_a_question_on_the_line_reaches_the_model(run_headless: Run, demo: DemoServer) -> None:
    run_headless("%deepseek what's 2 < 3?", "if True:\n    %deepseek and 4?", "x = %deepseek and 5?")
    assert [seen.body["messages"][-1]["content"] for seen in demo.requests] == ["what's 2 < 3?", "and 4?", "and 5?"]


def test_a_line_magic_shows_its_answer_once_and_gives_it(run_headless: Run) -> None:
    shown, used = run_headless("answer = %deepseek echo one", "print(type(answer).__name__, _ is answer)")
    only_markdown(shown)
    assert used[0].text == "Completion True\n"


@pytest.mark.parametrize("cell", ["%%deepseek -o a;\necho one", "%%deepseek -o a --quiet\necho one"])
def test_a_semicolon_or_quiet_shows_nothing_and_binds(run_headless: Run, cell: str) -> None:
    shown, used = run_headless(cell, "print('one' in a.text)")
    assert shown == []
    assert used[0].text == "True\n"


def test_an_answer_in_its_own_cell_shows_itself_again(run_headless: Run) -> None:
    _, again = run_headless("%%deepseek -o a\necho one", "a")
    assert again[0].output_type == "execute_result"
    assert "one" in again[0].data["text/markdown"]


def test_an_unknown_flag_is_one_sentence_with_a_guess(run_headless: Run) -> None:
    (outputs,) = run_headless("%%deepseek --modle pro\nhi")
    assert outputs[0].ename == "ConfigurationError"
    assert outputs[0].traceback == [
        "ConfigurationError: There is no flag --modle (did you mean --model?). %%deepseek --help lists all flags."
    ]


@pytest.mark.parametrize("cell", ["%%deepseek --help", "%deepseek --help", "%%deepseek --help\nbody"])
def test_help_lists_every_flag_also_without_a_body(run_headless: Run, cell: str) -> None:
    (outputs,) = run_headless(cell)
    assert "--max-tokens" in outputs[0].text
    assert "default: deepseek-flash" in " ".join(outputs[0].text.split())


@pytest.mark.parametrize("cell", ["%%deepseek", "%%deepseek\n\n", "%deepseek"])
def test_an_empty_question_is_one_short_sentence(run_headless: Run, demo: DemoServer, cell: str) -> None:
    (outputs,) = run_headless(cell)
    assert outputs[0].traceback == [
        "ConfigurationError: There is nothing to ask. "
        "Write the prompt below %%deepseek; %%deepseek --help lists the flags."
    ]
    assert not demo.requests


def test_a_key_in_a_cell_is_refused_and_not_repeated(run_headless: Run, demo: DemoServer) -> None:
    literal = "sk-" + "0123456789abcdef" * 2
    (outputs,) = run_headless(f"%%deepseek\nuse {literal}")
    assert outputs[0].ename == "ConfigurationError"
    assert literal not in str(outputs)
    assert not demo.requests


def test_without_a_key_the_cell_fails_with_the_three_ways_on(run_headless: Run, environment: dict[str, str]) -> None:
    del environment["DEEPSEEK_API_KEY"], environment["DEEPSEEK_BASE_URL"]
    outputs, bound = run_headless("%%deepseek -o a\nhi", "print(type(a.error).__name__)")
    (line,) = outputs[0].traceback
    assert all(way in line for way in ("DEEPSEEK_API_KEY", "%deepseek_demo", "--base-url"))
    assert bound[0].text == "MissingKey\n"


def test_a_failed_call_binds_what_had_arrived_and_its_error(run_headless: Run, demo: DemoServer) -> None:
    demo.fault = "cut after=20"
    shown, bound = run_headless("%%deepseek -o a --think off\nA table", "print(a.outcome, bool(a.text), a.error)")
    assert [output.output_type for output in shown] == ["display_data", "error"]
    (said,) = shown[1].traceback
    assert said.endswith("The text so far is in a; %deepseek_resume -o a resumes the answer.")
    assert bound[0].text.startswith("incomplete True ")


@pytest.mark.parametrize("fault", [None, "401", "cut after=20"])
def test_the_key_is_in_no_output(run_headless: Run, demo: DemoServer, fault: str | None) -> None:
    demo.fault = fault
    outputs = run_headless(
        "%%deepseek -o a\nA table", "a", "a.error", "a.request", "import deepseek_magic as ds; ds.log", "vars()"
    )
    assert KEY not in str(outputs)
    assert KEY[-4:] not in str(outputs[0])


def test_the_demo_magic_answers_without_a_key(run_headless: Run, environment: dict[str, str]) -> None:
    del environment["DEEPSEEK_API_KEY"], environment["DEEPSEEK_BASE_URL"]
    _, answer, stopped, after = run_headless(
        "%deepseek_demo --pace 0", "%%deepseek\nA table", "%deepseek_demo stop", "%%deepseek\nA table"
    )
    only_markdown(answer)
    assert "stopped" in stopped[0].data["text/plain"]
    assert after[0].ename == "MissingKey"


def test_the_first_cell_of_a_notebook_installs_and_answers_on_colab_and_does_nothing_elsewhere(
    run_headless: Run, environment: dict[str, str]
) -> None:
    first = nbformat.read(NOTEBOOKS / "03_when_the_network_fails.ipynb", as_version=4).cells[1].source
    pip = "get_ipython().register_magic_function(lambda line: print('pip', line), magic_name='pip')"  # as without a network
    assert run_headless(pip, first)[1] == []
    del environment["DEEPSEEK_API_KEY"], environment["DEEPSEEK_BASE_URL"]
    environment["COLAB_RELEASE_TAG"] = "release"
    _, installed, answered, again = run_headless(pip, first, "%%deepseek\nHi", "%deepseek_demo --pace 0\n%deepseek Hi")
    assert installed[0].text.startswith("pip install --quiet git+https://")
    for outputs in (answered, again):
        assert "demo USD" in outputs[-1].data["text/markdown"]


def test_python_asks_the_running_demo_too(run_headless: Run, environment: dict[str, str]) -> None:
    del environment["DEEPSEEK_API_KEY"], environment["DEEPSEEK_BASE_URL"]
    told = "print([ds.Client(*where).endpoint.name for where in ((), ('demo',), ('deepseek',))])"
    _, running, stopped = run_headless(
        "import deepseek_magic as ds\n%deepseek_demo --pace 0",
        told
        + "\nprint((await ds.Client().complete('A table')).outcome, (await ds.Client('demo').complete('Hi')).outcome)",
        f"%deepseek_demo stop\n{told}",
    )
    printed = "".join(output.text for output in running)  # in two parts, where the second comes late
    assert printed == "['demo', 'demo', 'deepseek']\ncomplete complete\n"
    assert stopped[-1].text.strip() == "['deepseek', 'demo', 'deepseek']"


def test_config_sets_the_default_of_a_flag(run_headless: Run, demo: DemoServer) -> None:
    run_headless("%config DeepSeekMagics.think = 'off'", "%config DeepSeekMagics.model = 'pro'", "%%deepseek\nhi")
    assert demo.requests[-1].body["model"] == "deepseek-v4-pro"
    assert demo.requests[-1].body["thinking"] == {"type": "disabled"}


def test_config_refuses_what_the_flag_would_refuse_and_keeps_what_was(run_headless: Run) -> None:
    cells = ("%config DeepSeekMagics.temperature = 9", "%config DeepSeekMagics.temperature")
    refused, shown = run_headless("%config DeepSeekMagics.temperature = 0.5", *cells)[1:]
    assert "--temperature cannot be 9.0: it takes a number from 0 to 2." in str(refused)
    assert shown[0].data["text/plain"] == "0.5"


def test_an_answer_gets_a_name_also_when_its_question_ends_in_a_question_mark(run_headless: Run) -> None:
    cells = (
        "a = %deepseek --think off echo is it so?",
        "def f():\n    b = %deepseek --think off echo and this?\n    return b",
    )
    *_, said = run_headless(*cells, "print(str(a).split(), '|', str(f()).split())")
    told = "".join(output.text for output in said if output.output_type == "stream")
    assert "['echo', 'is', 'it', 'so?'" in told.replace("'```text', ", "")
    assert "'echo', 'and', 'this?'" in told


def test_two_answers_of_one_cell_are_shown_once_each(run_headless: Callable[..., list[list[Any]]]) -> None:
    (outputs,) = run_headless(
        "%deepseek --think off --no-history echo one\n%deepseek --think off --no-history echo two"
    )
    assert ["one" in o["data"]["text/plain"] for o in outputs] == [True, False]


def test_a_very_long_answer_in_one_block_is_bound_and_shown(run_headless: Callable[..., list[list[Any]]]) -> None:
    table = "| a | b |\n|---|---|\n" + "| 1234567890 | 1234567890 |\n" * 2500
    flags = "-o big --think off --no-history --max-tokens 100000"
    shown, printed = run_headless(f"%%deepseek {flags}\necho\n{table}", "print(len(big.text) > 50_000)")
    assert "".join(o["data"]["text/plain"] for o in shown).count("1234567890") == 5000
    assert printed[0]["text"] == "True\n"


def test_the_language_is_the_locales_or_the_one_that_was_set(
    run_headless: Callable[..., list[list[Any]]], environment: dict[str, str]
) -> None:
    environment["LANG"] = "zh_CN.UTF-8"
    answered, failed, helped, english = run_headless(
        "%%deepseek -o a\nhi",
        "%%deepseek --modle flash\nhi",
        "%deepseek --help",
        "%config DeepSeekMagics.language = 'en'\n%deepseek --help",
    )
    assert "首个 token" in answered[0].data["text/markdown"]
    assert "是否想用 --model" in failed[0].traceback[0]
    assert "提示词是单元格的正文" in helped[0].text
    assert "the prompt is the body of the cell" in english[0].text


def test_the_doctor_tells_the_same_lines_as_the_command_and_fails_where_calls_would(run_headless: Run) -> None:
    well, ill, logged, demo = run_headless(
        "%deepseek_doctor",
        "%deepseek_doctor --base-url http://127.0.0.1:9",
        "%deepseek_log --window soon",
        "%deepseek_demo begin",
    )
    said = "".join(output.text for output in well)
    assert "ok    balance" in said
    assert "ok    ipython" in said
    assert said.endswith("Everything works.\n")
    found = "".join(output.text for output in ill if output.output_type == "stream")
    assert "FAIL  connection       Nothing is listening at 127.0.0.1:9." in found
    for failed in (ill, logged, demo):
        assert failed[-1].traceback[0].startswith("ConfigurationError: ")
