"""Cells that are asked before their turn: what the server is asked, when, and in which cells the answers stand."""

from __future__ import annotations

import json
import os
import queue
import random
import signal
import time
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Final

import pytest

from deepseek_magic.demo.api import frames
from deepseek_magic.demo.api.replies import Reply
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import Pace
from deepseek_magic.engine.hosts.endpoints import DEMO_VARIABLE
from deepseek_magic.engine.journal.reader import Entry, Journal

from .conftest import Kernel, Ran

HANG_S: Final = 60.0
ON: Final = "%config DeepSeekMagics.look_ahead = 3\n%config DeepSeekMagics.no_history = True"
STEADY: Final = Pace(first_token_s=0.2, tokens_per_s=40.0, jitter=0.0)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANG_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


def run_all(
    kernel: Kernel,
    cells: Sequence[str],
    *,
    when: Callable[[], bool] | None = None,
    do: Callable[[], None] | None = None,
    may_fail: Container[int] = (),
) -> list[Ran]:
    """Send all cells at once, as *Run All* does, and wait for all of them; ``do`` is done once, as soon as ``when`` holds. Those of
    ``may_fail`` are sent as JupyterLab sends one with the tag ``raises-exception``."""
    sent = [
        kernel.send(source, cell=f"cell-{number}", stop_on_error=number not in may_fail)
        for number, source in enumerate(cells)
    ]
    ran = {each: Ran() for each in sent}
    idle: set[str] = set()
    deadline = time.monotonic() + HANG_S
    while len(idle) < len(sent) or not all(each.reply for each in ran.values()):
        assert time.monotonic() < deadline, "the cells did not end"
        if when is not None and do is not None and when():
            do()
            when = None
        for take, wait_s in ((kernel.client.get_iopub_msg, 0.02), (kernel.client.get_shell_msg, 0.001)):
            try:
                message = take(timeout=wait_s)
            except queue.Empty:
                continue
            of = message["parent_header"].get("msg_id")
            if of not in ran:
                continue
            if message["msg_type"] == "execute_reply":
                ran[of].reply = message["content"]
            else:
                ran[of].messages.append(message)
                if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                    idle.add(of)
    return [ran[each] for each in sent]


def prompts(demo: DemoServer) -> list[str]:
    return [seen.body["messages"][-1]["content"] for seen in demo.requests if seen.body]


def answers(ran: Ran) -> list[str]:
    """What has stood in a cell, as plain text."""
    return [
        content["data"]["text/plain"]
        for kind in ("display_data", "update_display_data")
        for content in ran.of(kind)
        if "text/markdown" in content["data"] and content["data"]["text/plain"].strip()
    ]


def ask(text: str, *flags: str) -> str:
    return f"%%deepseek --think off {' '.join(flags)}\necho {text}"


@pytest.fixture
def environment(environment: dict[str, str], demo: DemoServer) -> dict[str, str]:
    """The demo under its own name, whose answers have a price."""
    return {**environment, DEMO_VARIABLE: demo.base_url}


@pytest.fixture
def ahead(kernel: Kernel, demo: DemoServer) -> Kernel:
    """A kernel that looks ahead, with answers that take a while."""
    kernel.run(ON)
    demo.pace = STEADY
    return kernel


def test_cells_that_wait_are_asked_ahead_once_each_and_their_answers_stand_in_their_own_cells(
    ahead: Kernel, demo: DemoServer
) -> None:
    cells = [ask(f"number {n}", f"-o a{n}") for n in range(6)]
    ran = run_all(ahead, cells)
    assert [each.reply["status"] for each in ran] == ["ok"] * 6
    assert sorted(prompts(demo)) == sorted(f"echo number {n}" for n in range(6))
    shown = [" ".join(answers(each)) for each in ran]
    assert [[n for n in range(6) if f"number {n}" in text] for text in shown] == [[n] for n in range(6)]
    assert demo.most_running > 1
    assert (
        ahead.run("print(*(f'number {n}' in globals()[f'a{n}'].text for n in range(6)))").printed
        == "True " * 5 + "True\n"
    )
    rows = json.loads(
        ahead.run(
            "import deepseek_magic as ds, json\nprint(json.dumps([[r['purpose'], r['used'], r['ahead_s']] for r in ds.log]))"
        ).printed
    )
    assert {used for _, used, _ in rows} == {True}
    assert [purpose for purpose, _, _ in rows].count("ahead") >= 1
    assert all((seconds is not None) == (purpose == "ahead") for purpose, _, seconds in rows)
    footers = [each.of("update_display_data") + each.of("display_data") for each in ran]
    began = ["ahead" in json.dumps(each) for each in footers]
    assert sum(began) == [purpose for purpose, _, _ in rows].count("ahead")
    assert ahead.run("print(_)").printed.strip() != ""


