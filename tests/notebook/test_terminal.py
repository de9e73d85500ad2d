"""IPython in a terminal: the same cell, printed; Ctrl-C is Stop."""

from __future__ import annotations

import sys
import time

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import LIKE_A_MODEL
from deepseek_magic.text.characters import printable
from tests.terminals import end

pexpect = pytest.importorskip("pexpect", reason="pexpect is not installed")

START_S = 60


@pytest.mark.parametrize("view", ["text", "rich"])
def test_a_terminal_prints_the_answer_and_ctrl_c_keeps_the_part(
    environment: dict[str, str], demo: DemoServer, view: str
) -> None:
    if view == "rich":
        pytest.importorskip("rich", reason="rich is not installed")
    arguments = ["-m", "IPython", "--simple-prompt", "--no-banner", "--ext=deepseek_magic", "--colors=NoColor"]
    shell = pexpect.spawn(
        sys.executable, arguments, env={**environment, "TERM": "xterm"}, encoding="utf-8", timeout=START_S
    )
    try:
        shell.expect_exact("In [1]:")
        shell.sendline(f"%config DeepSeekMagics.view = {view!r}")
        shell.expect_exact("In [2]:")
        shell.sendline("%deepseek -o a --think off echo is this a question?")
        shell.expect_exact("is this a question?")
        shell.expect_exact("In [3]:")
        shell.sendline("print('echoed:', 'is this a question?' in a.text, _ is a)")
        shell.expect_exact("echoed: True True")
        demo.pace = LIKE_A_MODEL
        shell.expect_exact("In [4]:")
        shell.sendline("%deepseek -o b --think off long 20")
        shell.expect("paragraph.{0,20}1")
        time.sleep(0.5)
        shell.sendintr()
        shell.expect_exact("Stopped. The text so far is in b; %deepseek_resume -o b resumes the answer.")
        assert "Traceback" not in shell.before
        shell.expect_exact("In [5]:")
        shell.sendline("print('kept:', b.outcome, 'paragraph 1' in b.text)")
        shell.expect_exact("kept: interrupted True")
    finally:
        end(shell)


def test_a_model_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[2Jb\x07\x9bc\td\n") == "a[2Jbc\td\n"
