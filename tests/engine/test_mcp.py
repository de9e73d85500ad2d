"""MCP servers: found in the user's configuration, started, called and ended; whatever they do, one sentence and a bounded wait."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from deepseek_magic.engine.home import engine
from deepseek_magic.engine.mcp import configuration, offered
from deepseek_magic.engine.mcp.configuration import entries, entry
from deepseek_magic.engine.mcp.offered import meant, tools_of
from deepseek_magic.engine.mcp.server import MCPServer
from deepseek_magic.protocol.errors import ConfigurationError, TransportError
from deepseek_magic.protocol.tools.returned import MAX_CHARS, text_of_value

pytest.importorskip("mcp", reason="mcp is not installed")

SCRIPT: Final = Path(__file__).parent / "mcp_server.py"
TOKEN: Final = "tok-hush-1234"
WAIT_S: Final = 60


def listed(*how: str, **more: Any) -> dict[str, Any]:
    return {"command": sys.executable, "args": [str(SCRIPT), *how], "env": {"TOKEN": TOKEN}, **more}


Configure = Callable[..., None]


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """Write the project's file: servers by name."""
    monkeypatch.chdir(tmp_path)

    def write(**servers: Any) -> None:
        (tmp_path / ".mcp.json").write_text(json.dumps({"mcpServers": servers}), "utf-8")

    yield write
    engine.run(offered.close_all())


def call(tool: Any, **arguments: Any) -> str:
    return str(asyncio.run(tool.call(tool.convert(arguments))))


def test_a_server_is_started_asked_and_called(configure: Configure) -> None:
    configure(test=listed())
    tools = tools_of(*meant("mcp:test"))
    assert [tool.name for tool in tools] == ["echo", "secret", "with_dots_und_mlaut"]
    assert call(tools[0], text="a", times=3) == "aaa"
    assert tools[0].origin == "mcp:test/echo"
    (one,) = tools_of(*meant("mcp:test/secret"))
    assert one.name == "secret"
    assert len(offered._RUNNING) == 1


def test_a_result_of_a_megabyte_goes_back_cut(configure: Configure) -> None:
    configure(test=listed())
    (echo,) = tools_of(*meant("mcp:test/echo"))
    result = call(echo, text="x" * 1000, times=1000)
    assert len(result) == 1_000_000
    assert len(text_of_value(result)) == MAX_CHARS


@pytest.mark.parametrize("arguments", [{}, {"text": 1}, {"text": "a", "times": "many"}])
def test_arguments_are_checked_before_anything_is_sent(configure: Configure, arguments: dict[str, Any]) -> None:
    configure(test=listed("dies"))
    tool = tools_of(*meant("mcp:test/echo"))[0]
    with pytest.raises(ValueError, match=r"required|is not of type"):
        tool.convert(arguments)


def test_a_stranger_s_schema_neither_hangs_nor_fetches() -> None:
    slow = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    assert offered._converter(slow)({"a": "a" * 60 + "!"})
    with pytest.raises(ValueError, match="cannot be used"):
        offered._converter({"$ref": "http://127.0.0.1:9/schema.json"})({"a": 1})


def test_names_that_clash_are_told_apart_or_refused(configure: Configure) -> None:
    configure(one=listed(), two=listed("junk"))
    first = tools_of(*meant("mcp:one/echo"))
    (second,) = tools_of(*meant("mcp:two/echo"), taken=[tool.name for tool in first])
    assert (first[0].name, second.name) == ("echo", "two_echo")
    with pytest.raises(ConfigurationError, match=r"The tool echo of the MCP server two has the name of another tool\."):
        tools_of(*meant("mcp:two/echo"), taken=["echo", "two_echo"])


def test_what_a_tool_says_of_a_failure_is_its_result(configure: Configure) -> None:
    configure(test=listed())
    echo, secret, _ = tools_of(*meant("mcp:test"))
    with pytest.raises(offered.MCPToolFailed, match=r"^fail$"):
        call(echo, text="fail")
    with pytest.raises(offered.MCPToolFailed) as failed:
        call(secret)
    assert str(failed.value) == "refused, ****"


@pytest.mark.parametrize("how", ["junk", "hostile"])
def test_junk_and_hostile_words_do_nothing(configure: Configure, how: str, capfd: pytest.CaptureFixture[str]) -> None:
    configure(test=listed(how))
    echo = tools_of(*meant("mcp:test/echo"))[0]
    assert call(echo, text="x") == "x"
    assert "\x1b" not in echo.description
    assert "\u202e" not in echo.description
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (
            "no start",
            r'The MCP server test did not start\. The last that it said: "no such table, \*\*\*\*"\. Of your ',
        ),
        (
            "no start, at length",
            r'"NoSuchTable: words words .* words …"\. .* and what env in /.*/\.mcp\.json gives it\.$',
        ),
        ("empty", r"The MCP server test offers no tools\."),
    ],
)
def test_a_server_that_does_not_start_is_one_sentence(configure: Configure, how: str, said: str) -> None:
    configure(test=listed(how))
    with pytest.raises((TransportError, ConfigurationError), match=said):
        tools_of(*meant("mcp:test"))


