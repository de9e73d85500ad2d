"""Connections: used again, made beforehand, replaced when they went bad, and counted."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib
from collections.abc import Sequence

import httpcore
import pytest

from deepseek_magic.engine.hosts.keys import Key
from deepseek_magic.engine.network.connections import IDLE_CONNECTIONS, KEEPALIVE_S, Carrier, Connections, proxy_for
from deepseek_magic.engine.network.inflate import PIECE_BYTES, Damaged, Inflater
from deepseek_magic.engine.transport import HTTPCall, HTTPXTransport
from deepseek_magic.protocol.errors import (
    ConfigurationError,
    ConnectTimeout,
    DeepSeekError,
    Disconnected,
    ReadTimeout,
    TransportError,
)
from tests.engine.wire import CLOSE, END, HANG, RESET, Received, Script, ScriptedServer, fixed, head, piece, until

OK = fixed("200 OK", b"fine")


def call_to(server: ScriptedServer, **settings: object) -> HTTPCall:
    return HTTPCall(method="POST", url=f"{server.base_url}/x", body=b"{}", **settings)  # type: ignore[arg-type]


async def body_of(transport: HTTPXTransport, call: HTTPCall) -> bytes:
    async with transport.open(call) as answer:
        return b"".join([data async for data in answer.chunks()])


async def test_a_connection_is_used_again() -> None:
    transport = HTTPXTransport()
    async with ScriptedServer([OK]) as server:
        async with transport.open(call_to(server)) as first:
            assert first.connect_s is not None
            assert [data async for data in first.chunks()] == [b"fine"]
        async with transport.open(call_to(server)) as second:
            assert second.connect_s is None
            await second.drain()
        assert server.accepted == 1
        await transport.aclose()
        await until(lambda: not server.open)


async def test_a_cookie_is_neither_kept_nor_sent_back() -> None:
    transport = HTTPXTransport()
    async with ScriptedServer([fixed("200 OK", b"fine", set_cookie="who=you; Path=/")]) as server:
        for _ in range(2):
            async with transport.open(call_to(server)) as answer:
                assert answer.headers["set-cookie"] == "who=you; Path=/"
                await answer.drain()
        assert ["cookie" in request.headers for request in server.requests] == [False, False]
    await transport.aclose()


async def test_a_body_that_is_not_read_costs_the_connection_and_a_drained_one_does_not() -> None:
    script = [head(), piece(b"data"), 0.03, piece(b"more"), END]
    transport = HTTPXTransport()
    async with ScriptedServer([script]) as server:
        for drained in (True, True, False, True):
            async with transport.open(call_to(server)) as answer:
                await anext(answer.chunks())
                if drained:
                    await answer.drain()
        assert [r.connection for r in server.requests] == [1, 1, 1, 2]
    await transport.aclose()


async def test_draining_is_bounded() -> None:
    transport = HTTPXTransport()
    async with ScriptedServer([[head(), piece(b"data"), HANG]]) as server:
        began = asyncio.get_running_loop().time()
        async with transport.open(call_to(server)) as answer:
            await anext(answer.chunks())
            await answer.drain()
        assert asyncio.get_running_loop().time() - began < 1
        await until(lambda: not server.open)
    await transport.aclose()


async def test_after_a_warm_up_the_first_call_finds_a_connection() -> None:
    transport = HTTPXTransport()
    async with ScriptedServer([*[fixed("404 Not Found", b"")] * 2, OK]) as server:
        assert await transport.warm_up(f"{server.base_url}/v1")
        assert await transport.warm_up(f"{server.base_url}/v1") is None
        async with transport.open(call_to(server)) as answer:
            assert answer.connect_s is None
    assert server.requests[0].line == "HEAD / HTTP/1.1"
    await transport.aclose()


async def test_a_warm_up_of_a_server_that_is_not_there_is_no_error() -> None:
    transport = HTTPXTransport()
    async with ScriptedServer([OK]) as server:
        url = server.base_url
    assert await transport.warm_up(url) is None
    await transport.aclose()


async def test_a_kept_connection_that_the_server_has_closed_costs_no_request() -> None:
    def once(request: Received) -> Script:
        # The second request on the connection meets a server that hangs up without a word.
        return OK if sum(r.connection == request.connection for r in server.requests) == 1 else [RESET]

    transport = HTTPXTransport()
    async with ScriptedServer(once) as server:
        assert await body_of(transport, call_to(server)) == b"fine"
        assert await body_of(transport, call_to(server)) == b"fine"
        assert server.accepted == 2
    await transport.aclose()


async def test_a_fresh_connection_that_breaks_is_not_tried_again() -> None:
    transport = HTTPXTransport()
    async with ScriptedServer([[RESET]]) as server:
        with pytest.raises(Disconnected):
            await body_of(transport, call_to(server))
        assert len(server.requests) == 1
    await transport.aclose()


async def test_cancelled_calls_leave_nothing_behind() -> None:
    """httpcore's own pool loses connections in such a storm (its issue 1093)."""
    transport = HTTPXTransport()
    script = [0.01, *fixed("200 OK", b"fine")]
    async with ScriptedServer([script]) as server:
        call = call_to(server)
        for round_ in range(60):
            tasks = [asyncio.create_task(body_of(transport, call)) for _ in range(12)]
            for _ in range(round_ % 7):
                await asyncio.sleep(0)
            await asyncio.sleep(0.001 * (round_ % 12))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        async with asyncio.timeout(5):
            assert await body_of(transport, call) == b"fine"
        (connections,) = transport._network._connections.values()
        await until(lambda: server.open == len(connections._idle), within_s=5)
        assert connections._users == {}
        await transport.aclose()
        await until(lambda: not server.open, within_s=5)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_call_that_is_cancelled_at_any_step_keeps_no_connection_that_it_may_have_spoilt() -> None:
    transport = HTTPXTransport()
    async with ScriptedServer([OK]) as server:
        call = call_to(server)
        for steps in range(25):
            task = asyncio.create_task(body_of(transport, call))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await body_of(transport, call) == b"fine"
    await transport.aclose()


