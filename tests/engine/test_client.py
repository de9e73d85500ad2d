"""One attempt over a real socket: what arrives, how it ends, what is kept."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import time
from collections.abc import Iterator

import pytest

from deepseek_magic.engine.attempt import Attempt
from deepseek_magic.engine.client import Client
from deepseek_magic.engine.segment import Segment
from deepseek_magic.engine.stream import Stream
from deepseek_magic.engine.transport import HTTPXTransport
from deepseek_magic.policy.deadlines import Timeouts
from deepseek_magic.policy.recovery import RecoveryPolicy
from deepseek_magic.protocol.completion import Completion
from deepseek_magic.protocol.errors import (
    AuthenticationError,
    ConfigurationError,
    DeepSeekError,
    Disconnected,
    IncompleteStream,
    InvalidRequest,
    MissingKey,
    ProtocolError,
    RateLimited,
    ReadTimeout,
    ServerError,
)
from deepseek_magic.protocol.events import Finish, Heartbeat, TextDelta
from tests.engine.wire import (
    CLOSE,
    DONE,
    END,
    HANG,
    RESET,
    USAGE,
    Received,
    Script,
    ScriptedServer,
    answer,
    chunked,
    delta,
    event,
    fixed,
    head,
    piece,
    until,
)

ONCE = RecoveryPolicy(attempts=1, resumes=0)


def client_of(server: ScriptedServer, **settings: object) -> Client:
    return Client(server.base_url, **{"recovery": ONCE, **settings})  # type: ignore[arg-type]


async def failure_of(script: Script, **settings: object) -> DeepSeekError:
    async with ScriptedServer([script]) as server, client_of(server, **settings) as client:
        with pytest.raises(DeepSeekError) as caught:
            await client.complete("Hi")
        assert len(server.requests) == 1
    return caught.value


async def test_an_answer_arrives_whole_with_its_usage_and_reason() -> None:
    async with ScriptedServer([answer("Good ", "day", " 你好")]) as server, client_of(server) as client:
        completion = await client.complete("Hi")
    assert completion.text == "Good day 你好"
    assert (completion.outcome, completion.finish_reason, completion.error) == ("complete", "stop", None)
    assert completion.usage.prompt_tokens == USAGE["prompt_tokens"]
    assert (completion.id, completion.model, completion.attempts) == ("cmpl-1", "deepseek-flash", 1)
    assert completion.anomalies == ()


async def test_the_request_is_what_the_sheet_says() -> None:
    async with ScriptedServer([answer("x")]) as server, client_of(server, api_key="sk-test-1234") as client:
        await client.complete("Hi", temperature=0.5, think="off")
    (request,) = server.requests
    assert request.line == "POST /chat/completions HTTP/1.1"
    assert request.headers["authorization"] == "Bearer sk-test-1234"
    assert request.headers["accept"] == "text/event-stream"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["user-agent"].startswith("deepseek-magic/")
    assert request.json == {
        "model": "deepseek-flash",
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0.5,
        "thinking": {"type": "disabled"},
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_text_split_inside_a_character_is_whole_again() -> None:
    body = b"".join([delta("漢字"), delta("", finish="stop"), DONE])
    script = [head(), *(piece(body[i : i + 1]) for i in range(len(body))), END]
    async with ScriptedServer([script]) as server, client_of(server) as client:
        assert (await client.complete("Hi")).text == "漢字"


async def test_comments_are_heartbeats() -> None:
    script = chunked(b": keep-alive\n\n", delta("x"), delta("", finish="stop"), DONE)
    async with ScriptedServer([script]) as server, client_of(server) as client:
        stream = client.stream("Hi")
        events = [event async for event in stream]
    assert Heartbeat(comment="keep-alive") in events
    assert stream.completion.text == "x"


async def test_one_network_read_is_one_batch() -> None:
    script = [head(), piece(delta("a") + delta("b") + delta("c")), piece(delta("", finish="stop") + DONE), END]
    async with ScriptedServer([script]) as server, client_of(server) as client:
        batches = [batch async for batch in client.stream("Hi").batches()]
    texts = [[e.text for e in batch if isinstance(e, TextDelta)] for batch in batches]
    assert ["a", "b", "c"] in texts


@pytest.mark.parametrize(
    ("ending", "error"),
    [
        ([RESET], Disconnected),
        ([CLOSE], Disconnected),  # inside a chunked body
        ([END], IncompleteStream),
        ([piece(DONE), END], IncompleteStream),
        ([piece(b"data: {not json}\n\n"), END], ProtocolError),
        ([piece(event({"error": {"message": "overloaded", "type": "x"}})), END], ServerError),
        ([piece(delta("", finish="insufficient_system_resource")), piece(DONE), END], IncompleteStream),
        ([piece(delta("", finish="aborted")), piece(DONE), END], IncompleteStream),
    ],
)
async def test_an_answer_that_breaks_off_is_an_error_with_the_part_that_came(
    ending: list[bytes | float | str], error: type[DeepSeekError]
) -> None:
    failure = await failure_of([head(), piece(delta("half an ")), piece(delta("answer")), *ending])
    assert type(failure) is error
    assert failure.completion.text == "half an answer"
    assert failure.completion.outcome == "incomplete"
    assert failure.completion.error is failure


async def test_an_answer_cut_by_a_closed_connection_of_an_old_server_is_no_success() -> None:
    failure = await failure_of([head(connection="close"), delta("half"), CLOSE])
    assert type(failure) is IncompleteStream
    assert failure.completion.text == "half"


async def test_what_came_before_broken_bytes_in_the_same_read_is_kept() -> None:
    failure = await failure_of([head(), piece(delta("kept") + b"data: broken\n\n"), END])
    assert isinstance(failure, ProtocolError)
    assert failure.completion.text == "kept"


async def test_stop_without_a_word_is_not_an_answer() -> None:
    failure = await failure_of(chunked(delta("", finish="stop"), DONE))
    assert type(failure) is IncompleteStream


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_documented_ends_are_no_errors(reason: str) -> None:
    script = chunked(delta("x"), delta("", finish=reason), DONE)
    async with ScriptedServer([script]) as server, client_of(server) as client:
        completion = await client.complete("Hi")
    assert completion.outcome == {"length": "truncated", "content_filter": "filtered"}[reason]


@pytest.mark.parametrize("ending", [[END], [RESET], [CLOSE]])
async def test_a_finished_answer_without_done_is_complete_and_odd(ending: list[bytes | str]) -> None:
    script = [head(), piece(delta("x")), piece(delta("", finish="stop")), *ending]
    async with ScriptedServer([script]) as server, client_of(server) as client:
        completion = await client.complete("Hi")
    assert (completion.outcome, completion.anomalies) == ("complete", ("missing_done",))


async def test_a_usage_chunk_after_the_finish_counts() -> None:
    usage = event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}})
    script = chunked(delta("x"), delta("", finish="stop"), usage, DONE)
    async with ScriptedServer([script]) as server, client_of(server) as client:
        assert (await client.complete("Hi")).usage.prompt_tokens == 3


async def test_an_answer_in_one_piece_is_read_too() -> None:
    message = {"role": "assistant", "content": "whole", "reasoning_content": "why"}
    body = {"id": "1", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    script = fixed("200 OK", b"\n\n\n" + json.dumps(body).encode())
    async with ScriptedServer([script]) as server, client_of(server) as client:
        completion = await client.complete("Hi")
    assert (completion.text, completion.reasoning, completion.outcome) == ("whole", "why", "complete")
    assert completion.anomalies == ("not_a_stream",)


async def test_a_web_page_is_not_an_answer() -> None:
    failure = await failure_of(fixed("200 OK", b"<html></html>", kind="text/html; charset=utf-8"))
    assert isinstance(failure, ProtocolError)
    assert "web page" in str(failure)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("400 Bad Request", InvalidRequest),
        ("401 Unauthorized", AuthenticationError),
        ("422 Unprocessable", InvalidRequest),
        ("429 Too Many Requests", RateLimited),
        ("503 Service Unavailable", ServerError),
        ("301 Moved Permanently", InvalidRequest),
    ],
)
async def test_a_status_is_a_typed_error(status: str, error: type[DeepSeekError]) -> None:
    body = json.dumps({"error": {"message": "so it is", "type": "t", "code": "c"}}).encode()
    failure = await failure_of(
        fixed(status, body, kind="application/octet-stream", x_ds_trace_id="trace-7", retry_after="7")
    )
    assert type(failure) is error
    assert failure.trace_id == "trace-7"
    assert failure.retry_after_s == 7
    assert failure.completion.text == ""


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after_ms": "1500", "retry_after": "9"}, 1.5),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry_after": "soon"}, None),
        ({}, None),
    ],
)
async def test_the_wait_that_a_server_asks_for_is_read(headers: dict[str, str], seconds: float | None) -> None:
    failure = await failure_of(fixed("429 Too Many", b"{}", **headers))
    assert isinstance(failure, RateLimited)
    assert failure.retry_after_s == seconds


@pytest.mark.parametrize("refused", [True, False], ids=["before the stream", "inside it"])
async def test_the_key_is_in_no_error_even_when_the_server_echoes_it(refused: bool) -> None:
    said = "Authentication Fails, Your api key: ****1234 is invalid; got sk-test-1234"
    body = json.dumps({"error": {"message": said}}).encode()
    script = fixed("401 Unauthorized", body) if refused else chunked(event(body.decode()))
    failure = await failure_of(script, api_key="sk-test-1234")
    shown = f"{failure} {failure!r} {failure.completion!r} {failure._render_traceback_()}"
    assert "1234" not in shown
    assert "Authentication Fails" in shown


async def test_a_gzip_body_is_read_and_one_that_ends_early_is_a_cut() -> None:
    plain = b"".join([delta("half"), delta(" done"), delta("", finish="stop"), DONE])
    packed = gzip.compress(plain)
    transport = HTTPXTransport(gzip=True)
    whole = [head(content_encoding="gzip"), piece(packed), END]
    async with ScriptedServer([whole]) as server, client_of(server, transport=transport) as client:
        assert (await client.complete("Hi")).text == "half done"
        assert server.requests[0].headers["accept-encoding"] == "gzip"
    for cut in (5, len(packed) // 2):
        failure = await failure_of([head(content_encoding="gzip"), piece(packed[:cut]), END])
        assert isinstance(failure, Disconnected | IncompleteStream)


async def test_a_request_says_once_what_it_accepts_and_may_leave_out_the_options_of_streams() -> None:
    async with ScriptedServer([answer("ok")]) as server, client_of(server) as client:
        await client.complete("Hi", extra_body={"stream_options": None})
    assert server.requests[0].headers["accept"] == "text/event-stream"
    assert "stream_options" not in server.requests[0].json


async def test_a_checksum_that_is_wrong_after_the_answer_is_an_anomaly_of_the_answer() -> None:
    packed = gzip.compress(b"".join([delta("half"), delta(" done", finish="stop"), DONE]))
    wrong = packed[:-8] + bytes(4) + packed[-4:]
    for parts in ([piece(wrong)], [piece(wrong[:-8]), piece(wrong[-8:])]):
        script = [head(content_encoding="gzip"), *parts, END]
        async with ScriptedServer([script]) as server, client_of(server, transport=HTTPXTransport(gzip=True)) as client:
            completion = await client.complete("Hi")
        assert (completion.text, completion.outcome, completion.anomalies) == (
            "half done",
            "complete",
            ("damaged_end",),
        )


async def test_a_short_body_of_known_length_is_a_cut() -> None:
    body = delta("half")
    failure = await failure_of([head(content_length=str(len(body) + 50)), body, CLOSE])
    assert isinstance(failure, Disconnected)
    assert failure.completion.text == "half"


async def test_nobody_listening_is_one_sentence_with_the_host() -> None:
    async with ScriptedServer([[]]) as server:
        url = server.base_url
    async with Client(url, recovery=ONCE) as client:
        with pytest.raises(Disconnected, match=r"Nothing is listening at 127\.0\.0\.1:\d+\."):
            await client.complete("Hi")


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ([HANG], "first_delta"),
        ([head(), *([piece(b": keep-alive\n\n"), 0.02] * 50), HANG], "queue"),
        ([head(), piece(delta("x")), HANG], "idle"),
        ([head(), piece(delta("x")), *([piece(b": keep-alive\n\n"), 0.02] * 50), HANG], "idle"),
        ([head(), piece(delta(reasoning_content="x")), HANG], "idle"),
    ],
)
async def test_silence_ends_at_its_deadline_and_comments_do_not_feed_it(script: Script, name: str) -> None:
    timeouts = Timeouts(queue_s=0.2, first_delta_s=0.2, idle_s=0.2, idle_reasoning_s=0.2)
    began = asyncio.get_running_loop().time()
    failure = await failure_of(script, timeouts=timeouts)
    assert isinstance(failure, ReadTimeout)
    assert failure.deadline == name
    assert asyncio.get_running_loop().time() - began < 0.2 + 0.25 + 0.1


async def test_a_consumer_that_takes_its_time_is_no_silence() -> None:
    script = [head(), piece(delta("a")), 0.05, piece(delta("b")), piece(delta("", finish="stop")), piece(DONE), END]
    async with ScriptedServer([script]) as server, client_of(server, timeouts=Timeouts(idle_s=0.2)) as client:
        stream = client.stream("Hi")
        async for _ in stream:
            await asyncio.sleep(0.25)
    assert stream.completion.text == "ab"


def test_what_came_while_the_interpreter_was_held_is_read_before_anything_is_called_late() -> None:
    def script(_: Received) -> Iterator[bytes | float]:
        yield from (head(), piece(delta("a")), 0.05, piece(delta("b")))
        time.sleep(0.6)  # as a cell does that computes without letting go
        yield from (piece(delta("", finish="stop") + DONE), END)

    async def asked() -> Completion:
        async with ScriptedServer(script) as server, client_of(server, timeouts=Timeouts(idle_s=0.3)) as client:
            return await client.complete("Hi")

    with asyncio.Runner() as runner:  # an ordinary clock, which goes on
        completion = runner.run(asked())
    assert (completion.text, completion.attempts) == ("ab", 1)


async def test_after_the_finish_nothing_is_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepseek_magic.policy.deadlines.FINISH_GRACE_S", 0.1)
    script = [head(), piece(delta("x")), piece(delta("", finish="stop")), HANG]
    async with ScriptedServer([script]) as server, client_of(server) as client:
        completion = await client.complete("Hi")
    assert (completion.outcome, completion.anomalies) == ("complete", ("missing_done",))


LONG = [head(), piece(delta("begun")), HANG]


async def test_stop_from_another_task_ends_the_iteration_and_keeps_the_text() -> None:
    async with ScriptedServer([LONG]) as server, client_of(server) as client:
        stream = client.stream("Hi")

        async def consume() -> list[object]:
            return [event async for event in stream]

        task = asyncio.create_task(consume())
        await until(lambda: server.requests)
        await asyncio.sleep(0.05)
        await stream.aclose()
        assert stream.completion.outcome == "interrupted"
        assert await task
        assert task.cancelling() == 0
        await until(lambda: not server.open)
    assert stream.completion.text == "begun"
    assert stream.completion.error is None


@pytest.mark.parametrize("script", [answer("a", "b"), [head(), piece(delta("a")), HANG]])
async def test_a_call_that_is_over_is_let_go_of_without_a_collector(script: Script) -> None:
    def parts() -> set[int]:
        return {id(each) for each in gc.get_objects() if type(each) in (Segment, Attempt, Stream)}

    gc.collect()
    gc.disable()
    before = parts()
    try:
        async with ScriptedServer([script]) as server, client_of(server) as client:
            stream = client.stream("Hi")
            async for batch in stream.batches():
                if script[-1] == HANG and any(isinstance(each, TextDelta) for each in batch):
                    break
            await stream.aclose()
            del stream
            assert parts() <= before
    finally:
        gc.enable()


async def test_stop_between_two_events_closes_the_connection() -> None:
    async with ScriptedServer([LONG]) as server, client_of(server) as client:
        stream = client.stream("Hi")
        async for event in stream:
            if isinstance(event, TextDelta):
                break
        await stream.aclose()
        await until(lambda: not server.open)
        assert stream.completion.outcome == "interrupted"
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_a_stop_after_the_last_word_interrupts_nothing() -> None:
    script = [head(), piece(delta("whole")), piece(delta("", finish="stop")), HANG]
    async with ScriptedServer([script]) as server, client_of(server) as client:
        stream = client.stream("Hi")
        async for event in stream:
            if isinstance(event, Finish):
                break
        await stream.aclose()
        await until(lambda: not server.open)
    assert (stream.completion.outcome, stream.completion.text) == ("complete", "whole")


async def test_a_cancelled_consumer_closes_the_connection_and_leaves_no_task() -> None:
    async with ScriptedServer([LONG]) as server, client_of(server) as client:
        stream = client.stream("Hi")

        async def consume() -> None:
            async for _ in stream.batches():
                pass

        task = asyncio.create_task(consume())
        await until(lambda: server.requests)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not server.open)
        assert stream.completion.outcome == "interrupted"
        assert stream.completion.text == "begun"
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_stream_stopped_before_it_began_sends_nothing() -> None:
    async with ScriptedServer([LONG]) as server, client_of(server) as client:
        stream = client.stream("Hi")
        await stream.aclose()
        assert stream.completion.outcome == "interrupted"
        assert [event async for event in stream] == []
    assert server.requests == []


async def test_the_completion_is_there_only_when_the_call_is_over() -> None:
    async with ScriptedServer([answer("x")]) as server, client_of(server) as client:
        stream = client.stream("Hi")
        with pytest.raises(RuntimeError, match="not ended"):
            _ = stream.completion
        await anext(stream)
        with pytest.raises(RuntimeError, match="not ended"):
            _ = stream.completion
        await stream.aclose()


async def test_after_an_error_the_iteration_is_over_for_ever() -> None:
    async with ScriptedServer([[RESET]]) as server, client_of(server) as client:
        stream = client.stream("Hi")
        with pytest.raises(Disconnected):
            [event async for event in stream]
        for _ in range(2):
            with pytest.raises(StopAsyncIteration):
                await anext(stream)


async def test_run_returns_the_completion_with_its_error_instead_of_raising() -> None:
    async with ScriptedServer([[head(), piece(delta("half")), END]]) as server, client_of(server) as client:
        batches: list[object] = []
        completion = await client.stream("Hi").run(batches.append)
    assert isinstance(completion.error, IncompleteStream)
    assert batches


async def test_without_a_key_one_sentence_names_the_three_ways_on() -> None:
    async with Client() as client:
        with pytest.raises(MissingKey) as caught:
            client.stream("Hi")
    for way in ("DEEPSEEK_API_KEY", "%deepseek_demo", "deepseek-magic demo", "--base-url"):
        assert way in str(caught.value)
    assert str(caught.value).count(". ") == 0


async def test_old_model_names_are_translated_for_deepseek() -> None:
    async with ScriptedServer([answer("x")]) as server, client_of(server) as client:
        await client.complete("Hi", model="deepseek-chat")
    assert server.requests[0].json["model"] == "deepseek-flash"
    assert server.requests[0].json["thinking"] == {"type": "disabled"}


async def test_half_a_character_in_the_prompt_is_refused_before_sending() -> None:
    async with ScriptedServer([answer("x")]) as server, client_of(server) as client:
        with pytest.raises(ConfigurationError):
            await client.complete("broken \ud800 text")
    assert server.requests == []
