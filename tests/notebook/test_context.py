"""Cells, files and pages that go along with a prompt, in real kernels: what the server was sent, and what stands below the answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer

from .conftest import KEY, Kernel

Run = Callable[..., list[list[Any]]]

CELLS = (
    "import sys\nx = 21",
    "print('twice', x)\nprint('to stderr', file=sys.stderr)\nx * 2",
    "import pandas as pd\npd.DataFrame({'a': [1, 2], 'b': ['p', 'q']})",
)
ASK = "%%deepseek --no-history"


def question(demo: DemoServer, number: int = -1) -> str:
    """The last user message of a request, its parts joined."""
    content = demo.requests[number].body["messages"][-1]["content"]
    return content if isinstance(content, str) else "\n\n".join(part["text"] for part in content)


def small_print(outputs: list[Any]) -> str:
    return "".join(str(output.get("data", {}).get("text/markdown", "")) for output in outputs)


def test_the_last_cells_go_along_with_what_they_printed_and_returned(run_headless: Run, demo: DemoServer) -> None:
    *_, outputs = run_headless(*CELLS, f"{ASK} --context 2\nWhat does it show?")
    assert question(demo) == (
        "In[3]:\n```python\nprint('twice', x)\nprint('to stderr', file=sys.stderr)\nx * 2\n```\n"
        "Out[3]:\n```\ntwice 21\nto stderr\n42\n```\n\n"
        "In[4]:\n```python\nimport pandas as pd\npd.DataFrame({'a': [1, 2], 'b': ['p', 'q']})\n```\n"
        "Out[4]:\n```\n| a | b |\n| --- | --- |\n| 1 | p |\n| 2 | q |\n\n(2 rows, 2 columns)\n```\n\n"
        "What does it show?"
    )
    assert "Sent along: In[3], Out[3], In[4], Out[4] (" in small_print(outputs)


def test_cells_are_named_in_a_prompt_by_slices_and_as_a_whole(run_headless: Run, demo: DemoServer) -> None:
    *_, outputs = run_headless(
        *CELLS,
        f"{ASK}\n{{Cells[-1]}} and {{Cells[1:3]}}",
        f"{ASK}\n{{Notebook}}",
        f"{ASK}\n{{{{Notebook}}}}",
    )
    first, second, third = (question(demo, number) for number in (0, 1, 2))
    assert first.startswith("In[4]:\n```python\nimport pandas")
    assert " and In[2]:\n```python\nimport sys\nx = 21\n```\n\nIn[3]:" in first
    assert second.startswith("In[1]:\n```python\n%load_ext deepseek_magic\n```\n\nIn[2]:")
    assert "In[5]:\n```python\n%%deepseek --no-history\n{Cells[-1]}" in second  # asked outside of the conversation
    assert third == "{Notebook}"
    assert "Sent along" not in small_print(outputs)


def test_errors_and_long_outputs_are_shortened_and_said(run_headless: Run, demo: DemoServer) -> None:
    *_, outputs = run_headless("print('a' * 3000)\nprint('b' * 3000)", "1 / 0", f"{ASK} --context 2\nWhy?")
    sent = question(demo)
    assert "ZeroDivisionError: division by zero" in sent
    assert "… (cut: " in sent
    assert len(sent) < 4_000
    assert "Out[2] is longer than 2 kB: only its beginning and its end were sent." in small_print(outputs)


def test_the_newest_cells_are_kept_where_all_are_too_long(run_headless: Run, demo: DemoServer) -> None:
    long = [f"'{letter}'\n#" + letter * 12_000 for letter in "abcd"]
    *_, outputs = run_headless(*long, f"{ASK}\n{{Notebook}}")
    sent = question(demo)
    assert "d" * 12_000 in sent
    assert "b" * 12_000 not in sent
    assert "cells take 8,000 tokens at most, and newer ones go first." in small_print(outputs)


def test_an_answer_that_the_conversation_has_is_not_sent_twice(run_headless: Run, demo: DemoServer) -> None:
    *_, outputs = run_headless(
        "x = 21",
        "%%deepseek\nName a river.",
        "%%deepseek --context 5 --dry-run\nAnd another?",
        "%%deepseek --context 5\nAnd another?",
        "y = 22",
        "%%deepseek --context 1\nA third?",
        "%%deepseek --context 1\nA fourth?",
    )
    answer = demo.requests[1].body["messages"][1]["content"]
    assert answer not in question(demo, 1)
    assert question(demo, 1).endswith("In[2]:\n```python\nx = 21\n```\n\nAnd another?")
    assert question(demo, 2) == "In[6]:\n```python\ny = 22\n```\n\nA third?"
    assert question(demo, 3) == "A fourth?"  # the turn before has it
    assert "Not sent twice, because the conversation has it: In[7]." in small_print(outputs)


def test_no_older_cell_takes_the_place_of_one_that_the_conversation_has(run_headless: Run, demo: DemoServer) -> None:
    asides = [f"{ASK}\nName the {which} river." for which in ("first", "second")]
    run_headless(*asides, "%%deepseek --context 1\nWhy?", *["%%deepseek --context 2\nAnd now?"] * 2)
    sent = [question(demo, number) for number in (2, 3, 4)]
    assert sent[0].startswith("In[3]:")
    assert sent[1:] == ["And now?"] * 2


def test_a_cell_that_ran_again_is_sent_as_it_ran_last(kernel: Kernel, demo: DemoServer) -> None:
    kernel.run("y = 'first'", cell="a")
    kernel.run("z = 'other'", cell="b")
    kernel.run("y = 'second'", cell="a")
    kernel.run(f"{ASK}\n{{Notebook}}", cell="c")
    assert "'first'" not in question(demo)
    assert question(demo).index("'other'") < question(demo).index("'second'")


def test_the_key_is_in_no_body_whatever_holds_it(run_headless: Run, demo: DemoServer, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text(f"the key: {KEY}\n", "utf-8")
    (tmp_path / "rows.csv").write_text(f"name,key\nAda,{KEY}\n", "utf-8")
    *_, outputs = run_headless(
        f"k = '-'.join(['sk', 'test', '1234'])\nprint(k)\nk  # {KEY[3:]}",
        "raise ValueError(k)",
        f"{ASK} --context 2 --file {tmp_path}/notes.txt --file {tmp_path}/rows.csv\n{{Notebook}} {{Out[2]}} {{Err}}",
    )
    assert len(demo.requests) == 1
    assert KEY not in str(demo.requests[0].body)
    assert "What looks like a key or a password was left out: " in small_print(outputs)
    assert "Out[2] (" in small_print(outputs)


def test_a_dry_run_lists_what_would_go_along_and_sends_nothing(
    run_headless: Run, demo: DemoServer, tmp_path: Path
) -> None:
    (tmp_path / "data.csv").write_text("a,b\n" + "1,2\n" * 5000, "utf-8")
    *_, (shown,) = run_headless("x = 1", f"{ASK} --dry-run --context 1 --file {tmp_path}/data.csv\nhi")
    text = shown.data["text/plain"]
    assert "Would be sent along: In[2] (" in text
    assert "data.csv (" in text
    assert "B of 20 kB); about" in text
    assert demo.requests == []


def test_a_missing_file_fails_the_cell_and_nothing_is_sent(run_headless: Run, demo: DemoServer) -> None:
    _, outputs = run_headless("%cd -q /", f"{ASK} --file nowhere.csv\nhi")
    assert outputs[0].traceback[0].startswith("ConfigurationError: There is no file nowhere.csv")
    assert demo.requests == []


def test_a_conversation_shows_the_words_and_the_names_of_what_went_along(
    run_headless: Run, demo: DemoServer, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("text of a", "utf-8")
    code = "import deepseek_magic as ds\nprint(ds.journal.search('What is in')[0].completion.request.prompt)"
    *_, shown, printed = run_headless(
        f"%%deepseek --file {tmp_path}/a.txt\nWhat is in it?", "%deepseek_chat show", code
    )
    assert f"[{tmp_path}/a.txt]" in str(shown)
    assert "text of a" not in str(shown)
    assert printed[0].text == "What is in it?\n"


def test_python_sends_them_along_too(run_headless: Run, demo: DemoServer, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text of a", "utf-8")
    given = f"('What?', file='{tmp_path}/a.txt', context=1);"
    run_headless("import deepseek_magic as ds\nx = 21", f"ds.ask{given}", f"await ds.aask{given}")
    for number in (0, 1):
        assert "text of a" in question(demo, number)
        assert question(demo, number).endswith("What?")
    assert "x = 21" in question(demo, 0)


def test_paths_complete_behind_file(kernel: Kernel, tmp_path: Path) -> None:
    for name in ("data.csv", "dates.txt", "other.py"):
        (tmp_path / "work" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "work" / name).write_text("", "utf-8")
    kernel.run(f"%cd -q {tmp_path}/work")
    assert kernel.offers("%%deepseek --file da", "data.csv", "dates.txt")


def test_what_a_notebook_costs_counts_files_and_says_what_is_not_known(
    run_headless: Run, demo: DemoServer, tmp_path: Path
) -> None:
    (tmp_path / "long.txt").write_text("word " * 10_000, "utf-8")
    import nbformat

    v4 = nbformat.v4
    asks = ("%%deepseek --file long.txt\nhi", "%%deepseek --context 2\nhi", "%%deepseek\n{Notebook}", "%%deepseek --url https://a.example\nhi", "%%deepseek --file later.csv\nhi")  # fmt: skip
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell(source) for source in asks]), tmp_path / "n.ipynb")
    code = f"import deepseek_magic as ds\nfor row in ds.cost('{tmp_path}/n.ipynb').cells: print(row.calls, row.unknown, row.error)"
    *_, outputs = run_headless(code)
    first, *others = outputs[0].text.splitlines()
    assert first.startswith("1 None")
    assert "cells along that have not run" in others[0]
    assert "Notebook has no value yet" in others[1]
    assert "a page along that is fetched when it runs" in others[2]
    assert "the file later.csv is not there yet" in others[3]


@pytest.mark.parametrize("hidden", ["context = 3", "file = '/etc/hosts'", "url = 'https://a.example'"])
def test_a_project_cannot_have_anything_sent_along(
    run_headless: Run, demo: DemoServer, tmp_path: Path, hidden: str
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "pyproject.toml").write_text(f"[tool.deepseek-magic]\n{hidden}\n", "utf-8")
    run_headless("x = 21", f"%cd -q {tmp_path}/work\nimport warnings\nwarnings.simplefilter('ignore')\n%reload_ext deepseek_magic", f"{ASK}\nhi")  # fmt: skip
    assert question(demo) == "hi"