def test_without_the_setting_nothing_is_asked_ahead(kernel: Kernel, demo: DemoServer) -> None:
    kernel.run("%config DeepSeekMagics.no_history = True")
    demo.pace = STEADY
    run_all(kernel, [ask(f"number {n}") for n in range(3)])
    assert (demo.most_running, len(demo.requests)) == (1, 3)


@pytest.mark.parametrize(
    "cell",
    [
        ask("{x}"),
        ask("{a.text}"),
        ask("{Err}"),
        ask("more", "--no-ahead"),
        ask("more", "-b"),
        ask("more", "--cache"),
        ask("more", "--tool print"),
        "%%deepseek --think off --chat other\necho more\n",
        "%%deepseek --think off --dry-run\necho more",
        "%%deepseek --nonsense\necho more",
        "%%deepseek --help",
    ],
)
def test_what_depends_on_more_than_its_text_waits_for_its_turn(ahead: Kernel, demo: DemoServer, cell: str) -> None:
    ahead.run("%config DeepSeekMagics.no_history = False") if "--chat" in cell else None
    ahead.run("x = 'old'\n1/0")
    run_all(ahead, [ask("first", "-o a", "--no-history"), "x = 'new'", cell])
    assert demo.most_running == 1
    assert len(prompts(demo)) == len(set(prompts(demo)))
    assert "echo old" not in prompts(demo)


def test_a_name_that_a_cell_between_binds_is_what_it_is_at_its_turn(ahead: Kernel, demo: DemoServer) -> None:
    ahead.run("a, x, y = 'old', 'old', 'kept'")
    run_all(ahead, [ask("one", "-o a"), "x = 7", ask("{a.text} then"), ask("{x} and {y}"), ask("{y} alone")])
    asked = prompts(demo)
    assert len(asked) == 4
    assert {"echo one", "echo 7 and kept", "echo kept alone"} < set(asked)
    assert not any("old" in each for each in asked)
    assert asked.index("echo kept alone") < asked.index("echo 7 and kept")


def test_what_was_refused_for_good_is_not_asked_again_in_its_turn(ahead: Kernel, demo: DemoServer) -> None:
    ran = run_all(ahead, [ask("first " * 60), ask("second", "-m nosuchmodel"), ask("third")], may_fail={1})
    assert [each.reply["status"] for each in ran] == ["ok", "error", "ok"]
    assert len(prompts(demo)) == len(set(prompts(demo))) == 3
    assert "nosuchmodel" in ran[1].reply["evalue"]


def test_a_cell_that_fails_ends_what_was_asked_ahead(ahead: Kernel, demo: DemoServer) -> None:
    demo.pace = Pace(first_token_s=0.2, tokens_per_s=5.0)
    cells = [ask("first"), "1/0", *(f"%%deepseek --think off\nlong {n} 20" for n in range(3))]
    ran = run_all(ahead, cells)
    assert [each.reply["status"] for each in ran] == ["ok", "error", *["aborted"] * 3]
    wait_until(lambda: all(seen.ended for seen in demo.requests) and demo.running == 0)
    assert len(demo.requests) > 1
    assert all(seen.ended == "client left" for seen in demo.requests[1:])
    assert not any(answers(each) for each in ran[1:])
    shown = "import deepseek_magic as ds, json\nprint(json.dumps([[r['purpose'], r['used'], r['cost_estimated']] for r in ds.log]))"
    rows = json.loads(ahead.run(shown).printed)
    assert len(rows) == len(demo.requests)
    assert [used for _, used, _ in rows[1:]] == [False] * (len(rows) - 1)
    assert all(estimated for _, _, estimated in rows[1:])


