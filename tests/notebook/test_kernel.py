"""A kernel as JupyterLab uses it: widgets, Stop, interrupt, errors, and cells that must not run after them."""

from __future__ import annotations

import hashlib
import html
import re
import time
from itertools import pairwise
from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import LIKE_A_MODEL

from .conftest import HEARS_CLICKS, WIDGETS_VIEW, Kernel, Ran, newer_only

SLOW = "%%deepseek -o a --think off\nlong 20"


def drawn(ran: Ran) -> list[str]:
    """The Markdown that Output widgets were given, in order."""
    states = [content["data"].get("state", {}) for content in ran.of("comm_msg")]
    return [state["outputs"][0]["data"]["text/markdown"] for state in states if state.get("outputs")]


def streaming(ran: Ran) -> bool:
    """Whether some of the answer has been drawn."""
    return len(drawn(ran)) > 3 or sum("text/markdown" in content["data"] for content in ran.of("display_data")) > 3


def live_views(ran: Ran) -> list[dict[str, Any]]:
    """Displays in the cell itself, outside of the widgets."""
    return [c for c in ran.of("display_data") if c.get("transient", {}).get("display_id")]


def how_it_ended(server: DemoServer, within_s: float = 5) -> str:
    """How the last request ended in the server's eyes, which sees a closed connection a moment later."""
    deadline = time.monotonic() + within_s
    while not server.requests[-1].ended and time.monotonic() < deadline:
        time.sleep(0.01)
    return server.requests[-1].ended


@pytest.fixture
def slow(demo: DemoServer) -> DemoServer:
    demo.pace = LIKE_A_MODEL
    return demo


def test_the_view_is_one_display_that_settles_into_markdown(kernel: Kernel) -> None:
    kernel.run(WIDGETS_VIEW)
    ran = kernel.run("%%deepseek\nA table and code")
    (view,) = live_views(ran)
    (settled,) = ran.of("update_display_data")
    assert "application/vnd.jupyter.widget-view+json" in view["data"]
    assert settled["transient"]["display_id"] == view["transient"]["display_id"]
    assert "| Planet |" in settled["data"]["text/plain"]
    assert "<small>" in settled["data"]["text/markdown"]
    assert not ran.of("execute_result")


def test_all_widgets_of_a_view_are_closed_with_it(kernel: Kernel) -> None:
    kernel.run("%%deepseek\nA table")
    assert kernel.run("import ipywidgets; print(ipywidgets.Widget.get_manager_state()['state'])").printed == "{}\n"


def test_an_interrupt_keeps_what_had_come_and_ends_the_cell_as_stopped(kernel: Kernel, slow: DemoServer) -> None:
    kernel.run(WIDGETS_VIEW)
    took: list[float] = []

    def interrupt() -> None:
        took.append(time.monotonic())
        kernel.manager.interrupt_kernel()

    ran = kernel.collect(kernel.send(SLOW), when=streaming, do=interrupt)
    took.append(time.monotonic())
    assert ran.reply["status"] == "error"
    assert ran.reply["ename"] == "Stopped"
    assert ran.reply["evalue"] == "Stopped. The text so far is in a; %deepseek_resume -o a resumes the answer."
    assert not ran.of("error"), "a person's own Stop was painted as an error"
    (settled,) = ran.of("update_display_data")
    assert "The text so far is in a; %deepseek_resume -o a" in settled["data"]["text/markdown"]
    assert kernel.run("print(a.outcome, len(a.text) > 0, a is _)").printed == "interrupted True True\n"
    assert how_it_ended(slow) == "client left"
    assert took[1] - took[0] < 2


@pytest.mark.parametrize(
    "cell", ["vscode-notebook-cell:/home/me/a.ipynb#W2sZmlsZQ", None], ids=["VS Code", "a console"]
)
def test_a_stop_is_one_line_where_a_cell_must_tell_that_it_failed(
    kernel: Kernel, slow: DemoServer, cell: str | None
) -> None:
    def answering(_ran: Ran) -> bool:
        return bool(slow.requests) and slow.requests[-1].status == 200

    ran = kernel.collect(
        kernel.send("%%deepseek --think off\nlong 20", cell=cell), when=answering, do=kernel.manager.interrupt_kernel
    )
    (error,) = ran.of("error")
    assert error["ename"] == "Stopped"
    assert len(error["traceback"]) == 1


def test_whoever_shows_errors_in_a_way_of_their_own_goes_on_to(kernel: Kernel, slow: DemoServer) -> None:
    kernel.run("get_ipython().set_custom_exc((ValueError,), lambda *_args, **_more: print('mine'))")
    ran = kernel.collect(kernel.send(SLOW), when=streaming, do=kernel.manager.interrupt_kernel)
    assert (ran.reply["ename"], ran.of("error")) == ("Stopped", [])
    assert kernel.run("raise ValueError").printed == "mine\n"
    assert kernel.run("print(get_ipython().custom_exceptions)").printed == "(<class 'ValueError'>,)\n"
    caught = "from deepseek_magic.notebook.frontend import Stopped, unpainted\nunpainted(get_ipython())\n" * 2
    kernel.run(caught)  # as a cell does that catches two Stops
    assert kernel.run("print(get_ipython().custom_exceptions)").printed == "(<class 'ValueError'>,)\n"
    kernel.run(f"{caught}get_ipython().set_custom_exc((KeyError,), lambda *_args, **_more: print('its own'))")
    assert kernel.run("{}[1]").printed == "its own\n"


