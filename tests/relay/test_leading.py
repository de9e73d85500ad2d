"""Of students whose questions begin alike one is asked for first: what the provider is sent, when, and what it bills."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import httpx
import pytest

from deepseek_magic.demo.api import frames
from deepseek_magic.demo.api.replies import Reply
from deepseek_magic.demo.wire.pace import Pace
from deepseek_magic.engine.several import prefix
from deepseek_magic.policy.limits import leading
from deepseek_magic.protocol.completion import Completion
from deepseek_magic.protocol.errors import DeepSeekError
from deepseek_magic.protocol.events import TextDelta
from tests.experiments.leading import led_class, prefix_of
from tests.relay.running import TEACHER, RunningRelay, until

Start = Callable[..., RunningRelay]
TOKENS = 3_000
SLOW = Pace(first_token_s=0.5, tokens_per_s=2.0, jitter=0.0)
"""An answer of some words takes long enough for others to be sent while it is written."""
SILENT = Pace(queue_s=600.0, keepalive_s=0.05)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        frames, "reply", lambda asked: Reply(text="Yes, in so many words that it takes a while to say.")
    )


async def ask(relay: RunningRelay, number: int, title: str = "A") -> Completion:
    async with relay.client(number) as client:
        return await client.complete(f"{prefix_of(TOKENS, title)}number {number}?", think="off")


async def leave(asking: list[asyncio.Task[Completion]]) -> None:
    for each in asking:
        each.cancel()
    await asyncio.wait(asking)


async def begun(relay: RunningRelay, number: int, title: str = "A") -> None:
    """Ask, and leave as soon as the answer has begun."""
    async with relay.client(number) as client:
        stream = client.stream(f"{prefix_of(TOKENS, title)}number {number}?", think="off")
        async for event in stream:
            if isinstance(event, TextDelta):
                break
        await stream.aclose()


async def test_a_class_pays_for_its_common_text_about_once(start: Start) -> None:
    relay = start(students=20)
    relay.demo.cache.builds_s = 1.0
    found = await led_class(relay, 20, TOKENS)
    assert found.requests == 20
    assert found.holds, found
    first, *others = relay.posts()
    assert first.usage["prompt_cache_hit_tokens"] == 0
    assert all(each.usage["prompt_cache_hit_tokens"] > 0 for each in others)


async def test_they_follow_when_the_first_answer_has_begun_and_not_when_it_has_ended(start: Start) -> None:
    relay = start(students=4, grace_s=0.1)
    relay.demo.pace = Pace(first_token_s=0.5, tokens_per_s=0.5, jitter=0.0)
    asking = [asyncio.create_task(ask(relay, number)) for number in range(4)]
    await until(lambda: len(relay.posts()) == 4)
    first, *others = relay.posts()
    assert first.ended == ""
    await leave(asking)
    await until(lambda: all(each.usage for each in others))
    assert all(each.usage["prompt_cache_hit_tokens"] > 0 for each in others)


async def test_short_questions_wait_for_nobody(start: Start) -> None:
    relay = start(students=4)
    relay.demo.pace = SLOW
    async with relay.client() as one, relay.client(1) as other:
        await asyncio.gather(one.complete("Hello", think="off"), other.complete("Good day", think="off"))
    assert relay.demo.most_running == 2


async def test_where_the_cache_never_hits_the_class_waits_no_more(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = start(students=8)
    relay.demo.cache.builds_s = math.inf
    first = await led_class(relay, 8, TOKENS)
    assert (first.requests, first.missed > 7 * first.prefix) == (8, True)
    for module in (leading, prefix):
        monkeypatch.setattr(module, "WAIT_S", 600.0)
    relay.demo.pace = SILENT
    asking = [asyncio.create_task(ask(relay, number, "B")) for number in range(8)]
    # None of these is answered: where one led, the others would wait for it.
    await until(lambda: len(relay.posts()) >= 10)
    await leave(asking)


async def test_when_the_first_one_fails_another_goes_first(start: Start) -> None:
    relay = start(students=5)
    relay.demo.cache.builds_s = 0.5
    relay.demo.fault = "400 times=1"

    async def outcome(number: int) -> str:
        try:
            return (await ask(relay, number)).outcome
        except DeepSeekError:
            return "failed"

    found = await asyncio.gather(*map(outcome, range(5)))
    assert sorted(found) == ["complete"] * 4 + ["failed"]
    answered = [each for each in relay.posts() if each.usage]
    assert [each.usage["prompt_cache_hit_tokens"] > 0 for each in answered] == [False, True, True, True]


async def test_the_teachers_stop_ends_those_who_wait_and_nothing_is_sent_or_charged_for_them(start: Start) -> None:
    relay = start(students=3)
    relay.demo.pace = SILENT
    asking = asyncio.gather(*(ask(relay, number) for number in range(3)), return_exceptions=True)
    await until(lambda: len(relay.service.flights) == 3)
    await until(relay.posts)
    async with httpx.AsyncClient(base_url=relay.base_url, headers={"authorization": f"Bearer {TEACHER}"}) as teacher:
        await teacher.post("/teacher/stop", json={"stopped": True})
    assert all("teacher has stopped" in str(error) for error in await asking)
    assert len(relay.posts()) == 1
    asked = relay.service.accounts.everybody(relay.service.clock.now())
    used = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asked, relay.loop))
    assert sorted(money.used["course"] > 0 for (payer, _), money in used.items() if payer) == [False, False, True]


async def test_who_leaves_once_the_first_answer_has_begun_has_led_all_the_same(start: Start) -> None:
    relay = start(students=3, grace_s=0.1)
    relay.demo.pace = SLOW
    await begun(relay, 0)
    await until(lambda: relay.posts()[0].ended)
    await asyncio.gather(ask(relay, 1), ask(relay, 2))
    assert all(each.usage["prompt_cache_hit_tokens"] > 0 for each in relay.posts()[1:])