async def test_calls_one_after_another_share_a_connection_and_calls_at_once_have_one_each() -> None:
    transport = HTTPXTransport()
    async with ScriptedServer([[0.02, *OK]]) as server:
        call = call_to(server)
        for _ in range(3):
            assert set(await asyncio.gather(*(body_of(transport, call) for _ in range(5)))) == {b"fine"}
        assert server.accepted == 5
        assert await body_of(transport, call) == b"fine"
        assert server.accepted == 5
    await transport.aclose()


async def used(connections: Connections, carriers: Sequence[Carrier], url: str) -> None:
    for carrier in carriers:
        response = await carrier.handle_async_request(httpcore.Request("GET", url, headers={"Host": "x"}))
        await response.aread()
        await response.aclose()
        await connections.give_back(carrier, sound=True)


async def test_idle_connections_are_bounded_in_number_and_in_age() -> None:
    now_s = 0.0
    async with ScriptedServer([OK]) as server:
        connections = Connections(server.base_url, clock=lambda: now_s)
        carriers = [await connections.take() for _ in range(IDLE_CONNECTIONS + 3)]
        await used(connections, carriers, server.base_url)
        assert [kept for _, kept in connections._idle] == carriers[3:]
        now_s = KEEPALIVE_S + 1
        newest = await connections.take()
        assert newest is carriers[-1]
        await used(connections, [newest], server.base_url)
        assert [kept for _, kept in connections._idle] == [newest]
        assert server.accepted == IDLE_CONNECTIONS + 3
        await connections.aclose()


async def test_a_connection_that_the_server_has_closed_or_that_never_was_is_not_kept() -> None:
    async with ScriptedServer([fixed("200 OK", b"fine", connection="close")]) as server:
        connections = Connections(server.base_url)
        never = await connections.take()
        await connections.give_back(never, sound=True)
        await used(connections, [await connections.take()], server.base_url)
        assert connections._idle == []
        await connections.aclose()


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ([HANG], ReadTimeout),
        ([CLOSE], Disconnected),
        ([RESET], Disconnected),
        ([b"this is not HTTP\r\n\r\n", CLOSE], Disconnected),
        ([head(), b"xyz\r\n", CLOSE], Disconnected),
        ([head(content_length="5"), b"abc", CLOSE], Disconnected),
        ([head(content_encoding="br"), piece(b"x"), END], Disconnected),
        ([head(content_encoding="gzip"), piece(b"not gzip"), END], Disconnected),
        ([head(content_encoding="gzip"), piece(gzip.compress(b"x" * 99)[:-9]), END], Disconnected),
    ],
)
async def test_whatever_breaks_is_one_of_our_errors_and_names_the_host(
    script: Script, error: type[TransportError]
) -> None:
    transport = HTTPXTransport()
    async with ScriptedServer([script]) as server:
        key = Key("sk-test-1234", source="a test")
        with pytest.raises(TransportError) as caught:
            await body_of(transport, call_to(server, key=key, read_s=0.1))
        assert type(caught.value) is error
        assert str(server.port) in str(caught.value)
        assert "1234" not in str(caught.value)
    await transport.aclose()


async def test_a_server_that_does_not_accept_is_a_connect_timeout() -> None:
    transport = HTTPXTransport()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        address = listening.getsockname()
        with socket.create_connection(address), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(address)  # fills the queue of those who wait to be accepted
            call = HTTPCall(method="GET", url=f"http://127.0.0.1:{address[1]}/", connect_s=0.2, read_s=0.2)
            with pytest.raises(ConnectTimeout, match=r"within 0\.2 s"):
                await body_of(transport, call)
    await transport.aclose()


async def test_an_unknown_name_and_plain_text_where_tls_was_expected_are_told_apart() -> None:
    transport = HTTPXTransport()
    with pytest.raises(Disconnected, match="could not be resolved"):
        await body_of(transport, HTTPCall(method="GET", url="https://nowhere.invalid/"))
    async with ScriptedServer([[b"HTTP/1.1 400 Bad Request\r\n\r\n", CLOSE]]) as server:
        url = server.base_url.replace("http:", "https:")
        with pytest.raises(DeepSeekError, match="127"):
            await body_of(transport, HTTPCall(method="GET", url=url, connect_s=0.5))
    await transport.aclose()


