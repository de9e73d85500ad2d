"""Answers through nginx and HAProxy: whole, once and in order, or honestly incomplete, whatever the proxy does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.client import Client
from deepseek_magic.engine.transport import HTTPXTransport
from deepseek_magic.policy.attempts import RecoveryPolicy
from deepseek_magic.policy.deadlines import Timeouts
from deepseek_magic.policy.limits.limiter import LimitPolicy
from deepseek_magic.protocol.completion import Accumulator, Completion
from deepseek_magic.protocol.errors import DeepSeekError, ServerError
from deepseek_magic.protocol.events import Event, Seam, TextDelta, Waiting
from tests.engine.wire import HANG, ScriptedServer, delta, head, piece
from tests.servers.proxies import HANG_S, Demo, HAProxy, Nginx, Proxy, until

PROMPT = "Explain tables, then show code 中文"
AGAIN = RecoveryPolicy(attempts=50, resumes=50, base_s=0.05, cap_s=0.1)
"""A program needs a moment until it listens again; until then many tries are refused."""
ONCE = RecoveryPolicy(attempts=1, resumes=0)
PATIENT = Timeouts(connect_s=HANG_S, read_s=HANG_S, queue_s=HANG_S, first_delta_s=HANG_S, idle_s=HANG_S)
PACE = 0.4
"""Some three seconds for an answer: time to do something to it on its way."""
BEGUN = 20
"""Pieces of text after which it is done."""
SHORT_S = 1.0
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"properties": {"city": {"type": "string"}}}}}


def client_of(at: Proxy | DemoServer, **settings: Any) -> Client:
    limits = LimitPolicy(retries_per_minute=1000)
    return Client(at.base_url, **{"recovery": AGAIN, "timeouts": PATIENT, "limits": limits, **settings})


@pytest.fixture(scope="module")
def unbroken() -> dict[str, Completion]:
    async def asked() -> dict[str, Completion]:
        async with DemoServer(pace=0) as server, client_of(server) as client:
            return {
                "text": await client.complete(PROMPT, think="off"),
                "tool": await client.complete(PROMPT, think="off", tools=[TOOL], tool_choice="required"),
            }

    with asyncio.Runner() as runner:
        return runner.run(asked())


async def nothing() -> None:
    """What is done to most answers."""


async def watched(
    client: Client, act: Callable[[], Awaitable[object]] = nothing, **options: Any
) -> tuple[Completion, list[Event]]:
    """Ask, act once the answer has begun, and compare what a screen would show with what the completion holds."""
    stream = client.stream(PROMPT, **{"think": "off", **options})
    screen, events, acting = Accumulator(stream.request), list[Event](), list[asyncio.Future[object]]()
    error: DeepSeekError | None = None
    try:
        async with asyncio.timeout(2 * HANG_S), contextlib.aclosing(stream):
            async for event in stream:
                screen.add(event)
                events.append(event)
                if not acting and sum(isinstance(each, TextDelta) for each in events) >= BEGUN:
                    acting.append(asyncio.ensure_future(act()))
    except DeepSeekError as failed:
        error = failed
    if acting:
        async with asyncio.timeout(HANG_S):
            await acting[0]
    shown = screen.completion(error=error)
    assert (shown.text, shown.tool_calls) == (stream.completion.text, stream.completion.tool_calls)
    assert stream.completion.error is error
    return stream.completion, events


def assert_whole(completion: Completion, whole: Completion) -> None:
    assert (completion.text, completion.tool_calls) == (whole.text, whole.tool_calls)
    assert (completion.outcome, completion.finish_reason) == (whole.outcome, whole.finish_reason)
    assert completion.usage is not None
    assert completion.usage.completion_tokens


GZIP = {
    Nginx: "gzip on; gzip_types text/event-stream; gzip_min_length 1;",
    HAProxy: "compression algo gzip\n  compression type text/event-stream",
}
MANNERS = {
    "as it comes": ({Nginx: "", HAProxy: ""}, False),
    "buffered": ({Nginx: "proxy_buffering on;", HAProxy: "option http-buffer-request"}, False),
    "unbuffered": ({Nginx: "proxy_buffering off;", HAProxy: "option http-no-delay"}, False),
    "gzip": (GZIP, True),
    "gzip, unbuffered": ({Nginx: f"proxy_buffering off; {GZIP[Nginx]}", HAProxy: GZIP[HAProxy]}, True),
    "a connection for each call behind it": (
        {Nginx: "proxy_set_header Connection close;", HAProxy: "option http-server-close"},
        False,
    ),
    "HTTP/1.0 behind it": ({Nginx: "proxy_http_version 1.0;", HAProxy: "option httpclose"}, False),
}


@pytest.mark.parametrize("manner", MANNERS)
async def test_text_usage_and_tool_calls_are_whole(proxy: Proxy, manner: str, unbroken: dict[str, Completion]) -> None:
    more, compressed = MANNERS[manner]
    async with DemoServer(pace=0) as server:
        await proxy.start(server._port, more=more[type(proxy)])
        async with client_of(proxy, transport=HTTPXTransport(gzip=compressed)) as client:
            for _ in range(2):
                completion, _ = await watched(client)
                assert_whole(completion, unbroken["text"])
                assert completion.attempts == 1
            if compressed:
                assert completion.record.wire_bytes < completion.record.body_bytes
            completion, _ = await watched(client, tools=[TOOL], tool_choice="required")
            assert completion.tool_calls
            assert_whole(completion, unbroken["tool"])
            thinking, _ = await watched(client, think="high")
            assert thinking.reasoning


@pytest.mark.parametrize("proxy", [Nginx], indirect=True, ids=["nginx"])
async def test_x_accel_buffering_lets_each_piece_through(proxy: Proxy) -> None:
    script = [head(x_accel_buffering="no"), piece(delta("One ")), HANG]
    async with ScriptedServer([script]) as server:
        await proxy.start(server.port, more="proxy_buffering on;")
        async with client_of(proxy) as client, asyncio.timeout(HANG_S):
            stream = client.stream(PROMPT)
            async for event in stream:
                if isinstance(event, TextDelta):
                    break
            await stream.aclose()
        assert (stream.completion.text, stream.completion.outcome) == ("One ", "interrupted")
        await until(lambda: not server.open)  # a Stop that reaches the proxy alone would go on being paid for


@pytest.mark.parametrize("manner", ["buffered", "unbuffered", "gzip"])
async def test_stop_ends_the_request_behind_the_proxy(proxy: Proxy, manner: str) -> None:
    more, compressed = MANNERS[manner]
    async with DemoServer(fault="stall at=content after=30") as server:
        await proxy.start(server._port, more=more[type(proxy)])
        async with client_of(proxy, transport=HTTPXTransport(gzip=compressed)) as client, asyncio.timeout(HANG_S):
            stream = client.stream(PROMPT, think="off")
            running = asyncio.ensure_future(stream.run(lambda _: None))
            await until(lambda: server.requests and server.requests[0].status == 200)
            await stream.aclose()
            assert (await running).outcome == "interrupted"
            await until(lambda: server.requests[0].ended)
        assert server.requests[0].ended == "client left"


@pytest.mark.parametrize("at", ["before-headers", "content after=30"])
async def test_a_silence_that_the_proxy_cuts_is_recovered_from(
    proxy: Proxy, at: str, unbroken: dict[str, Completion]
) -> None:
    async with DemoServer(fault=f"stall at={at} times=1", pace=0) as server:
        await proxy.start(server._port, silence_s=SHORT_S)
        async with client_of(proxy) as client:
            completion, events = await watched(client)
    assert_whole(completion, unbroken["text"])
    assert completion.attempts == 2
    why = " ".join(str(event.detail) for event in events if isinstance(event, Waiting))
    assert ("504 (gateway time-out)" in why) == (at == "before-headers")


@pytest.mark.parametrize("at", ["before-headers", "content after=30"])
async def test_without_recovery_it_is_told_as_what_it_is(
    proxy: Proxy, at: str, unbroken: dict[str, Completion]
) -> None:
    async with DemoServer(fault=f"stall at={at}", pace=0) as server:
        await proxy.start(server._port, silence_s=SHORT_S)
        async with client_of(proxy, recovery=ONCE) as client:
            completion, _ = await watched(client)
        assert len(server.requests) == 1
    error = completion.error
    assert completion.outcome == "incomplete"
    if at == "before-headers":
        assert isinstance(error, ServerError)
        assert error.status == 504
        assert "A web page answered with 504 instead of the API: 504 Gateway Time-out" in str(error)
    else:
        assert completion.text
        assert unbroken["text"].text.startswith(completion.text)
        assert "before the answer was complete" in str(error)


@pytest.mark.parametrize("manner", ["as it comes", "gzip, unbuffered"])
async def test_a_server_that_dies_behind_the_proxy_and_comes_back(
    proxy: Proxy, manner: str, unbroken: dict[str, Completion]
) -> None:
    more, compressed = MANNERS[manner]
    demo = Demo()
    try:
        await demo.start(pace=PACE)
        await proxy.start(demo.port, more=more[type(proxy)])
        down = asyncio.Event()

        async def die_and_come_back() -> None:
            await demo.kill()
            await down.wait()
            await demo.start(pace=0)

        async with client_of(proxy, transport=HTTPXTransport(gzip=compressed)) as client:
            stream_events: list[Event] = []

            def see(events: list[Event]) -> None:
                stream_events.extend(events)
                waits = [str(event.detail) for event in events if isinstance(event, Waiting)]
                if any(str(proxy.down) in wait for wait in waits):
                    down.set()

            completion = await _with_action(client, die_and_come_back, see)
        assert down.is_set()
        assert_whole(completion, unbroken["text"])
        assert [event.kind for event in stream_events if isinstance(event, Seam)] == ["continued"]
    finally:
        await demo.kill()


async def _with_action(
    client: Client, act: Callable[[], Awaitable[object]], see: Callable[[list[Event]], None]
) -> Completion:
    stream = client.stream(PROMPT, think="off")
    acting: asyncio.Future[object] | None = None
    pieces = 0
    async with asyncio.timeout(2 * HANG_S), contextlib.aclosing(stream):
        async for event in stream:
            see([event])
            pieces += isinstance(event, TextDelta)
            if acting is None and pieces >= BEGUN:
                acting = asyncio.ensure_future(act())
        assert acting is not None
        await acting
    return stream.completion


@pytest.mark.parametrize("drain_s", [HANG_S, SHORT_S], ids=["drained", "cut"])
async def test_a_reload_of_the_proxy_takes_nothing(
    proxy: Proxy, drain_s: float, unbroken: dict[str, Completion]
) -> None:
    async with DemoServer(pace=PACE) as server:
        await proxy.start(server._port, drain_s=drain_s)
        async with client_of(proxy) as client:
            completion, _ = await watched(client, proxy.reload)
            assert_whole(completion, unbroken["text"])
            assert completion.attempts == 1 or drain_s == SHORT_S
            server.pace = 0  # type: ignore[assignment]
            completion, events = await watched(client)
    assert_whole(completion, unbroken["text"])
    assert not [event for event in events if isinstance(event, Waiting)]


async def test_a_proxy_that_is_killed_and_started_again_takes_nothing(
    proxy: Proxy, unbroken: dict[str, Completion]
) -> None:
    async def kill_and_restart() -> None:
        await proxy.kill()
        await proxy.restart()

    async with DemoServer(pace=PACE) as server:
        await proxy.start(server._port)
        async with client_of(proxy) as client:
            completion, events = await watched(client, kill_and_restart)
        assert_whole(completion, unbroken["text"])
        assert [event.kind for event in events if isinstance(event, Seam)] == ["continued"]
        await until(lambda: server.requests[0].ended)
        assert server.requests[0].ended == "client left"


@pytest.mark.parametrize("how", ["reloaded", "killed", "too long ago"])
async def test_a_kept_connection_that_the_proxy_closed_between_two_calls_costs_nothing(
    proxy: Proxy, how: str, unbroken: dict[str, Completion]
) -> None:
    soon = {Nginx: "keepalive_timeout 50ms;", HAProxy: "timeout http-keep-alive 50ms"}
    async with DemoServer(pace=0) as server:
        await proxy.start(server._port, more=soon[type(proxy)] if how == "too long ago" else "")
        async with client_of(proxy) as client:
            await watched(client)
            match how:
                case "reloaded":
                    await proxy.reload()
                case "killed":
                    await proxy.kill()
                    await proxy.restart()
                case _:
                    await asyncio.sleep(0.1)
            completion, events = await watched(client)
    assert_whole(completion, unbroken["text"])
    assert completion.attempts == 1
    assert not [event for event in events if isinstance(event, Waiting)]
