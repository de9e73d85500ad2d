"""The hostile corpus in IPython in a terminal: no control sequence of an answer, or of what a server says, reaches it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.hostile_server import HostileServer
from tests.terminals import end
from tests.text.hostile import PAYLOADS

pexpect = pytest.importorskip("pexpect", reason="pexpect is not installed")

WAIT_S = 120
IN_ERRORS = [name for name in PAYLOADS if name.startswith("terminal")]
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
OF_RICH = re.compile(
    r"\x1b\[(?:[0-79]|\d\d|\d+(?:;\d+)+)?m|\x1b\[1A|\x1b\[2K|\x1b\[\?25[lh]"
    r"|\x1b\]8;id=\d+;(?:https?://|mailto:|#)[!-~]*\x1b\\|\x1b\]8;;\x1b\\"
)
"""Colours, its own line drawn again, the cursor hidden meanwhile, and a link as Markdown makes it."""

SCRIPT = f"""
import json, pathlib
names = json.loads(pathlib.Path("names.json").read_text())
run = get_ipython().run_line_magic
def show(*lines):
    for line in lines:
        get_ipython().run_cell(line)
def all_of_it():
    print("BEGIN")
    for name in names:
        run("deepseek", f"-o answer --new --show-reasoning {{name}}")
    for name in {IN_ERRORS}:
        run("deepseek", f"-o answer --new {{name}}")
        show("answer", "answer.tool_calls", f"%deepseek --new error {{name}}")
    show("%deepseek_models", "%deepseek_doctor", "%deepseek_log", "%deepseek_chat", "import deepseek_magic as ds; ds.log")
    print("THE " + "END")
"""


@pytest.mark.parametrize("view", ["text", "rich"])
def test_nothing_that_is_answered_or_refused_steers_the_terminal(
    environment: dict[str, str], tmp_path: Path, view: str
) -> None:
    if view == "rich":
        pytest.importorskip("rich", reason="rich is not installed")
    (tmp_path / "names.json").write_text(json.dumps(list(PAYLOADS)), "utf-8")
    (tmp_path / "script.py").write_text(SCRIPT, "utf-8")
    arguments = ["-m", "IPython", "--simple-prompt", "--no-banner", "--ext=deepseek_magic", "--colors=NoColor"]
    with HostileServer(PAYLOADS) as server:
        environment = {**environment, "DEEPSEEK_BASE_URL": server.url, "TERM": "xterm", "NO_COLOR": "1"}
        shell = pexpect.spawn(
            sys.executable, arguments, env=environment, cwd=str(tmp_path), encoding="utf-8", timeout=WAIT_S
        )
        try:
            shell.expect_exact("In [1]:")
            shell.sendline(f"%config DeepSeekMagics.view = {view!r}")
            shell.expect_exact("In [2]:")
            shell.sendline("%run -i script.py")
            shell.expect_exact("In [3]:")
            shell.sendline("all_of_it()")
            shell.expect_exact("BEGIN")
            shell.expect_exact("THE END")
            shown = shell.before
        finally:
            end(shell)
    assert "pwned" in shown  # the corpus was seen
    left = OF_RICH.sub("", shown) if view == "rich" else shown
    assert [left[max(0, m.start() - 60) : m.end() + 20] for m in CONTROL.finditer(left)] == []
