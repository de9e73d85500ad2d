"""Streams that nobody watches: read in turns, whole, and to their end as fast as ever."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

import deepseek_magic as ds
from deepseek_magic.engine.batched import Batched
from deepseek_magic.engine.calls import UNREAD_S, UNREAD_SOON_S
from deepseek_magic.engine.network.sockets import GATHERED_BYTES, Socket
from deepseek_magic.engine.network.ticks import MANY, READS_PER_S, TICK_S, Ticks
from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.events import Event, TextDelta
from tests.engine.wire import DONE, END, Received, ScriptedServer, Step, delta, head, piece, until

KEY = "sk-test-1234"
WORDS = [f"word{number} " for number in range(60)]


def paced(_: Received) -> list[Step]:
    """A word each hundredth of a second, each in a piece of its own."""
    script: list[Step] = [head()]
    for word in WORDS:
        script += [piece(delta(word)), 0.01]
    return [*script, piece(delta("", finish="stop")), piece(DONE), END]


def client_of(server: ScriptedServer) -> ds.Client:
    return ds.Client(server.base_url, api_key=KEY, limits=ds.LimitPolicy(concurrency=4 * MANY))


def begun(client: ds.Client, unread_s: float) -> Batched:
    return client.begin(client.addressed(Request.of("go")), unread_s=unread_s)


async def batches_of(stream: Batched) -> tuple[list[list[Event]], float]:
    """The batches with words in them, and the seconds from the first to the last."""
    loop, batches, first_s = asyncio.get_running_loop(), [], 0.0
    async for batch in stream.batches():
        if any(isinstance(event, TextDelta) for event in batch):
            first_s = first_s or loop.time()
            batches.append(batch)
    return batches, loop.time() - first_s


@pytest.mark.parametrize("unread_s", [UNREAD_S, UNREAD_SOON_S])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
async def test_many_streams_that_nobody_watches_are_read_in_turns_and_whole(
    unread_s: float, tls: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = trusted(tmp_path, monkeypatch) if tls else None
    async with ScriptedServer(paced, tls=context) as server, client_of(server) as client:
        streams = [begun(client, unread_s) for _ in range(MANY + 3)]
        for batches, took_s in await asyncio.gather(*map(batches_of, streams)):
            assert "".join(e.text for batch in batches for e in batch if isinstance(e, TextDelta)) == "".join(WORDS)
            # Until all have begun each is read as it comes.
            assert len(batches) <= took_s / TICK_S + len(WORDS) / 3
        for stream in streams:
            record = stream.completion.record
            assert record is not None
            assert 0 < record.read_every_s <= unread_s
            assert record.outcome == "complete"
        assert server.accepted == len(streams)
        again = begun(client, 0.0)  # on a connection that was read in turns before
        await batches_of(again)
        assert again.completion.record is not None
        assert again.completion.record.read_every_s == 0
        assert server.accepted == len(streams)


def trusted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The server's side of TLS, whose authority the engine trusts from now on."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(folder / "trusted.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "trusted.pem"))
    return context


async def test_a_few_and_those_that_are_watched_are_read_as_they_come() -> None:
    async with ScriptedServer(paced) as server, client_of(server) as client:
        few = [begun(client, UNREAD_S) for _ in range(MANY - 1)]
        seen = [begun(client, 0.0) for _ in range(8)]
        await asyncio.gather(*map(batches_of, (*few, *seen)))
        assert {each.completion.record.read_every_s for each in (*few, *seen) if each.completion.record} == {0.0}


async def test_stop_and_a_lost_connection_are_not_waited_for() -> None:
    def broken(received: Received) -> list[Step]:
        return [*paced(received)[:40], "close"] if len(server.requests) <= MANY else paced(received)

    async with ScriptedServer(broken) as server, client_of(server) as client:
        streams = [begun(client, UNREAD_S) for _ in range(MANY + 1)]
        stopped = streams.pop()
        reading = asyncio.gather(*map(batches_of, streams))
        async for batch in stopped.batches():
            if any(isinstance(event, TextDelta) and event.text == WORDS[1] for event in batch):
                await stopped.aclose()
        await reading
        assert stopped.completion.outcome == "interrupted"
        assert stopped.completion.text.startswith(WORDS[0])
        for stream in streams:
            assert stream.completion.outcome == "complete"
            assert stream.completion.text.endswith("".join(WORDS))


class Waiting:
    taken_up = 0

    def take_up(self) -> None:
        self.taken_up += 1


async def test_a_tick_wakes_all_that_are_due_and_a_late_one_those_of_before_too() -> None:
    ticks = Ticks(asyncio.get_running_loop())
    soon, later = [Waiting() for _ in range(3)], Waiting()
    assert [ticks.wait(each, 0.0, UNREAD_S) for each in soon] == [TICK_S] * 3
    for _ in range(READS_PER_S):
        ticks.join()
    assert ticks.wait(later, 3600.0, UNREAD_S) == pytest.approx(UNREAD_S)
    while not later.taken_up:
        await asyncio.sleep(TICK_S)
        assert later.taken_up <= soon[0].taken_up
    assert [each.taken_up for each in (*soon, later)] == [1] * 4
    again = Waiting()
    ticks.wait(again, 0.0, UNREAD_SOON_S)
    await until(lambda: again.taken_up, within_s=30)


@pytest.mark.parametrize(
    ("members", "every_s", "at_once_s"),
    [(MANY, TICK_S, 0), (100, 0.1, 0), (256, 0.25, 0), (400, 0.4, 0), (1000, 0.5, 0.2), (5000, 0.5, 0.5)],
)
async def test_all_together_are_read_so_often_at_most(members: int, every_s: float, at_once_s: float) -> None:
    ticks = Ticks(asyncio.get_running_loop())
    for _ in range(members):
        ticks.join()
    assert ticks.wait(Waiting(), 3600.0, UNREAD_S) == pytest.approx(every_s)
    assert ticks.wait(Waiting(), 3600.0, UNREAD_SOON_S) == pytest.approx(TICK_S)
    assert ticks.wait(Waiting(), 0.0, UNREAD_S) == pytest.approx(max(TICK_S, at_once_s))
    for _ in range(members):
        ticks.leave()
    assert not ticks.many


class Carrier:
    """What a socket has been told of its transport."""

    reading = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


async def test_under_tls_nothing_is_received_either_and_much_is_received_soon() -> None:
    ticks = Ticks(asyncio.get_running_loop())
    for _ in range(4 * MANY):
        ticks.join()
    below: Any = Carrier()
    above: Any = Carrier()
    socket = Socket(asyncio.get_running_loop(), ticks, below)
    socket.connection_made(above)
    socket.data_received(b"watched")
    assert below.reading
    socket.leave_unread(UNREAD_S)
    for data, every_s in ((b"few", TICK_S), (bytes(GATHERED_BYTES + 1), TICK_S)):
        socket.data_received(data)
        assert (below.reading, above.reading) == (False, True)
        assert socket.read_every_s == pytest.approx(every_s)
        assert await socket.received(None)
        await until(lambda: below.reading, within_s=30)
    socket.data_received(b"last")
    socket.leave_unread(0.0)
    assert below.reading
