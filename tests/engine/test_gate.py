"""The queue in front of a server: in order, visible, shared, and never left standing open or shut."""

from __future__ import annotations

import asyncio
import gc
import time

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine import gate as gate_module
from deepseek_magic.engine.client import Client
from deepseek_magic.engine.gate import Gate, Ticket, gate_of
from deepseek_magic.engine.hosts.keys import Key
from deepseek_magic.engine.stream import Stream
from deepseek_magic.policy.attempts import RecoveryPolicy
from deepseek_magic.policy.limits.limiter import LimitPolicy, Pause, Slot
from deepseek_magic.protocol.errors import RateLimited
from deepseek_magic.protocol.events import AttemptStarted, Event, TextDelta, Waiting
from tests.engine.wire import CLOSE, HANG, Script, ScriptedServer, answer, delta, head, piece, until

SLOW = [head(), piece(delta("x")), 0.05, *answer("y")[1:]]


def events_of(client: Client, events: list[Event]) -> asyncio.Task[object]:
    return asyncio.create_task(client.stream("Hi").run(events.extend))


async def begun(stream: Stream) -> None:
    while not isinstance(await anext(stream), TextDelta):
        pass


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_never_more_requests_at_once_than_allowed(concurrency: int) -> None:
    limits = LimitPolicy(concurrency=concurrency)
    async with ScriptedServer([SLOW]) as server, Client(server.base_url, limits=limits) as client:
        done = await asyncio.gather(*(client.complete("Hi") for _ in range(10)))
        assert server.most_busy == concurrency
        assert {c.text for c in done} == {"xy"}


async def test_who_came_first_starts_first_and_sees_why_it_waits() -> None:
    limits = LimitPolicy(concurrency=1)
    async with ScriptedServer([SLOW]) as server, Client(server.base_url, limits=limits) as client:
        order: list[int] = []
        waits: dict[int, list[Waiting]] = {}

        async def call(number: int) -> None:
            async for event in client.stream("Hi"):
                if isinstance(event, AttemptStarted):
                    order.append(number)
                elif isinstance(event, Waiting):
                    waits.setdefault(number, []).append(event)

        await asyncio.gather(*(call(n) for n in range(4)))
    assert order == [0, 1, 2, 3]
    assert 0 not in waits
    assert [w.reason for w in waits[1]] == ["concurrency"]
    assert [str(w.detail).partition(", ")[2] for w in waits[3]] == ["2 before this one", "1 before this one", ""]


@pytest.mark.parametrize("how", ["error", "stop", "cancel", "abandon"])
async def test_a_place_is_free_again_however_its_call_ends(how: str) -> None:
    script: Script = [head(), piece(delta("x")), *([CLOSE] if how == "error" else [HANG])]
    limits = LimitPolicy(concurrency=1)
    recovery = RecoveryPolicy(attempts=1, resumes=0)
    server = ScriptedServer([script, answer("y")])
    async with server, Client(server.base_url, limits=limits, recovery=recovery) as client:
        stream = client.stream("Hi")
        if how == "error":
            assert (await stream.run(lambda batch: None)).error
        elif how == "stop":
            await begun(stream)
            await stream.aclose()
        elif how == "cancel":
            task = events_of(client, [])
            await until(lambda: server.requests)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        else:
            await begun(stream)
            del stream
            gc.collect()
        async with asyncio.timeout(1):
            assert (await client.complete("Hi")).text in ("x", "y")


async def test_a_waiting_call_that_is_stopped_leaves_the_queue() -> None:
    async with ScriptedServer([[head(), piece(delta("x")), HANG], answer("y")]) as server:
        async with Client(server.base_url, limits=LimitPolicy(concurrency=1)) as client:
            first, second = client.stream("Hi"), client.stream("Hi")
            running = [asyncio.create_task(s.run(lambda batch: None)) for s in (first, second)]
            await until(lambda: server.requests)
            third: list[Event] = []
            last = events_of(client, third)
            await until(lambda: third)
            await second.aclose()
            assert second.completion.outcome == "interrupted"
            await first.aclose()
            await asyncio.gather(*running, last)
        assert len(server.requests) == 2


def test_the_gate_is_one_for_each_server_key_and_policy() -> None:
    key, same, other = (Key(k, source="a test") for k in ("sk-test-1", "sk-test-1", "sk-test-2"))
    policy = LimitPolicy()
    assert gate_of("http://a", key, policy) is gate_of("http://a", same, LimitPolicy())
    assert gate_of("http://a", key, policy) is not gate_of("http://a", other, policy)
    assert gate_of("http://a", key, policy) is not gate_of("http://b", key, policy)
    assert gate_of("http://a", key, policy) is not gate_of("http://a", key, LimitPolicy(concurrency=9))


