"""Reading past h11 on real sockets: every framing, every early end, keep-alive, proxies, and a consumer that takes its time."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from deepseek_magic.engine.client import Client
from deepseek_magic.engine.network import connections, exchange
from deepseek_magic.engine.network.sockets import UNREAD_BYTES, Socket
from deepseek_magic.engine.transport import HTTPCall, HTTPXTransport
from deepseek_magic.protocol.errors import ConfigurationError, Disconnected
from deepseek_magic.protocol.events import TextDelta
from tests.engine.test_http2 import certificate as certificate
from tests.engine.wire import CLOSE, END, HANG, Received, Script, ScriptedServer, delta, fixed, head, piece

BODY = b"data: one\n\ndata: two\r\n\r\n"
CHUNKED = head() + piece(BODY[:7]) + piece(BODY[7:])[:-2] + b"\r\n" + b"0\r\nx-sum: 1\r\n\r\n"


@pytest.fixture
async def transport() -> AsyncIterator[HTTPXTransport]:
    transport = HTTPXTransport()
    yield transport
    await transport.aclose()


async def body_of(transport: HTTPXTransport, url: str, *, method: str = "POST", body: bytes | None = b"{}") -> bytes:
    call = HTTPCall(method=method, url=f"{url}/x", body=body)
    async with transport.open(call) as answer:
        return b"".join([data async for data in answer.chunks()])


WHOLE: dict[str, Script] = {
    "in one piece": [CHUNKED],
    "byte by byte": [step for at in range(len(CHUNKED)) for step in (CHUNKED[at : at + 1], 0.0)],
    "with extensions": [
        head(),
        b"7;name=value\r\n",
        BODY[:7],
        b"\r\n%X  \r\n" % (len(BODY) - 7),
        BODY[7:],
        b"\r\n",
        END,
    ],
    "after early hints": [b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + CHUNKED],
    "chunked said by each of two gateways": [
        CHUNKED.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding:  chunked\r\nx: y\r\n\r\n", 1)
    ],
    "chunked beside codings that change nothing": [
        CHUNKED.replace(b"\r\n\r\n", b",\r\nTransfer-Encoding: identity, \r\nx: y\r\n\r\n", 1)
    ],
    "chunked said twice in one line": [CHUNKED.replace(b": chunked", b": chunked, Chunked", 1)],
    "of known length": fixed("200 OK", BODY),
    "of known length, after early hints": [b"HTTP/1.1 103 Early Hints\r\n\r\n", *fixed("200 OK", BODY)],
}


@pytest.mark.parametrize("script", WHOLE.values(), ids=WHOLE)
async def test_a_whole_body_is_read_and_its_connection_used_again(transport: HTTPXTransport, script: Script) -> None:
    async with ScriptedServer([script]) as server:
        assert [await body_of(transport, server.base_url) for _ in range(3)] == [BODY] * 3
        assert server.accepted == 1


@pytest.mark.parametrize("whole", [CHUNKED, b"".join(fixed("200 OK", BODY))], ids=["chunked", "of known length"])
async def test_every_early_end_is_a_cut_and_its_connection_is_gone(transport: HTTPXTransport, whole: bytes) -> None:
    async with ScriptedServer(lambda request: [whole[: len(server.requests) - 1], CLOSE]) as server:
        for _ in range(len(whole)):
            with pytest.raises(Disconnected):
                await body_of(transport, server.base_url)
        assert server.accepted == len(server.requests) == len(whole)
        assert await body_of(transport, server.base_url) == BODY


@pytest.mark.parametrize("more", [{}, {"transfer_encoding": "identity"}], ids=["plain", "identity"])
async def test_a_body_that_ends_with_its_connection_is_whole_there(
    transport: HTTPXTransport, more: dict[str, str]
) -> None:
    async with ScriptedServer([[head(connection="close", **more), BODY, CLOSE]]) as server:
        assert [await body_of(transport, server.base_url) for _ in range(2)] == [BODY] * 2
        assert server.accepted == 2


OPEN_BODIES = {
    "chunked": ([head()], piece),
    "of known length": ([head(content_length="1000000")], bytes),
    "until the end": ([head(connection="close")], bytes),
}


@pytest.mark.parametrize("closing", [True, False], ids=["stopped", "left open"])
@pytest.mark.parametrize("framing", OPEN_BODIES)
def test_an_answer_left_in_the_middle_leaves_nothing_to_a_loop_that_ends(
    framing: str, closing: bool, caplog: pytest.LogCaptureFixture
) -> None:
    begin, framed = OPEN_BODIES[framing]
    script = [*begin, *(framed(delta(f"word{n} ")) for n in range(20)), HANG]
    kept: list[object] = []

    async def ask() -> None:
        async with ScriptedServer([script]) as server:
            client = Client(server.base_url)
            stream = client.stream("Hi", think="off")
            async for event in stream:
                if isinstance(event, TextDelta):
                    break
            kept.append(stream)
            if closing:
                await stream.aclose()
                await client.aclose()
                assert not [task for task in asyncio.all_tasks() if "athrow" in repr(task)]

    asyncio.run(ask())
    kept.clear()
    gc.collect()
    assert not [text for text in caplog.messages if "generator" in text or "pending" in text]


async def test_a_long_body_of_known_length_is_read_whole_and_a_short_one_frees_its_connection(
    transport: HTTPXTransport,
) -> None:
    for size, connections_made in ((0, 1), (1, 1), (exchange.COUNTED_AGAIN_BYTES, 1), (10**6, 2)):
        body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        async with ScriptedServer([fixed("200 OK", body)]) as server:
            assert [await body_of(transport, server.base_url) for _ in range(2)] == [body] * 2
            assert server.accepted == connections_made


async def test_what_a_server_says_unasked_is_never_taken_for_an_answer(transport: HTTPXTransport) -> None:
    async with ScriptedServer([[CHUNKED + b"".join(fixed("200 OK", b"unasked"))], [CHUNKED]]) as server:
        assert [await body_of(transport, server.base_url) for _ in range(3)] == [BODY] * 3
        assert [request.connection for request in server.requests] == [1, 2, 2]


async def test_an_answer_without_a_body_is_not_waited_for(transport: HTTPXTransport) -> None:
    async with ScriptedServer([[head()], [head("204 No Content")], [CHUNKED]]) as server, asyncio.timeout(10):
        assert await body_of(transport, server.base_url, method="HEAD", body=None) == b""
        assert await body_of(transport, server.base_url) == b""
        assert await body_of(transport, server.base_url) == BODY
        assert server.accepted == 1


async def test_a_connection_that_the_server_ends_while_idle_is_not_used_again(transport: HTTPXTransport) -> None:
    async with ScriptedServer([[CHUNKED, CLOSE]]) as server:
        assert await body_of(transport, server.base_url) == BODY
        (kept,) = transport._network._connections.values()
        ((_, connection),) = kept._idle
        async with asyncio.timeout(10):
            while not connection.has_expired():  # noqa: ASYNC110 - the other side is a real socket
                await asyncio.sleep(0.005)
        assert await body_of(transport, server.base_url) == BODY
        assert len(server.requests) == server.accepted == 2


@pytest.mark.parametrize(("after_s", "sent"), [(0.0, 3), (2.0, 2)])
async def test_a_request_is_sent_twice_only_where_its_kept_connection_was_dead_before(
    transport: HTTPXTransport, monkeypatch: pytest.MonkeyPatch, after_s: float, sent: int
) -> None:
    """One that the server was given seconds ago may have been worked on, and paid for."""
    now_s = 0.0
    monkeypatch.setattr(exchange, "time", SimpleNamespace(perf_counter=lambda: now_s))

    def script(request: Received) -> Script:
        nonlocal now_s
        now_s += after_s
        return [CLOSE] if len(server.requests) == 2 else [CHUNKED]

    async with ScriptedServer(script) as server:
        assert await body_of(transport, server.base_url) == BODY
        with contextlib.suppress(Disconnected) if sent == 3 else pytest.raises(Disconnected):
            await body_of(transport, server.base_url)
        assert len(server.requests) == sent


async def test_no_more_is_received_ahead_than_a_slow_consumer_needs(transport: HTTPXTransport) -> None:
    part = piece(bytes(64 * 1024))
    async with ScriptedServer([[head(), *[part] * 200, END]]) as server:
        call = HTTPCall(method="POST", url=server.base_url, body=b"{}")
        async with transport.open(call) as answer:
            socket = answer._exchange.response.extensions["network_stream"]  # type: ignore[attr-defined]
            assert isinstance(socket, Socket)
            chunks = answer.chunks()
            size, most = len(await anext(chunks)), 0
            for _ in range(100):
                await asyncio.sleep(0)
                most = max(most, socket._unread_bytes)
            async for data in chunks:
                size += len(data)
        assert size == 200 * 64 * 1024
        assert most <= 2 * UNREAD_BYTES
        assert socket._unread_bytes == 0


async def test_a_long_request_is_written_at_the_servers_pace(transport: HTTPXTransport) -> None:
    body = bytes(8 * 2**20)
    async with ScriptedServer([fixed("200 OK", b"fine")]) as server:
        assert await body_of(transport, server.base_url, body=body) == b"fine"
        assert server.requests[0].body == body


async def test_head_and_body_of_a_request_are_one_write(transport: HTTPXTransport) -> None:
    reads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(2**16):
                reads.append(data)
                writer.write(CHUNKED)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert [await body_of(transport, url) for _ in range(3)] == [BODY] * 3
        await transport.aclose()
    assert [data.endswith(b"\r\n\r\n{}") for data in reads] == [True] * 3


@pytest.mark.parametrize(
    "url", ["http://", "ftp://x", "http://a b/", "http://x:99999/", "http://x:y/", "http://ü..de/"]
)
async def test_what_is_no_address_is_a_configuration_error(transport: HTTPXTransport, url: str) -> None:
    with pytest.raises((ConfigurationError, Disconnected)) as caught:
        await body_of(transport, url)
    assert type(caught.value) is ConfigurationError or " " in url


@pytest.mark.parametrize("value", ["你", "a\nb: c"])
async def test_a_header_that_cannot_be_written_is_a_configuration_error(transport: HTTPXTransport, value: str) -> None:
    async with ScriptedServer([[CHUNKED]]) as server:
        call = HTTPCall(method="GET", url=server.base_url, headers={"x": value})
        with pytest.raises(ConfigurationError):
            async with transport.open(call):
                pass
        assert server.requests == []


async def test_the_path_is_sent_as_it_was_given_and_what_has_no_place_there_is_escaped(
    transport: HTTPXTransport,
) -> None:
    async with ScriptedServer([fixed("200 OK", b"fine")]) as server:
        async with transport.open(HTTPCall(method="GET", url=f"{server.base_url}/v1/a b/%2F/你?q=ä&r=1")) as answer:
            await answer.drain()
        assert server.requests[0].line == "GET /v1/a%20b/%2F/%E4%BD%A0?q=%C3%A4&r=1 HTTP/1.1"
        assert server.requests[0].headers["host"] == f"127.0.0.1:{server.port}"


async def test_every_address_of_a_host_is_tried_and_refusals_of_all_are_one_sentence(transport: HTTPXTransport) -> None:
    async with ScriptedServer([fixed("200 OK", b"fine")]) as server:
        url = f"http://localhost:{server.port}"  # which may be ::1 as well, where nobody listens
        assert await body_of(transport, url) == b"fine"
    with pytest.raises(Disconnected, match=r"Nothing is listening at localhost:\d+\."):
        await body_of(HTTPXTransport(), url)


async def test_an_address_that_swallows_connections_is_not_waited_for(
    transport: HTTPXTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As IPv6 does that leads nowhere: the next address is tried after a quarter of a second, not after the deadline."""
    loop = asyncio.get_running_loop()
    async with ScriptedServer([fixed("200 OK", b"fine")]) as server:
        reached: list[str] = []
        connect = loop.sock_connect

        async def swallowed(sock: socket.socket, address: tuple[str, int]) -> None:
            reached.append(address[0])
            if address[0] != "127.0.0.1":
                await asyncio.sleep(60)
            await connect(sock, address)

        async def addresses(*_: object, **__: object) -> list[tuple[object, ...]]:
            kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
            return [(*kind, (host, server.port)) for host in ("127.0.0.2", "127.0.0.1")]

        monkeypatch.setattr(loop, "sock_connect", swallowed)
        monkeypatch.setattr(loop, "getaddrinfo", addresses)
        began_s = loop.time()
        assert await body_of(transport, f"http://two.example:{server.port}") == b"fine"
        assert loop.time() - began_s < 1.0
    assert reached == ["127.0.0.2", "127.0.0.1"]


