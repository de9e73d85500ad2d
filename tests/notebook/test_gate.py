"""Asking before something is run: by buttons, by ``input()``, and not at all where nobody looks on."""

from __future__ import annotations

import builtins
import io
import os
import queue
import select
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from deepseek_magic.protocol.errors import NotConfirmed
from deepseek_magic.session.confirming.question import RUN, STOP, ToConfirm
from deepseek_magic.session.confirming.typed import Typed
from deepseek_magic.text.messages import Message

from .conftest import Kernel, Ran, newer_only

ASKED = ToConfirm(said=Message("Stop"), what="f()", detail="f(\x1b[2J<b>)", otherwise=Message("Skip"))
GATE = """
from deepseek_magic.notebook.gate.gate import ConfirmGate
from deepseek_magic.session.confirming.question import ToConfirm
from deepseek_magic.text.messages import Message
question = ToConfirm(said=Message("Stop"), what="f()", detail="<b>f</b>()")
gate = ConfirmGate(get_ipython(), view="widgets", awaited={awaited}, wait_s={wait_s})
"""
CLICKED = GATE.format(awaited=True, wait_s=60) + "print(await gate.aask(question))\ngate.leave({'text/plain': 'left'})"
TYPED = GATE.format(awaited=False, wait_s=60) + "print(gate.ask(question))"


def buttons(ran: Ran) -> dict[str, str]:
    """The buttons that were opened: what is on them, and the names of their channels."""
    opened = {c["comm_id"]: c["data"].get("state", {}) for c in ran.of("comm_open")}
    return {state["description"]: name for name, state in opened.items() if "Button" in state.get("_model_name", "")}


def click(kernel: Kernel, ran: Ran, label: str) -> None:
    content = {"comm_id": buttons(ran)[label], "data": {"method": "custom", "content": {"event": "click"}}}
    kernel.client.shell_channel.send(kernel.client.session.msg("comm_msg", content))


def asks(ran: Ran) -> bool:
    """Whether the buttons are on the page: they are opened first, then displayed."""
    kinds = [
        "Run" if content.get("data", {}).get("state", {}).get("description") == "Run" else message["msg_type"]
        for message in ran.messages
        for content in (message["content"],)
    ]
    return "Run" in kinds and "display_data" in kinds[kinds.index("Run") :]


def run_clicking(kernel: Kernel, source: str, label: str) -> Ran:
    ran: Ran = Ran()

    def seen(now: Ran) -> bool:
        nonlocal ran
        ran = now
        return asks(now)

    return kernel.run(source, when=seen, do=lambda: click(kernel, ran, label))


def run_typing(kernel: Kernel, source: str, *answers: str) -> tuple[Ran, list[str]]:
    """Run a cell, answering what ``input()`` asks; the prompts of these."""
    waiting, prompts = [*answers], list[str]()

    def asked(_ran: Ran) -> bool:
        try:
            message = kernel.client.get_stdin_msg(timeout=0.05)
        except queue.Empty:
            return False
        prompts.append(message["content"]["prompt"])
        if waiting:
            kernel.client.input(waiting.pop(0))
        return False

    return kernel.run(source, when=asked, do=lambda: None), prompts


@newer_only("a click is heard while a cell runs", twin="test_without_clicks_it_is_typed")
@pytest.mark.parametrize("label", ["Run", "Skip", "Stop"])
def test_a_click_answers(kernel: Kernel, label: str) -> None:
    ran = run_clicking(kernel, CLICKED, label)
    assert ran.printed == f"{label.lower()}\n"
    (shown,) = ran.of("display_data")
    assert {c["transient"]["display_id"] for c in ran.of("update_display_data")} == {shown["transient"]["display_id"]}
    assert ran.of("update_display_data")[-1]["data"] == {"text/plain": "left"}
    html = "".join(c["data"].get("state", {}).get("value", "") for c in ran.of("comm_open") if c["data"])
    assert "&lt;b&gt;f&lt;/b&gt;()" in html
    assert "<b>f" not in html


@newer_only("a click is heard while a cell runs", twin="test_without_clicks_an_input_that_nobody_answers_ends")
def test_nobody_clicks(kernel: Kernel) -> None:
    ran = kernel.run(GATE.format(awaited=True, wait_s=0.3) + "await gate.aask(question)")
    assert ran.reply["ename"] == "NotConfirmed"
    assert "Nobody confirmed f() within 0.3 s" in ran.reply["evalue"]


@newer_only("a click is heard while a cell runs", twin="test_without_clicks_it_is_typed")
def test_an_interrupt_ends_the_question(kernel: Kernel) -> None:
    ran = kernel.run(CLICKED, when=asks, do=kernel.manager.interrupt_kernel)
    assert ran.reply["status"] == "error"
    assert "run" not in ran.printed
    assert kernel.run("import ipywidgets; print(ipywidgets.Widget.get_manager_state()['state'])").printed == "{}\n"