@pytest.mark.parametrize(
    "source",
    [
        "for _ in range(1):\n    %deepseek -o a --think off long 20",
        "get_ipython().run_cell_magic('deepseek', '-o a --think off', 'long 20')",
        "get_ipython().run_cell('%%deepseek -o a --think off\\nlong 20').raise_error()",
    ],
    ids=["line magic in a block", "run_cell_magic", "a cell inside a cell"],
)
def test_a_blocking_call_is_stopped_by_an_interrupt_too(kernel: Kernel, slow: DemoServer, source: str) -> None:
    ran = kernel.collect(kernel.send(source), when=streaming, do=kernel.manager.interrupt_kernel)
    assert ran.reply["status"] == "error"
    assert kernel.run("print(a.outcome, len(a.text) > 0)").printed == "interrupted True\n"


@newer_only(
    "a button is heard while a cell runs", twin="test_an_interrupt_keeps_what_had_come_and_ends_the_cell_as_stopped"
)
def test_a_click_on_stop_is_heard_while_the_cell_runs(kernel: Kernel, slow: DemoServer) -> None:
    def click(ran: Ran) -> None:
        opened = [c for c in ran.of("comm_open") if c["data"]["state"].get("description") == "Stop"]
        data = {"method": "custom", "content": {"event": "click"}}
        message = kernel.client.session.msg("comm_msg", {"comm_id": opened[0]["comm_id"], "data": data})
        kernel.client.shell_channel.send(message)

    ran = Ran()

    def seen(now: Ran) -> bool:
        nonlocal ran
        ran = now
        return streaming(now)

    ended = kernel.collect(kernel.send(SLOW), when=seen, do=lambda: click(ran))
    assert ended.reply["ename"] == "Stopped"
    assert kernel.run("print(a.outcome)").printed == "interrupted\n"


@pytest.mark.parametrize("source", ["%deepseek hi", "%%deepseek\nhi", "a = %deepseek is it so?"])
def test_stop_is_drawn_only_where_it_is_heard(kernel: Kernel, source: str) -> None:
    def buttons(ran: Ran) -> int:
        return sum(c["data"]["state"].get("description") == "Stop" for c in ran.of("comm_open"))

    indented = "if True:\n" + "\n".join(f"    {line}" for line in source.splitlines())
    assert buttons(kernel.run(source)) == int(HEARS_CLICKS)
    assert buttons(kernel.run(indented)) == 0


def test_cells_that_wait_behind_a_stopped_or_failed_answer_do_not_run(kernel: Kernel, demo: DemoServer) -> None:
    demo.fault = "401"
    failing, waiting = kernel.send("%%deepseek\nhi"), kernel.send("ran = True", cell="cell-2")
    assert kernel.collect(failing).reply["status"] == "error"
    kernel.collect(waiting)
    assert kernel.run("print('ran' in globals())").printed == "False\n"


def test_an_error_is_one_sentence_without_a_traceback(kernel: Kernel, demo: DemoServer) -> None:
    demo.fault = "402"
    ran = kernel.run("%%deepseek -o a\nhi")
    (error,) = ran.of("error")
    assert len(error["traceback"]) == 1
    assert "\n" not in error["traceback"][0]
    assert error["traceback"][0].startswith("InsufficientBalance: The API answered with 402")
    assert kernel.run("print(a.error.status)").printed == "402\n"


def test_reasoning_is_drawn_apart(kernel: Kernel, slow: DemoServer) -> None:
    kernel.run(WIDGETS_VIEW)
    slow.pace = 4.0  # so that it is drawn more than once however busy the machine is
    ran = kernel.run("%%deepseek -o a --max-tokens 50\nhi")
    values = [content["data"].get("state", {}).get("value", "") for content in ran.of("comm_msg")]
    thoughts = [re.sub("<.*?>", "", value) for value in values if "pre-wrap" in value]
    assert html.unescape(thoughts[-1]) == kernel.run("print(a.reasoning, end='')").printed
    assert len(thoughts) >= 2
    assert all(len(before) <= len(after) for before, after in pairwise(thoughts))


def test_a_long_answer_keeps_what_has_come_and_leaves_one_output_that_shows_something(
    kernel: Kernel, slow: DemoServer
) -> None:
    kernel.run(WIDGETS_VIEW)
    ran = kernel.run("%%deepseek -o a --think off\nlong 6")
    view, kept = live_views(ran)
    assert "paragraph 1 " in kept["data"]["text/plain"]
    assert "display: none" in "".join(c["data"].get("state", {}).get("value", "") for c in ran.of("comm_msg"))
    last = {c["transient"]["display_id"]: c["data"] for c in ran.of("update_display_data")}
    assert "text/markdown" in last[view["transient"]["display_id"]]
    assert not any(last[kept["transient"]["display_id"]].values())


