"""Broken answers made whole: the demo breaks them in every way it knows, and the text must come out the same."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine import splice as splice_module
from deepseek_magic.engine import stream as stream_module
from deepseek_magic.engine.client import Client
from deepseek_magic.engine.hosts import keys
from deepseek_magic.engine.hosts.endpoints import Endpoint
from deepseek_magic.engine.transport import HTTPXTransport
from deepseek_magic.policy.attempts import RecoveryPolicy, RefusedWays
from deepseek_magic.policy.deadlines import Timeouts
from deepseek_magic.policy.limits.limiter import LimitPolicy
from deepseek_magic.protocol.completion import Accumulator, Completion
from deepseek_magic.protocol.errors import (
    AuthenticationError,
    ConfigurationError,
    DeepSeekError,
    Disconnected,
    InsufficientBalance,
    InvalidRequest,
    RateLimited,
    ReadTimeout,
    ServerError,
)
from deepseek_magic.protocol.events import (
    AttemptStarted,
    Event,
    Finish,
    ReasoningDelta,
    Seam,
    TextDelta,
    ToolCallDelta,
    Waiting,
)
from tests.engine.wire import (
    CLOSE,
    DONE,
    END,
    HANG,
    RESET,
    Received,
    Script,
    ScriptedServer,
    Step,
    answer,
    delta,
    event,
    fixed,
    head,
    piece,
    until,
)

FAST = RecoveryPolicy(base_s=0.01, cap_s=0.03)
ONCE = RecoveryPolicy(attempts=1, resumes=0)
SOON = Timeouts(connect_s=2, read_s=2, queue_s=0.6, first_delta_s=0.6, idle_s=0.6, idle_reasoning_s=0.6)
FREE = LimitPolicy(retries_per_minute=1000)
PROMPT = "Explain tables, then show code 中文"


@pytest.fixture(autouse=True)
def nothing_refused_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "_REFUSED", RefusedWays())


def client_of(server: DemoServer | ScriptedServer, **settings: object) -> Client:
    return Client(server.base_url, **{"recovery": FAST, "timeouts": SOON, "limits": FREE, **settings})  # type: ignore[arg-type]


async def watched(client: Client, whole: Completion | None = None, **options: object) -> tuple[Completion, list[Event]]:
    """Run a call as a screen would: every moment's text is kept and compared with what an unbroken run gave."""
    stream = client.stream(PROMPT, **options)
    screen = Accumulator(stream.request)
    events: list[Event] = []
    with_error: DeepSeekError | None = None
    try:
        async for batch in stream.batches():
            for event in batch:
                assert not (events and isinstance(events[-1], Finish) and isinstance(event, Finish))
                events.append(event)
                screen.add(event)
                if whole is not None:
                    assert whole.text.startswith(screen.text)
                    assert whole.reasoning.startswith(screen.reasoning)
    except DeepSeekError as error:
        with_error = error
    completion = stream.completion
    assert (completion.text, completion.reasoning) == (screen.text, screen.reasoning)
    assert completion.error is with_error
    assert completion.attempts == sum(isinstance(e, AttemptStarted) for e in events) == completion.record.attempts
    return completion, events


@pytest.fixture(scope="module")
def unbroken() -> dict[str, Completion]:
    async def asked() -> dict[str, Completion]:
        async with DemoServer(pace=0) as server, Client(server.base_url) as client:
            return {think: await client.complete(PROMPT, think=think) for think in ("off", "high")}

    with asyncio.Runner() as runner:
        return runner.run(asked())


PLACES = ("connect", "before-headers", "after-headers", "reasoning", "content", "before-done")
BROKEN = [
    *(f"reset at={place} after=7 times=1" for place in PLACES),
    *(f"cut at={place} after=29 times=1" for place in PLACES),
    *(f"cut at=content after=12 times=1 inside={where}" for where in ("size", "json", "utf8")),
    *(f"eof-chunked at={place} times=1" for place in PLACES[2:]),
    *(f"eof-close at={place} after=40 times=1" for place in PLACES[2:]),
    *(f"stall at={place} after=5 times=1" for place in PLACES[1:5]),
    *(f"keepalive-drip at={place} every=0.02 times=1" for place in PLACES[2:5]),
    *(f"proxy-line at={place} times=1" for place in PLACES[2:5]),
    *(f"error-event at={place} times=1" for place in PLACES[2:5]),
    *(f"garbage at={place} times=1" for place in PLACES[3:5]),
    *(
        f"{word} at={place} after=9 times=1"
        for word in ("aborted", "insufficient_system_resource")
        for place in PLACES[3:5]
    ),
    *(f"{status} times=3" for status in ("429", "500", "502", "503")),
    *("empty times=1", "reasoning-only times=1", "no-finish times=1", "refuse for=0.02"),
    *("wrong-content-length times=1", "reset at=content after=20 times=4"),
    "cut at=content after=20 times=1; echo-prefix on=prefix",
    "cut at=content after=20 times=1; 400 on=prefix",
    "cut at=content after=20 times=1; 503 on=prefix times=2",
    *("no-done", "slice bytes=3", "crlf", "http10", "no-delta", "usage-chunk", "usage-every", "wrong-type"),
    *("reasoning-field", "slow-close s=1"),
]


@pytest.mark.parametrize("think", ["off", "high"])
@pytest.mark.parametrize("fault", BROKEN)
async def test_a_broken_answer_comes_out_as_the_unbroken_one(
    fault: str, think: str, unbroken: dict[str, Completion]
) -> None:
    async with DemoServer(fault=fault, pace=0) as server, client_of(server) as client:
        completion, _ = await watched(client, unbroken[think], think=think)
        assert completion.error is None
        assert (completion.text, completion.reasoning) == (unbroken[think].text, unbroken[think].reasoning)
        assert completion.outcome == "complete"
        assert len(server.requests) <= FAST.attempts + FAST.resumes
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("kind", ["gzip-truncated", "gzip-corrupt", "gzip-bad-crc", "gzip-no-trailer", "gzip-members"])
async def test_a_damaged_gzip_body_is_a_cut_like_any_other(kind: str, unbroken: dict[str, Completion]) -> None:
    transport = HTTPXTransport(gzip=True)
    server = DemoServer(fault=f"{kind} times=1", pace=0, gzip=True)
    async with server, client_of(server, transport=transport) as client:
        completion, _ = await watched(client, unbroken["high"], think="high")
    assert (completion.text, completion.reasoning) == (unbroken["high"].text, unbroken["high"].reasoning)