def test_a_cell_that_may_fail_ends_nothing_that_was_asked_ahead(ahead: Kernel, demo: DemoServer) -> None:
    ran = run_all(ahead, [ask("first"), "1/0", ask("second"), ask("third")], may_fail={1})
    assert [each.reply["status"] for each in ran] == ["ok", "error", "ok", "ok"]
    assert sorted(prompts(demo)) == ["echo first", "echo second", "echo third"]
    assert demo.most_running > 1


def test_the_order_of_endpoints_is_no_reason_to_wait_where_there_is_one(ahead: Kernel, demo: DemoServer) -> None:
    ahead.run('%config DeepSeekMagics.prefer = "order"')
    run_all(ahead, [ask("first"), ask("second"), ask("third")])
    assert demo.most_running > 1


def test_a_stop_ends_all(ahead: Kernel, demo: DemoServer) -> None:
    demo.pace = Pace(first_token_s=0.2, tokens_per_s=1.0)
    cells = [f"%%deepseek --think off -o a\nlong {n} 20" for n in range(5)]
    ran = run_all(ahead, cells, when=lambda: len(demo.requests) == 4, do=ahead.manager.interrupt_kernel)
    assert ran[0].reply["ename"] == "Stopped"
    assert {each.reply["status"] for each in ran[1:]} == {"aborted"}
    wait_until(lambda: demo.running == 0)
    assert {seen.ended for seen in demo.requests} == {"client left"}
    assert len(demo.requests) == 4
    ahead.run("b = 1")
    assert not any(answers(each) for each in ran[1:])


def test_a_restart_leaves_nothing_in_flight(ahead: Kernel, demo: DemoServer) -> None:
    demo.pace = Pace(first_token_s=0.2, tokens_per_s=1.0)
    for n in range(4):
        ahead.send(f"%%deepseek --think off\nlong {n} 20", cell=f"cell-{n}")
    wait_until(lambda: len(demo.requests) == 4)
    ahead.manager.restart_kernel(now=False)
    wait_until(lambda: demo.running == 0)
    assert {seen.ended for seen in demo.requests} == {"client left"}


def test_a_question_that_has_changed_by_its_turn_is_asked_as_it_is_then(ahead: Kernel, demo: DemoServer) -> None:
    ahead.run("import threading\nx = 'old'")
    change = "threading.Timer(0, lambda: globals().update(x='new')).start()"  # which no text of a cell shows
    ahead.run(
        f"get_ipython().events.register('post_run_cell', lambda r: exec({change!r}) if 'echo ' + 'first' in r.info.raw_cell else None)"
    )
    ran = run_all(ahead, [ask("first " * 60), ask("{x}")])
    assert prompts(demo)[1:] == ["echo old", "echo new"]
    assert "new" in " ".join(answers(ran[1]))
    assert "old" not in " ".join(answers(ran[1]))
    assert "asked again" in json.dumps([ran[1].of("update_display_data"), ran[1].of("display_data")])


def test_a_budget_for_three_sends_three(ahead: Kernel, demo: DemoServer) -> None:
    ahead.run(
        "import functools, deepseek_magic as ds\nfrom deepseek_magic.metrics.billing import most_of\n"
        "from deepseek_magic.session import session\nhow = dict(think='off', max_tokens=20)\n"
        "cost = ds.ask('long 9 20', **how).cost.amount\nasked = session().prepare('long 9 20', **how)\n"
        "price = functools.partial(session().log.prices.cost_of, endpoint=asked.endpoint.price_list)\n"
        "most = most_of(asked.request, price, session().wall()).amount"
    )
    # Two have been paid for when the third is looked at; a fourth may then not be sent.
    ahead.run("%config DeepSeekMagics.budget = float(3 * cost + most)")
    assert ahead.run("print(0 < cost < most)").printed == "True\n"
    before = len(demo.requests)
    ran = run_all(ahead, [f"%%deepseek --think off --max-tokens 20\nlong {n} 20" for n in range(10)])
    assert [each.reply["status"] for each in ran] == ["ok"] * 3 + ["error"] + ["aborted"] * 6
    assert ran[3].reply["ename"] == "BudgetExceeded"
    assert len(set(prompts(demo)[before:])) == len(demo.requests) - before == 3


