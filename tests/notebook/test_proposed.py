"""--run ask: code is shown as it is, and runs only when somebody who saw it has said so."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.notebook.ahead import ahead
from deepseek_magic.notebook.magic.flags import read_order
from deepseek_magic.notebook.proposed import running
from deepseek_magic.notebook.proposed.beyond import beyond_python
from deepseek_magic.notebook.proposed.shown import BROKEN, MAX_COLUMNS, Proposal, remarks
from deepseek_magic.protocol.cells.independence import SETTINGS
from deepseek_magic.text.characters import unseen, visible

from .conftest import Kernel, Ran, newer_only
from .test_gate import buttons, click, run_typing

Run = Callable[..., list[list[Any]]]
ASK = "%%deepseek -o a --run ask --think off\n"
CLICKS = newer_only("a click is heard while a cell runs", twin="test_without_clicks_the_choice_is_typed")


def run_choosing(kernel: Kernel, source: str, label: str) -> Ran:
    """Run a cell, and click when it asks."""
    shown = Ran()

    def asks(now: Ran) -> bool:
        nonlocal shown
        shown = now
        return label in buttons(now)

    return kernel.run(source, when=asks, do=lambda: click(kernel, shown, label))


def asked(kernel: Kernel, code: str, label: str) -> Ran:
    """Have the demo write ``code``, and click."""
    return run_choosing(kernel, f"{ASK}{code}", label)


def plain(ran: Ran) -> str:
    return "\n".join(c["data"]["text/plain"] for kind in ("display_data", "update_display_data") for c in ran.of(kind))


@CLICKS
def test_run_makes_it_a_cell_with_a_number_of_its_own(kernel: Kernel) -> None:
    kernel.run("1", cell="0")
    code = "x = 40  # echo\nprint('out')\nx + 2"
    ran = asked(kernel, code, "Run")
    number = ran.reply["execution_count"]
    assert ran.reply["status"] == "ok", ran.reply
    assert ran.printed == "out\n"
    (result,) = ran.of("execute_result")
    assert result["data"]["text/plain"] == "42"
    assert result["execution_count"] == number
    assert f"Run as In[{number}]." in plain(ran)
    after = kernel.run(
        f"print(In[{number}] == a.code, Out[{number}], _ is a, In[{number - 1}].startswith('await'))", cell="2"
    )
    assert after.printed == "True 42 True True\n"
    assert after.reply["execution_count"] == number + 1
    kept = kernel.run("print([line for _, line, _ in get_ipython().history_manager.get_tail(9)])").printed
    assert kept == str([*range(1, number + 2)]) + "\n"


@CLICKS
def test_edit_is_the_next_cell_and_discard_is_nothing(kernel: Kernel, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    code = f"open({str(canary)!r}, 'w').close()  # echo"
    edited, discarded = asked(kernel, code, "Edit"), asked(kernel, code, "Discard")
    (payload,) = edited.reply["payload"]
    assert payload == {"source": "set_next_input", "text": code, "replace": False}
    assert discarded.reply["payload"] == []
    assert "discarded" in plain(discarded)
    assert not canary.exists()


@CLICKS
def test_an_error_of_the_code_fails_the_cell_and_is_the_last_error(kernel: Kernel, demo: DemoServer) -> None:
    ran = asked(kernel, "def f():  # echo\n    return {}['key']\nf()", "Run")
    first, last = ran.of("error")
    assert first["ename"] == "KeyError"
    assert last["traceback"] == ["CodeFailed: The code was run and failed: KeyError."]
    assert ran.reply["status"] == "error"
    kernel.run("%deepseek --no-history why {Err}")
    assert "return {}['key']" in str(demo.requests[-1].body["messages"][-1]["content"])


@CLICKS
def test_a_repair_is_shown_as_a_diff_and_runs_when_it_is_chosen(kernel: Kernel) -> None:
    kernel.run("x = {}['key'] if 1 else 2", cell="1")
    ran = run_choosing(kernel, "%deepseek_fix --run ask --think off", "Run")
    (diff,) = [c["data"] for c in ran.of("display_data") if "changed cell" in c["data"]["text/plain"]]
    assert "\n+ # KeyError: 'key'\n  x = {}['key'] if 1 else 2" in diff["text/plain"]
    assert diff["text/markdown"].count("<span ") == 2
    assert [content["ename"] for content in ran.of("error")] == ["KeyError", "CodeFailed"]
    assert ran.reply["payload"] == []


@CLICKS
def test_every_run_of_the_cell_asks_again(kernel: Kernel) -> None:
    kernel.run("count = 0")
    code = "count += 1  # echo"
    for label in ("Run", "Discard", "Run"):
        asked(kernel, code, label)
    assert kernel.run("print(count)").printed == "2\n"


@CLICKS
def test_code_that_awaits_runs_and_an_interrupt_ends_what_never_does(kernel: Kernel) -> None:
    ran = asked(kernel, "import asyncio  # echo\nawait asyncio.sleep(0)\nprint('slept')", "Run")
    assert ran.printed == "slept\n"
    started: list[bool] = []
    source = f"{ASK}import time  # echo\nprint('on')\nwhile True: time.sleep(0.01)"

    def drive(now: Ran) -> bool:
        if not started and "Run" in buttons(now):
            started.append(True)
            click(kernel, now, "Run")
        return bool(now.printed)

    ran = kernel.run(source, when=drive, do=kernel.manager.interrupt_kernel)
    assert ran.reply["status"] == "error"
    assert ran.reply["ename"] == "Stopped"
    assert kernel.run("print('free')").printed == "free\n"


@CLICKS
def test_an_interrupt_at_the_question_runs_nothing(kernel: Kernel, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    source = f"{ASK}open({str(canary)!r}, 'w').close()  # echo"
    ran = kernel.run(source, when=lambda now: "Run" in buttons(now), do=kernel.manager.interrupt_kernel)
    assert ran.reply["ename"] == "Stopped"
    assert "Not run: nobody chose." in plain(ran)
    assert not canary.exists()


def test_without_clicks_the_choice_is_typed(kernel: Kernel) -> None:
    kernel.run("%config DeepSeekMagics.view = 'handles'")
    ran, prompts = run_typing(kernel, f"{ASK}print(6 * 7)  # echo", "r")
    assert ran.printed.endswith("42\n")
    assert prompts == ["[r] Run  [e] Edit  [d] Discard: "]


def test_where_nobody_looks_on_nothing_is_sent(run_headless: Run, demo: DemoServer) -> None:
    typed, default = run_headless(
        f"{ASK}print(1)  # echo", "%config DeepSeekMagics.run = 'ask'\n%deepseek --format code print(1)  # echo"
    )
    for outputs in (typed, default):
        assert outputs[-1].ename == "ConfigurationError"
        assert "--run ask needs somebody who looks on" in outputs[-1].evalue
    assert demo.requests == []


@pytest.mark.parametrize(
    ("flags", "said"), [("-b", "--background leaves no place"), ("--quiet", "--quiet leaves"), ("--json", "no code")]
)
def test_what_leaves_no_place_to_ask_is_refused(kernel: Kernel, flags: str, said: str) -> None:
    ran = kernel.run(f"%%deepseek --run ask {flags}\nprint(1) as json")
    if flags != "--json":
        assert said in ran.reply["evalue"]
    assert kernel.run("%%deepseek --run ask --format text\nx").reply["evalue"].startswith("--run ask is for code")


def test_code_of_an_answer_that_was_cut_is_not_offered(kernel: Kernel) -> None:
    ran = kernel.run(f"{ASK.rstrip()} --max-tokens 20\nlong 4 # echo " + "print(1)\n" * 40)
    assert "so its code is not offered to be run" in ran.printed
    assert buttons(ran).keys() <= {"Stop"}
    assert [payload["source"] for payload in ran.reply["payload"]] == ["set_next_input"]


@CLICKS
def test_an_answer_that_was_cut_and_resumed_is_asked_about_once_it_is_whole(kernel: Kernel) -> None:
    code = "done = True  # echo " + "and so on " * 30
    cut = kernel.run(f"{ASK.rstrip()} --max-tokens 20\n{code}")
    assert "so its code is not offered to be run" in cut.printed
    ran = run_choosing(kernel, "%deepseek_resume -o b --run ask --max-tokens 4000", "Run")
    assert ran.reply["status"] == "ok"
    assert kernel.run("print(done, b.outcome, b.code == a.code)").printed == "True complete False\n"


def test_cells_behind_one_whose_code_may_run_are_not_begun_early(shell: Any) -> None:
    order, plain_order = read_order("--run ask", "x"), read_order("", "x")
    assert order is not None
    assert plain_order is not None
    assert ahead._bound(order) == SETTINGS
    assert ahead._bound(plain_order) != SETTINGS


def test_the_code_of_a_named_cell_is_shown_as_its_change(kernel: Kernel) -> None:
    kernel.run("%config DeepSeekMagics.view = 'handles'")
    kernel.run("a = 1\nb = 2")
    ran, _ = run_typing(kernel, f"{ASK}{{In[3]}}\n# echo", "d")
    (shown,) = [c["data"]["text/plain"] for c in ran.of("display_data") if "changed cell" in c["data"]["text/plain"]]
    assert "\n  a = 1\n  b = 2\n+ # echo" in shown


# what is shown


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_all_of_the_code_is_shown_and_nothing_unseen_is_left(code: str) -> None:
    shown = Proposal(code=code).text
    assert shown.replace(f"{BROKEN}\n", "") == visible(code)
    assert not [*unseen(shown)]
    assert all(len(line) <= MAX_COLUMNS + len(BROKEN) for line in shown.split("\n"))


@given(st.lists(st.sampled_from(["a", "b", "", "  c"])), st.lists(st.sampled_from(["a", "b", "", "  d"])))
def test_a_diff_has_every_line_that_runs_and_every_line_that_goes(before: list[str], after: list[str]) -> None:
    old, new = "\n".join(before), "\n".join(after)
    lines = Proposal(code=new, replaces=old).text.split("\n")
    assert [line[2:] for line in lines if line[0] in " +"] == new.split("\n")
    assert [line[2:] for line in lines if line[0] in " -"] == old.rstrip("\n").split("\n")


@pytest.mark.parametrize(
    ("code", "shown", "said"),
    [
        ("x = 1 # \u202e evil \u2066", "x = 1 # [RLO] evil [LRI]", "not seen"),
        ("a\u200b = 1", "a[U+200B] = 1", "not seen"),
        ("\x1b[2Jx", "[ESC][2Jx", "not seen"),
        ("h\u3164 = 1", "h[U+3164] = 1", "not seen"),
        ("p\u0430ss = 1", "p\u0430ss = 1", "look like"),
        ("\U0001d428\U0001d42c.system('x')", "\U0001d428\U0001d42c.system('x')", "look like"),
        ("x = '\u05d0'", "x = '\u05d0'", "right to left"),
        (f"x = 1{' ' * 200}; import os", None, "broken here"),
    ],
)
def test_what_hides_in_code_is_made_visible_and_said(code: str, shown: str | None, said: str) -> None:
    assert said in " ".join(map(str, remarks(code)))
    assert shown is None or Proposal(code=code).text == shown
    marked = Proposal(code=code).markdown
    assert marked.startswith("```python") == (shown == code)


@pytest.mark.parametrize("code", ["print('✅ ⚠️ 👩‍💻')", "名字 = '你好　世界'", "x = 'é'\n\ty = {1: '→'}"])
def test_ordinary_text_is_shown_as_it_is(code: str) -> None:
    assert [*remarks(code)] == []
    assert Proposal(code=code).text == code


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("!rm -rf x\ny = 2", ["It runs a shell command: rm -rf x"]),
        ("if 1:\n    !ls", ["It runs a shell command: ls"]),
        ("%%bash\nls", ["All of it is given to a magic: %%bash"]),
        ("%%time\n!ls", ["All of it is given to a magic: %%time", "It runs a shell command: ls"]),
        ("%pip install x\n1", ["It uses a magic: %pip install x"]),
        ("cd /tmp", ["It uses a magic: %cd /tmp"]),
        ("get_ipython().system('a\u202eb')", ["It runs a shell command: a[RLO]b"]),
        ("'''\n!ls\n'''", []),
        ("def f(:", ["It is not valid Python: invalid syntax."]),
    ],
)
def test_what_is_no_python_is_named(shell: Any, code: str, said: list[str]) -> None:
    assert [str(each) for each in beyond_python(code, shell)] == said


def test_what_was_run_is_known_by_its_digest(kernel: Kernel) -> None:
    kernel.run("%config DeepSeekMagics.view = 'handles'")
    ran, _ = run_typing(kernel, f"{ASK}1  # echo", "e")
    digest = hashlib.sha256(b"1  # echo").hexdigest()
    kept = [c["metadata"].get("deepseek_magic", {}).get("code") for c in ran.of("display_data")]
    assert {"chosen": "edit", "sha256": digest} in kept


def test_a_cell_without_history_is_none_afterwards(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.user_ns["run"] = lambda code: print(running.run(shell, code))
    shell.run_cell("1", store_history=True)
    shell.run_cell("run('7 * 6')", store_history=False)
    shell.run_cell("run('5 * 5')", store_history=True)
    assert shell.user_ns["In"][1:] == ["1", "7 * 6", "run('5 * 5')", "5 * 5"]
    assert shell.user_ns["Out"][2] == 42
    assert shell.user_ns["Out"][4] == 25
    assert shell.execution_count == 5
    capsys.readouterr()
