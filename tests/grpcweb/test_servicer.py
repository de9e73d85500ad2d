"""The demo as a gRPC service: xAI's own client is the judge of the server, and both are of what comes through the Envoy."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from typing import Any

import grpc
import pytest
import xai_sdk
from IPython.core.interactiveshell import InteractiveShell
from xai_sdk import chat as xai
from xai_sdk.proto import chat_pb2_grpc, sample_pb2

import deepseek_magic as ds
from deepseek_magic.demo.api.frames import plan
from deepseek_magic.demo.api.tokens import PrefixCache
from deepseek_magic.demo.faults.spec import parse
from deepseek_magic.demo.grpcweb.envoy import Envoy
from deepseek_magic.demo.grpcweb.server import GRPCWebDemo, check_faults
from deepseek_magic.demo.grpcweb.translated import body_of, chat
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import Pace
from deepseek_magic.engine.client import Client
from deepseek_magic.engine.hosts.endpoints import DEMO_VARIABLE, resolve
from deepseek_magic.policy.attempts import RecoveryPolicy
from deepseek_magic.policy.deadlines import Timeouts
from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.errors import ConfigurationError, RateLimited
from deepseek_magic.protocol.events import TextDelta
from deepseek_magic.protocol.grpcweb.asking import request
from deepseek_magic.session import calls
from tests.ports import free_port
from tests.servers.proxies import listening, until

pytestmark = pytest.mark.programs

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
HANG_S = 60


def official(front: GRPCWebDemo) -> Any:
    return xai_sdk.Client(
        api_key="any-key", api_host=f"127.0.0.1:{front.grpc_port}", use_insecure_channel=True, timeout=HANG_S
    )


def ours(front: GRPCWebDemo, **settings: Any) -> Client:
    return Client(resolve("demo", front.base_url), **settings)


def expected(prompt: str, **options: Any) -> Any:
    """The demo's answer, as the pure function that it is."""
    body = Request.of(prompt, model="deepseek-flash", **options).body()
    return plan(body, beta=False, cache=PrefixCache())


@pytest.mark.parametrize("prompt", ["a table and code", "用中文说说流式", "long 3", "echo 🙂 e\u0301"])
async def test_the_official_client_and_ours_read_the_same_answer(
    prompt: str, state: DemoServer, front: GRPCWebDemo
) -> None:
    made = expected(prompt)
    text, reasoning = "".join(made.content), "".join(made.reasoning)
    asked = official(front).chat.create(model="deepseek-flash", messages=[xai.user(prompt)])
    read = [chunk for _, chunk in asked.stream()]
    whole = "".join(chunk.content for chunk in read)
    assert (whole, "".join(chunk.reasoning_content for chunk in read)) == (text, reasoning)
    final = read[-1].proto
    assert final.outputs[0].finish_reason == sample_pb2.REASON_STOP
    assert final.usage.total_tokens == final.usage.prompt_tokens + len(made.content) + len(made.reasoning)
    async with ours(front) as client:
        completion = await client.complete(prompt)
    assert (completion.text, completion.reasoning, completion.outcome) == (text, reasoning, "complete")
    assert completion.usage is not None
    assert completion.usage.completion_tokens == len(made.content) + len(made.reasoning)
    assert completion.usage.reasoning_tokens == len(made.reasoning)
    assert completion.anomalies == ()


async def test_a_tool_call_comes_whole_to_both(state: DemoServer, front: GRPCWebDemo) -> None:
    prompt = 'What is the get_weather of "Lima"?'
    ((id, name, pieces),) = expected(prompt, tools=[TOOL]).calls
    function = TOOL["function"]
    tool = xai.tool(name=function["name"], description=function["description"], parameters=function["parameters"])  # type: ignore[index]
    asked = official(front).chat.create(model="deepseek-flash", messages=[xai.user(prompt)], tools=[tool])
    response = [whole for whole, _ in asked.stream()][-1]
    (call,) = response.tool_calls
    assert (call.id, call.function.name, call.function.arguments) == (id, name, "".join(pieces))
    async with ours(front) as client:
        completion = await client.complete(prompt, tools=[TOOL])
        (mine,) = completion.tool_calls
        assert (mine.id, mine.name, mine.arguments) == (id, name, "".join(pieces))
        said = [
            {"role": "user", "content": prompt},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": id, "type": "function", "function": {"name": name, "arguments": mine.arguments}}],
            },
            {"role": "tool", "content": "sunny", "tool_call_id": id},
        ]
        assert "sunny" in (await client.complete(said, tools=[TOOL])).text


