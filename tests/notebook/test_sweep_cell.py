"""``%%deepseek_sweep`` in a notebook that runs without a front end, in a shell, and in a kernel that somebody watches."""

from __future__ import annotations

import json
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from deepseek_magic.demo.api.inquiry import asked_for
from deepseek_magic.demo.api.replies import reply
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.trials import store
from deepseek_magic.metrics.summary import ServiceLevels
from deepseek_magic.notebook.experiments import live
from deepseek_magic.notebook.experiments.flags import grid_of, read_sweep_line
from deepseek_magic.policy.pricing import BEIJING
from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.session import session
from deepseek_magic.session.experiments.listing import sweeps
from tests.notebook.conftest import LOAD, WIDGETS_VIEW, Kernel

ROWS = "rows = [{'question': f'item {number}'} for number in range(25)]"
SWEEP = """%%deepseek_sweep -o s --over rows --vary temperature=0,1 --vary model=flash,pro --repeat 3 --go --think off
echo {question}"""


def test_a_notebook_runs_a_sweep_and_keeps_one_markdown_table_that_says_what_the_summary_says(
    run_headless: Callable[..., list[list[Any]]], demo: DemoServer
) -> None:
    look = (
        "import json\nf = s.to_pandas()\n"
        "print(json.dumps([len(f), sorted(f['text']), list(s.summary().to_pandas()['answered'].astype(int))]))"
    )
    demo.keep = 1_000
    _, (table,), (printed,) = run_headless(ROWS, SWEEP, look)
    bodies = Counter(json.dumps(seen.body, sort_keys=True) for seen in demo.requests if seen.body)
    assert (len(bodies), set(bodies.values())) == (100, {3})
    rows, texts, answered = json.loads(printed["text"])
    assert rows == 300
    assert texts == sorted(reply(asked_for(seen.body)).text for seen in demo.requests if seen.body)
    assert set(table["data"]) == {"text/markdown", "text/plain"}
    shown = [line.split("|")[1:-1] for line in table["data"]["text/markdown"].splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in shown[0]] == ["temperature", "model", "answered", "cost", "median, s"]
    assert [int(cells[2]) for cells in shown[2:]] == answered == [75, 75, 75, 75]