async def test_an_answer_may_be_cut_behind_any_token(unbroken: dict[str, Completion]) -> None:
    whole = unbroken["off"]
    async with DemoServer(pace=0) as server, client_of(server) as client:
        for after in range(1, 60, 3):
            server.fault = f"cut at=content after={after} times=1"
            completion, _ = await watched(client, whole, think="off")
            assert completion.text == whole.text, after
            assert completion.attempts == 2


# by Last-Event-ID


@pytest.mark.parametrize("ids", ["resume", "inclusive", "replay", "ignore"])
async def test_a_stream_with_ids_is_taken_up_again_without_a_character_lost_or_doubled(
    ids: str, unbroken: dict[str, Completion]
) -> None:
    fault = "reset at=content after=20 times=1"
    async with DemoServer(fault=fault, pace=0, ids=ids) as server, client_of(server) as client:  # type: ignore[arg-type]
        completion, events = await watched(client, unbroken["high"], think="high")
        assert completion.text == unbroken["high"].text
        assert server.requests[1].headers["last-event-id"]
    seams = [e.kind for e in events if isinstance(e, Seam)]
    assert seams == (["resumed", "continued"] if ids == "ignore" else ["resumed"])


def with_ids(first: str, *pieces: bytes) -> list[bytes]:
    return [piece(b"id: %s%d\n" % (first.encode(), number) + each) for number, each in enumerate(pieces, 1)]


GAVE_UP = delta("", finish="insufficient_system_resource")


@pytest.mark.parametrize(
    ("begun", "rest", "whole"),
    [
        ("One two three four five", (" five", " six"), "One two three four five six"),  # a continuation
        ("One two", ("One two", " three"), "One two three"),  # too short to be continued: a new beginning
    ],
)
async def test_a_resume_asks_for_what_its_own_segment_asked_for(begun: str, rest: tuple[str, str], whole: str) -> None:
    scripts = [
        [head(), *with_ids("a", delta(begun), GAVE_UP), END],
        [head(), *with_ids("b", delta("")), RESET],
        [head(), *with_ids("c", *map(delta, rest), delta("", finish="stop")), piece(DONE), END],
    ]
    async with ScriptedServer(scripts) as server, client_of(server) as client:
        completion, _ = await watched(client)
    assert (completion.text, completion.outcome) == (whole, "complete")
    assert server.requests[2].headers["last-event-id"] == "b1"
    assert server.requests[2].body == server.requests[1].body


@pytest.mark.parametrize(
    ("whole", "again", "rewind"),
    [
        ("One two three four five", " five", True),
        ("```py\nx = {1, 2}\n```", "```", True),  # held back when it broke: it may begin an echo
        ("One two", "One two", False),  # a repetition that is compared
    ],
)
async def test_a_resumed_response_that_had_all_its_words_is_not_empty(whole: str, again: str, rewind: bool) -> None:
    scripts = [
        [head(), *with_ids("a", delta(whole), GAVE_UP), END],
        [head(), *with_ids("b", delta(again)), RESET],
        [head(), *with_ids("c", delta("", finish="stop")), piece(DONE), END],
    ]
    async with ScriptedServer(scripts) as server, client_of(server, rewind=rewind) as client:
        completion, _ = await watched(client, think="off", temperature=0)
    assert (completion.text, completion.outcome, completion.attempts) == (whole, "complete", 3)


async def test_a_resumed_continuation_that_was_only_an_echo_is_empty() -> None:
    begun = "One two three four five"
    scripts = [
        [head(), *with_ids("a", delta(begun), GAVE_UP), END],
        [head(), *with_ids("b", delta("One two ")), RESET],
        [head(), *with_ids("c", delta("three four"), delta("", finish="stop")), piece(DONE), END],
        answer(" five", " six"),
    ]
    async with ScriptedServer(scripts) as server, client_of(server) as client:
        completion, _ = await watched(client, think="off")
    assert (completion.text, completion.outcome, completion.attempts) == (begun + " six", "complete", 4)


async def test_a_stop_string_of_which_a_break_left_only_the_end_ends_the_answer() -> None:
    begun = "```py\nx = {1, 2}\n```"
    scripts = [
        [head(), *with_ids("a", delta(begun), GAVE_UP), END],
        [head(), *with_ids("b", delta("``")), RESET],  # held back: it may begin an echo
        [head(), *with_ids("c", delta("`!"), delta("", finish="stop")), piece(DONE), END],
    ]
    async with ScriptedServer(scripts) as server, client_of(server) as client:
        completion, _ = await watched(client, think="off", stop="\n```!")
    assert (completion.text, completion.outcome, completion.attempts) == ("```py\nx = {1, 2}", "complete", 3)


async def test_a_repetition_that_differs_only_where_it_was_resumed_differs() -> None:
    scripts = [
        [head(), *with_ids("a", delta("One two"), GAVE_UP), END],
        [head(), *with_ids("b", delta("One")), RESET],
        [head(), *with_ids("c", delta(" other"), delta("", finish="stop")), piece(DONE), END],
        answer("One two three"),
    ]
    async with ScriptedServer(scripts) as server, client_of(server, rewind=False) as client:
        completion, _ = await watched(client, think="off", temperature=0)
    assert (completion.text, completion.outcome, completion.attempts) == ("One two", "incomplete", 3)
    assert "differs from the text" in str(completion.error)


