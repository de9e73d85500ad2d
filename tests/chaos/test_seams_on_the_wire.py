"""What the matrix found, each as the smallest stream that shows it."""

from __future__ import annotations

import contextlib

import pytest

from deepseek_magic.engine.client import Client
from deepseek_magic.policy.recovery import RecoveryPolicy
from deepseek_magic.protocol.errors import DeepSeekError
from deepseek_magic.protocol.events import TextDelta
from tests.chaos.cases import TOOL, Case
from tests.chaos.play import play
from tests.engine.wire import CLOSE, END, ScriptedServer, answer, chunked, delta, event, head, piece

QUICK = RecoveryPolicy(base_s=0.005, cap_s=0.02)


def client_of(server: ScriptedServer, **settings: object) -> Client:
    return Client(server.base_url, **{"recovery": QUICK, **settings})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (("In the beginning", " two", " three", " four"), 7),  # the last word is written anew
        (("In the beginning", " two", " th", "ree", " fo", "ur"), 6),
        (("In the beginning ", "two ", "three "), 8),  # a token of which a part stays has been spent
    ],
)
async def test_what_is_written_anew_behind_a_seam_is_not_counted_twice(words: tuple[str, ...], left: int) -> None:
    scripts = [[head(), *(piece(delta(word)) for word in words), CLOSE], answer(" and so on")]
    async with ScriptedServer(scripts) as server, client_of(server) as client:
        await client.complete("Hi", max_tokens=10, think="off")
        assert server.requests[1].json["max_tokens"] == left


async def test_after_a_stop_inside_a_batch_the_iteration_is_over() -> None:
    together = piece(delta("one") + delta(" two") + delta(" three"))
    async with ScriptedServer([[head(), together, 30.0]]) as server, client_of(server) as client:
        stream = client.stream("Hi")
        async for seen in stream:
            if isinstance(seen, TextDelta):
                break
        await stream.aclose()
        assert [left async for left in stream] == []
        assert stream.completion.outcome == "interrupted"


async def test_a_call_that_broke_twice_inside_its_arguments_is_still_asked_for_again() -> None:
    fault = "reset at=tool after=7 times=2 ; cut at=after-headers times=1"
    played = await play(
        Case(fault=fault, effect="break", prompt='get_weather of "Lima" for 4 days?', options={"tools": [TOOL]})
    )
    assert not played.broken
    assert played.requests == 4


@pytest.mark.parametrize(
    "script",
    [
        chunked(delta("one"), event("{broken")),
        [head(content_encoding="gzip"), piece(b"\x1f\x8b\x08 this is no gzip at all"), END],
    ],
)
async def test_every_error_says_what_to_do_next(script: list[bytes | float | str]) -> None:
    once = RecoveryPolicy(attempts=1, resumes=0)
    async with ScriptedServer([script]) as server, client_of(server, recovery=once) as client:
        with contextlib.suppress(DeepSeekError):
            await client.complete("Hi")
            pytest.fail("it was whole")
        stream = client.stream("Hi")
        completion = await stream.run(lambda batch: None)
        assert completion.error is not None
        assert completion.error.hint


async def test_what_a_proxy_sends_twice_is_dropped_where_events_have_ids() -> None:
    case = Case(fault="replay at=content after=30 times=1", effect="harmless", prompt="a table", ids="resume")
    played = await play(case)
    assert not played.broken