@pytest.mark.parametrize(
    "options",
    [
        {"think": "off", "temperature": 0.5, "max_tokens": 50, "stop": ["END"], "seed": 3, "user_id": "u"},
        {"think": "max", "top_p": 0.5},
        {"think": "low", "json": True},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "get_weather"}}, "think": "off"},
        {"logprobs": True, "top_logprobs": 2, "system": "Be short."},
    ],
)
def test_the_service_reads_in_our_request_what_the_chat_api_would_have_been_sent(options: dict[str, Any]) -> None:
    sent = json.loads(Request.of("json, please", model="deepseek-flash", **options).encoded())
    read = body_of(chat().GetCompletionsRequest.FromString(request(sent)))
    for tool in read.get("tools", ()):
        assert tool["function"].pop("strict") is False
    assert read == sent


async def test_the_settings_act(state: DemoServer, front: GRPCWebDemo) -> None:
    async with ours(front) as client:
        short = await client.complete("long 2", max_tokens=20, think="off")
        assert (short.outcome, short.finish_reason) == ("truncated", "length")
        ended = await client.complete("echo one two STOP three", stop="STOP", think="off")
        assert ended.text.endswith("two ")
        assert json.loads((await client.complete("json", json=True)).text)
        gone_on = await client.complete("long 2", max_tokens=150, think="off", continue_on_length=True)
        assert "long 2" not in gone_on.text
        assert len(gone_on.text) > 400


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("400", "INVALID_ARGUMENT"),
        ("401", "UNAUTHENTICATED"),
        ("402", "RESOURCE_EXHAUSTED"),
        ("404", "NOT_FOUND"),
        ("429", "RESOURCE_EXHAUSTED"),
        ("500", "INTERNAL"),
        ("503", "UNAVAILABLE"),
        ("cut at=content after=5", "UNAVAILABLE"),
        ("reset at=content after=5", "CANCELLED"),
        ("error-event at=content after=5", "INTERNAL"),
    ],
)
def test_the_official_client_is_told_the_code(fault: str, code: str, state: DemoServer, front: GRPCWebDemo) -> None:
    """By the library of gRPC itself: xAI's would ask some of them again."""
    state.fault = fault
    with grpc.insecure_channel(f"127.0.0.1:{front.grpc_port}") as channel:
        stub = chat_pb2_grpc.ChatStub(channel)
        message = chat().GetCompletionsRequest.FromString(request(Request.of("x", model="deepseek-flash").body()))
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.GetCompletionChunk(message, metadata=(("authorization", "Bearer any"),), timeout=HANG_S))
    assert caught.value.code().name == code  # type: ignore[attr-defined]


async def test_an_empty_account_is_not_asked_again(state: DemoServer, front: GRPCWebDemo) -> None:
    state.fault = "402"
    async with ours(front, recovery=RecoveryPolicy(base_s=0.01)) as client:
        with pytest.raises(RateLimited, match="Insufficient Balance"):
            await client.complete("x")
    assert len(state.requests) == 1


async def test_a_key_is_asked_for_as_the_interface_does(state: DemoServer, front: GRPCWebDemo) -> None:
    state.key = "sk-right-1234"
    async with ours(front, api_key="sk-wrong-1234") as client:
        with pytest.raises(ds.AuthenticationError):
            await client.complete("x")
    async with ours(front, api_key="sk-right-1234") as client:
        assert (await client.complete("x")).outcome == "complete"


async def test_a_stop_ends_the_work_behind_the_envoy(state: DemoServer, front: GRPCWebDemo) -> None:
    state.pace = Pace(first_token_s=0, tokens_per_s=50)
    async with ours(front) as client:
        stream = client.stream("long 20", think="off")
        async for event in stream:
            if isinstance(event, TextDelta):
                break
        await stream.aclose()
        assert stream.completion.outcome == "interrupted"
        await until(lambda: state.running == 0)
    assert state.requests[-1].ended == "client left"