async def test_ids_that_come_again_with_other_words_are_another_run() -> None:
    scripts = [
        [head(), *with_ids("", delta("One"), delta(" two")), RESET],
        [head(), *with_ids("", delta("Uno"), delta(" dos"), delta(" tres", finish="stop")), piece(DONE), END],
        answer("One", " two", " three"),
    ]
    async with ScriptedServer(scripts) as server, client_of(server) as client:
        completion, _ = await watched(client)
    assert (completion.text, completion.outcome) == ("One two three", "complete")


@pytest.mark.parametrize("odd", ['{"error":{"message":"busy","type":"server_error"}}', "{broken"])
async def test_an_error_or_garbage_in_the_place_of_a_repeated_event_is_no_other_run(odd: str) -> None:
    words = [delta(word) for word in ("One", " two", " three")]
    scripts = [
        [head(), *with_ids("", *words[:2]), RESET],
        [head(), *with_ids("", words[0], event(odd)), END],
        [head(), *with_ids("", *words, delta("", finish="stop")), piece(DONE), END],
    ]
    async with ScriptedServer(scripts) as server, client_of(server, rewind=False) as client:
        completion, _ = await watched(client)
    assert (completion.text, completion.outcome, completion.attempts) == ("One two three", "complete", 3)


EARLY = [delta("One"), delta("", finish="stop"), delta(" two"), delta(" three", finish="stop")]


async def test_text_after_a_finish_reason_is_part_of_an_answer_that_only_its_end_makes_complete() -> None:
    async with ScriptedServer([[head(), *map(piece, EARLY), piece(DONE), END]]) as server, client_of(server) as client:
        completion, events = await watched(client)
    assert (completion.text, completion.outcome) == ("One two three", "complete")
    assert sum(isinstance(event, Finish) for event in events) == 2
    for length, text in ((3, "One two"), (4, "One two three")):
        script = [head(), *map(piece, EARLY[:length]), RESET]
        async with ScriptedServer([script]) as server, client_of(server, recovery=ONCE) as client:
            completion, _ = await watched(client)
        assert (completion.text, completion.outcome) == (text, "incomplete")


async def test_the_pause_that_a_stream_names_itself_is_kept_up_to_ten_seconds() -> None:
    script = [head(), piece(b"id: 1\nretry: 3600000\n" + delta("Half an answer ")), CLOSE]
    async with (
        ScriptedServer([script]) as server,
        client_of(server) as client,
        contextlib.aclosing(client.stream(PROMPT)) as stream,
    ):
        pause = await anext(e async for e in stream if isinstance(e, Waiting) and e.seconds)
    assert (pause.reason, pause.seconds) == ("backoff", 10.0)


# waiting


async def test_every_wait_is_an_event_that_says_why_and_which_attempt() -> None:
    async with DemoServer(fault="503 times=2", pace=0) as server, client_of(server) as client:
        _, events = await watched(client)
    waits = [e for e in events if isinstance(e, Waiting)]
    assert [(w.reason, w.attempt, w.of_attempts) for w in waits] == [("backoff", 2, 5), ("backoff", 3, 5)]
    assert all(w.seconds is not None and w.seconds <= FAST.cap_s for w in waits)
    assert "503" in str(waits[0].detail)


async def test_retry_after_is_kept_to_and_above_its_ceiling_ends_the_call() -> None:
    async with DemoServer(fault="429 times=1 retry-after=0.2", pace=0) as server, client_of(server) as client:
        completion, events = await watched(client)
        first, second = (r.at_s for r in server.requests)
    assert completion.outcome == "complete"
    assert second - first >= 0.18
    assert next(w.reason for w in events if isinstance(w, Waiting)) == "retry_after"
    async with DemoServer(fault="429 retry-after=500", pace=0) as server, client_of(server) as client:
        completion, _ = await watched(client)
        assert len(server.requests) == 1
    assert isinstance(completion.error, RateLimited)
    assert completion.error.retry_after_s == 500
    assert "more than 120 s is not waited." in str(completion.error)


@pytest.mark.parametrize("status", ["400", "401", "402", "404", "413"])
async def test_what_would_fail_again_is_sent_once(status: str) -> None:
    async with DemoServer(fault=status, pace=0) as server, client_of(server) as client:
        completion, _ = await watched(client)
        assert len(server.requests) == 1
    assert completion.error is not None
    assert completion.error.status == int(status)  # type: ignore[attr-defined]


async def test_after_an_empty_balance_the_next_call_is_not_even_sent() -> None:
    async with DemoServer(fault="402", pace=0) as server, client_of(server) as client:
        for _ in range(2):
            completion, _ = await watched(client)
            assert isinstance(completion.error, InsufficientBalance)
        assert len(server.requests) == 1


async def test_with_recovery_off_there_is_exactly_one_request() -> None:
    async with DemoServer(fault="cut at=content after=20", pace=0) as server:
        async with client_of(server, recovery=ONCE) as client:
            completion, _ = await watched(client)
        assert len(server.requests) == 1
    assert isinstance(completion.error, Disconnected)
    assert completion.text


# giving up


async def test_when_the_budget_is_used_up_the_error_says_so_and_has_the_text() -> None:
    async with DemoServer(fault="reset at=content after=2", pace=0) as server, client_of(server) as client:
        completion, _ = await watched(client, think="off")
        assert len(server.requests) <= FAST.attempts + FAST.resumes
    assert isinstance(completion.error, Disconnected)
    assert completion.text
    assert completion.outcome == "incomplete"
    assert "attempts were made" in str(completion.error)


async def test_refused_requests_are_repeated_only_within_the_limits_share() -> None:
    limits = LimitPolicy(retry_share=0, retries_per_minute=2)
    async with DemoServer(fault="503", pace=0) as server, client_of(server, limits=limits) as client:
        completion, _ = await watched(client)
        assert len(server.requests) == 1 + 2
    assert isinstance(completion.error, ServerError)
    assert "Too many requests were asked again" in str(completion.error)