def test_without_clicks_it_is_typed(kernel: Kernel) -> None:
    ran, prompts = run_typing(kernel, TYPED, "what", "S")
    assert ran.printed.endswith("skip\n")
    assert prompts == ["[r] Run  [s] Skip  [x] Stop: "] * 2
    assert "<b>f</b>()" in ran.printed


def test_without_clicks_an_input_that_nobody_answers_ends(kernel: Kernel) -> None:
    ran, prompts = run_typing(kernel, GATE.format(awaited=False, wait_s=0.5) + "gate.ask(question)")
    assert len(prompts) == 1
    assert ran.reply["ename"] == "NotConfirmed"
    assert kernel.run("print(6 * 7)").printed == "42\n"


AWAITED = GATE.replace("widgets", "text") + "await gate.aask(question)"
"""A cell that is awaited, and hears no click."""


def test_an_input_that_nobody_answers_ends_an_awaited_cell(kernel: Kernel) -> None:
    ran, prompts = run_typing(kernel, AWAITED.format(awaited=True, wait_s=0.5))
    assert len(prompts) == 1
    assert ran.reply["ename"] == "NotConfirmed"


def test_an_interrupt_ends_an_input_in_an_awaited_cell(kernel: Kernel) -> None:
    def asked(_ran: Ran) -> bool:
        try:
            return bool(kernel.client.get_stdin_msg(timeout=0.05))
        except queue.Empty:
            return False

    ran = kernel.run(AWAITED.format(awaited=True, wait_s=600), when=asked, do=kernel.manager.interrupt_kernel)
    assert ran.reply["ename"] == "KeyboardInterrupt"
    assert kernel.run("print(6 * 7)").printed == "42\n"


def test_a_thread_of_a_kernel_is_refused(kernel: Kernel) -> None:
    asks = GATE.format(awaited=False, wait_s=60) + "from concurrent.futures import ThreadPoolExecutor\n"
    ran, prompts = run_typing(kernel, asks + "ThreadPoolExecutor().submit(gate.ask, question).result()")
    assert prompts == []
    assert ran.reply["ename"] == "NotConfirmed"
    assert "A thread beside the cell cannot ask who confirms f(), so it was not run." in ran.reply["evalue"]


def test_where_nobody_looks_on_it_is_refused(run_headless: Callable[..., list[list[Any]]]) -> None:
    ((error,),) = run_headless(GATE.format(awaited=True, wait_s=60) + "await gate.aask(question)")
    assert error.ename == "NotConfirmed"
    assert "Nobody looks on who could confirm f(), so it was not run." in error.evalue


def test_a_program_without_a_terminal_is_refused() -> None:
    with pytest.raises(NotConfirmed, match=r"Nobody looks on .* Skip"):
        Typed().ask(ASKED)


def test_a_program_that_has_closed_its_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdin", closed)
    with pytest.raises(NotConfirmed, match="Nobody looks on"):
        Typed().ask(ASKED)


@pytest.mark.parametrize("typed", ["r", "RUN", " run "])
def test_in_a_terminal_letters_and_words_are_answers(
    typed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(builtins, "input", lambda _prompt: typed)
    assert Typed(there=True, wait_s=60).ask(ASKED) == RUN.name
    assert capsys.readouterr().out == "Stop\n  f([2J<b>)\n"


def test_an_interrupt_of_the_user_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_prompt: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(builtins, "input", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Typed(there=True, wait_s=60).ask(ASKED)


def test_an_input_that_waits_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(_prompt: str) -> str:
        until_s = time.monotonic() + 60
        while time.monotonic() < until_s:
            time.sleep(0.01)
        return STOP.key

    monkeypatch.setattr(builtins, "input", slow)
    with pytest.raises(NotConfirmed, match=r"within 0\.05 s"):
        Typed(there=True, wait_s=0.05).ask(ASKED)


def test_an_end_of_input_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(_prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(builtins, "input", ended)
    with pytest.raises(NotConfirmed, match="Nobody looks on"):
        Typed(there=True).ask(ASKED)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_what_was_typed_before_the_question_was_shown_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    import pty

    keyboard, screen = pty.openpty()

    class Shown(io.StringIO):
        def write(self, text: str) -> int:
            if "f(" in text:
                os.write(keyboard, b"x\n")
            return super().write(text)

    with os.fdopen(screen, encoding="utf-8") as terminal, os.fdopen(keyboard, "wb", buffering=0):
        monkeypatch.setattr(sys, "stdin", terminal)
        monkeypatch.setattr(sys, "stdout", Shown())
        os.write(keyboard, b"r\nr\n")
        assert select.select([screen], [], [], 60)[0]
        assert Typed().ask(ASKED) == STOP.name
