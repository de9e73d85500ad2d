"""Answers that go on after their cell: each below its own, whatever else runs."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import LIKE_A_MODEL

from .conftest import WIDGETS_VIEW, Kernel

Message = dict[str, Any]
# Computes for as long as the answers are written, however slow the machine: all that is drawn meanwhile was drawn beside it.
BUSY = """import time
end = time.monotonic() + 60
while not (a.done and b.done) and time.monotonic() < end: sum(range(1000))"""


@pytest.fixture
def slow(demo: DemoServer) -> DemoServer:
    demo.pace = LIKE_A_MODEL
    return demo


def watch(
    kernel: Kernel, until: Callable[[list[Message]], bool], *, after: Sequence[Message] = (), seconds: float = 30
) -> list[Message]:
    """All messages, of whatever cell, until the condition holds; ``after`` those that were seen before."""
    seen = list(after)
    deadline = time.monotonic() + seconds
    while not until(seen):
        assert time.monotonic() < deadline, [m["msg_type"] for m in seen][-20:]
        try:
            seen.append(kernel.client.get_iopub_msg(timeout=0.1))
        except queue.Empty:
            continue
    return seen


def idle(seen: list[Message], sent: str) -> bool:
    return any(
        m["msg_type"] == "status"
        and m["content"]["execution_state"] == "idle"
        and m["parent_header"].get("msg_id") == sent
        for m in seen
    )


def drawn(message: Message) -> bool:
    """Whether it draws a part of an answer."""
    content = message["content"]
    if message["msg_type"] in ("display_data", "update_display_data"):
        return "text/markdown" in content["data"]
    return message["msg_type"] == "comm_msg" and bool(content["data"].get("state", {}).get("outputs"))


def test_the_cell_returns_at_once_and_its_variable_is_waited_for(kernel: Kernel, slow: DemoServer) -> None:
    started = kernel.run("%%deepseek -b -o a --think off\nlong 1")
    assert started.reply["status"] == "ok"
    assert not started.of("execute_result")
    assert (
        kernel.run("print(a.done, a.completion, repr(a))", cell="1b").printed
        == "False None <BackgroundAnswer, being written>\n"
    )
    assert kernel.run("a.text", cell="2").reply["evalue"].startswith("There is no text yet")
    said = kernel.run(
        "try: a.wait(0.01)\nexcept TimeoutError: print('not yet')\n"
        "b = a.wait()\nprint(b is a.completion, b.outcome, a.text == str(a) == b.text != '')",
        cell="3",
    )
    assert said.printed == "not yet\nTrue complete True\n"
    shown = kernel.run("a", cell="4").of("execute_result")
    assert "text/markdown" in shown[0]["data"]


def test_it_is_awaited_and_an_interrupt_ends_only_the_waiting(kernel: Kernel, slow: DemoServer) -> None:
    kernel.run("%%deepseek -b -o a --think off\nlong 3")
    sent = kernel.send("await a", cell="2")
    time.sleep(0.5)
    kernel.manager.interrupt_kernel()
    assert kernel.collect(sent).reply["status"] == "error"
    assert kernel.run("print(a.done)", cell="3").printed == "False\n"
    assert kernel.run("c = await a; print(c.outcome)", cell="4").printed == "complete\n"


@pytest.mark.parametrize("view", ["widgets", "handles"])
def test_two_answers_stream_below_their_own_cells_beside_a_busy_one(
    kernel: Kernel, slow: DemoServer, view: str
) -> None:
    kernel.run(f"%config DeepSeekMagics.view = '{view}'")
    one = kernel.run("%%deepseek -b -o a --think off\nlong 2", cell="1")
    two = kernel.run("%%deepseek -b -o b --think off\nlong 2", cell="2")
    busy = kernel.send(BUSY, cell="3")
    seen = watch(kernel, lambda seen: idle(seen, busy), seconds=70)
    shown = [m for m in seen if drawn(m)]
    assert len(shown) >= 3  # they went on while the cell computed
    seen = watch(kernel, lambda seen: len(lasting(seen)) == 2, after=seen)
    cells = {m["parent_header"]["msg_id"] for m in seen if m["msg_type"].endswith("display_data")}
    assert cells <= {one.messages[0]["parent_header"]["msg_id"], two.messages[0]["parent_header"]["msg_id"]}
    assert kernel.run("print(a.wait().outcome, b.wait().outcome)", cell="4").printed == "complete complete\n"


def lasting(seen: list[Message]) -> list[Message]:
    """The outputs that answers have left."""
    return [m for m in seen if "deepseek_magic" in m["content"].get("metadata", {})]


def test_a_cell_run_again_stops_its_old_answer_and_shows_the_new_one(kernel: Kernel, slow: DemoServer) -> None:
    kernel.run("%%deepseek -b -o a --think off\nlong 9", cell="1")
    kernel.run("old = a; import time; time.sleep(1)", cell="2")
    kernel.run("%%deepseek -b -o a --think off\necho new", cell="1")
    assert kernel.run("print(old.wait().outcome, 'new' in a.wait().text, a is old)", cell="2").printed == (
        "interrupted True False\n"
    )
    assert slow.requests[0].ended == "client left"


def test_two_answers_of_one_cell_do_not_stop_each_other(kernel: Kernel, slow: DemoServer) -> None:
    kernel.run("%deepseek -b -o a --think off echo one\n%deepseek -b -o b --think off echo two")
    assert kernel.run("print(a.wait().outcome, b.wait().outcome)", cell="2").printed == "complete complete\n"


def test_it_is_stopped_by_its_button_and_by_its_handle(kernel: Kernel, slow: DemoServer) -> None:
    kernel.run(WIDGETS_VIEW)
    ran = kernel.run("%%deepseek -b -o a --think off\nlong 9", cell="1")
    (button,) = [c for c in ran.of("comm_open") if c["data"]["state"].get("description") == "Stop"]
    data = {"method": "custom", "content": {"event": "click"}}
    kernel.client.shell_channel.send(
        kernel.client.session.msg("comm_msg", {"comm_id": button["comm_id"], "data": data})
    )
    assert kernel.run("print(a.wait(5).outcome)", cell="2").printed == "interrupted\n"
    kernel.run("%%deepseek -b -o a --think off\nlong 9", cell="1")
    assert kernel.run("a.stop(); print(a.wait(5).outcome)", cell="2").printed == "interrupted\n"


def test_a_failure_is_said_below_its_cell_and_raised_to_who_waits(kernel: Kernel, demo: DemoServer) -> None:
    demo.fault = "402"
    asked = kernel.send("%%deepseek -b -o a\nhi", cell="1")
    (left,) = lasting(watch(kernel, lambda seen: bool(lasting(seen))))
    assert "The API answered with 402" in left["content"]["data"]["text/markdown"]
    assert left["parent_header"]["msg_id"] == asked
    kernel.client.get_shell_msg(timeout=10)
    assert kernel.run("a.wait()", cell="2").reply["ename"] == "InsufficientBalance"
    assert kernel.run("print(type(a.error).__name__)", cell="3").printed == "InsufficientBalance\n"


def test_a_headless_run_waits_since_nothing_after_the_cell_would_be_kept(
    run_headless: Callable[..., list[list[Any]]],
) -> None:
    shown, used = run_headless("%%deepseek -b -o a\necho one", "print(a.outcome)")
    assert shown[0].data["text/markdown"]
    assert used[0].text == "complete\n"


def test_what_is_written_for_a_background_answer_runs_headless_too(
    run_headless: Callable[..., list[list[Any]]],
) -> None:
    use = "a.stop()\nprint((await a).text == a.wait().text == str(a), a.done, a.outcome)"
    _, used = run_headless("%%deepseek -b -o a\necho one", use)
    assert used[0].text == "True True complete\n"


def test_a_background_answer_is_a_turn_of_its_conversation(kernel: Kernel, demo: DemoServer) -> None:
    kernel.run("%%deepseek -b -o a\necho one", cell="1")
    kernel.run("a.wait()", cell="2")
    kernel.run("%%deepseek\ntwo", cell="3")
    assert [m["role"] for m in demo.requests[-1].body["messages"]] == ["user", "assistant", "user"]


def test_an_answer_that_is_done_keeps_nothing_that_it_was_drawn_with(kernel: Kernel) -> None:
    kernel.run("%%deepseek -b -o later\nA table")
    kernel.run("later.wait()")
    kept = """import gc; gc.collect()
print(later.done, sum(type(o).__name__ in ("LiveView", "WidgetSurface") for o in gc.get_objects()))"""
    assert kernel.run(kept).printed == "True 0\n"