async def test_nothing_is_tried_after_the_call_as_a_whole_took_too_long() -> None:
    timeouts = Timeouts(total_s=0.3)
    recovery = RecoveryPolicy(base_s=5)
    server = DemoServer(fault="503", pace=0)
    async with server, client_of(server, timeouts=timeouts, recovery=recovery) as client:
        began = asyncio.get_running_loop().time()
        completion, _ = await watched(client)
        took = asyncio.get_running_loop().time() - began
    assert isinstance(completion.error, ReadTimeout)
    assert completion.error.deadline == "total"
    assert 0.3 <= took < 0.3 + 0.25


async def test_stop_during_a_wait_ends_the_call_at_once() -> None:
    async with DemoServer(fault="503", pace=0) as server:
        async with client_of(server, recovery=RecoveryPolicy(base_s=30, cap_s=30)) as client:
            stream = client.stream(PROMPT)
            consumer = asyncio.create_task(stream.run(lambda batch: None))
            await until(lambda: server.requests and server.requests[0].ended)
            await asyncio.sleep(0.05)
            began = asyncio.get_running_loop().time()
            await stream.aclose()
            assert asyncio.get_running_loop().time() - began < 0.1
            assert (await consumer).outcome == "interrupted"
        assert len(server.requests) == 1


# what stands in the way of a continuation


async def test_json_mode_and_tools_are_started_anew() -> None:
    tool = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}
    for options in ({"json": True}, {"tools": [tool], "tool_choice": "auto"}):
        async with DemoServer(pace=0) as server, client_of(server) as client:
            whole = await client.complete(PROMPT + " json", **options)
            server.fault = "cut after=4 times=1"
            stream = client.stream(PROMPT + " json", **options)
            completion = await stream.run(lambda batch: None)
        assert (completion.text, completion.tool_calls) == (whole.text, whole.tool_calls)
        assert completion.attempts == 2
        assert not [s for s in completion.seams if s.kind == "continued"]


def tool_delta(arguments: str, **more: object) -> bytes:
    return delta(tool_calls=[{"index": 0, "function": {"arguments": arguments, **more}}])


async def test_half_a_tool_call_is_never_kept() -> None:
    broken = [head(), piece(tool_delta('{"a', name="f")), CLOSE]
    whole = [tool_delta('{"b": ', name="g"), tool_delta("1}"), delta("", finish="tool_calls"), DONE]
    second = [head(), *(piece(each) for each in whole), END]
    async with ScriptedServer([broken, second]) as server, client_of(server) as client:
        completion, _ = await watched(client)
    (call,) = completion.tool_calls
    assert (call.name, call.arguments) == ("g", '{"b": 1}')


FINISHED_IN_A_CALL: list[Step] = [head(), piece(tool_delta('{"a": ', name="f") + delta("", finish="tool_calls"))]
"""A host that says its finish reason in the middle of a call."""


@pytest.mark.parametrize(
    "ending", [[HANG], [RESET], [CLOSE], [piece(tool_delta("1}")), RESET]], ids=["silent", "reset", "cut", "went on"]
)
async def test_a_finish_inside_a_tool_call_is_none_while_more_of_it_may_come(ending: list[Step]) -> None:
    second = [
        head(),
        *(piece(each) for each in (tool_delta('{"b": 1}', name="g"), delta("", finish="stop"), DONE)),
        END,
    ]
    async with ScriptedServer([[*FINISHED_IN_A_CALL, *ending], second]) as server, client_of(server) as client:
        completion, _ = await watched(client)
    assert [call.arguments for call in completion.tool_calls] == ['{"b": 1}']
    assert (completion.outcome, completion.attempts) == ("complete", 2)


async def test_a_stop_behind_such_a_finish_leaves_no_call() -> None:
    async with ScriptedServer([[*FINISHED_IN_A_CALL, HANG]]) as server, client_of(server) as client:
        stream = client.stream(PROMPT)
        async for happened in stream:
            if isinstance(happened, ToolCallDelta):
                break
        await stream.aclose()
    assert (stream.completion.outcome, stream.completion.tool_calls) == ("interrupted", ())


@pytest.mark.parametrize(
    "ending",
    [[piece(DONE), END], [END], [piece(DONE.rstrip()), END], [piece(tool_delta(" ")), piece(DONE.rstrip()), END]],
    ids=["done", "the body ends", "done on half a line", "went on, done on half a line"],
)
async def test_arguments_that_are_no_json_are_kept_where_the_stream_has_ended(ending: list[Step]) -> None:
    async with ScriptedServer([[*FINISHED_IN_A_CALL, *ending]]) as server, client_of(server) as client:
        completion, events = await watched(client)
    assert [call.arguments.strip() for call in completion.tool_calls] == ['{"a":']
    assert (completion.outcome, completion.attempts, completion.finish_reason) == ("complete", 1, "tool_calls")
    assert isinstance(events[-1], Finish)