def test_an_unknown_kernel_looks_at_nothing_and_runs_all(kernel: Kernel, demo: DemoServer) -> None:
    kernel.run(
        "from deepseek_magic.notebook.ahead import queue\n"
        "for kind in (queue._Tapped, queue._Flushed):\n    kind.fits = staticmethod(lambda kernel: kernel.renamed)"
    )
    kernel.run(ON)
    demo.pace = STEADY
    ran = run_all(kernel, [ask(f"number {n}") for n in range(3)])
    assert [each.reply["status"] for each in ran] == ["ok"] * 3
    assert (demo.most_running, len(demo.requests)) == (1, 3)
    assert "look-ahead" in (said := kernel.run("%deepseek_doctor").printed)
    assert "cannot be seen" in said


def test_the_doctor_says_what_keeps_all_cells_from_beginning_early(kernel: Kernel) -> None:
    def said(cell: str | None = "cell-1") -> str:
        (line,) = (
            each for each in kernel.run("%deepseek_doctor", cell=cell).printed.splitlines() if "look-ahead" in each
        )
        return line

    kernel.run("%config DeepSeekMagics.look_ahead = 3")
    assert said().startswith("--")
    assert "each cell continues a conversation" in said()
    kernel.run("%config DeepSeekMagics.hedge = 0.05")
    assert "hedge is set" in said()
    kernel.run(ON + "\n%config DeepSeekMagics.endpoint = 'deepseek,ollama'")
    assert "several endpoints" in said()
    kernel.run("%config DeepSeekMagics.endpoint = None\n%config DeepSeekMagics.hedge = None")
    assert said().startswith("ok")
    assert "one before it has ended" in said(cell=None)


def test_a_setting_between_two_questions_holds_for_those_behind_it(kernel: Kernel, demo: DemoServer) -> None:
    kernel.run("%config DeepSeekMagics.look_ahead = 3")
    demo.pace = STEADY
    no_history = "%config DeepSeekMagics.no_history = True"
    ran = run_all(kernel, [ask("one"), no_history, ask("two"), ask("three"), ask("four")])
    assert [each.reply["status"] for each in ran] == ["ok"] * 5
    assert sorted(prompts(demo)) == sorted(f"echo {n}" for n in ("one", "two", "three", "four"))
    assert demo.most_running > 1


def test_the_doctor_promises_nothing_for_cells_that_came_before_the_look_ahead(
    kernel: Kernel, demo: DemoServer
) -> None:
    demo.pace = STEADY
    ran = run_all(kernel, [ask("one"), ON, ask("two"), ask("three"), "%deepseek_doctor"])
    (said,) = (line for line in ran[-1].printed.splitlines() if "look-ahead" in line)
    assert said.startswith("ok") == (demo.most_running > 1)
    assert said.startswith("ok") or "from the next one on" in said
    again = kernel.run("%deepseek_doctor", cell="cell-1").printed.splitlines()
    assert any(line.startswith("ok") and "look-ahead" in line for line in again)


def test_a_queue_that_turns_out_to_be_another_is_looked_at_no_more(ahead: Kernel, demo: DemoServer) -> None:
    ahead.run(
        "from deepseek_magic.notebook.ahead import queue\nfor kind in (queue._Tapped, queue._Flushed):\n    kind.waiting = lambda self, running: 1 / 0"
    )
    ran = run_all(ahead, [ask(f"number {n}") for n in range(3)])
    assert [each.reply["status"] for each in ran] == ["ok"] * 3
    assert (demo.most_running, len(demo.requests)) == (1, 3)
    assert "cannot be seen" in ahead.run("%deepseek_doctor").printed


