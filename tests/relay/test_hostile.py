"""What is sent to break the relay gets one sentence, and everybody else is answered as before."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.transport import HTTPXTransport
from deepseek_magic.policy.rules import Rules
from deepseek_magic.relay.file import RelayFile
from deepseek_magic.relay.hub import HubDoor, HubService
from deepseek_magic.relay.refusals import Refusal
from deepseek_magic.relay.roster import make, take_back
from deepseek_magic.relay.web import app, serving
from tests.ports import free_port
from tests.relay.money import started
from tests.relay.running import HANG_S, TEACHER, RunningRelay, until
from tests.relay.test_relay import BODY

Start = Callable[..., RunningRelay]
HELLO: Final = [{"role": "user", "content": "Hello"}]


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A trace in the log is a fault that nobody had thought of."""
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def posted(relay: RunningRelay, content: Any, **headers: str) -> httpx.Response:
    url = f"{relay.base_url}/v1/chat/completions"
    return httpx.post(url, content=content, headers=relay.headers(**headers), timeout=HANG_S)


def is_answered(relay: RunningRelay, number: int = 1) -> bool:
    url = f"{relay.base_url}/v1/chat/completions"
    return httpx.post(url, json=BODY, headers=relay.headers(number), timeout=HANG_S).status_code == 200


# bodies

WRONG: Final[dict[str, Any]] = {
    "nothing": b"",
    "a list": b"[]",
    "null": b"null",
    "no text": b"\xff\xfe\x00",
    "lists in lists": b'{"messages": ' + b"[" * 200_000,
    "no messages": {},
    "no message": {"messages": []},
    "numbers for messages": {"messages": [1, None, "x"]},
    "lists for content": {"messages": [{"role": "user", "content": [[["x"]]]}]},
    "half a character": b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
    "half a character in a field": b'{"messages": [{"role": "user", "content": "x"}], "stop": "\\ud800"}',
    "a warm temperature": {"temperature": "warm"},
    "an endless temperature": b'{"messages": [{"role": "user", "content": "x"}], "temperature": Infinity}',
    "no temperature": b'{"messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
    "fewer than no tokens": {"max_tokens": -1},
    "all tokens": {"max_tokens": 10**30},
    "true tokens": {"max_tokens": True},
    "digits without end": b'{"messages": [{"role": "user", "content": "x"}], "seed": ' + b"9" * 10_000 + b"}",
    "a model that is none": {"model": 5},
    "a stop that is none": {"stop": 5},
    "tools that are none": {"tools": "rm"},
    "many answers": {"n": 10**6},
    "an answer that is none": {"n": "1"},
    "a field nobody knows": {"plugins": [{"id": "web"}]},
    "streams": {"stream": 1},
}


def test_a_body_that_is_none_is_one_sentence_and_reaches_nobody(relay: RunningRelay) -> None:
    for wrong, body in WRONG.items():
        if isinstance(body, dict):
            body = json.dumps(({"messages": HELLO} if wrong != "no messages" else {}) | body).encode()
        answer = posted(relay, body)
        assert (wrong, answer.status_code, relay.posts()) == (wrong, 400, []), answer.text
        error = answer.json()["error"]
        assert error["type"] == "invalid_request_error"
        assert 10 < len(error["message"]) < 400
    assert is_answered(relay)


def test_a_body_that_is_too_large_is_not_read_to_its_end(relay: RunningRelay) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 2**20

    for content in (b"x" * (app.LARGEST_BODY_BYTES + 1), pieces()):
        with contextlib.suppress(httpx.TransportError):  # it may be told while it still sends
            assert posted(relay, content).status_code == 413
    large = BODY | {"messages": [{"role": "user", "content": "word " * 500_000}]}
    assert posted(relay, json.dumps(large)).status_code == 200
    assert is_answered(relay)


# other requests