async def test_a_call_without_arguments_comes_in_an_answer_in_one_piece() -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    choice = {"index": 0, "message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}
    body = json.dumps({"id": "r", "choices": [choice]}).encode()
    async with ScriptedServer([fixed("200 OK", body)]) as server, client_of(server) as client:
        completion, _ = await watched(client)
    assert [(call.name, call.arguments) for call in completion.tool_calls] == [("f", "")]
    assert (completion.outcome, completion.attempts) == ("complete", 1)


async def test_an_endpoint_that_refuses_to_continue_is_remembered() -> None:
    def script(request: object) -> Script:
        paths.append(request.line)  # type: ignore[attr-defined]
        if "/beta/" in paths[-1]:
            return fixed("404 Not Found", b"{}")
        return cut if len(paths) in (1, 4) else answer("In the beginning one two three ", "four")

    paths: list[str] = []
    cut: list[Step] = [head(), piece(delta("In the beginning one two three ")), CLOSE]
    async with ScriptedServer(script) as server, client_of(server) as client:
        for seams in (["restarted"], ["restarted"]):
            completion, events = await watched(client)
            assert completion.text == "In the beginning one two three four"
            assert [e.kind for e in events if isinstance(e, Seam)] == seams
    assert ["/beta/" in p for p in paths] == [False, True, False, False, False]


STRICT = {
    "OpenAI": b'{"error": {"message": "Unknown parameter: stream_options.", "param": "stream_options"}}',
    "by its parameter": b'{"error": {"message": "Extra inputs are not permitted.", "param": "stream_options"}}',
    "FastAPI": b'{"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "not permitted"}]}',
}


@pytest.mark.parametrize("said", STRICT.values(), ids=STRICT)
async def test_a_server_that_refuses_stream_options_is_asked_without_them_once_and_from_then_on(said: bytes) -> None:
    def script(request: Received) -> Script:
        return fixed("400 Bad Request", said) if "stream_options" in request.json else answer("Hi", usage=None)

    async with ScriptedServer(script) as server, client_of(server) as client:
        for _ in range(2):
            completion, _ = await watched(client)
            assert completion.text == "Hi"
        assert ["stream_options" in request.json for request in server.requests] == [True, False, False]
        assert completion.request.asks_usage


async def test_stream_options_of_ones_own_are_not_left_out_and_a_refusal_that_stays_is_told() -> None:
    async with ScriptedServer([fixed("422 No", STRICT["FastAPI"])]) as server, client_of(server) as client:
        with pytest.raises(InvalidRequest, match="stream_options"):
            await client.complete(PROMPT, extra_body={"stream_options": {"include_usage": False}})
        assert len(server.requests) == 1
        with pytest.raises(InvalidRequest, match="stream_options"):
            await client.complete(PROMPT)
        assert len(server.requests) == 3


async def test_a_consumer_that_cannot_rewind_is_never_asked_to(unbroken: dict[str, Completion]) -> None:
    fault = "cut at=content after=20 times=1"
    async with DemoServer(fault=fault, pace=0) as server, client_of(server, rewind=False) as client:
        completion, events = await watched(client, think="high")
        sent = server.requests[1].body["messages"][-1]["content"]
    (seam,) = (e for e in events if isinstance(e, Seam))
    assert (seam.kind, seam.at_chars, seam.reasoning_at_chars) == ("continued", None, None)
    assert completion.text.startswith(sent)
    assert completion.text == unbroken["high"].text


# what a continuation sends


def cut_after(*words: str) -> list[Step]:
    return [head(), *(piece(delta(word)) for word in words), CLOSE]


async def test_a_continuation_sends_the_prefix_and_what_is_left_of_max_tokens() -> None:
    scripts = [cut_after("In the beginning one ", "two ", "three"), answer(" three", " four")]
    async with ScriptedServer(scripts) as server, client_of(server) as client:
        completion, _ = await watched(client, max_tokens=100, think="off", temperature=0.5)
    assert completion.text == "In the beginning one two three four"
    first, second = (r.json for r in server.requests)
    assert server.requests[1].line == "POST /beta/chat/completions HTTP/1.1"
    assert second["messages"] == [
        *first["messages"],
        {"role": "assistant", "content": "In the beginning one two", "prefix": True},
    ]
    assert second["max_tokens"] == 98  # the third word is written anew
    assert {**second, "messages": 0, "max_tokens": 0} == {**first, "messages": 0, "max_tokens": 0}


async def test_an_answer_that_broke_at_its_length_is_truncated_not_continued() -> None:
    async with (
        ScriptedServer([cut_after("In the beginning one ", "two ", "three")]) as server,
        client_of(server) as client,
    ):
        completion, events = await watched(client, max_tokens=3, think="off")
        assert len(server.requests) == 1
    assert (completion.outcome, completion.finish_reason, completion.text) == (
        "truncated",
        "length",
        "In the beginning one two three",
    )
    assert events[-1] == Finish(reason="length")


async def test_a_stop_text_across_the_seam_is_found_and_taken_out() -> None:
    scripts = [cut_after("In the beginning one two STOP ", "h"), answer(" here", " and more")]
    async with ScriptedServer(scripts) as server, client_of(server) as client:
        completion, _ = await watched(client, stop=["STOP here"], think="off")
        await until(lambda: not server.busy)
    assert (completion.text, completion.outcome) == ("In the beginning one two ", "complete")


async def test_other_servers_are_continued_in_their_own_way() -> None:
    for style, fields in (
        ("trailing_assistant", {}),
        ("continue_final_message", {"continue_final_message": True, "add_generation_prompt": False}),
    ):
        scripts = [cut_after("In the beginning one two ", "three"), answer(" three four")]
        async with ScriptedServer(scripts) as server:
            own = Endpoint(
                name="own",
                title="Own",
                base_url=server.base_url,
                needs_key=False,
                default_model="m",
                continuing=style,  # type: ignore[arg-type]
            )
            async with Client(own, recovery=FAST, limits=FREE) as client:
                completion, _ = await watched(client)
        assert completion.text == "In the beginning one two three four"
        body = server.requests[1].json
        assert server.requests[1].line.startswith("POST /chat/completions ")
        assert body["messages"][-1] == {"role": "assistant", "content": "In the beginning one two"}
        assert {k: body[k] for k in fields} == fields


async def test_a_thought_that_begins_again_behind_the_answer_is_not_shown() -> None:
    first = [
        head(),
        piece(delta(None, reasoning_content="why")),
        piece(delta("In the beginning one two ")),
        piece(delta("three")),
        CLOSE,
    ]
    again = [delta(None, reasoning_content="again"), delta(" three"), delta("", finish="stop"), DONE]
    scripts: Sequence[Script] = [first, [head(), *(piece(each) for each in again), END]]
    async with ScriptedServer(scripts) as server, client_of(server) as client:
        completion, _ = await watched(client)
    assert (completion.reasoning, completion.text) == ("why", "In the beginning one two three")
    assert "rethought" in completion.anomalies


async def test_an_answer_cut_by_its_length_is_continued_when_asked_for() -> None:
    first = [
        head(),
        *(piece(each) for each in (delta("In the beginning one two "), delta("three", finish="length"), DONE)),
        END,
    ]
    scripts: Sequence[Script] = [first, answer(" three four")]
    for wanted, text in ((False, "In the beginning one two three"), (True, "In the beginning one two three four")):
        recovery = RecoveryPolicy(continue_on_length=wanted)
        async with ScriptedServer(scripts) as server, client_of(server, recovery=recovery) as client:
            completion, _ = await watched(client)
        assert completion.text == text


# a gateway that sends the prefix back

LONG = "In the beginning was the word"
KEPT = "In the beginning was the"


@pytest.mark.parametrize("think", ["off", "high"])
async def test_so_short_a_prefix_that_its_echo_would_not_be_known_is_never_sent(think: str) -> None:
    def script(request: Received) -> Script:
        last = request.json["messages"][-1]
        if last["role"] == "assistant":  # it would be doubled
            return answer(last["content"], " and more")
        first = len(server.requests) == 1
        return cut_after("Short, ", "it broke") if first else answer("Short, ", "it broke", " and more")

    async with ScriptedServer(script) as server, client_of(server) as client:
        completion, events = await watched(client, think=think)
    assert completion.text == "Short, it broke and more"
    assert [event.kind for event in events if isinstance(event, Seam)] == ["restarted"]


async def test_half_an_echo_is_given_out_by_its_own_timer_while_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splice_module, "HOLD_S", 0.05)
    second = [head(), piece(delta("In the ")), 1.0, piece(delta("end.")), piece(delta("", finish="stop") + DONE), END]
    async with ScriptedServer([cut_after(LONG), second]) as server, client_of(server, timeouts=Timeouts()) as client:
        stream = client.stream(PROMPT, think="off")
        batches = [[e for e in batch if isinstance(e, Seam | TextDelta)] async for batch in stream.batches()]
    shown = [[type(event) for event in batch] for batch in batches if batch]
    assert shown == [[TextDelta], [Seam, TextDelta], [TextDelta]]
    assert stream.completion.text == KEPT + "In the end."


