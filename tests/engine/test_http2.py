"""HTTP/2 on a real TLS socket: used where it is offered, and no call notices the difference."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import pytest

from deepseek_magic.engine.client import Client
from deepseek_magic.engine.transport import HTTPCall, HTTPXTransport
from deepseek_magic.policy.attempts import RecoveryPolicy
from tests.engine.wire import DONE, END, delta, head, piece

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="the server's certificate is made by openssl")

WORDS = ("One whole long ", "answer ", "over ", "one ", "connection.")
CUT_AFTER = 3
CONTINUATION = (" over ", "one ", "connection.")
"""What follows the prefix that is sent after the cut: the last word is written anew, with the space in front of it."""


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate for 127.0.0.1 with its key in one file, trusted during the test."""
    path = tmp_path / "server.pem"
    subject = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2")
    made = ("-newkey", "rsa:2048", "-nodes", "-keyout", str(path), "-out", str(tmp_path / "cert.pem"))
    subprocess.run(["openssl", "req", "-x509", *made, *subject], check=True, capture_output=True, timeout=60)
    path.write_bytes(path.read_bytes() + (tmp_path / "cert.pem").read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    return path


@dataclass
class TLSServer:
    """Answers every request with ``WORDS``; the first ``cuts`` of them break in the middle."""

    speaks: str
    cuts: int = 0
    port: int = 0
    connections: int = 0
    requests: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def words(self) -> tuple[tuple[str, ...], bool]:
        self.requests += 1
        if self.requests <= self.cuts:
            return WORDS[:CUT_AFTER], True
        return (CONTINUATION if self.cuts else WORDS), False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.connections += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                spoken = writer.get_extra_info("ssl_object").selected_alpn_protocol()
                await (self._http2 if spoken == "h2" else self._http1)(reader, writer)
        finally:
            self.tasks.discard(task)
            writer.close()
            with contextlib.suppress(Exception):
                await writer.wait_closed()

    async def _http1(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.readuntil(b"\r\n\r\n"):
            length = next(line for line in request.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(int(length.partition(b":")[2]))
            writer.write(head() + b"".join(piece(each) for each in self._events(self.words()[0])) + END)

    async def _http2(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        http.initiate_connection()
        writer.write(http.data_to_send())
        while data := await reader.read(65536):
            for happened in http.receive_data(data):
                if isinstance(happened, h2.events.StreamEnded):
                    self._answer(http, happened.stream_id)
            writer.write(http.data_to_send())

    def _answer(self, http: Any, stream: int) -> None:
        words, cut = self.words()
        http.send_headers(stream, [(":status", "200"), ("content-type", "text/event-stream")])
        for each in self._events(words, whole=not cut):
            http.send_data(stream, each)
        if cut:
            http.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
        else:
            http.end_stream(stream)

    def _events(self, words: tuple[str, ...], *, whole: bool = True) -> list[bytes]:
        return [*(delta(word) for word in words), *((delta("", finish="stop"), DONE) if whole else ())]


@contextlib.asynccontextmanager
async def serving(certificate: Path, *, speaks: str, cuts: int = 0) -> AsyncIterator[TLSServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols([speaks])
    behind = TLSServer(speaks, cuts)
    server = await asyncio.start_server(behind.serve, "127.0.0.1", 0, ssl=context)
    behind.port = server.sockets[0].getsockname()[1]
    try:
        yield behind
    finally:
        server.close()
        for task in behind.tasks:
            task.cancel()
        await asyncio.gather(*behind.tasks, return_exceptions=True)


def client_of(server: TLSServer) -> Client:
    return Client(
        f"https://127.0.0.1:{server.port}",
        api_key="sk-test-1234",
        transport=HTTPXTransport(http2=True),
        recovery=RecoveryPolicy(base_s=0.01),
    )


@pytest.mark.parametrize(("speaks", "version"), [("h2", "HTTP/2"), ("http/1.1", "HTTP/1.1")])
async def test_http2_is_used_where_it_is_offered_and_not_elsewhere(
    certificate: Path, speaks: str, version: str
) -> None:
    async with serving(certificate, speaks=speaks) as server, client_of(server) as client:
        call = HTTPCall(method="POST", url=client.endpoint.chat_url, headers={"content-length": "2"}, body=b"{}")
        async with client.transport.open(call) as answer:
            assert answer.http_version == version
            await answer.drain()
        assert (await client.complete("Hello", think="off")).text == "".join(WORDS)
        assert server.connections == 1


async def test_answers_at_the_same_time_share_one_connection(certificate: Path) -> None:
    async with serving(certificate, speaks="h2") as server, client_of(server) as client:
        await client.complete("Hello", think="off")
        answers = await asyncio.gather(*(client.complete("Hello", think="off") for _ in range(4)))
        assert {answer.text for answer in answers} == {"".join(WORDS)}
        assert server.connections == 1


async def test_a_reset_stream_is_gone_on_with_on_the_same_connection(certificate: Path) -> None:
    async with serving(certificate, speaks="h2", cuts=1) as server, client_of(server) as client:
        answer = await client.complete("Hello", think="off")
        assert (answer.text, answer.outcome, answer.attempts) == ("".join(WORDS), "complete", 2)
        assert server.connections == 1