async def test_only_our_clock_notices_a_silence(state: DemoServer, front: GRPCWebDemo) -> None:
    state.fault = "stall at=content after=20 times=1"
    clocks = Timeouts(first_delta_s=0.5, idle_s=0.5, idle_reasoning_s=0.5)
    async with ours(front, timeouts=clocks) as client:
        completion = await client.complete("a table and code", think="off")
    assert completion.text == "".join(expected("a table and code", think="off").content)
    assert completion.attempts >= 2
    await until(lambda: state.running == 0)


async def test_failover_crosses_the_protocols(state: DemoServer, front: GRPCWebDemo) -> None:
    """The first answer breaks over gRPC-Web; the other protocol of the same demo takes over in mid-answer."""
    state.fault = "cut at=content after=40 times=1"
    first, second = resolve("demo", front.base_url), resolve("demo", state.base_url)
    async with Client([first, second], recovery=RecoveryPolicy(attempts=1, resumes=0)) as client:
        completion = await client.complete("a table and code", think="off")
    assert completion.text == "".join(expected("a table and code", think="off").content)
    assert {seen.path for seen in state.requests} >= {"/xai_api.Chat/GetCompletionChunk"}


async def test_many_answers_at_once_settle_at_the_limit(state: DemoServer, front: GRPCWebDemo) -> None:
    state.concurrency = 4
    state.pace = Pace(first_token_s=0.02, tokens_per_s=2000)
    async with ours(front, recovery=RecoveryPolicy(attempts=30, base_s=0.02, cap_s=0.2)) as client:
        answers = await asyncio.gather(*(client.complete(f"echo {n}", think="off") for n in range(24)))
    assert [answer.text for answer in answers] == [f"```text\necho {n}\n```" for n in range(24)]


# starting and ending


def test_a_fault_that_grpc_has_not_is_refused_in_one_sentence() -> None:
    with pytest.raises(ConfigurationError, match="gzip-corrupt is about server-sent events") as caught:
        GRPCWebDemo(DemoServer(fault="gzip-corrupt"))
    assert "cut" in str(caught.value.hint)
    check_faults(parse("cut after=3; 429 times=1"))


def test_without_the_extra_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("grpc", "xai_sdk", "xai_sdk.proto", "envoy"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationError, match=r"needs grpc, which is not installed.*deepseek-magic\[grpc\]"):
        GRPCWebDemo(DemoServer())
    with pytest.raises(ConfigurationError, match="needs envoy"):
        Envoy(behind=1).start()


def test_cells_are_asked_by_grpc_web_until_the_demo_stops(capsys: pytest.CaptureFixture[str]) -> None:
    shell = InteractiveShell.instance()
    try:
        shell.run_line_magic("load_ext", "deepseek_magic")
        shell.run_line_magic("deepseek_demo", "--grpc-web --pace 0")
        url = os.environ[DEMO_VARIABLE]
        assert url.startswith("grpc-web+http://127.0.0.1:")
        shell.run_cell_magic("deepseek", "-o answer --quiet", "echo over gRPC-Web")
        assert shell.user_ns["answer"].text == "```text\necho over gRPC-Web\n```"
        assert ds.Client().endpoint.base_url == url
        shell.run_line_magic("deepseek_demo", "--pace 0")  # again, without it
        assert os.environ[DEMO_VARIABLE].startswith("http://")
        shell.run_line_magic("deepseek_demo", "stop")
        assert DEMO_VARIABLE not in os.environ
        capsys.readouterr()
    finally:
        InteractiveShell.clear_instance()


def test_an_envoy_takes_no_port_that_somebody_has(front: GRPCWebDemo) -> None:
    with pytest.raises(OSError, match=f"no Envoy could listen .*{front.envoy.port}"):
        Envoy(behind=front.grpc_port, port=front.envoy.port).start()