async def test_a_call_never_shows_its_key_or_its_body() -> None:
    call = HTTPCall(method="POST", url="http://x", body=b"prompt", key=Key("sk-test-1234", source="a test"))
    assert "1234" not in repr(call)
    assert "prompt" not in repr(call)


async def test_bytes_are_counted_as_sent_and_as_read() -> None:
    plain = b"x" * 5000
    packed = gzip.compress(plain)
    transport = HTTPXTransport(gzip=True)
    script = [head(content_encoding="gzip"), piece(packed), END]
    async with ScriptedServer([script]) as server, transport.open(call_to(server)) as answer:
        assert b"".join([data async for data in answer.chunks()]) == plain
        assert (answer.wire_bytes, answer.body_bytes) == (len(packed), len(plain))
        assert answer.http_version == "HTTP/1.1"
    await transport.aclose()


async def test_a_pool_of_a_loop_that_has_ended_is_not_used() -> None:
    transport = HTTPXTransport()
    async with ScriptedServer([[*fixed("200 OK", b"fine", connection="close"), CLOSE]]) as server:
        url = f"{server.base_url}/"

        def elsewhere() -> bytes:
            return asyncio.run(body_of(transport, HTTPCall(method="GET", url=url)))

        assert await asyncio.to_thread(elsewhere) == b"fine"
        assert await body_of(transport, HTTPCall(method="GET", url=url)) == b"fine"
    await transport.aclose()


def test_proxies_come_from_the_environment_and_never_stand_before_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "proxy.example:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert proxy_for("https://api.deepseek.com") == "http://proxy.example:3128"
    assert proxy_for("https://inside.example") is None
    assert proxy_for("http://plain.example") is None
    monkeypatch.setenv("all_proxy", "socks5://other.example:1080")
    assert proxy_for("http://plain.example") == "socks5://other.example:1080"
    assert proxy_for("http://127.0.0.1:8000") is None
    assert proxy_for("http://localhost") is None


async def test_a_proxy_that_cannot_be_used_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "ftp://proxy.example")
    with pytest.raises(ConfigurationError):
        await body_of(HTTPXTransport(), HTTPCall(method="GET", url="http://far.example/"))


# gzip


def inflated(data: bytes, *, step: int) -> bytes:
    inflater = Inflater()
    out = b"".join(p for i in range(0, len(data), step) for p in inflater.feed(data[i : i + step]))
    inflater.close()
    return out


def gzip_with_all_fields(plain: bytes) -> bytes:
    packed = gzip.compress(plain)
    header = b"\x1f\x8b\x08\x1e" + packed[4:10] + b"\x03\x00abcname\0comment\0"
    return header + (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little") + packed[10:]


@pytest.mark.parametrize("step", [1, 3, 1000])
@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(b"hello " * 100),
        gzip_with_all_fields(b"hello " * 100),
        gzip.compress(b"hello " * 40) + gzip.compress(b"hello " * 60),
    ],
    ids=["plain", "all fields", "two members"],
)
def test_gzip_is_undone_whatever_its_header_and_borders(packed: bytes, step: int) -> None:
    assert inflated(packed, step=step) == b"hello " * 100


def test_every_early_end_of_a_gzip_body_is_noticed() -> None:
    packed = gzip_with_all_fields(b"hello " * 10)
    for length in range(1, len(packed)):
        with pytest.raises(Damaged):
            inflated(packed[:length], step=7)
    assert inflated(b"", step=1) == b""


def test_a_wrong_checksum_is_told_after_the_text_was_given() -> None:
    packed = bytearray(gzip.compress(b"hello"))
    packed[-5] ^= 1
    pieces = Inflater().feed(bytes(packed))
    assert next(pieces) == b"hello"
    with pytest.raises(Damaged, match="checksum"):
        next(pieces)


@pytest.mark.parametrize("junk", [b"\xff" * 64, b"\x07"])
def test_what_stands_before_the_damage_in_the_same_read_is_given(junk: bytes) -> None:
    packer = zlib.compressobj(wbits=31)
    packed = b"".join(packer.compress(b"word %d " % i) + packer.flush(zlib.Z_SYNC_FLUSH) for i in range(9))
    pieces = Inflater().feed(packed + junk)
    assert next(pieces) == b"".join(b"word %d " % i for i in range(9))
    with pytest.raises(Damaged, match="compressed data"):
        next(pieces)


def test_a_small_read_never_becomes_a_flood() -> None:
    packed = gzip.compress(bytes(10 * PIECE_BYTES))
    assert max(len(piece) for piece in Inflater().feed(packed)) <= PIECE_BYTES


@pytest.mark.parametrize(
    "data", [b"plain text", b"\x1f\x8b\x07", zlib.compress(b"x"), b"\x1f\x8b\x08\x08" + b"n" * 70_000]
)
def test_what_is_no_gzip_is_refused(data: bytes) -> None:
    with pytest.raises(Damaged):
        inflated(data, step=10_000)
