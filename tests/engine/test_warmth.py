"""When an idle connection is pinged, when no more, and that a real one stays for the next call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from deepseek_magic.engine.client import Client
from deepseek_magic.engine.hosts.warmth import (
    KEEP_WARM_LEAST_S,
    KEEP_WARM_MOST_S,
    LOST_MOST,
    UNUSED_S,
    Warmth,
    origin_of,
)
from deepseek_magic.engine.network.connections import KEEPALIVE_S
from deepseek_magic.engine.transport import HTTPCall, HTTPXTransport
from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.text.language import use
from tests.engine.wire import ScriptedServer, fixed, until

ORIGIN = "https://api.example"
OK = fixed("200 OK", b"fine")
NOTHING = fixed("404 Not Found", b"")


@dataclass
class Line:
    """A clock that jumps, and a server that notes when it was pinged. ``held`` stops the clock at a second."""

    now_s: float = 0.0
    pinged_s: list[float] = field(default_factory=list)
    finds: bool = True
    held_s: float = float("inf")

    async def ping(self, origin: str) -> bool:
        assert origin == ORIGIN
        self.pinged_s.append(self.now_s)
        return self.finds

    async def sleep(self, seconds: float) -> None:
        rings_s = self.now_s + seconds
        await asyncio.sleep(0)
        while rings_s > self.held_s:  # noqa: ASYNC110 - the test moves the hold, and sets no event
            await asyncio.sleep(0)
        self.now_s = max(self.now_s, rings_s)

    @asynccontextmanager
    async def warmth(self, every_s: float | None = 60.0) -> AsyncIterator[Warmth]:
        warmth = Warmth(self.ping, every_s, clock=lambda: self.now_s, sleep=self.sleep)
        yield warmth
        await warmth.aclose()


def watches() -> int:
    """How many tasks wait to ping somebody."""
    return sum("_watch" in str(task.get_coro()) for task in asyncio.all_tasks())


async def turns() -> None:
    """Let everything go on until it waits for something that does not come by itself."""
    for _ in range(1000):
        await asyncio.sleep(0)


async def test_an_unused_connection_is_pinged_every_interval_until_half_an_hour_after_the_last_call() -> None:
    line = Line()
    async with line.warmth(60.0) as warmth:
        with warmth.used(ORIGIN):
            line.now_s = 7.0
        await turns()
    assert line.pinged_s == [7.0 + 60 * n for n in range(1, int(UNUSED_S // 60))]


async def test_a_call_puts_the_next_ping_off() -> None:
    line = Line(held_s=100.0)
    async with line.warmth(60.0) as warmth:
        with warmth.used(ORIGIN):
            pass
        await turns()
        line.now_s, line.held_s = 80.0, 150.0
        with warmth.used(ORIGIN):
            pass
        await turns()
    assert line.pinged_s == [60.0, 140.0]


async def test_nothing_is_pinged_while_a_call_runs() -> None:
    line = Line(held_s=50.0)
    async with line.warmth(10.0) as warmth:
        with warmth.used(ORIGIN):
            pass
        await turns()
        before = len(line.pinged_s)
        line.held_s = 1000.0
        with warmth.used(ORIGIN):
            line.now_s = 500.0
            await turns()
            assert len(line.pinged_s) == before
        await turns()
    assert line.pinged_s[before] == 510.0


async def test_a_server_that_keeps_no_connection_is_left_alone_until_the_next_call() -> None:
    line = Line(finds=False)
    async with line.warmth() as warmth:
        for calls in (1, 2):
            with warmth.used(ORIGIN):
                pass
            await turns()
            assert len(line.pinged_s) == LOST_MOST * calls


@pytest.mark.parametrize("error", [OSError, asyncio.CancelledError])
async def test_a_call_that_failed_or_was_stopped_leaves_no_ping_behind(error: type[BaseException]) -> None:
    line = Line()
    async with line.warmth() as warmth:
        with pytest.raises(error), warmth.used(ORIGIN):
            raise error
        await turns()
        assert line.pinged_s == []
        with warmth.used(ORIGIN):
            pass
        await turns()
        assert line.pinged_s


async def test_without_the_setting_there_is_no_ping_and_taken_away_no_further_one() -> None:
    line = Line(held_s=70.0)
    async with line.warmth(None) as warmth:
        with warmth.used(ORIGIN):
            pass
        await turns()
        assert line.pinged_s == []
        warmth.every_s = 30.0
        with warmth.used(ORIGIN):
            pass
        await turns()
        assert line.pinged_s == [30.0, 60.0]
    async with line.warmth(30.0) as warmth:
        line.held_s = 1000.0
        with warmth.used(ORIGIN):
            pass
        warmth.every_s = None
        await turns()
    assert line.pinged_s == [30.0, 60.0]


def test_a_ping_comes_before_the_connection_would_be_closed_here() -> None:
    assert KEEP_WARM_MOST_S < KEEPALIVE_S


@pytest.mark.parametrize("every_s", [0, -1.0, KEEP_WARM_LEAST_S / 2, KEEP_WARM_MOST_S + 1, float("nan")])
def test_seconds_out_of_bounds_are_refused_in_either_language(every_s: float) -> None:
    with pytest.raises(ConfigurationError, match="keep_warm_s cannot be") as caught:
        Client("demo", keep_warm_s=every_s)
    use("zh")
    try:
        assert "保持连接的探测间隔" in caught.value.localized()
    finally:
        use("en")


def test_a_transport_that_is_given_has_the_setting_itself() -> None:
    with pytest.raises(ConfigurationError, match="set it on that transport"):
        Client("demo", transport=HTTPXTransport(), keep_warm_s=30.0)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:80", "http://127.0.0.1:80/", "http://127.0.0.1:80/v1/chat?x=http://y/z"]
)
def test_an_origin_is_scheme_host_and_port(url: str) -> None:
    assert origin_of(url) == "http://127.0.0.1:80"


async def test_pings_keep_a_real_connection_for_the_next_call_and_carry_no_key() -> None:
    transport = HTTPXTransport(keep_warm_s=KEEP_WARM_LEAST_S)
    async with ScriptedServer(lambda request: NOTHING if request.line.startswith("HEAD") else OK) as server:
        call = HTTPCall(method="POST", url=f"{server.base_url}/x", body=b"{}")

        async def ask() -> float | None:
            async with transport.open(call) as answer:
                await answer.drain()
                return answer.connect_s

        assert await ask() is not None
        assert watches() == 1
        await until(lambda: len(server.requests) >= 3, within_s=60)
        transport.keep_warm_s = None
        await until(lambda: not watches(), within_s=60)
        assert await ask() is None
        assert server.accepted == 1
        assert watches() == 0
        pings = server.requests[1:-1]
        assert {ping.line for ping in pings} == {"HEAD / HTTP/1.1"}
        assert all("authorization" not in ping.headers for ping in pings)
        await transport.aclose()


async def test_closing_ends_the_pings() -> None:
    transport = HTTPXTransport(keep_warm_s=KEEP_WARM_MOST_S)
    async with ScriptedServer([NOTHING, OK]) as server:
        await transport.warm_up(server.base_url)
        assert watches() == 1
        await transport.aclose()
        assert watches() == 0