def test_other_methods_find_nothing_and_other_pages_are_not_let_in(relay: RunningRelay) -> None:
    for method, path in (
        ("GET", "/v1/chat/completions"),
        ("PUT", "/v1/models"),
        ("DELETE", "/teacher"),
        ("GET", "/v1/../.env"),
        ("GET", "/%2e%2e/relay.sqlite3"),
        ("POST", "/v1/chat/completions/"),
    ):
        answer = httpx.request(method, f"{relay.base_url}{path}", headers=relay.headers(), follow_redirects=False)
        assert answer.status_code in (307, 404), (method, path)
    page = {"origin": "https://elsewhere.example", "access-control-request-method": "POST"}
    asked = httpx.options(f"{relay.base_url}/v1/chat/completions", headers=page)
    assert asked.status_code == 404
    answer = posted(relay, json.dumps(BODY), origin="https://elsewhere.example")
    for each in (asked, answer):
        assert not [name for name in each.headers if name.startswith("access-control")]
    head = httpx.head(f"{relay.base_url}/healthz")
    assert (head.status_code, head.content) == (200, b"")
    teacher = {"authorization": f"Bearer {TEACHER}", "content-type": "application/json"}
    for wrong in (b"", b"[]", b"{", b"{}", b'{"stopped": 1}', b"[" * 100_000):
        assert httpx.post(f"{relay.base_url}/teacher/stop", content=wrong, headers=teacher).status_code == 400
    assert is_answered(relay)


def test_tokens_that_are_none(relay: RunningRelay) -> None:
    url = f"{relay.base_url}/v1/models"
    for token in ("x", "x" * 60_000, "töken", "\u20ac", relay.token()[:-1], relay.token() + "x", "' OR 1=1 --"):
        raw = f"Bearer {token}".encode()
        assert httpx.get(url, headers={b"authorization": raw}).status_code == 401, token
    for header in ("Bearer", relay.token(), f"Basic {relay.token()}", f"Bearer,{relay.token()}"):
        assert httpx.get(url, headers={"authorization": header}).status_code == 401, header
    assert is_answered(relay)


# slow and many


def connected(relay: RunningRelay, sent: bytes) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", relay.port), timeout=HANG_S)
    made.sendall(sent)
    return made


