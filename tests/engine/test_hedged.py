"""Two requests for one answer, on two real demo servers: who answers, who is closed, and when no second one is sent."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import Pace
from deepseek_magic.engine import client as client_module
from deepseek_magic.engine import failover, gate
from deepseek_magic.engine import stream as stream_module
from deepseek_magic.engine.client import Client
from deepseek_magic.engine.hosts.endpoints import Endpoint, resolve
from deepseek_magic.engine.several import second
from deepseek_magic.engine.several.seen import SeenCalls
from deepseek_magic.engine.stream import Stream
from deepseek_magic.policy.attempts import RecoveryPolicy
from deepseek_magic.policy.failover import DownEndpoints
from deepseek_magic.policy.limits.limiter import LimitPolicy
from deepseek_magic.policy.several import hedging
from deepseek_magic.policy.several.nearest import SeenCall
from deepseek_magic.protocol.chat import ChatMessage
from deepseek_magic.protocol.completion import Accumulator, Completion
from deepseek_magic.protocol.errors import BudgetExceeded, ConfigurationError
from deepseek_magic.protocol.events import AttemptStarted, Event, Seam, Waiting
from deepseek_magic.protocol.measured import Cost, StreamRecord
from tests.engine import hedged_pair

FAST = RecoveryPolicy(base_s=0.01, cap_s=0.03)
MODEL, PLAY = "deepseek-flash", "demo USD"
SLOW = Pace(queue_s=600.0, keepalive_s=0.05)
"""The demo notices that nobody listens when it writes."""
HANG_S = 60.0


class Kept:
    """What a session would write down: the records, and the words of each call."""

    def __init__(self) -> None:
        self.records: list[StreamRecord] = []
        self.texts: dict[str, str] = {}

    def began(self, stream: Stream) -> None:
        self.texts[stream.call_id] = ""

    def taken(self, stream: Stream) -> None: ...

    def brought(self, stream: Stream, events: list[Event]) -> None:
        pass

    def ended(self, stream: Stream) -> None:
        record = stream.completion.record
        assert record is not None
        self.records.append(record)
        self.texts[stream.call_id] = stream.completion.text

    def of(self, purpose: str) -> StreamRecord:
        (found,) = (record for record in self.records if record.purpose == purpose)
        return found


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> SeenCalls:
    fresh = SeenCalls()
    for module in (client_module, stream_module, second):
        monkeypatch.setattr(module, "SEEN", fresh)
    monkeypatch.setattr(failover, "_DOWN", DownEndpoints())
    monkeypatch.setattr(gate, "_GATES", {})
    monkeypatch.setattr(hedging, "SOONEST_S", 0.05)
    return fresh


@pytest.fixture
async def pair(seen: SeenCalls) -> AsyncIterator[tuple[DemoServer, DemoServer]]:
    with DemoServer(pace=0) as one, DemoServer(pace=0) as other:
        known(seen, one, other)
        yield one, other


def known(seen: SeenCalls, *servers: DemoServer, calls: int = 40, cost: str = "1", **changes: Any) -> None:
    """Calls that began at once and cost so much, play money."""
    now_s = time.time()
    for server in servers:
        given: dict[str, Any] = {
            "place": (server.base_url, MODEL, "off"),
            "first_s": 0.01,
            "cost": Decimal(cost),
            "currency": PLAY,
            "output": 50,
            **changes,
        }
        seen.add(SeenCall(call_id=f"{server.base_url} {i}", at_s=now_s - 60 - i, **given) for i in range(calls))


def at(*servers: DemoServer) -> list[Endpoint]:
    return [resolve("demo", server.base_url) for server in servers]


class Asked:
    """One question, followed as a screen would."""

    def __init__(self, *servers: DemoServer, hedge: float = 0.05, **settings: Any) -> None:
        self.kept = Kept()
        self.client = Client(
            at(*servers), api_key=["k"] * len(servers), hedge=hedge, keeper=self.kept, **{"recovery": FAST, **settings}
        )
        self.events: list[Event] = []

    async def __call__(self, prompt: Any = "long 2", **options: Any) -> Completion:
        async with self.client as client:
            stream = client.stream(prompt, **{"think": "off", **options})
            await stream.run(self.events.extend)
            screen = Accumulator(stream.request)
            for event in self.events:
                screen.add(event)
            assert screen.text == stream.completion.text
            return stream.completion


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(HANG_S):
        while not holds():  # noqa: ASYNC110 - the server counts in a thread of its own
            await asyncio.sleep(0.01)


async def whole(server: DemoServer) -> str:
    async with Client(server.base_url) as client:
        return (await client.complete("long 2", think="off")).text


def ends(server: DemoServer) -> list[str]:
    return [request.ended for request in server.requests if request.method == "POST"]


async def test_a_late_first_token_is_asked_for_elsewhere_and_the_silent_one_is_left(
    pair: tuple[DemoServer, DemoServer], seen: SeenCalls
) -> None:
    one, other = pair
    one.pace = SLOW
    asked = Asked(one, other)
    completion = await asked()
    assert (completion.outcome, completion.text, completion.seams) == ("complete", await whole(other), ())
    (why,) = map(str, completion.notices)
    assert why.startswith(
        f"Answered by the second request, to {at(other)[0].title}, because {at(one)[0].title} had been"
    )
    await until(lambda: ends(one) == ["client left"])
    await until(lambda: ends(other)[:1] == ["done"])
    assert [len(one.requests), len(other.requests)] == [1, 2]  # the last one is ours, of a moment ago
    lost, won = asked.kept.of("ask"), asked.kept.of("hedge")
    assert (lost.used, lost.outcome, lost.chars, lost.cost_estimated) == (False, "interrupted", 0, True)
    assert (won.used, won.outcome, completion.record) == (True, "complete", won)
    assert lost.cost > 0  # type: ignore[operator]
    assert lost.completion_tokens == 75  # half as many again as the longest that was known
    assert won.started_at == lost.started_at  # its times are those of the person who waits
    assert won.ttft_s > 0.05  # type: ignore[operator]
    assert asked.kept.texts[lost.call_id] == ""
    assert any(isinstance(event, Waiting) and "asked as well" in str(event.detail) for event in asked.events)
    assert seen.held(PLAY) == 0
    assert {call.call_id for call in seen.calls} >= {lost.call_id, won.call_id}
    assert asked.client.gate.standing.running == 0


async def test_the_first_one_wins_when_it_begins_first_and_nothing_of_the_second_is_given_out(
    pair: tuple[DemoServer, DemoServer],
) -> None:
    one, other = pair
    one.pace, other.pace = Pace(first_token_s=0.5), SLOW
    asked = Asked(one, other)
    completion = await asked()
    await until(lambda: ends(other) == ["client left"])
    await until(lambda: ends(one) == ["done"])
    assert completion.outcome == "complete"
    won, lost = asked.kept.of("ask"), asked.kept.of("hedge")
    assert (won.used, lost.used, lost.outcome, lost.cost_estimated) == (True, False, "interrupted", True)
    assert sum(isinstance(event, AttemptStarted) for event in asked.events) == 1


async def test_of_one_that_is_given_up_no_more_is_presumed_than_it_may_write(
    pair: tuple[DemoServer, DemoServer],
) -> None:
    one, other = pair
    one.pace = SLOW
    asked = Asked(one, other)
    await asked(max_tokens=20)
    await until(lambda: len(asked.kept.records) == 2)
    assert asked.kept.of("ask").completion_tokens == 20


async def test_keep_alive_comments_are_no_first_token(pair: tuple[DemoServer, DemoServer]) -> None:
    one, other = pair
    one.pace = Pace(queue_s=60.0, keepalive_s=0.02)
    completion = await Asked(one, other)()
    assert completion.outcome == "complete"
    await until(lambda: ends(one) == ["client left"])
    assert len(other.requests) == 1


async def test_one_endpoint_alone_is_asked_twice(pair: tuple[DemoServer, DemoServer]) -> None:
    one, _ = pair
    one.fault = "stall at=before-headers times=1"
    asked = Asked(one)
    assert (await asked()).outcome == "complete"
    assert len(one.requests) == 2
    assert asked.kept.of("hedge").used


async def test_a_conversation_is_asked_again_where_it_is_cached(pair: tuple[DemoServer, DemoServer]) -> None:
    one, other = pair
    one.fault = "stall at=before-headers times=1"
    turns = [ChatMessage(role=role, content=text) for role, text in (("user", "hi"), ("assistant", "x" * 50_000))]
    asked = Asked(one, other)
    assert (await asked([*turns, ChatMessage(role="user", content="long 2")])).outcome == "complete"
    assert (len(one.requests), len(other.requests)) == (2, 0)


TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


@pytest.mark.parametrize(
    ("settings", "options", "remembered"),
    [
        ({"hedge": 0}, {}, {}),
        ({}, {"tools": [TOOL]}, {}),
        ({}, {}, {"calls": 19}),
        ({}, {}, {"cost": "0.0000001"}),
        ({}, {}, {"output": None}),
        ({}, {}, {"currency": "CNY"}),
        ({"limits": LimitPolicy(concurrency=1)}, {}, {}),
    ],
    ids=["off", "tools", "few calls", "no money", "no answer known", "another currency", "no free slot"],
)
async def test_no_second_request_where_it_may_not_be(
    seen: SeenCalls, settings: dict[str, Any], options: dict[str, Any], remembered: dict[str, Any]
) -> None:
    with DemoServer(pace=Pace(first_token_s=0.4, tokens_per_s=1e6)) as one:
        known(seen, one, **remembered)
        asked = Asked(one, **settings)
        assert (await asked(**options)).error is None
        assert len(one.requests) == 1
        assert [record.used for record in asked.kept.records] == [True]


async def test_an_endpoint_without_a_price_is_not_asked_twice(seen: SeenCalls) -> None:
    with DemoServer(pace=Pace(first_token_s=0.4, tokens_per_s=1e6)) as one:
        known(seen, one)
        async with Client(one.base_url, hedge=0.05) as client:
            assert (await client.complete("hi", think="off")).outcome == "complete"
        assert len(one.requests) == 1


async def test_whoever_waits_for_a_slot_comes_before_a_second_request(pair: tuple[DemoServer, DemoServer]) -> None:
    one, _ = pair
    one.concurrency, one.pace = 4, Pace(first_token_s=0.4, tokens_per_s=1e6)
    asks = [Asked(one) for _ in range(5)]
    # One after the other, so that the fifth is in line when the first is late.
    completions = await asyncio.gather(*(ask(f"long 2 {number}") for number, ask in enumerate(asks)))
    assert {completion.outcome for completion in completions} == {"complete"}
    assert {request.status for request in one.requests} == {200}
    assert one.most_running <= 4
    assert {record.purpose for ask in asks[:4] for record in ask.kept.records} == {"ask"}


async def test_a_budget_for_one_call_allows_no_second(pair: tuple[DemoServer, DemoServer]) -> None:
    one, other = pair
    one.pace = Pace(first_token_s=0.4, tokens_per_s=1e6)

    class Purse:
        def __init__(self) -> None:
            self.reserved: list[str] = []

        async def reserve(self, call_id: str, most: Cost | None) -> None:
            if self.reserved and call_id not in self.reserved:
                zero = Decimal(0)
                raise BudgetExceeded("over", cap=zero, spent=zero, held=zero, most=zero)
            self.reserved.append(call_id)

        def settle(self, call_id: str, cost: Cost | None) -> None:
            pass

    asked = Asked(one, other)
    async with asked.client as client:
        addressed = client.addressed(client.request("long 2", think="off"))
        stream = client.begin(addressed, purse=Purse())
        assert (await stream.run(lambda _events: None)).outcome == "complete"
    assert (len(one.requests), len(other.requests)) == (1, 0)
    assert len(asked.kept.texts) == 1  # it left no row either


async def test_where_the_first_fails_the_second_goes_on(pair: tuple[DemoServer, DemoServer]) -> None:
    one, other = pair
    one.fault, other.pace = "stall at=before-headers for=0.6", Pace(first_token_s=2.0, tokens_per_s=1e6)
    asked = Asked(one, other, recovery=replace(FAST, attempts=1))
    completion = await asked()
    assert completion.outcome == "complete"
    assert len(other.requests) == 1


@pytest.mark.parametrize("fault", ["503", "reset at=before-headers", "empty", "eof-chunked at=after-headers"])
async def test_where_the_second_fails_the_first_goes_on(pair: tuple[DemoServer, DemoServer], fault: str) -> None:
    one, other = pair
    one.pace, other.fault = Pace(first_token_s=0.6, tokens_per_s=1e6), fault
    asked = Asked(one, other)
    completion = await asked()
    assert (completion.outcome, asked.kept.of("ask").used) == ("complete", True)
    assert len(other.requests) == 1  # one try
    assert not asked.kept.of("hedge").used


async def test_an_answer_that_came_second_is_repaired_as_any_other(pair: tuple[DemoServer, DemoServer]) -> None:
    one, other = pair
    one.pace, other.fault = SLOW, "cut after=5 times=1"
    asked = Asked(one, other)
    completion = await asked()
    assert completion.outcome == "complete"
    assert len(completion.seams) == 1
    assert len(other.requests) == 2
    assert sum(isinstance(event, Seam) for event in asked.events) == 1


async def test_a_stop_during_the_race_closes_both(pair: tuple[DemoServer, DemoServer], seen: SeenCalls) -> None:
    one, other = pair
    one.pace = other.pace = SLOW
    asked = Asked(one, other)
    async with asked.client as client:
        stream = client.stream("long 2", think="off")
        run = asyncio.create_task(stream.run(asked.events.extend))
        await until(lambda: len(other.requests) == 1)
        await stream.aclose()
        assert (await run).outcome == "interrupted"
        await until(lambda: ends(one) == ends(other) == ["client left"])
    assert (asked.kept.of("ask").used, asked.kept.of("hedge").used) == (True, False)
    assert {record.outcome for record in asked.kept.records} == {"interrupted"}
    assert [record.completion_tokens for record in asked.kept.records] == [75, 75]  # either may have written so much
    assert {(record.cost > 0, record.cost_estimated) for record in asked.kept.records} == {(True, True)}  # type: ignore[operator]
    assert seen.held(PLAY) == 0


async def test_a_cancelled_consumer_leaves_neither(pair: tuple[DemoServer, DemoServer]) -> None:
    one, other = pair
    one.pace = other.pace = SLOW
    asked = Asked(one, other)
    run = asyncio.create_task(asked())
    await until(lambda: len(other.requests) == 1)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await until(lambda: ends(one) == ends(other) == ["client left"])
    assert len(asked.kept.records) == 2


async def test_whoever_stops_reading_in_the_race_closes_both(pair: tuple[DemoServer, DemoServer]) -> None:
    one, other = pair
    one.pace = other.pace = SLOW
    asked = Asked(one, other)
    async with asked.client as client:
        stream = client.stream("long 2", think="off")
        async with contextlib.aclosing(stream):
            async for event in stream:
                if isinstance(event, Waiting):
                    break
        assert stream.completion.outcome == "interrupted"
        await until(lambda: ends(one) == ["client left"])
    assert asked.kept.of("ask").outcome == "interrupted"


async def test_where_both_come_at_once_the_first_is_taken(pair: tuple[DemoServer, DemoServer]) -> None:
    one, other = pair
    for server in pair:
        server.pace = Pace(first_token_s=0.3, tokens_per_s=2000.0)
    asked = Asked(one, other)
    completion = await asked()
    assert completion.outcome == "complete"
    assert [record.used for record in asked.kept.records].count(True) == 1
    lost = next(record for record in asked.kept.records if not record.used)
    assert asked.kept.texts[lost.call_id] == ""


async def test_over_many_calls_some_are_asked_twice_for_their_share_of_the_money(
    seen: SeenCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The short form of ``python -m tests.engine.hedged_pair``."""
    monkeypatch.setattr(hedging, "SOONEST_S", 0.02)
    run = await hedged_pair.ask("hedged", calls=250, seed=1, scale=0.02)
    assert {outcome for outcome, _ in run.texts} == {"complete"}
    assert sum(record.used for record in run.records) == 250
    # One that is given up at once may not have reached its server; it counts all the same.
    assert 0 < run.requests - 250 <= len(run.unused)
    assert run.extra <= Decimal("0.05")
    assert run.running == 0
    assert {record.purpose for record in run.records} == {"ask", "hedge"}


