"""--tool mcp:NAME in a cell: a real server from PyPI, the same gate, and nothing that starts unseen."""

from __future__ import annotations

import asyncio
import json
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.home import engine
from deepseek_magic.engine.mcp import offered
from deepseek_magic.engine.mcp.offered import meant, tools_of
from tests.notebook.conftest import Kernel
from tests.notebook.test_gate import run_typing
from tests.ports import free_port

Run = Callable[..., list[list[Any]]]
CLOCK: Final = {"command": sys.executable, "args": ["-m", "mcp_server_time", "--local-timezone", "Asia/Tokyo"]}
ASK: Final = (
    '%%deepseek -o a --think off --no-history --tool mcp:clock/get_current_time\nget_current_time for "Asia/Tokyo"'
)
HTTP_SERVER: Final = """
import sys
from mcp.server.mcpserver import MCPServer
server = MCPServer("sums")
@server.tool()
def add(a: int, b: int) -> int:
    "Adds two numbers."
    return a + b
server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
"""


def written(folder: Path, **servers: Any) -> Path:
    path = folder / ".mcp.json"
    path.write_text(json.dumps({"mcpServers": servers}), "utf-8")
    return path


def own(path: Path) -> str:
    return f"%config DeepSeekMagics.mcp_config = {str(path)!r}"


def test_a_real_server_answers_through_a_cell(run_headless: Run, tmp_path: Path, demo: DemoServer) -> None:
    path = written(tmp_path, clock=CLOCK)
    *_, said = run_headless(own(path), ASK.replace("-o a", "-o a --confirm unasked"), "print(a.outcome, a.text)")
    (first, second) = demo.requests
    (tool,) = first.body["tools"]
    assert tool["function"]["name"] == "get_current_time"
    assert "timezone" in tool["function"]["parameters"]["properties"]
    (result,) = [message["content"] for message in second.body["messages"] if message["role"] == "tool"]
    assert json.loads(result)["timezone"] == "Asia/Tokyo"
    assert said[0].text.startswith("complete ")


def test_where_nobody_looks_on_a_call_is_refused(run_headless: Run, tmp_path: Path, demo: DemoServer) -> None:
    outputs = run_headless(own(written(tmp_path, clock=CLOCK)), ASK)
    assert "NotConfirmed" in str(outputs)
    assert len(demo.requests) == 1


def test_a_server_of_the_project_is_started_only_after_a_question(kernel: Kernel, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    script = f"open({str(canary)!r}, 'w').close()"
    written(tmp_path, evil={"command": sys.executable, "args": ["-c", script]}, clock=CLOCK)
    kernel.run(f"%cd -q {tmp_path}\n%config DeepSeekMagics.view = 'handles'")
    ran, prompts = run_typing(kernel, "%%deepseek --tool mcp:evil\nx", "n")
    assert prompts == ["[s] Start  [n] Do not start: "], ran.reply
    assert shlex.quote(script) in ran.printed
    assert ran.reply["evalue"] == "The MCP server evil was not started, so nothing was sent."
    assert not canary.exists()
    ran, prompts = run_typing(kernel, ASK, "s", "r")
    assert len(prompts) == 2  # before it starts, and before the call
    assert "get_current_time(timezone=" in str(ran.messages)
    assert ran.reply["status"] == "ok"
    _, prompts = run_typing(kernel, ASK, "r")
    assert len(prompts) == 1


def test_a_call_that_reads_a_file_first_asks_where_it_can_be_answered(kernel: Kernel, tmp_path: Path) -> None:
    path = written(tmp_path, evil={"command": sys.executable, "args": ["-c", "raise SystemExit"]})
    kernel.run(f"%cd -q {tmp_path}\nimport deepseek_magic as ds")
    asks = f"await ds.aask('x', tool='mcp:evil', file={path.name!r}, confirm_wait=60)"
    ran, prompts = run_typing(kernel, asks, "n")
    assert prompts == ["[s] Start  [n] Do not start: "], ran.reply
    assert ran.reply["evalue"] == "The MCP server evil was not started, so nothing was sent."


def test_names_complete_and_slips_get_a_guess(kernel: Kernel, tmp_path: Path) -> None:
    kernel.run(own(written(tmp_path, clock=CLOCK, calendar=CLOCK)) + "\ndef forecast(): pass")
    assert kernel.offers("%deepseek --tool mcp:", "mcp:clock", "mcp:calendar")
    assert kernel.offers("%deepseek --tool fore", "forecast")
    assert kernel.offers("%deepseek --run ", "never", "ask")
    ran = kernel.run("%deepseek --tool mcp:clok x")
    assert ran.reply["evalue"].startswith("There is no MCP server clok (did you mean clock?).")


def test_a_project_can_neither_name_the_file_nor_leave_out_the_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: Any
) -> None:
    table = '[tool.deepseek-magic]\nconfirm = "unasked"\nmcp_config = "evil.json"\n'
    (tmp_path / "pyproject.toml").write_text(table, "utf-8")
    with pytest.warns(UserWarning, match="is for you to set and not for a project") as said:
        shell.run_cell("%reload_ext deepseek_magic")
    assert len(said) == 2
    magics = shell.magics_manager.registry["DeepSeekMagics"]
    assert (magics.confirm, magics.mcp_config) == (None, "")


def test_a_server_over_http_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    port = free_port()
    server = subprocess.Popen([sys.executable, "-c", HTTP_SERVER, str(port)], stderr=subprocess.DEVNULL)
    try:
        _until_it_listens(f"http://127.0.0.1:{port}/mcp")
        written(tmp_path, sums={"type": "http", "url": f"http://127.0.0.1:{port}/mcp", "headers": {"X-Key": "hush"}})
        (add,) = tools_of(*meant("mcp:sums"))
        assert asyncio.run(add.call(add.convert({"a": 40, "b": 2}))) == "42"
    finally:
        engine.run(offered.close_all())
        server.terminate()
        server.wait(30)


def _until_it_listens(url: str) -> None:
    deadline_s = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(url, timeout=5)
        except urllib.error.HTTPError:
            return
        except OSError:
            assert time.monotonic() < deadline_s, "the server did not start"
            time.sleep(0.1)