def test_who_does_not_say_what_they_want_is_hung_up_on(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HEAD_S", 0.3)
    relay = start()
    for sent in (b"", b"POST /v1/chat/comp", b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: "):
        with connected(relay, sent) as one:
            assert one.recv(1000) == b""
    with connected(relay, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n") as one:
        assert b"200 OK" in one.recv(1000)
        one.sendall(b"GET /hea")  # the next one, on the same connection
        while one.recv(1000):
            pass
    assert is_answered(relay)


def test_a_head_without_end_is_hung_up_on(relay: RunningRelay) -> None:
    with connected(relay, b"GET /healthz HTTP/1.1\r\n") as one, contextlib.suppress(ConnectionError):
        for number in range(20_000):
            one.sendall(b"x-%d: %s\r\n" % (number, b"y" * 100))
        pytest.fail("all of it was read")
    assert is_answered(relay)


def test_a_slow_body_is_not_waited_for_without_end(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "BODY_S", 0.3)
    relay = start()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {relay.token()}\r\ncontent-length: 100\r\n\r\n"
    with connected(relay, head.encode() + b'{"messages"') as one:
        assert b" 408 " in one.recv(1000)
    assert is_answered(relay)


@pytest.mark.programs
@pytest.mark.skipif(sys.platform == "win32", reason="files are counted otherwise")
def test_a_thousand_open_connections_keep_nobody_out(demo: DemoServer, tmp_path: Path) -> None:
    import resource

    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    (tmp_path / "classroom.toml").write_text("")
    file = RelayFile(tmp_path)
    token = next(token for _, token in make(file, ["ann"]))
    file.close()
    process, url = started(tmp_path, demo)
    try:
        with contextlib.ExitStack() as open_ones:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
            port = int(url.rpartition(":")[2])
            for _ in range(1_100):
                open_ones.enter_context(socket.create_connection(("127.0.0.1", port), timeout=HANG_S))
            headers = {"authorization": f"Bearer {token}"}
            answer = httpx.post(f"{url}/v1/chat/completions", json=BODY, headers=headers, timeout=HANG_S)
            assert answer.status_code == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (now, most))
        process.terminate()
        process.communicate()


async def test_a_client_may_leave_at_any_moment(start: Start) -> None:
    relay = start(grace_s=0.1)
    relay.demo.pace = 0.2
    body = json.dumps(BODY | {"stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {relay.token()}\r\ncontent-length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    for count in range(1, len(request) + 1, 7):
        connected(relay, request[:count]).close()
    for count in (1, 100, 500, 2_000):
        with connected(relay, request) as one:
            seen = 0
            while seen < count and (data := await asyncio.to_thread(one.recv, 64)):
                seen += len(data)
    await until(lambda: not relay.service.board.visits)
    await until(lambda: all(flight.over.is_set() for flight in relay.service.flights.values()))
    assert await asyncio.to_thread(is_answered, relay)


# rules at their edge


async def test_calls_that_come_at_the_same_moment_are_counted(start: Start) -> None:
    relay = start(Rules(at_once=2))
    relay.demo.pace = 3.0
    url = f"{relay.base_url}/v1/chat/completions"
    async with httpx.AsyncClient(timeout=HANG_S) as http:

        async def ask(number: int) -> int:
            body = BODY | {"messages": [{"role": "user", "content": f"Number {number}"}]}
            return (await http.post(url, json=body, headers=relay.headers())).status_code

        asking = [asyncio.ensure_future(ask(number)) for number in range(12)]
        await until(lambda: sum(each.done() for each in asking) >= 10)
        relay.demo.pace = 0.0
        codes = await asyncio.gather(*asking)
    assert sorted(codes) == [200] * 2 + [429] * 10
    assert len(relay.posts()) == 2


async def test_a_token_that_is_taken_back_ends_no_answer_and_begins_none(relay: RunningRelay) -> None:
    relay.demo.pace = 1.0
    async with relay.client() as client:
        stream = client.stream("Hello", think="off")
        async for event in stream:
            if getattr(event, "text", ""):
                break
        other = RelayFile(relay.folder)  # as "relay tokens --revoke" in another process
        assert take_back(other, ["student 00"]) == ["student 00"]
        url, headers = f"{relay.base_url}/v1/models", relay.headers()
        async with httpx.AsyncClient(timeout=HANG_S) as http:
            assert (await http.get(url, headers=headers)).status_code == 401
            (token,) = [token for _, token in make(other, ["student 00"])]
            assert (await http.get(url, headers={"authorization": f"Bearer {token}"})).status_code == 200
        other.close()
        relay.demo.pace = 0.0
        async for _ in stream:
            pass
        assert stream.completion.outcome == "complete"


async def test_a_full_disk_is_told_and_nothing_is_asked_that_cannot_be_written_down(relay: RunningRelay) -> None:
    relay.demo.pace = 0.0
    file, url = relay.service.file, f"{relay.base_url}/v1/chat/completions"

    async def apart(work: Callable[[], None]) -> None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(file.apart(work), relay.loop))

    def fill() -> None:
        file._connection.execute("CREATE TABLE filler (x)")
        file._connection.execute("PRAGMA max_page_count = 1")  # SQLite takes as many as there are
        with contextlib.suppress(sqlite3.OperationalError):
            while True:
                file._connection.execute("INSERT INTO filler VALUES (zeroblob(100))")

    def free() -> None:
        file._connection.execute(f"PRAGMA max_page_count = {2**30}")

    await apart(fill)
    async with httpx.AsyncClient(timeout=HANG_S) as http:
        answers = []
        for number in range(100):  # until what is left of its last pages is used up
            body = BODY | {"messages": [{"role": "user", "content": f"Number {number}"}]}
            answers.append(await http.post(url, json=body, headers=relay.headers()))
            if answers[-1].status_code != 200:
                break
        assert (answers[-1].status_code, answers[-1].json()["error"]["code"]) == (503, "relay.file")
        assert answers[-1].headers["retry-after"]
        assert len(relay.posts()) == len(answers) - 1
        await apart(free)
        assert (await http.post(url, json=body, headers=relay.headers())).status_code == 200


async def test_a_hub_that_is_down_is_told_as_such() -> None:
    port = free_port()
    service = HubService(name="x", api_url=f"http://127.0.0.1:{port}/hub/api", prefix="/", host="127.0.0.1", port=1)
    transport = HTTPXTransport()
    with pytest.raises(Refusal, match="The hub did not say whose token this is") as refused:
        await HubDoor(service, transport).who("any-token")
    assert (refused.value.status, refused.value.final) == (503, False)
    await transport.aclose()
