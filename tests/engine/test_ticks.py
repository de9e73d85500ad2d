"""Streams that nobody watches: read in turns, whole, and to their end as fast as ever."""

from __future__ import annotations

import asyncio

import deepseek_magic as ds
from deepseek_magic.engine.batched import Batched
from deepseek_magic.engine.network.ticks import MANY, MOST_TICKS, TICK_S, Ticks
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


def begun(client: ds.Client, *, watched: bool) -> Batched:
    return client.begin(client.addressed(Request.of("go")), watched=watched)


async def batches_of(stream: Batched) -> tuple[list[list[Event]], float]:
    """The batches with words in them, and the seconds from the first to the last."""
    loop, batches, first_s = asyncio.get_running_loop(), [], 0.0
    async for batch in stream.batches():
        if any(isinstance(event, TextDelta) for event in batch):
            first_s = first_s or loop.time()
            batches.append(batch)
    return batches, loop.time() - first_s


async def test_many_streams_that_nobody_watches_are_read_in_turns_and_whole() -> None:
    async with ScriptedServer(paced) as server, client_of(server) as client:
        streams = [begun(client, watched=False) for _ in range(MANY + 3)]
        for batches, took_s in await asyncio.gather(*map(batches_of, streams)):
            assert "".join(e.text for batch in batches for e in batch if isinstance(e, TextDelta)) == "".join(WORDS)
            # Until all have begun each is read as it comes.
            assert len(batches) <= took_s / TICK_S + len(WORDS) / 3
        for stream in streams:
            record = stream.completion.record
            assert record is not None
            assert 0 < record.read_every_s <= MOST_TICKS * TICK_S
            assert record.outcome == "complete"
        assert server.accepted == len(streams)
        again = begun(client, watched=True)  # on a connection that was read in turns before
        await batches_of(again)
        assert again.completion.record is not None
        assert again.completion.record.read_every_s == 0
        assert server.accepted == len(streams)


async def test_a_few_and_those_that_are_watched_are_read_as_they_come() -> None:
    async with ScriptedServer(paced) as server, client_of(server) as client:
        few = [begun(client, watched=False) for _ in range(MANY - 1)]
        seen = [begun(client, watched=True) for _ in range(8)]
        await asyncio.gather(*map(batches_of, (*few, *seen)))
        assert {each.completion.record.read_every_s for each in (*few, *seen) if each.completion.record} == {0.0}


async def test_stop_and_a_lost_connection_are_not_waited_for() -> None:
    def broken(received: Received) -> list[Step]:
        return [*paced(received)[:40], "close"] if len(server.requests) <= MANY else paced(received)

    async with ScriptedServer(broken) as server, client_of(server) as client:
        streams = [begun(client, watched=False) for _ in range(MANY + 1)]
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


async def test_a_tick_wakes_all_that_are_due_and_a_late_one_those_of_before_too() -> None:
    class Waiting:
        taken_up = 0

        def take_up(self) -> None:
            self.taken_up += 1

    ticks = Ticks(asyncio.get_running_loop())
    soon, later = [Waiting() for _ in range(3)], Waiting()
    assert [ticks.wait(each, 0.0) for each in soon] == [TICK_S] * 3
    assert ticks.wait(later, 3600.0) == MOST_TICKS * TICK_S
    while not later.taken_up:
        await asyncio.sleep(TICK_S)
        assert later.taken_up <= soon[0].taken_up
    assert [each.taken_up for each in (*soon, later)] == [1] * 4
    again = Waiting()
    ticks.wait(again, 0.0)
    await until(lambda: again.taken_up, within_s=30)