async def test_the_fastest_is_asked_first(pair: tuple[DemoServer, DemoServer], seen: SeenCalls) -> None:
    one, other = pair
    known(seen, one, first_s=3.0)
    client = Client(at(one, other), api_key=["k", "k"], prefer="fastest", chance=lambda: 0.9)
    async with client:
        stream = client.stream("long 2", think="off")
        assert (await stream.run(lambda _events: None)).outcome == "complete"
    assert (len(one.requests), len(other.requests)) == (0, 1)
    in_order = client.addressed(client.request("hi", think="off"), prefer="order")
    assert in_order[0].endpoint.base_url == one.base_url


def test_a_preference_and_a_share_are_checked() -> None:
    with pytest.raises(ConfigurationError, match="prefer"):
        Client("demo", prefer="nearest")
    with pytest.raises(ConfigurationError, match="hedge"):
        Client("demo", hedge=0.5)


def test_a_memory_keeps_the_newest_calls_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepseek_magic.engine.several.seen.KEPT_CALLS", 3)
    memory = SeenCalls()
    place = ("https://a", MODEL, None)
    memory.add(SeenCall(call_id=str(i), at_s=float(10 - i), place=place, first_s=None) for i in range(5))
    memory.add([SeenCall(call_id="2", at_s=8.0, place=place, first_s=1.0)])
    assert [(call.call_id, call.first_s) for call in memory.calls] == [("2", 1.0), ("1", None), ("0", None)]
    record = StreamRecord(
        call_id="t", started_at=datetime.now(UTC), model=MODEL, outcome="complete", total_s=1.0, purpose="trial"
    )
    memory.note(record, "https://a")
    assert len(memory.calls) == 3
    with memory.holding(Decimal(2), "USD"):
        assert memory.held("USD") == 2
    assert memory.held("USD") == 0