def test_comm_messages_between_cells_are_neither_lost_nor_reordered(ahead: Kernel, demo: DemoServer) -> None:
    demo.pace = Pace(first_token_s=5.0, tokens_per_s=40.0)
    ahead.run(
        "heard, comms = [], get_ipython().kernel.comm_manager\n"
        "comms.register_target('t', lambda comm, msg: comm.on_msg(lambda m: heard.append(m['content']['data']['n'])))\n"
        "import ipywidgets\nslider = ipywidgets.IntSlider()"
    )
    session, channel = ahead.client.session, ahead.client.shell_channel
    channel.send(session.msg("comm_open", {"comm_id": "c", "target_name": "t", "data": {}}))
    sent = [ahead.send(ask("number 0"), cell="cell-0")]
    for n in range(500):
        channel.send(session.msg("comm_msg", {"comm_id": "c", "data": {"n": n}}))
        if n % 100 == 50:
            sent.append(ahead.send(ask(f"number {n}"), cell=f"cell-{n}"))
    during_a_cell = (
        len(demo.requests) > 0 and not demo.requests[0].ended
    )  # between two cells ipykernel 7 reorders by itself
    wait_until(lambda: sum(seen.ended == "done" for seen in demo.requests) == 6)
    assert ahead.run("print(sorted(heard) == list(range(500)), slider.value)").printed == "True 0\n"
    assert not during_a_cell or ahead.run("print(heard == sorted(heard))").printed == "True\n"
    assert len(set(prompts(demo))) == len(prompts(demo)) == 6
    assert demo.most_running > 1


@pytest.mark.parametrize("seed", [1, 2])
def test_random_notebooks_ask_the_same_with_and_without(kernel: Kernel, demo: DemoServer, seed: int) -> None:
    chance = random.Random(seed)
    plain = ("x = {}", "y = [x, {}]", "x = str(y)", "y.append({})", "f()", "print(x)", "def g(): pass", "x += '{}'")
    cells = []
    for number in range(14):
        if chance.random() < 0.4:
            cells.append(chance.choice(plain).format(number))
        else:
            names = "".join(f" {{{name}}}" for name in "xyz" if chance.random() < 0.3)
            flags = f"-o {chance.choice('xyz')}" if chance.random() < 0.2 else ""
            cells.append(f"%%deepseek --think off {flags}\necho cell {number}{names}")
    seen: list[list[str]] = []
    for count in (0, 3):
        kernel.run(f"{ON.replace('3', str(count))}\nx, y, z = 'a', [1], 'c'\ndef f():\n    global y\n    y = ['f']")
        del demo.requests[:]
        run_all(kernel, cells)
        seen.append(sorted(prompts(demo)))
    assert seen[0] == seen[1]
    assert len(set(seen[1])) == len(seen[1])


def ended(demo: DemoServer) -> bool:
    return all(seen.ended for seen in demo.requests) and demo.running == 0


def test_what_nobody_takes_is_ended_some_time_after_the_last_cell(ahead: Kernel, demo: DemoServer) -> None:
    # After it, the cell that has been asked ahead asks nothing, so that nobody takes its answer.
    ahead.run(
        "from deepseek_magic.notebook.ahead import ahead as early\nearly.IDLE_S = 0.3\n"
        "def replace():\n"
        "    change = lambda lines: ['pass\\n'] if 'long' in ''.join(lines) else lines\n"
        "    get_ipython().input_transformers_cleanup.insert(0, change)"
    )
    demo.pace = Pace(first_token_s=0.2, tokens_per_s=5.0)
    ran = run_all(ahead, [ask("first"), "replace()", "%%deepseek --think off\nlong 1 20"])
    assert [each.reply["status"] for each in ran] == ["ok"] * 3
    wait_until(lambda: len(demo.requests) == 2 and ended(demo))
    assert demo.requests[1].ended == "client left"
    shown = "import deepseek_magic as ds, json\nprint(json.dumps([[r['purpose'], r['used'], r['outcome']] for r in ds.log]))"
    wait_until(lambda: len(json.loads(ahead.run(shown).printed)) == 2)
    assert json.loads(ahead.run(shown).printed)[1] == ["ahead", False, "interrupted"]


def test_it_is_not_ended_while_a_long_cell_stands_before_its_own(ahead: Kernel, demo: DemoServer) -> None:
    ahead.run("import time\nfrom deepseek_magic.notebook.ahead import ahead as early\nearly.IDLE_S = 2.0")
    ran = run_all(ahead, [ask("first " * 60), "time.sleep(5)", ask("second")])
    assert "ahead" in json.dumps([ran[2].of("update_display_data"), ran[2].of("display_data")])
    assert [prompt.split()[1] for prompt in prompts(demo)] == ["first", "second"]