async def test_a_host_that_has_moved_is_looked_up_again(
    transport: HTTPXTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    at: list[ScriptedServer] = []

    async def addresses(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", at[-1].port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", addresses)
    async with ScriptedServer([fixed("200 OK", b"there")]) as there:
        async with ScriptedServer([fixed("200 OK", b"here")]) as here:
            at.append(here)
            assert await body_of(transport, "http://moves.example") == b"here"
        at.append(there)  # the idle connection has just died with the server
        assert await body_of(transport, "http://moves.example") == b"there"


# proxies


class Proxy:
    """Forwards what it is asked to; CONNECT becomes a tunnel unless it ``refuses``."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.refuses = refuses
        self.asked: list[bytes] = []
        self.tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> str:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        return f"http://user:p%40ss@127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        asked = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(asked)
        method, target, _ = asked.split(b" ", 2)
        if self.refuses:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            writer.close()
            return
        tunnel = method == b"CONNECT"
        host = target if tunnel else target.split(b"/")[2]
        there, back = await asyncio.open_connection("127.0.0.1", int(host.rpartition(b":")[2]))
        if tunnel:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            back.write(asked)
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await asyncio.gather(relay(reader, back), relay(there, writer))
        for each in (back, writer):
            each.close()


async def relay(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
    sink.close()


@contextlib.contextmanager
def through(proxy: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr(connections, "proxy_for", lambda origin: proxy)
        yield


async def test_a_proxy_passes_plain_answers_on(transport: HTTPXTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ScriptedServer([[CHUNKED]]) as server, Proxy() as address:
        with through(address, monkeypatch):
            assert [await body_of(transport, server.base_url) for _ in range(2)] == [BODY] * 2
        assert server.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpwQHNz"
        assert server.accepted == 1


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the server's certificate is made by openssl")
async def test_a_tunnel_through_a_proxy_is_secure_and_kept(
    transport: HTTPXTransport, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    served = ScriptedServer([[CHUNKED]])
    proxy = Proxy()
    async with served, proxy as address:
        secure = await asyncio.start_server(served._serve, "127.0.0.1", 0, ssl=context)
        url = f"https://127.0.0.1:{secure.sockets[0].getsockname()[1]}"
        with through(address, monkeypatch):
            assert [await body_of(transport, url) for _ in range(3)] == [BODY] * 3
        assert len(proxy.asked) == served.accepted == 1
        assert proxy.asked[0].startswith(b"CONNECT 127.0.0.1:")
        assert "proxy-authorization" not in served.requests[0].headers
        await transport.aclose()
        secure.close()


async def test_a_proxy_that_refuses_is_named_as_such(
    transport: HTTPXTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Proxy(refuses=True) as address:
        with (
            through(address, monkeypatch),
            pytest.raises(Disconnected, match="wants a name and a password") as caught,
        ):
            await body_of(transport, "https://far.example")
    assert "p@ss" not in str(caught.value)


async def test_a_socks_proxy_without_its_package_is_a_configuration_error(
    transport: HTTPXTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "socksio", None)
    with through("socks5://127.0.0.1:1", monkeypatch), pytest.raises(ConfigurationError, match=r"needs a package"):
        await body_of(transport, "http://far.example")