async def test_what_is_held_back_for_an_echo_is_progress() -> None:
    half = [head(), piece(delta("In the begin")), CLOSE]
    scripts: Sequence[Script] = [cut_after(LONG), half, half, half, answer(KEPT, " word.")]
    async with ScriptedServer(scripts) as server, client_of(server) as client:
        completion, _ = await watched(client, think="off")
        assert len(server.requests) == 5
    assert (completion.text, completion.outcome) == (LONG + ".", "complete")
    assert completion.anomalies == ("echo_stripped",)


async def test_an_echo_that_comes_slowly_is_no_standstill() -> None:
    slow: list[Step] = [head()]
    for at in range(0, len(KEPT), 4):
        slow += [piece(delta(KEPT[at : at + 4])), 0.3]
    scripts = [cut_after(LONG), [*slow, piece(delta(" word.", finish="stop") + DONE), END]]
    soon = replace(SOON, idle_s=1.5, first_delta_s=1.5)
    async with ScriptedServer(scripts) as server, client_of(server, timeouts=soon) as client:
        completion, _ = await watched(client, think="off")
        assert len(server.requests) == 2
    assert completion.text == LONG + "."


async def test_writing_again_what_was_taken_back_is_progress() -> None:
    again = [head(), piece(delta(" wo")), CLOSE]
    scripts: Sequence[Script] = [cut_after(LONG), again, again, again, answer(" word.")]
    async with ScriptedServer(scripts) as server, client_of(server) as client:
        completion, _ = await watched(client, think="off")
    assert (completion.text, completion.attempts) == (LONG + ".", 5)


async def test_an_empty_response_to_a_continuation_is_no_end_of_the_answer() -> None:
    empty = answer()
    scripts: Sequence[Script] = [cut_after(LONG), empty, answer(" word.")]
    async with ScriptedServer(scripts) as server, client_of(server) as client:
        completion, _ = await watched(client, think="off")
        assert len(server.requests) == 3
    assert (completion.text, completion.outcome) == (LONG + ".", "complete")


async def test_what_stands_is_not_called_whole_when_every_further_response_is_empty() -> None:
    async with ScriptedServer([cut_after(LONG), answer()]) as server, client_of(server) as client:
        completion, _ = await watched(client, think="off")
    assert (completion.text, completion.outcome) == (LONG, "incomplete")
    assert "The answer was empty" in str(completion.error)


async def test_a_continuation_that_broke_before_its_first_word_has_called_nothing_whole() -> None:
    broken: Script = [head(), piece(delta("")), CLOSE]
    scripts: Sequence[Script] = [cut_after(LONG), broken, answer(), answer(" End.")]
    async with ScriptedServer(scripts) as server, client_of(server, rewind=False) as client:
        completion, _ = await watched(client, think="off")
    assert (completion.text, completion.outcome) == (LONG + " End.", "complete")


async def test_a_text_that_cannot_be_taken_back_is_whole_when_that_is_said_twice() -> None:
    async with ScriptedServer([cut_after(LONG), answer()]) as server, client_of(server, rewind=False) as client:
        completion, events = await watched(client, think="off")
        assert len(server.requests) == 3
    assert (completion.text, completion.outcome, completion.finish_reason) == (LONG, "complete", "stop")
    assert [type(e) for e in events].count(Finish) == 1