async def test_a_gate_that_nobody_uses_is_forgotten_and_one_in_use_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "_GATES", {})
    monkeypatch.setattr(gate_module, "FORGOTTEN_AFTER_S", 0.0)
    policy = LimitPolicy()
    gate_of("http://waiting", None, policy).line_up(Ticket(0))
    running, ticket = gate_of("http://running", None, policy), Ticket(0)
    running.line_up(ticket)
    assert isinstance(running.enter(ticket), Slot)
    gate_of("http://idle", None, policy)
    await asyncio.sleep(0.001)
    gate_of("http://new", None, policy)
    assert [url for url, *_ in gate_module._GATES] == ["http://waiting", "http://running", "http://new"]


async def test_calls_on_other_loops_wait_in_the_same_queue() -> None:
    async with ScriptedServer([SLOW]) as server:

        async def elsewhere() -> str:
            async with Client(server.base_url, limits=LimitPolicy(concurrency=1)) as client:
                return (await client.complete("Hi")).text

        threads = [asyncio.to_thread(asyncio.run, elsewhere()) for _ in range(3)]
        assert await asyncio.gather(*threads, elsewhere()) == ["xy"] * 4
        assert server.most_busy == 1


async def test_who_waits_on_a_loop_that_is_closed_does_not_hold_up_the_others() -> None:
    gate = Gate(LimitPolicy(concurrency=1))

    async def line_up() -> None:
        gate.line_up(Ticket(0))

    await asyncio.to_thread(asyncio.run, line_up())
    ticket = Ticket(0)
    gate.line_up(ticket)
    assert isinstance(gate.enter(ticket), Slot)


async def test_an_answer_that_goes_on_stands_before_those_who_have_not_begun() -> None:
    gate = Gate(LimitPolicy(concurrency=1))
    running, waiting, going_on = Ticket(0), Ticket(0), Ticket(0)
    gate.line_up(running)
    slot = gate.enter(running)
    assert isinstance(slot, Slot)
    gate.line_up(waiting)
    gate.line_up(going_on, ahead=True)
    gate.ended(slot, "failed")
    assert isinstance(gate.enter(waiting), Pause)
    assert isinstance(gate.enter(going_on), Slot)
    assert gate.standing.running == 1


async def test_the_rate_is_kept_to() -> None:
    limits = LimitPolicy(requests_per_s=20, burst=1, concurrency=8)
    async with ScriptedServer([answer("x")]) as server, Client(server.base_url, limits=limits) as client:
        events: list[Event] = []
        began = time.monotonic()
        await asyncio.gather(*(events_of(client, events) for _ in range(5)))
        assert time.monotonic() - began >= 4 / 20
    assert any(isinstance(e, Waiting) and e.reason == "rate" for e in events)


async def test_a_storm_against_a_low_limit_settles_and_no_call_fails() -> None:
    limits = LimitPolicy(concurrency=32)
    recovery = RecoveryPolicy(base_s=0.05, cap_s=0.2)
    server = DemoServer(pace=0.02, concurrency=5)
    async with server, Client(server.base_url, limits=limits, recovery=recovery) as client:
        done = await asyncio.gather(*(client.complete("Count to three", think="off") for _ in range(64)))
        refused = sum(seen.status == 429 for seen in server.requests)
    assert {c.outcome for c in done} == {"complete"}
    assert refused < 0.2 * len(server.requests)


async def test_a_refusal_without_a_word_of_when_or_how_many_is_learnt_from() -> None:
    recovery = RecoveryPolicy(attempts=1)
    limits = LimitPolicy(concurrency=8)
    server = DemoServer(fault="429 times=1", pace=0)
    async with server, Client(server.base_url, limits=limits, recovery=recovery) as client:
        with pytest.raises(RateLimited):
            await client.complete("Hi")
        assert gate_of(server.base_url, None, limits).standing.window < 8


async def test_a_call_that_waits_asks_again_only_at_a_place_that_is_worth_showing() -> None:
    gate, asked = Gate(LimitPolicy(concurrency=1)), [0] * 30
    front = Ticket(0)
    gate.line_up(front)
    slot = gate.enter(front)
    assert isinstance(slot, Slot)

    async def wait(number: int) -> None:
        ticket = Ticket(0)
        gate.line_up(ticket)
        while not isinstance(got := gate.enter(ticket), Slot):
            asked[number] += 1
            await ticket.turn(got.seconds)
        await asyncio.sleep(0)
        gate.ended(got, "done")

    waiting = [asyncio.create_task(wait(number)) for number in range(30)]
    await asyncio.sleep(0.1)
    assert asked == [1] * 30
    gate.ended(slot, "done")
    await asyncio.gather(*waiting)
    assert max(asked) <= 1 + len([place for place in gate_module.TOLD_PLACES if place < 30]) + 1