@pytest.fixture
def shell(demo: DemoServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A shell with the extension, whose DeepSeek is the demo with its prices."""
    monkeypatch.setenv("DEEPSEEK_MAGIC_DEMO", demo.base_url)
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.run_cell(LOAD)
    shell.run_cell(ROWS)
    yield shell
    InteractiveShell.clear_instance()


def failed(shell: Any, cell: str) -> Any:
    """The error that a cell ends with."""
    return shell.run_cell(cell).error_in_exec


def test_a_dry_run_sends_nothing_and_binds_the_plan(
    shell: Any, demo: DemoServer, capsys: pytest.CaptureFixture[str]
) -> None:
    demo.stop()
    shell.run_cell(SWEEP.replace("--go", "--dry-run"))
    assert len(shell.user_ns["s"]) == 300
    assert "300" in capsys.readouterr().out


def test_what_costs_more_than_the_pocket_is_not_sent_without_a_word(shell: Any, demo: DemoServer) -> None:
    error = failed(shell, SWEEP.replace("--go", ""))
    assert isinstance(error, ConfigurationError)
    assert "--budget" in str(error)
    assert "--go" in str(error)
    assert "demo USD, and 0.02 demo USD may be spent unasked" in str(error)
    assert "s" not in shell.user_ns
    assert demo.requests == []
    shell.run_cell("%config DeepSeekMagics.pocket = 100.0")
    shell.run_cell(SWEEP.replace("--go", "--limit 2"))
    assert shell.user_ns["s"].states == {"done": 24}


def test_failed_trials_fail_the_cell_after_the_variable_is_bound(shell: Any, demo: DemoServer) -> None:
    demo.fault = "400 p=1"
    cell = "%%deepseek_sweep -o s --over rows --limit 4 --go {flags}\necho {{question}}"
    error = failed(shell, cell.format(flags=""))
    assert "4 of 4 trials failed" in str(error)
    assert "--retry" in str(error)
    assert shell.user_ns["s"].states == {"failed": 4}
    assert failed(shell, cell.format(flags="--allow-failed 1 --name other")) is None
    demo.fault = None
    assert failed(shell, cell.format(flags="--retry")) is None
    assert shell.user_ns["s"].states == {"done": 4}


def test_a_budget_that_is_used_up_fails_the_cell_and_a_higher_one_finishes_it(shell: Any, demo: DemoServer) -> None:
    cell = "%%deepseek_sweep -o s --over rows --think off --max-tokens 100 --budget {budget}\necho {{question}}"
    error = failed(shell, cell.format(budget=0.00012))
    assert "budget" in str(error)
    assert shell.user_ns["s"].states["unpaid"] > 0
    assert failed(shell, cell.format(budget=1)) is None
    assert shell.user_ns["s"].states == {"done": 25}
    assert set(Counter(seen.body["messages"][0]["content"] for seen in demo.requests).values()) == {1}


def test_several_prompts_in_a_cell_are_an_axis(shell: Any, demo: DemoServer) -> None:
    shell.run_cell(
        "%%deepseek_sweep -o s --over rows --limit 3 --go\n--- short\necho {question}\n--- long\necho the {question}"
    )
    assert Counter(row["prompt"] for row in shell.user_ns["s"].rows()) == {"short": 3, "long": 3}


def test_the_list_of_sweeps_and_what_it_does(
    shell: Any, demo: DemoServer, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    shell.run_cell("%%deepseek_sweep --over rows --limit 3 --go --name tries\necho {question}")
    shell.run_cell("%deepseek_sweeps")
    shell.run_cell("import deepseek_magic as ds\nds.sweeps")
    typed, shown = capsys.readouterr().out.split("Out[")
    assert [line for line in typed.splitlines() if line.startswith("tries ")][-1] in shown
    one = sweeps.to_pandas().to_dict("records")[0]
    assert (one["name"], one["prompt"], one["trials"], one["done"], one["open"]) == (
        "tries",
        "echo {question}",
        3,
        3,
        0,
    )
    shell.run_cell(f"%deepseek_sweeps export tries {tmp_path}/out.csv")
    assert (tmp_path / "out.csv").read_text("utf-8").count("\n") >= 4
    (tmp_path / "no.csv").mkdir()
    error = failed(shell, f"%deepseek_sweeps export tries {tmp_path}/no.csv --overwrite")
    assert str(error).endswith("no.csv was not written: Is a directory.")
    for cut in ("", str(one["sweep"])[:4], "x"):
        assert isinstance(failed(shell, f'%deepseek_sweeps delete "{cut}"'), ConfigurationError)
    assert sweeps[str(one["sweep"])[:8]].name == "tries"
    shell.run_cell("%deepseek_sweeps delete tries")
    assert isinstance(failed(shell, "%deepseek_sweeps show tries"), ConfigurationError)


def test_two_sweeps_are_compared_and_what_is_open_is_asked_for_a_price(
    shell: Any, demo: DemoServer, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = "%%deepseek_sweep -o s --over rows --limit 4 --go --think off --score contains=echo --name {name}\n{prompt}"
    shell.run_cell(cell.format(name="asked", prompt="{question}")).raise_error()
    shell.run_cell(cell.format(name='"echoed once"', prompt="echo {question}")).raise_error()
    capsys.readouterr()
    shell.run_cell('%deepseek_sweeps compare asked "echoed once"').raise_error()
    assert "echoed once against asked: +0.00" in capsys.readouterr().out
    assert "was not understood" in str(failed(shell, "%deepseek_sweeps compare asked asked asked"))
    assert "was not understood" in str(failed(shell, "%deepseek_sweeps show asked more"))
    demo.fault = "400 p=1"
    failed(shell, cell.format(name="broken", prompt="echoes {question}"))
    demo.fault = None
    shell.run_cell("%config DeepSeekMagics.pocket = 0.000001")
    asked = len(demo.requests)
    assert "Nothing was sent" in str(failed(shell, "%deepseek_sweeps retry broken"))
    assert "There is no flag --gone" in str(failed(shell, "%deepseek_sweeps resume broken --gone"))
    assert len(demo.requests) == asked
    assert failed(shell, "%deepseek_sweeps retry broken --budget 1") is None
    assert len(demo.requests) == asked + 4
    assert failed(shell, "%deepseek_sweeps resume broken") is None
    sweep = sweeps["broken"]
    shell.run_cell("%deepseek_sweeps delete broken").raise_error()
    assert repr(sweep) == f"<Sweep {sweep.sweep_id}, no longer in the journal>"


def test_a_retry_asks_nothing_that_never_was_and_the_cell_says_so(shell: Any, demo: DemoServer) -> None:
    cell = "%%deepseek_sweep -o s --over rows --limit 2 --think off --go {flags}\necho {{question}}"
    error = failed(shell, cell.format(flags="--retry"))
    assert str(error).startswith("Never asked: 2 of 2 trials; --retry asks only what failed.")
    assert failed(shell, cell.format(flags="")) is None
    assert "Leave one of them out" in str(failed(shell, cell.format(flags="--retry --fresh")))
    assert (shell.user_ns["s"].states, len(demo.requests)) == ({"done": 2}, 2)


@pytest.mark.parametrize(
    "asked", ["grid=5", "grid={'temperature': 5}", "grid={'system': 5}", "grid={5: [1]}", "cluster=5"]
)
def test_what_is_of_another_type_is_a_sentence(shell: Any, asked: str) -> None:
    error = failed(shell, f"import deepseek_magic as ds\nds.plan('echo {{question}}', over=rows, {asked})")
    assert isinstance(error, ConfigurationError)


def test_a_sweep_that_failed_is_told_in_one_sentence(
    shell: Any, demo: DemoServer, capsys: pytest.CaptureFixture[str]
) -> None:
    session().log.levels = ServiceLevels(error_rate=1e-9)
    demo.fault = "400 p=0.7 seed=1"
    error = failed(shell, "%%deepseek_sweep --over rows --go --name lost\necho {question}")
    assert "of 25 trials failed" in str(error)
    demo.fault = None
    shell.run_cell("%deepseek hi")
    assert "Service level missed: errors" not in capsys.readouterr().out
    session().log.levels = None


def test_tab_knows_the_names_of_sweeps_with_spaces_too(shell: Any, demo: DemoServer) -> None:
    shell.run_cell('%%deepseek_sweep --over rows --limit 1 --go --name "spaced name"\necho {question}')
    find = shell.Completer.custom_matchers[-1].find
    for line in ("show ", "compare ", 'compare "spaced name" ', "export ", "delete ", "resume "):
        assert '"spaced name"' in find(f"%deepseek_sweeps {line}")[0], line
    assert '"spaced name"' in find('%deepseek_sweeps show "spac')[0]
    assert find('%deepseek_sweeps retry "spaced name" --bu') == (["--budget"], True)
    assert find('%deepseek_sweeps export "spaced name" out') == ([], False)
    assert find('%deepseek_sweeps export "spaced name" out.csv --') == (["--overwrite"], True)
    assert find('%deepseek_sweeps side "spaced name" ') == ([], True)


def test_tab_offers_flags_axes_values_and_tables(shell: Any, demo: DemoServer) -> None:
    find = shell.Completer.custom_matchers[-1].find
    assert "--vary" in find("%%deepseek_sweep --va")[0]
    assert "temperature=" in find("%%deepseek_sweep --vary te")[0]
    assert find("%%deepseek_sweep --vary think=off,l")[0] == ["low"]
    assert find("%%deepseek_sweep --over ro")[0] == ["rows"]
    assert find("%deepseek_sweeps res")[0] == ["resume"]
    assert find("%%deepseek_sweep --over rows --cluster ")[0] == ["question"]
    assert find("%%deepseek_sweep --over rows --score exact={qu")[0] == ["question"]
    assert find("%%deepseek_sweep --score ju")[0] == ["judge="]
    assert find("%%deepseek_sweep --vary json=")[0] == ["on", "off"]
    assert find("%%deepseek_sweep --at ")[0] == ["off-peak"]
    assert find("%%deepseek_map ro")[0] == ["rows"]
    assert find("%%deepseek_map rows --into q")[0] == ["question"]
    assert find("%%deepseek_map rows --where ro")[0] == ["rows"]
    shell.run_cell("def short(answer, row): return len(answer) < 5")
    assert find("%%deepseek_sweep --score ")[0][-1] == "short"
    assert "open" not in find("%%deepseek_sweep --score ")[0]
    assert "In" not in find("%%deepseek_sweep --over ")[0]
    for first in ("%%deepseek_sweep --over rows", "%%deepseek_map rows -o out"):
        assert find(f"{first}\nSay {{")[0] == ["question", "rows"]
        assert find(f"{first}\nSay {{qu")[0] == ["question"]
        assert find(f"{first}\nSay ro") is None


def test_quotes_keep_a_comma_in_an_axis_and_a_slip_gets_a_guess() -> None:
    typed = read_sweep_line('--vary system="a,b",c --vary temperature=0,1')
    assert [axis.values for axis in grid_of(typed.options["vary"])] == [("a,b", "c"), (0.0, 1.0)]
    with pytest.raises(ConfigurationError, match="did you mean --vary"):
        read_sweep_line("--very temperature=0")
    with pytest.raises(ConfigurationError, match="did you mean temperature"):
        grid_of(("temprature=0,1",))


@pytest.mark.programs
def test_a_watched_kernel_shows_one_display_that_becomes_the_table_and_an_interrupt_keeps_what_came(
    kernel: Kernel, demo: DemoServer
) -> None:
    kernel.run(f"{LOAD}\n{ROWS}\n{WIDGETS_VIEW}")
    demo.pace = 0.2
    slow = SWEEP.replace("echo {question}", "{question} stream")
    ran = kernel.run(
        slow,
        when=lambda ran: sum(seen.ended == "done" for seen in demo.requests) >= 4,
        do=kernel.manager.interrupt_kernel,
    )
    assert ran.reply["status"] == "error"
    assert "Stopped" in str(ran.reply)
    demo.pace = 0
    asked = len(demo.requests)
    ran = kernel.run(slow + "\nand code")
    assert ran.reply["status"] == "ok"
    displays = [c for c in ran.of("display_data") if "application/vnd.jupyter.widget-view+json" in c["data"]]
    updates = [c for c in ran.of("update_display_data") if "text/markdown" in c["data"]]
    assert (len(displays), len(updates)) == (1, 1)
    assert re.search(r"300 of 300 trials", updates[0]["data"]["text/plain"])
    assert len(demo.requests) - asked == 300
    sizes = sum(len(json.dumps(message["content"], default=str)) for message in ran.messages)
    assert sizes < 300_000


def test_answers_are_scored_by_rules_and_by_functions_of_the_notebook(shell: Any, demo: DemoServer) -> None:
    shell.run_cell("def short(answer, row): return len(answer) < 5")
    cell = (
        "%%deepseek_sweep -o s --over rows --limit 2 --go --think off --score {score} --score short\necho {{question}}"
    )
    shell.run_cell(cell.format(score="contains={question}")).raise_error()
    rows = shell.user_ns["s"].rows()
    assert [(row["score.contains"], row["score.short"]) for row in rows] == [(1.0, 0.0), (1.0, 0.0)]
    assert "There is no score contain (did you mean contains?)" in str(failed(shell, cell.format(score="contain=x")))
    assert "reads the column quest, which" in str(failed(shell, cell.format(score="contains={quest}")))


def test_a_map_puts_the_answers_beside_the_rows_and_its_failures_fail_the_cell(shell: Any, demo: DemoServer) -> None:
    cell = "%%deepseek_map rows -o out --into said --go {flags}\necho {{question}}"
    assert failed(shell, cell.format(flags="--think off")) is None
    assert [list(row) for row in shell.user_ns["out"]] == [["question", "said", "said_error"]] * 25
    assert all("item" in row["said"] for row in shell.user_ns["out"])
    demo.fault = "400 p=1"
    error = failed(shell, cell.format(flags="--think low --where few"))
    assert "There is no variable few" in str(error)
    shell.user_ns["few"] = [True] * 3 + [False] * 22
    error = failed(shell, cell.format(flags="--think low --where few"))
    assert '3 of 3 trials failed. out["said_error"] says why' in str(error)
    assert [row["said_error"] is None for row in shell.user_ns["out"]] == [False] * 3 + [True] * 22
    assert isinstance(failed(shell, "%%deepseek_map\necho"), ConfigurationError)
    assert shell.Completer.custom_matchers[-1].find("%%deepseek_map rows --int")[0] == ["--into"]


def test_a_map_without_a_name_shows_its_rows_and_says_where_they_are(
    shell: Any, demo: DemoServer, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_cell("%%deepseek_map rows --into said --think off --go\necho {question}").raise_error()
    shown = capsys.readouterr().out
    assert "The table is in _; -o NAME keeps it under a name. Its first 10 rows:" in shown
    assert "item 9" in shown
    assert "item 10" not in shown
    assert [row["question"] for row in shell.user_ns["_"]] == [f"item {number}" for number in range(25)]
    shell.run_cell("%%deepseek_map rows -o out --into said --think off --go\necho {question}").raise_error()
    assert "item 9" not in capsys.readouterr().out


def test_a_dry_run_opens_no_connection_and_an_unknown_name_is_refused(
    shell: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as knocked:
        monkeypatch.setenv("DEEPSEEK_BASE_URL", f"http://127.0.0.1:{knocked.getsockname()[1]}")
        shell.run_cell(SWEEP.replace("--go", "--dry-run")).raise_error()
        shell.run_cell("%%deepseek_map rows -o m --dry-run\necho {question}").raise_error()
        assert (len(shell.user_ns["s"]), len(shell.user_ns["m"])) == (300, 25)
        error = failed(shell, SWEEP.replace("{question}", "{qestion}"))
        assert (
            "{qestion} in the prompt is neither a column of the table nor a variable (did you mean question?)"
            in str(error)
        )
        knocked.setblocking(False)
        with pytest.raises(BlockingIOError):
            knocked.accept()
    assert "300 trials: 4 settings × 25 inputs × 3 repeats" in capsys.readouterr().out


def test_a_page_without_a_journal_says_so_and_still_shows_a_plan(
    shell: Any, demo: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "IN_PAGE", True)
    monkeypatch.setattr(session().journal, "enabled", False)
    for cell in (SWEEP, "%%deepseek_map rows --go\necho {question}"):
        error = failed(shell, cell)
        assert "A web page keeps no journal" in str(error)
        assert "enabled" not in str(error)
    shell.run_cell(SWEEP.replace("--go", "--dry-run")).raise_error()
    assert demo.requests == []


def test_a_terminal_is_told_of_a_wait_of_hours_once(
    shell: Any, demo: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    morning = datetime(2026, 11, 30, 10, 30, tzinfo=BEIJING)
    said: list[str] = []
    monkeypatch.setattr(live, "print_somewhere", said.append)
    looks = iter([morning] * 200)  # should it never be told
    monkeypatch.setattr(session(), "wall", lambda: morning.replace(hour=12) if said else next(looks))
    shell.run_cell(SWEEP.replace("--repeat 3", "--limit 1 --at off-peak")).raise_error()
    assert ["waiting for the half tariff at" in line for line in said] == [True, False]
    assert shell.user_ns["s"].states == {"done": 4}


def test_a_sweep_of_python_is_drawn_in_its_cell_and_not_twice(
    shell: Any, demo: DemoServer, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_cell("import deepseek_magic as ds")
    capsys.readouterr()
    shell.run_cell("ds.sweep('echo {question}', over=rows, limit=3, think='off', name='drawn')")
    assert capsys.readouterr().out.count("Sweep drawn · 3 of 3 trials") == 1
    shell.run_cell("ds.sweeps['drawn']")
    assert "Sweep drawn" in capsys.readouterr().out