def test_a_fork_such_as_that_of_a_shell_command_makes_grpc_write_nothing() -> None:
    code = (
        "import os\n"
        "from deepseek_magic.demo.grpcweb.servicer import Service\n"
        "from deepseek_magic.demo.state import DemoState\n"
        "service = Service(DemoState()); service.start()\n"
        "os.fork() or os._exit(0); os.wait()\n"
        "assert 'GRPC_ENABLE_FORK_SUPPORT' not in os.environ\n"
        "service.stop()\n"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=HANG_S, check=True
    )
    assert (ran.stdout, ran.stderr) == ("", "")


def test_what_is_asked_is_in_the_log_and_in_the_journal(state: DemoServer, front: GRPCWebDemo) -> None:
    session = calls.session()
    before = session.defaults
    try:
        session.defaults = before.replace(
            endpoint="demo", base_url=front.base_url
        )  # as %config and a confirmed project do
        answer = ds.ask("echo by a default", think="off")
        assert answer.text == "```text\necho by a default\n```"
        assert answer.record.ttft_s is not None
        kept = session.journal.answer_to(answer.request, front.base_url)
        assert kept is not None
        assert kept.completion.text == answer.text
    finally:
        session.defaults = before


async def test_the_command_serves_both_protocols_and_leaves_no_envoy_when_it_is_killed() -> None:
    process = _command()
    try:
        assert process.stdout is not None
        base_url, _, third = (process.stdout.readline().strip() for _ in range(3))
        url = third.rpartition(" ")[2]
        port = int(url.rpartition(":")[2])
        for endpoint in (resolve("demo", base_url), resolve("demo", url)):
            async with Client(endpoint) as client:
                assert (await client.complete("echo x", think="off")).text == "```text\necho x\n```"
        process.send_signal(signal.SIGKILL)
        process.wait(HANG_S)
        await until(lambda: not _somebody_at(port))
    finally:
        process.kill()
        process.wait(HANG_S)
        process.stdout.close()


async def test_the_envoy_of_the_command_has_the_port_that_was_typed() -> None:
    port = free_port()
    process = _command(port)
    try:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(3)][2].strip().endswith(f"grpc-web+http://127.0.0.1:{port}")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(HANG_S)
        process.stdout.close()


def _command(port: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "deepseek_magic", "serve", "--port", str(port), "--pace", "0", "--grpc-web"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "LC_ALL": "C"})


def _somebody_at(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


async def test_an_answer_survives_the_envoy_and_the_server_being_killed() -> None:
    """Each in mid-answer, as by a machine that loses its power, and started again on the port that it had."""
    server = _Server()
    server.start()
    await listening(server.port)
    envoy = Envoy(behind=server.port).start()
    prompt, patient = "long 3", RecoveryPolicy(attempts=60, resumes=60, base_s=0.1, cap_s=0.5)
    try:
        for victim in ("envoy", "server"):
            endpoint = resolve("demo", f"grpc-web+http://127.0.0.1:{envoy.port}")
            async with Client(endpoint, recovery=patient) as client:
                stream, texts = client.stream(prompt, think="off"), 0
                async for event in stream:
                    texts += isinstance(event, TextDelta)
                    if texts == 40:
                        texts += 1000
                        if victim == "envoy":
                            assert envoy.pid is not None
                            os.kill(envoy.pid, signal.SIGKILL)
                            envoy.stop()
                            await asyncio.to_thread(envoy.start)
                        else:
                            server.kill()
                            server.start()
            completion = stream.completion
            assert completion.text == "".join(expected(prompt, think="off").content), victim
            assert (completion.outcome, completion.attempts > 1) == ("complete", True), victim
    finally:
        envoy.stop()
        server.kill()


class _Server:
    """The service as a program of its own, without an Envoy."""

    CODE = """
import sys, time
from deepseek_magic.demo.grpcweb.servicer import Service
from deepseek_magic.demo.state import DemoState
state = DemoState()
state.pace = 0.05
service = Service(state, int(sys.argv[1]))
service.start()
print(service.port, flush=True)
time.sleep(3600)
"""

    def __init__(self) -> None:
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [sys.executable, "-c", self.CODE, str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self._process.stdout.close()

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(HANG_S)