async def test_a_stop_behind_an_empty_response_leaves_the_answer_interrupted() -> None:
    slow = RecoveryPolicy(base_s=30, cap_s=30)
    async with ScriptedServer([cut_after(LONG), answer()]) as server, client_of(server, recovery=slow) as client:
        stream = client.stream(PROMPT, think="off")
        seen: list[Event] = []
        consumer = asyncio.create_task(stream.run(seen.extend))
        await until(lambda: sum(isinstance(e, Waiting) for e in seen) == 2)
        await stream.aclose()
        completion = await consumer
    assert (completion.text, completion.outcome) == (LONG, "interrupted")


@pytest.mark.parametrize(
    ("again", "outcome", "text"),
    [
        (("One ", "two ", "three"), "complete", "One two three"),
        (("One ", "two ", "three", " four"), "complete", "One two three four"),
        (("One ", "two"), "incomplete", "One two three"),
    ],
)
async def test_a_compared_repetition_is_whole_when_it_has_all_that_was_given_out(
    again: tuple[str, ...], outcome: str, text: str
) -> None:
    scripts = [cut_after("One ", "two ", "three"), answer(*again)]
    async with ScriptedServer(scripts) as server, client_of(server, rewind=False) as client:
        completion, _ = await watched(client, think="off", temperature=0)
    assert (completion.text, completion.outcome) == (text, outcome)


# the account


async def test_the_tokens_of_all_segments_add_up_and_what_nobody_reported_is_estimated() -> None:
    scripts = [cut_after("In the beginning one ", "two ", "three"), answer(" three", " four")]
    async with ScriptedServer(scripts) as server, client_of(server) as client:
        completion, _ = await watched(client, think="off")
    assert completion.usage.estimated
    assert completion.usage.completion_tokens == 9 + 4
    assert completion.usage.prompt_tokens is not None
    assert completion.usage.prompt_tokens > 10
    assert (completion.record.attempts, completion.record.continuations) == (2, 1)
    assert completion.cost is None


async def test_an_unbroken_answer_reports_what_the_server_counted() -> None:
    async with ScriptedServer([answer("x")]) as server, client_of(server) as client:
        completion, _ = await watched(client)
    assert not completion.usage.estimated
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (10, 4)
    record = completion.record
    assert record.body_bytes == record.wire_bytes > 100
    assert record.connect_s > 0
    assert record.ttft_s is not None


async def test_a_wrong_typed_key_is_forgotten() -> None:
    async with DemoServer(fault="401", pace=0) as server:
        client = client_of(server)
        keys._asked[keys._place(client.endpoint)] = keys.Key("sk-test-1234", source="your input")
        completion, _ = await watched(client)
        await client.aclose()
    assert isinstance(completion.error, AuthenticationError)
    assert keys._asked == {}


async def test_an_error_object_in_the_stream_ends_the_call_when_nothing_may_be_repeated() -> None:
    script = [head(), piece(delta("half")), piece(event({"error": {"message": "no"}})), END]
    async with ScriptedServer([script]) as server, client_of(server, recovery=ONCE) as client:
        completion, _ = await watched(client)
    assert isinstance(completion.error, ServerError)
    assert completion.text == "half"


async def test_a_silent_server_is_given_up_when_the_attempts_are_used_up() -> None:
    recovery = RecoveryPolicy(attempts=2, base_s=0.01)
    async with ScriptedServer([[HANG]]) as server, client_of(server, recovery=recovery) as client:
        completion, _ = await watched(client)
        assert len(server.requests) == 2
        await until(lambda: not server.open)
    assert isinstance(completion.error, ReadTimeout)
    assert "did not begin within 0.6 s" in str(completion.error)


async def test_a_piece_that_came_in_one_read_with_its_end_was_progress() -> None:
    gave_up = [head(), piece(delta("Hel") + delta("", finish="insufficient_system_resource")), END]
    scripts: list[Script] = [gave_up, gave_up, [head(), CLOSE], answer("Hello")]
    async with ScriptedServer(scripts) as server, client_of(server) as client:
        completion, _ = await watched(client)
    assert (completion.text, completion.outcome, completion.attempts) == ("Hello", "complete", 4)


async def test_a_reset_before_anything_is_tried_again_by_the_policy() -> None:
    async with ScriptedServer([[RESET], [RESET], answer("x")]) as server, client_of(server) as client:
        completion, _ = await watched(client)
    assert (completion.text, completion.attempts, completion.record.retries) == ("x", 3, 2)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files as Linux does")
async def test_many_finished_stopped_and_broken_calls_leave_nothing_behind() -> None:
    def files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    scripts: dict[int, Script] = {0: answer("x"), 1: [head(), piece(delta("x")), HANG], 2: [head(), RESET]}
    limits = LimitPolicy(concurrency=8)
    async with ScriptedServer(lambda request: scripts[len(server.requests) % 3]) as server:
        before = files()
        async with client_of(server, recovery=ONCE, limits=limits) as client:
            for _ in range(40):
                streams = [client.stream("Hi") for _ in range(6)]
                tasks = [asyncio.create_task(stream.run(lambda batch: None)) for stream in streams]
                await asyncio.sleep(0.02)
                tasks[0].cancel()
                await asyncio.gather(*(stream.aclose() for stream in streams[1:]))
                await asyncio.gather(*tasks, return_exceptions=True)
            assert (await asyncio.wait_for(client.stream("Hi").run(lambda batch: None), 2)).attempts == 1
        await until(lambda: not server.open)
        await until(lambda: files() <= before)  # a socket that was closed is let go a moment later
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_answer_cut_by_its_length_is_gone_on_from_when_asked(unbroken: dict[str, Completion]) -> None:
    for think in ("off", "high"):
        whole = unbroken[think]
        tokens = whole.usage.completion_tokens
        assert tokens is not None
        budget = tokens // 2 + 8
        async with DemoServer(pace=0) as server, client_of(server) as client:
            short, _ = await watched(client, whole, think=think, max_tokens=budget)
            assert (short.outcome, len(server.requests)) == ("truncated", 1)
            completion, events = await watched(client, whole, think=think, max_tokens=budget, continue_on_length=True)
        assert (completion.text, completion.reasoning) == (whole.text, whole.reasoning)
        assert (completion.outcome, completion.attempts) == ("complete", 2)
        assert [seam.kind for seam in completion.seams] == ["continued"]
        assert str(next(e.detail for e in events if isinstance(e, Waiting))).endswith(
            "continuing, continuation 1 of 3."
        )
        sent = [request.body for request in server.requests[1:]]
        assert [body["max_tokens"] for body in sent] == [budget, budget]
        # Each segment is billed: what both wrote, and twice the prompt.
        assert completion.usage.completion_tokens >= tokens
        assert completion.usage.prompt_tokens > 2 * short.usage.prompt_tokens