@newer_only("a widget's end is heard while a cell runs", twin="test_display_handles_do_without_widgets")
def test_widgets_that_the_front_end_closes_are_done_without_from_then_on(kernel: Kernel, slow: DemoServer) -> None:
    def refuse(ran: Ran) -> None:
        for opened in ran.of("comm_open"):
            message = kernel.client.session.msg("comm_close", {"comm_id": opened["comm_id"], "data": {}})
            kernel.client.shell_channel.send(message)

    seen: list[Ran] = []

    def open_now(now: Ran) -> bool:
        seen.append(now)
        return bool(live_views(now))

    first = kernel.collect(kernel.send("%%deepseek --think off\nA table"), when=open_now, do=lambda: refuse(seen[-1]))
    assert "text/markdown" in first.of("update_display_data")[-1]["data"]
    second = kernel.run("%%deepseek --think off\nA table")
    assert not second.of("comm_open")
    assert len(second.of("update_display_data")) > 3


def in_places(ran: Ran) -> list[list[dict[str, str]]]:
    """What each output of the cell showed in turn, in the order in which they stand."""
    places: dict[str, list[dict[str, str]]] = {}
    for message in ran.messages:
        if message["msg_type"] == "clear_output":
            places.clear()
        elif message["msg_type"] in ("display_data", "update_display_data"):
            shown = message["content"].get("transient", {}).get("display_id", str(len(places)))
            places.setdefault(shown, []).append(message["content"]["data"])
    return list(places.values())


def test_display_handles_do_without_widgets(kernel: Kernel, slow: DemoServer) -> None:
    kernel.run("%config DeepSeekMagics.view = 'handles'")
    ran = kernel.run("%%deepseek -o a --think off\nA table")
    assert not ran.of("comm_open")
    line, answer = live_views(ran)
    assert "Connecting…" in line["data"]["text/markdown"]
    assert "Planet" not in line["data"]["text/markdown"]
    assert answer["data"]["text/markdown"]
    assert len(ran.of("update_display_data")) > 5
    ((lasting,),) = in_places(ran)
    assert kernel.run("print(a.text, end='')").printed == lasting["text/plain"]


def test_beside_other_outputs_display_handles_leave_nothing_of_the_line(kernel: Kernel) -> None:
    kernel.run("%config DeepSeekMagics.view = 'handles'")
    (above, *_, below) = in_places(kernel.run("print('mine')\n%deepseek -o a --think off long 6"))
    assert above[-1] == {"text/html": "", "text/plain": ""}
    assert "first token" in below[-1]["text/markdown"]
    above, *_ = in_places(kernel.run("%deepseek -o a long 6"))
    assert above[-1]["text/markdown"].startswith("<details><summary>Reasoning")


def test_a_console_on_a_kernel_gets_plain_text(kernel: Kernel) -> None:
    content = {"code": "%%deepseek -o a --think off\necho one", "allow_stdin": True}
    content |= {"silent": False, "store_history": True, "user_expressions": {}, "stop_on_error": True}
    message = kernel.client.session.msg("execute_request", content)
    kernel.client.shell_channel.send(message)
    ran = kernel.collect(message["header"]["msg_id"])
    assert not ran.of("display_data")
    assert "one" in ran.printed


def test_tab_completes_on_the_line(kernel: Kernel) -> None:
    kernel.run("pirate = 'Speak like a pirate.'")
    assert kernel.offers("%%deepseek --thi", "--think")
    assert kernel.offers("%%deepseek --think ", "off", "low", "high", "max")
    assert kernel.offers("%%deepseek -m deepseek-f", "deepseek-flash")
    assert kernel.offers("%%deepseek -s $pi", "pirate")


def test_inspecting_the_magic_lists_its_flags(kernel: Kernel) -> None:
    ran = kernel.run("%%deepseek?")
    assert "--max-tokens" in ran.reply["payload"][0]["data"]["text/plain"]


def test_a_question_mark_above_a_prompt_explains_and_runs_nothing_of_it(kernel: Kernel, demo: DemoServer) -> None:
    ran = kernel.run("%%deepseek?\nran = True")
    assert "--max-tokens" in ran.reply["payload"][0]["data"]["text/plain"]
    assert kernel.run("print('ran' in globals())").printed == "False\n"
    assert not demo.requests


def test_a_very_long_answer_is_left_in_parts_whose_plain_texts_make_the_answer(kernel: Kernel) -> None:
    kernel.run(WIDGETS_VIEW)
    ran = kernel.run("%%deepseek -o a --think off --max-tokens 60000\nlong 120")
    parts = [shown[-1]["text/plain"] for shown in in_places(ran)]
    assert all(parts), "an output was left empty"
    assert 1 < len(parts) <= 40
    assert kernel.run("import hashlib; print(hashlib.sha256(a.text.encode()).hexdigest())").printed.strip() == digest(
        "".join(parts)
    )


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
