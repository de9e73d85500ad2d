"""A person's terminal: IPython in a real tmux, read from its screen."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import Pace

TMUX = shutil.which("tmux")
WAIT_S = 60

pytestmark = pytest.mark.skipif(TMUX is None, reason="tmux is not installed")


class Screen:
    """One tmux server with one window."""

    def __init__(self, socket: Path, command: list[str], environment: dict[str, str]) -> None:
        self._tmux = [str(TMUX), "-S", str(socket), "-f", "/dev/null"]
        given = [f"-e{name}={value}" for name, value in environment.items()]
        self._do("new-session", "-d", "-x", "100", "-y", "50", *given, shlex.join(command))

    def _do(self, *arguments: str) -> str:
        return subprocess.run([*self._tmux, *arguments], capture_output=True, text=True, check=True, timeout=20).stdout

    def type(self, text: str) -> None:
        """Type a line, and Enter."""
        self._do("send-keys", "-l", text)
        self._do("send-keys", "Enter")

    def press(self, key: str) -> None:
        """Press one key."""
        self._do("send-keys", key)

    def read(self) -> str:
        """What is to be seen, and what has scrolled away."""
        return self._do("capture-pane", "-p", "-S", "-500")

    def wait_for(self, condition: Callable[[str], bool]) -> str:
        """The screen as soon as the condition holds."""
        deadline_s = time.monotonic() + WAIT_S
        while not condition(shown := self.read()):
            assert time.monotonic() < deadline_s, shown
            time.sleep(0.05)
        return shown

    def close(self) -> None:
        """End the window and the server."""
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, check=False, timeout=20)


@pytest.fixture
def screen(tmp_path: Path, environment: dict[str, str]) -> Iterator[Screen]:
    pytest.importorskip("rich", reason="rich is not installed")
    command = [sys.executable, "-m", "IPython", "--no-banner", "--no-confirm-exit", "--ext=deepseek_magic"]
    screen = Screen(tmp_path / "s", command, {**environment, "TERM": "screen-256color", "PYTHONUTF8": "1"})
    yield screen
    screen.close()


def test_an_answer_grows_is_stopped_by_ctrl_c_and_leaves_no_empty_out(screen: Screen, demo: DemoServer) -> None:
    screen.wait_for(lambda shown: "In [1]:" in shown)
    screen.type("%deepseek -o a --think off A table")
    shown = screen.wait_for(lambda shown: "In [2]:" in shown)
    assert "Jupiter" in shown
    assert "deepseek-flash" in shown
    assert "Out[" not in shown

    demo.pace = Pace(first_token_s=0)
    screen.type("%deepseek -o b --think off long 40")
    first = screen.wait_for(lambda shown: "Ctrl-C stops" in shown and "paragraph 1" in shown)
    screen.wait_for(lambda shown: "Ctrl-C stops" in shown and shown != first)
    screen.press("C-c")
    shown = screen.wait_for(lambda shown: "In [3]:" in shown)
    assert "Stopped. The text so far is in b; %deepseek_resume -o b resumes the answer." in shown
    assert "Traceback" not in shown
    assert "Ctrl-C stops" not in shown

    screen.type("%deepseek -b -o c --think off long 1")
    shown = screen.wait_for(lambda shown: "In [4]:" in shown)
    assert "print(c) waits for it" in shown
    assert "Out[" not in shown
    screen.type("print(c.wait().outcome, b.outcome)")
    screen.wait_for(lambda shown: "complete interrupted" in shown and "In [5]:" in shown)

    screen.type("%%deepseek -o d --think off")
    screen.type("echo the first line")
    screen.type("and the second")
    screen.press("Enter")
    screen.press("Enter")  # IPython ends a cell magic at its second empty line
    shown = screen.wait_for(lambda shown: "In [6]:" in shown)
    assert "Out[" not in shown
    screen.type("print('asked:', d.request.prompt.splitlines())")
    screen.wait_for(lambda shown: "asked: ['echo the first line', 'and the second']" in shown)


def test_code_is_shown_and_asked_about_and_runs_as_a_cell(screen: Screen) -> None:
    screen.wait_for(lambda shown: "In [1]:" in shown)
    screen.type("%deepseek --run ask --think off x = 6 * 7  # echo")
    shown = screen.wait_for(lambda shown: "[d] Discard:" in shown)
    assert "Run this code?" in shown
    screen.type("r")
    shown = screen.wait_for(lambda shown: "In [3]:" in shown)
    assert "Run as In[2]." in shown
    screen.type("print('x is', x, In[2])")
    screen.wait_for(lambda shown: "x is 42 x = 6 * 7  # echo" in shown)
    screen.type("%deepseek --run ask --think off y = 1  # echo")
    screen.wait_for(lambda shown: shown.count("[d] Discard:") == 2)
    screen.type("e")
    screen.wait_for(lambda shown: "In [5]: y = 1  # echo" in shown)


def test_a_function_is_asked_about_by_a_letter(screen: Screen) -> None:
    screen.wait_for(lambda shown: "In [1]:" in shown)
    screen.type("ran = []; exec('def weather(city: str): ran.append(city)')")
    screen.wait_for(lambda shown: "In [2]:" in shown)
    screen.type("%deepseek --tool weather -o a --think off What is the weather in Ulm?")
    shown = screen.wait_for(lambda shown: "[x] Stop:" in shown)
    assert "The model asks to run your function weather:" in shown
    assert 'weather(city="Ulm")' in shown
    screen.type("r")
    shown = screen.wait_for(lambda shown: "In [3]:" in shown)
    assert 'weather(city="Ulm") · ran' in shown
    screen.type("%deepseek --tool weather -o b --think off What is the weather in Rome?")
    screen.wait_for(lambda shown: shown.count("[x] Stop:") == 2)
    screen.type("s")
    shown = screen.wait_for(lambda shown: "In [4]:" in shown)
    assert 'weather(city="Rome") · skipped' in shown
    screen.type("print('ran', ran, b.outcome)")
    screen.wait_for(lambda shown: "ran ['Ulm'] complete" in shown)