ALIKE: Final = "A text that all of them begin with. " * 400


def alike(name: str) -> str:
    return f"%%deepseek --think off\n{ALIKE}{name}"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many words an answer has, whatever is asked."""
    words = [20]
    monkeypatch.setattr(frames, "reply", lambda asked: Reply(text="one word after the other " * (words[0] // 5)))
    return words


LEADS_FOR_EVER: Final = (
    "from deepseek_magic.engine.several import prefix\nfrom deepseek_magic.policy.limits import leading\n"
    "leading.BUILD_S = leading.WAIT_S = prefix.WAIT_S = 600.0"
)


def test_cells_that_begin_alike_are_begun_early_when_the_first_answer_has_begun(
    ahead: Kernel, demo: DemoServer, said: list[int]
) -> None:
    demo.cache.builds_s, said[0] = 0.5, 200
    run_all(ahead, [alike(name) for name in "abc"])
    first, *others = demo.requests
    assert [first.usage["prompt_cache_hit_tokens"], len(others)] == [0, 2]
    assert all(each.usage["prompt_cache_hit_tokens"] > 0 for each in others)
    assert all(each.at_s < (first.ended_at_s or 0) for each in others)


@pytest.mark.usefixtures("said")
def test_a_cell_whose_turn_comes_waits_for_no_other_and_had_not_begun_ahead(ahead: Kernel, demo: DemoServer) -> None:
    ahead.run(LEADS_FOR_EVER)
    ran = run_all(ahead, [alike(name) for name in "abc"])
    assert [each.reply["status"] for each in ran] == ["ok"] * 3
    assert [len(demo.requests), demo.most_running] == [3, 1]
    shown = "import deepseek_magic as ds, json\nprint(json.dumps([[r['purpose'], r['used'], r['ahead_s']] for r in ds.log]))"
    assert json.loads(ahead.run(shown).printed) == [["ask", True, None]] * 3
    assert not any("ahead" in json.dumps(each.of("update_display_data")) for each in ran)


@pytest.mark.usefixtures("said")
def test_what_waits_for_another_and_is_dropped_was_never_asked_and_is_not_the_last_answer(
    ahead: Kernel, demo: DemoServer
) -> None:
    ahead.run(LEADS_FOR_EVER)
    run_all(ahead, [alike("a"), "1/0", alike("b"), alike("c")])
    assert (
        ahead.run("from deepseek_magic.session import session\nprint(session().last.request.prompt[-1])").printed
        == "a\n"
    )
    assert ahead.run("import deepseek_magic as ds\nprint(len(ds.log), len(ds.journal))").printed == "1 1\n"
    assert len(demo.requests) == 1


@pytest.mark.parametrize("taken", [False, True], ids=["before its turn", "in its turn"])
def test_of_a_kernel_that_dies_only_what_stood_in_a_cell_is_there_to_resume(
    ahead: Kernel, demo: DemoServer, environment: dict[str, str], taken: bool
) -> None:
    journal = Journal(Path(environment["DEEPSEEK_MAGIC_HOME"]) / "journal.sqlite3")
    pid = int(ahead.run("import os; print(os.getpid())").printed)
    demo.pace = Pace(first_token_s=0.1, tokens_per_s=8.0)
    first = ask("first") if taken else "%%deepseek --think off\nlong 1 20"
    for number, source in enumerate((first, "%%deepseek --think off\nlong 2 20")):
        ahead.send(source, cell=f"cell-{number}")

    def entries() -> list[Entry]:
        return [entry for row in journal.rows() if (entry := journal.get(row["call_id"])) is not None]

    wait_until(lambda: any(each.purpose == "ahead" and each.completion.text for each in entries()))
    if taken:
        wait_until(lambda: any(each.taken for each in entries()))
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: demo.running == 0)
    wait_until(lambda: bool(journal.resumable()))
    assert [entry.completion.request.prompt for entry in journal.resumable()] == ["long 2 20" if taken else "long 1 20"]
