"""Several endpoints in order, through ``Client``: who is asked, what the consumer sees, what is kept when all fail."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine import failover as relay
from deepseek_magic.engine.client import Client
from deepseek_magic.engine.hosts.endpoints import Endpoint, in_order, resolve
from deepseek_magic.policy.attempts import RecoveryPolicy
from deepseek_magic.policy.failover import DownEndpoints
from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.completion import Accumulator, Completion
from deepseek_magic.protocol.errors import AuthenticationError, ConfigurationError, Disconnected
from deepseek_magic.protocol.events import AttemptStarted, Event, Seam, TextDelta, Waiting

FAST = RecoveryPolicy(base_s=0.01, cap_s=0.03)
PROMPT = "long 2"


@pytest.fixture(autouse=True)
def none_down_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "_DOWN", DownEndpoints())


@pytest.fixture
async def pair() -> AsyncIterator[tuple[DemoServer, DemoServer]]:
    with DemoServer(pace=0) as first, DemoServer(pace=0) as second:
        yield first, second


async def followed(
    endpoints: Sequence[str | Endpoint], *, rewind: bool = True, **options: object
) -> tuple[Completion, list[Event]]:
    """Run the call and check that a screen that follows its events ends with the text of its completion."""
    async with Client(endpoints, recovery=FAST, rewind=rewind) as client:
        stream = client.stream(PROMPT, think="off", **options)
        events: list[Event] = []
        await stream.run(events.extend)
        screen = Accumulator(stream.request)
        for event in events:
            screen.add(event)
        assert screen.text == stream.completion.text
        return stream.completion, events


def asked(events: list[Event]) -> int:
    return sum(isinstance(event, AttemptStarted) for event in events)


async def whole_text(server: DemoServer) -> str:
    async with Client(server.base_url) as client:
        return (await client.complete(PROMPT, think="off")).text


def without_continuing(server: DemoServer) -> Endpoint:
    return replace(resolve(server.base_url), continuing="none")


def test_endpoints_are_named_with_commas_or_in_a_list() -> None:
    names = [endpoint.name for endpoint in in_order("demo, ollama,")]
    assert names == [endpoint.name for endpoint in in_order(["demo", resolve("ollama")])] == ["demo", "ollama"]
    assert Client("demo,ollama").endpoint.name == "demo"
    assert [endpoint.name for endpoint in in_order("")] == ["deepseek"]
    with pytest.raises(ConfigurationError, match="one endpoint"):
        in_order("demo,ollama", "http://127.0.0.1:1")


@pytest.mark.parametrize("fault", ["503", "reset at=connect", "cut at=after-headers"])
async def test_the_next_endpoint_answers_when_the_first_is_down(
    pair: tuple[DemoServer, DemoServer], fault: str
) -> None:
    first, second = pair
    first.fault = fault
    completion, events = await followed([first.base_url, second.base_url])
    assert (completion.outcome, completion.text) == ("complete", await whole_text(second))
    assert not completion.seams
    assert any(isinstance(event, Waiting) and "Continuing at 127.0.0.1" in str(event.detail) for event in events)
    before = len(first.requests)
    _, events = await followed([first.base_url, second.base_url])
    assert len(first.requests) == before
    assert isinstance(events[0], Waiting)
    assert "failed a moment ago" in str(events[0].detail)


async def test_in_mid_answer_it_goes_on_and_nothing_is_taken_back(pair: tuple[DemoServer, DemoServer]) -> None:
    first, second = pair
    first.fault = "cut at=content after=40"
    completion, events = await followed([first.base_url, second.base_url])
    assert completion.text == await whole_text(second)
    seams = [event for event in events if isinstance(event, Seam)]
    assert {seam.kind for seam in seams} == {"continued"}
    assert "Continuing at 127.0.0.1" in str(seams[-1].detail)
    assert second.requests[0].body["messages"][-1]["prefix"] is True


async def test_what_is_left_of_max_tokens_is_all_that_the_next_one_may_use(pair: tuple[DemoServer, DemoServer]) -> None:
    first, second = pair
    first.fault = "cut at=content after=40"
    completion, _ = await followed([first.base_url, second.base_url], max_tokens=60)
    assert completion.outcome == "truncated"
    assert len(completion.text.split()) <= 64


async def test_one_that_cannot_go_on_begins_anew_with_a_visible_seam(pair: tuple[DemoServer, DemoServer]) -> None:
    first, second = pair
    first.fault = "cut at=content after=40"
    completion, events = await followed([first.base_url, without_continuing(second)])
    assert (completion.outcome, completion.text) == ("complete", await whole_text(second))
    seam = next(event for event in events if isinstance(event, Seam) and event.kind == "restarted")
    assert seam.at_chars == 0
    assert "Continuing at 127.0.0.1" in str(seam.detail)
    assert seam in completion.seams


@pytest.mark.parametrize("fault", ["503", "reset at=connect", "cut at=content after=2"])
async def test_what_had_come_is_kept_when_the_next_one_fails_too(
    pair: tuple[DemoServer, DemoServer], fault: str
) -> None:
    first, second = pair
    first.fault, second.fault = "cut at=content after=40", fault
    completion, _ = await followed([first.base_url, without_continuing(second)])
    assert completion.error is not None
    assert completion.error.completion is completion
    assert len(completion.text) > 100
    second.fault = None
    assert (await whole_text(second)).startswith(completion.text)


async def test_a_third_one_goes_on_from_the_answer_that_got_furthest(pair: tuple[DemoServer, DemoServer]) -> None:
    first, second = pair
    first.fault, second.fault = "cut at=content after=40", "cut at=content after=2"
    with DemoServer(pace=0) as third:
        completion, _ = await followed([first.base_url, without_continuing(second), third.base_url])
        assert completion.text == await whole_text(third)
        assert len(third.requests[0].body["messages"][-1]["content"]) > 100


async def test_text_that_cannot_be_taken_back_is_left_as_it_stands(pair: tuple[DemoServer, DemoServer]) -> None:
    first, second = pair
    first.fault = "cut at=content after=40"
    completion, events = await followed([first.base_url, without_continuing(second)], rewind=False)
    assert completion.error is not None
    assert second.requests == []
    assert not any(isinstance(event, Seam) and event.kind == "restarted" for event in events)


async def test_a_stop_reaches_the_endpoint_that_took_over(pair: tuple[DemoServer, DemoServer]) -> None:
    first, second = pair
    first.fault, second.pace = "503", 0.01
    async with Client([first.base_url, second.base_url], recovery=FAST) as client:
        stream = client.stream(PROMPT, think="off")
        async for event in stream:
            if isinstance(event, TextDelta):
                break
        await stream.aclose()
        assert stream.completion.outcome == "interrupted"
        assert stream.completion.text
        never = client.stream(PROMPT)
        await never.aclose()
        assert never.completion.outcome == "interrupted"


async def test_a_refused_key_is_not_a_reason_to_ask_elsewhere(pair: tuple[DemoServer, DemoServer]) -> None:
    first, second = pair
    first.fault = "401"
    completion, events = await followed([first.base_url, second.base_url])
    assert isinstance(completion.error, AuthenticationError)
    assert (second.requests, asked(events)) == ([], 1)


async def test_each_endpoint_is_asked_for_a_model_that_it_knows(pair: tuple[DemoServer, DemoServer]) -> None:
    first, _ = pair
    other = Endpoint(name="other", title="Other", base_url="http://127.0.0.1:9", default_model="own", models=("own",))
    client = Client([first.base_url, other, "vllm"])
    asked = client.addressed(Request.of("Hi", model="deepseek-v4-pro"))
    assert [each.request.model for each in asked] == [
        "deepseek-v4-pro",
        "own",
        "deepseek-v4-pro",
    ]
    with pytest.raises(ConfigurationError, match="vLLM needs to know which model"):
        client.addressed(Request.of("Hi"))


async def test_models_are_told_by_the_first_that_is_there_and_a_check_asks_each(
    pair: tuple[DemoServer, DemoServer],
) -> None:
    dead = "http://127.0.0.1:9"
    async with Client([dead, pair[0].base_url]) as client:
        assert [model.id for model in await client.models()]
        assert [health.ok for health in await client.check_all()] == [False, True]
    async with Client([pair[0].base_url, dead]) as client:
        assert await client.models()
    async with Client([dead, dead]) as client:
        with pytest.raises(Disconnected):
            await client.models()


async def test_keys_are_given_for_the_first_or_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-router-1")
    found = Client(["deepseek", "openrouter"], api_key="sk-first-1")
    given = Client(["deepseek", "openrouter"], api_key=["sk-first-1", "sk-second-1"])
    assert [key.reveal() for key in map(found._key_of, found.endpoints) if key] == ["sk-first-1", "sk-router-1"]
    assert [key.reveal() for key in map(given._key_of, given.endpoints) if key] == ["sk-first-1", "sk-second-1"]