def test_a_program_that_is_not_there_is_one_sentence(configure: Configure) -> None:
    configure(test={"command": "no-such-program-here"})
    with pytest.raises(ConfigurationError, match="cannot be started: there is no program no-such-program-here"):
        tools_of(*meant("mcp:test"))


def test_a_server_that_dies_is_one_sentence_and_starts_again(configure: Configure) -> None:
    configure(test=listed("dies"))
    for _ in range(2):
        echo = tools_of(*meant("mcp:test/echo"))[0]
        with pytest.raises(TransportError, match=r"The MCP server test has ended\."):
            call(echo, text="x")


def test_a_server_that_dies_late_prints_nothing_into_the_next_cell(
    configure: Configure, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offered, "HEARTBEAT_S", 0.01)  # many waits before it dies
    configure(test=listed("dies late"))
    echo = tools_of(*meant("mcp:test/echo"))[0]
    with pytest.raises(TransportError, match=r"The MCP server test has ended\."):
        call(echo, text="x")
    gc.collect()
    assert "never retrieved" not in caplog.text


def test_a_server_that_hangs_is_given_up(configure: Configure) -> None:
    configure(silent=listed("silent"), hangs=listed("hangs"), nonsense=listed("nonsense"))

    async def ask(name: str, **limits: float) -> None:
        server = MCPServer(entry(name), **limits)
        try:
            await server.call("echo", {"text": "x"})
        finally:
            await server.close()

    with pytest.raises(TransportError, match=r"silent did not start within 0\.5 s"):
        engine.run(ask("silent", start_s=0.5))
    with pytest.raises(TransportError, match=r"hangs did not answer echo within 0\.5 s"):
        engine.run(ask("hangs", call_s=0.5))
    with pytest.raises(TransportError, match="nonsense answered with what is no result"):
        engine.run(ask("nonsense"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends them by a job")
def test_no_server_outlives_its_kernel_even_one_that_wants_to(configure: Configure, tmp_path: Path) -> None:
    configure(test=listed("stubborn"))
    code = (
        "from deepseek_magic.engine.mcp.offered import meant, tools_of\n"
        "import os, subprocess\n"
        "tools_of(*meant('mcp:test'))\n"
        "print('started', flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    marked = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ran = subprocess.run([sys.executable, "-c", code], env=marked, capture_output=True, text=True, timeout=WAIT_S)
    assert ran.stdout == "started\n", ran.stderr
    until_s = time.monotonic() + WAIT_S
    while alive := _servers_in(tmp_path):
        assert time.monotonic() < until_s, alive
        time.sleep(0.1)


def _servers_in(folder: Path) -> list[str]:
    """Processes that work in this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.joinpath("cwd").readlink() == folder and int(process.name) != os.getpid():
                found.append(process.joinpath("cmdline").read_text())
        except OSError:
            continue
    return found


# what a stranger's schema can do

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
SLOW: Final[dict[str, Any]] = {"patternProperties": {"^(a+)+$": {}}}
DOUBLED: Final = {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(40)}


@pytest.mark.parametrize(
    "schema",
    [
        {**SLOW, "additionalProperties": False},
        {**SLOW, "unevaluatedProperties": False},
        {"allOf": [{"$schema": DRAFT, **SLOW}]},
        {"allOf": [{"$schema": DRAFT, "propertyNames": {"pattern": "^(a+)+$"}}]},
    ],
)
def test_a_strangers_patterns_are_not_tried(schema: dict[str, Any]) -> None:
    slow = {"a" * 60 + "!": 1}
    assert offered._converter({"type": "object", **schema})(slow) == slow


def test_a_schema_that_doubles_is_given_up() -> None:
    doubled = {"$defs": {**DOUBLED, "a40": {}}, "properties": {"x": {"$ref": "#/$defs/a0"}}}
    with pytest.raises(ValueError, match=r"its schema cannot be used \(TooMuchToCheck\)"):
        offered._converter(doubled)({"x": 1})


def test_ordinary_schemas_are_checked() -> None:
    check = offered._converter(
        {"properties": {"x": {"$schema": DRAFT, "type": "integer"}}, "additionalProperties": False}
    )
    assert check({"x": 1}) == {"x": 1}
    for wrong in ({"x": "a"}, {"y": 1}):
        with pytest.raises(ValueError, match=r"at \$"):
            check(wrong)


# the configuration


def test_secrets_are_shown_nowhere(configure: Configure) -> None:
    key = {"Authorization": f"Bearer {TOKEN}"}
    configure(a=listed(), b={"type": "http", "url": f"https://u:{TOKEN}@h.test/mcp?key={TOKEN}", "headers": key})
    known = entries()
    assert TOKEN not in repr(known["a"])
    assert known["b"].shown == "https://h.test/mcp"
    assert known["b"].without_secrets(f"401 for {TOKEN}") == "401 for ****"


def test_the_users_own_file_wins_over_the_projects(configure: Configure, tmp_path: Path) -> None:
    configure(a=listed(), b=listed())
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"mcpServers": {"a": {"command": "mine"}}}), "utf-8")
    known = entries(str(own))
    assert (known["a"].command, known["a"].from_project) == ("mine", False)
    assert known["b"].from_project


def test_variables_of_the_environment_are_filled(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERE_TEST", "here")
    monkeypatch.delenv("NOT_THERE", raising=False)
    configure(a={"command": "x", "args": ["${WHERE_TEST}/${NOT_THERE:-else}"]}, b={"command": "${NOT_THERE}"})
    assert entry("a").args == ("here/else",)
    with pytest.raises(ConfigurationError, match="b needs the environment variable NOT_THERE"):
        entry("b")


@pytest.mark.parametrize("place", ["command", "args", "env", "cwd", "url", "headers"])
@pytest.mark.parametrize("variable", ["DEEPSEEK_API_KEY", "ARK_API_KEY", "DEEPSEEK_API_KEY_HOST_TEST", "COPY_TEST"])
def test_a_projects_file_gets_no_api_key(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str, variable: str
) -> None:
    for name in ("DEEPSEEK_API_KEY", variable):
        monkeypatch.setenv(name, "sk-test-1234")
    text = f"x${{{variable}:-}}"
    made = {"args": [text], "env": {"A": text}, "headers": {"A": text}}.get(place, text)
    known: dict[str, Any] = {"url": "https://h.test"} if place in ("url", "headers") else {"command": "x"}
    configure(a={**known, place: made})
    with pytest.raises(ConfigurationError, match=rf"asks for your API key {variable}\.") as said:
        entry("a")
    assert "sk-test" not in str(said.value)
    own = tmp_path / "own.json"
    (tmp_path / ".mcp.json").rename(own)
    assert "sk-test" not in entry("a", str(own)).shown


@pytest.mark.skipif(sys.platform == "win32", reason="programs are files that may be run")
def test_what_is_shown_is_what_starts(configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIB_TEST", "hushed")
    program = tmp_path / "bin" / "tool"
    program.parent.mkdir()
    program.write_text("")
    program.chmod(0o755)
    env = {"PATH": "bin", "LD_PRELOAD": "${LIB_TEST}.so\nx"}
    configure(a={"command": "tool", "args": ["a b", "c"], "env": env}, b={"command": "./tool", "cwd": "bin"})
    found = entry("a")
    assert found.program == str(program)
    assert found.shown.splitlines() == [
        f"{program} 'a b' c",
        f"cwd={tmp_path}",
        "PATH=bin",
        "LD_PRELOAD='${LIB_TEST}.so[LF]x'",
    ]
    assert entry("b").program == str(program)
    asked = entry("a").digest
    program.rename(tmp_path / "tool")
    assert entry("a").program is None
    assert entry("a").digest != asked


def test_what_is_shown_has_the_names_of_variables(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERE_TEST", "hushed")
    configure(a={"command": "${WHERE_TEST}", "args": ["${WHERE_TEST}"]}, b={"url": "https://${WHERE_TEST}/mcp"})
    for name in "ab":
        assert "${WHERE_TEST}" in entry(name).shown
        assert "hushed" not in entry(name).shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read: .*: 1:2"),
        ("[]", "it has no object mcpServers"),
        ('{"mcpServers": {"a": {}}}', "a needs a command"),
        ('{"mcpServers": {"a": {"command": "x", "url": "y"}}}', "a needs a command"),
        ('{"mcpServers": {"a": 3}}', "a needs a command"),
        ('{"mcpServers": {"a": {"type": "sse", "url": "http://x"}}}', "a is of type sse, and only stdio and http"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / configuration.FILE_NAME).write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match=said):
        entries()


def test_a_name_that_is_not_there_gets_a_guess(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(time=listed())
    with pytest.raises(
        ConfigurationError, match=r"There is no MCP server tiem \(did you mean time\?\)\. There are: time"
    ):
        meant("mcp:tiem")
    with pytest.raises(ConfigurationError, match=r"has no tool ecko \(did you mean echo\?\)"):
        tools_of(*meant("mcp:time/ecko"))
    Path(configuration.FILE_NAME).unlink()
    with pytest.raises(ConfigurationError, match=r"no \.mcp\.json was found"):
        meant("mcp:time")