async def test_a_continuation_beyond_the_length_that_breaks_has_a_budget_of_its_own(
    unbroken: dict[str, Completion],
) -> None:
    whole = unbroken["off"]
    budget = whole.usage.completion_tokens * 2 // 3
    fault = "cut at=content after=9 times=1 on=prefix"
    async with DemoServer(fault=fault, pace=0) as server, client_of(server) as client:
        completion, _ = await watched(client, whole, think="off", max_tokens=budget, continue_on_length=True)
        left = [request.body["max_tokens"] for request in server.requests]
    assert (completion.text, completion.outcome) == (whole.text, "complete")
    assert left[:2] == [budget, budget]
    assert budget - 12 < left[2] < budget


async def test_a_continuation_that_is_refused_leaves_the_truncated_answer(unbroken: dict[str, Completion]) -> None:
    async with DemoServer(fault="400 on=prefix", pace=0) as server, client_of(server) as client:
        completion, _ = await watched(client, unbroken["off"], think="off", max_tokens=30, continue_on_length=True)
    assert (completion.outcome, completion.finish_reason, completion.error) == ("truncated", "length", None)
    assert completion.usage.completion_tokens == 30
    assert not completion.seams


async def test_an_answer_goes_beyond_its_length_only_so_often(unbroken: dict[str, Completion]) -> None:
    async with DemoServer(pace=0) as server, client_of(server) as client:
        completion, _ = await watched(client, unbroken["off"], think="off", max_tokens=20, continue_on_length=True)
    assert (completion.outcome, completion.record.continuations) == ("truncated", FAST.continuations)
    assert 60 <= completion.usage.completion_tokens <= 80


async def stopped_at(server: DemoServer, client: Client, pieces: int, **options: object) -> Completion:
    """An answer that its reader stopped after so many pieces, reasoning included; the server has sent no more."""
    server.fault = f"stall after={pieces} times=1"
    stream = client.stream(PROMPT, **options)
    seen = 0
    async for each in stream:
        seen += isinstance(each, TextDelta | ReasoningDelta)
        if seen == pieces:
            break
    await stream.aclose()
    server.fault = None
    return stream.completion


@pytest.mark.parametrize("think", ["off", "high"])
async def test_a_stopped_answer_is_gone_on_with_from_wherever_it_stood(
    think: str, unbroken: dict[str, Completion]
) -> None:
    whole = unbroken[think]
    async with DemoServer(pace=0) as server, client_of(server) as client:
        for pieces in range(1, whole.record.chunks, whole.record.chunks // 12):
            half = await stopped_at(server, client, pieces, think=think)
            assert half.outcome == "interrupted"
            stream = client.resume(half)
            screen = Accumulator(stream.request)
            async for event in stream:
                screen.add(event)
            completion = stream.completion
            assert (
                (completion.text, completion.reasoning)
                == (whole.text, whole.reasoning)
                == (
                    screen.text,
                    screen.reasoning,
                )
            )
            assert (completion.outcome, completion.attempts) == ("complete", 1)
            kept = bool(completion.seams)
            assert kept == bool(server.requests[-1].body["messages"][-1].get("prefix"))
            assert kept or pieces < 5
            # Only what this call brought is measured and billed.
            assert completion.record.chunks < whole.record.chunks or not kept
            assert completion.usage.completion_tokens <= whole.usage.completion_tokens


async def test_an_answer_gone_on_with_breaks_and_recovers_like_any_other(unbroken: dict[str, Completion]) -> None:
    whole = unbroken["off"]
    async with DemoServer(pace=0) as server, client_of(server) as client:
        half = await stopped_at(server, client, whole.record.chunks // 3, think="off")
        server.fault = "cut at=content after=20 times=2"
        stream = client.resume(half)
        completion = await stream.run(lambda _: None)
    assert (completion.text, completion.outcome) == (whole.text, "complete")
    assert [seam.kind for seam in completion.seams] == ["continued"] * 3


async def test_a_truncated_answer_gone_on_with_has_its_whole_budget_again(unbroken: dict[str, Completion]) -> None:
    whole = unbroken["off"]
    budget = whole.usage.completion_tokens - 20
    async with DemoServer(pace=0) as server, client_of(server) as client:
        short = await client.complete(PROMPT, think="off", max_tokens=budget)
        assert short.outcome == "truncated"
        completion = await client.resume(short).run(lambda _: None)
        assert server.requests[-1].body["max_tokens"] == budget
        assert (completion.text, completion.outcome) == (whole.text, "complete")
        server.fault = "400 on=prefix"
        assert (await client.resume(short).run(lambda _: None)).text == short.text


async def test_what_cannot_be_gone_on_with_says_why() -> None:
    async with DemoServer(pace=0) as server, client_of(server) as client:
        whole = await client.complete(PROMPT, think="off")
        with pytest.raises(ConfigurationError, match="is complete: there is nothing"):
            client.resume(whole)
        jotted = replace(whole, outcome="interrupted", request=client.request(PROMPT, json=True))
        with pytest.raises(ConfigurationError, match="cannot be continued: JSON mode forbids a prefix"):
            client.resume(jotted)
