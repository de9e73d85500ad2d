"""The demo as a server: real clients find DeepSeek, connections live on, nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from deepseek_magic.demo.api.inquiry import asked_for
from deepseek_magic.demo.api.ratelimit import RateLimit
from deepseek_magic.demo.api.replies import reply
from deepseek_magic.demo.faults.spec import Faults
from deepseek_magic.demo.server import DemoServer, Pace
from deepseek_magic.protocol.chat import DONE, ChatDecoder, Request
from deepseek_magic.protocol.completion import Accumulator

Ask = Callable[..., Any]
KEY = "sk-test-1234"
OFF = {"type": "disabled"}
HELLO = [{"role": "user", "content": "你好, a table please"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture(scope="module")
def server() -> Iterator[DemoServer]:
    with DemoServer(pace=0) as running:
        yield running


@pytest.fixture
def client(server: DemoServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.base_url, api_key=KEY, max_retries=0) as made:
        yield made


def said(messages: Any = HELLO, **fields: Any) -> str:
    return reply(asked_for({"model": "deepseek-flash", "messages": messages, **fields})).text


# the official client, unchanged


@pytest.mark.parametrize("base", ["", "/v1", "/beta"])
def test_the_official_client_gets_an_answer_on_every_base(server: DemoServer, base: str) -> None:
    with openai.OpenAI(base_url=server.base_url + base, api_key=KEY) as client:
        answer = client.chat.completions.create(model="deepseek-flash", messages=HELLO)
    assert answer.choices[0].message.content == said()
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.reasoning_content
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_the_official_client_streams_the_same_text(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="deepseek-flash", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == said()
    assert len(chunks) > 40
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert len({chunk.id for chunk in chunks}) == 1


async def test_the_official_asynchronous_client_works_on_a_server_of_the_same_loop() -> None:
    async with DemoServer(pace=0) as server, openai.AsyncOpenAI(base_url=server.base_url, api_key=KEY) as client:
        stream = await client.chat.completions.create(model="deepseek-flash", messages=HELLO, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == said()


def test_the_official_client_calls_a_tool_and_gets_its_result_answered(client: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "How is the weather in Paris?"}]
    first = client.chat.completions.create(model="deepseek-flash", messages=messages, tools=[WEATHER])
    message = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls"
    assert json.loads(message.tool_calls[0].function.arguments) == {"city": "Paris"}
    called = message.model_dump(exclude_none=True)
    messages += [called, {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "rain"}]
    second = client.chat.completions.create(model="deepseek-flash", messages=messages, tools=[WEATHER])
    assert "rain" in (second.choices[0].message.content or "")


def test_the_official_client_gets_json(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="deepseek-v4-pro",
        messages=[{"role": "user", "content": "json please"}],
        response_format={"type": "json_object"},
    )
    assert json.loads(answer.choices[0].message.content or "")["model"] == "deepseek-v4-pro"


def test_the_official_client_knows_the_errors(server: DemoServer, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="supported API model names"):
        client.chat.completions.create(model="gpt", messages=HELLO)
    server.fault = "429-balance times=1"
    with pytest.raises(openai.RateLimitError, match="remaining balance"):
        client.chat.completions.create(model="deepseek-flash", messages=HELLO)
    server.fault = None


def test_models_and_balance(client: openai.OpenAI, server: DemoServer, http: Ask) -> None:
    assert [model.id for model in client.models.list()] == ["deepseek-flash", "deepseek-v4-pro"]
    balance = http(server, method="GET", path="/user/balance").json
    assert balance["is_available"] is True
    assert balance["balance_infos"][0]["total_balance"] == "110.00"


# our own reader


def test_our_decoder_reads_the_stream_without_loss(server: DemoServer, ask: Ask) -> None:
    asked = "the weather, as a table"
    for fields in ({}, {"thinking": OFF}, {"tools": [WEATHER]}):
        heard = ask(server, asked, **fields)
        decoder, folded = ChatDecoder(), Accumulator(Request.of(asked))
        for payload in heard.payloads:
            if payload != DONE:
                for event in decoder.decode(payload):
                    folded.add(event)
        wanted = reply(
            asked_for({"model": "deepseek-flash", "messages": [{"role": "user", "content": asked}], **fields})
        )
        completion = folded.completion()
        assert (completion.text, completion.reasoning) == (wanted.text, wanted.reasoning)
        assert [call.arguments for call in completion.tool_calls] == [call.arguments for call in wanted.calls]
        assert completion.outcome == "complete"


def test_chunks_have_the_shape_of_deepseek_s_own_code(server: DemoServer, ask: Ask) -> None:
    recipe = pytest.importorskip("deepseek_recipe")
    options = recipe.ConversionOptions().with_model_alias("deepseek-flash", recipe.ModelVersion.DeepseekV41Flash)
    for fields in ({}, {"thinking": OFF}, {"stream_options": {"include_usage": True}}):
        asked = {"model": "deepseek-flash", "messages": HELLO, "stream": True, **fields}
        converted = recipe.ChatCompletionRequest(asked).convert(options)
        generator = recipe.ChatCompletionRequest.chunk_generator(converted, "id", "deepseek-flash")
        processor = recipe.StreamProcessor(generator, converted.parsing_options)
        heard = ask(server, HELLO[0]["content"], **fields)
        thought = heard.channel("reasoning_content")
        parts = [thought, "</think>", heard.text] if thought else [heard.text]
        made = [chunk for part in parts for chunk in processor.push(recipe.InferenceChunk.text(part, 1))]
        made += processor.push(recipe.InferenceChunk.finish(recipe.InferenceFinishReason.Stop))
        theirs = [json.loads(chunk.to_json()) for chunk in made]
        for mine, judge in ((heard.chunks[0], theirs[0]), (heard.chunks[1], theirs[1]), (heard.chunks[-1], theirs[-1])):
            assert {*mine} - {"system_fingerprint"} == {*judge} - {"system_fingerprint"}
            assert mine["choices"][0].keys() == judge["choices"][0].keys()
            assert {k: type(v) for k, v in mine["choices"][0]["delta"].items()} == {
                k: type(v) for k, v in judge["choices"][0]["delta"].items()
            }
            assert mine["choices"][0]["finish_reason"] == judge["choices"][0]["finish_reason"]
        assert {*theirs[-1]["usage"]} <= {*heard.chunks[-1]["usage"]}


# the API's rules that need a server


def test_a_prefix_is_continued_under_beta_alone(server: DemoServer, http: Ask) -> None:
    whole = said()
    messages = [*HELLO, {"role": "assistant", "content": whole[:40], "prefix": True, "reasoning_content": "done"}]
    asked = {"model": "deepseek-flash", "messages": messages, "stream": True}
    heard = http(server, asked, path="/beta/chat/completions")
    assert whole[:40] + heard.text == whole
    assert heard.chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", "reasoning_content": None}
    assert heard.channel("reasoning_content") == ""
    refused = http(server, asked)
    assert refused.status == 400
    assert "beta" in refused.json["error"]["message"]


def test_a_thought_is_continued_and_then_answered(server: DemoServer, ask: Ask, http: Ask) -> None:
    whole = ask(server, HELLO[0]["content"])
    thought = whole.channel("reasoning_content")
    messages = [*HELLO, {"role": "assistant", "content": "", "prefix": True, "reasoning_content": thought[:10]}]
    heard = http(
        server, {"model": "deepseek-flash", "messages": messages, "stream": True}, path="/beta/chat/completions"
    )
    assert thought[:10] + heard.channel("reasoning_content") == thought
    assert heard.text == whole.text


@pytest.mark.parametrize("budget", [1, 10, 60])
def test_the_budget_counts_thoughts_and_answer(server: DemoServer, ask: Ask, budget: int) -> None:
    heard = ask(server, max_tokens=budget)
    usage = heard.chunks[-1]["usage"]
    deltas = [c["choices"][0]["delta"] for c in heard.chunks]
    assert heard.finish == "length"
    assert usage["completion_tokens"] == budget
    assert sum(bool(d.get("content") or d.get("reasoning_content")) for d in deltas) == budget


def test_a_call_that_the_budget_cuts_ends_with_length(server: DemoServer, ask: Ask) -> None:
    heard = ask(server, "weather in Paris", tools=[WEATHER], thinking=OFF, max_tokens=2)
    arguments = "".join(
        call["function"]["arguments"] for c in heard.chunks for call in c["choices"][0]["delta"].get("tool_calls", ())
    )
    assert heard.finish == "length"
    with pytest.raises(ValueError, match=r"."):
        json.loads(arguments)


def test_a_stop_text_ends_the_answer_before_it(server: DemoServer, ask: Ask) -> None:
    heard = ask(server, HELLO[0]["content"], stop=["开普勒", "木星"])
    assert heard.text == said().split("木星")[0]
    assert heard.finish == "stop"


def test_a_growing_chat_hits_the_cache_in_whole_units(ask: Ask, http: Ask) -> None:
    with DemoServer(pace=0) as server:
        messages: list[Any] = [{"role": "user", "content": "long 1"}]
        hits = []
        for _ in range(3):
            heard = http(server, {"model": "deepseek-flash", "messages": messages, "thinking": OFF})
            usage = heard.json["usage"]
            assert usage["prompt_tokens"] == usage["prompt_cache_hit_tokens"] + usage["prompt_cache_miss_tokens"]
            assert usage["prompt_tokens_details"]["cached_tokens"] == usage["prompt_cache_hit_tokens"]
            hits.append(usage["prompt_cache_hit_tokens"])
            messages += [
                {"role": "assistant", "content": heard.json["choices"][0]["message"]["content"]},
                {"role": "user", "content": "long 1"},
            ]
    assert hits[0] == 0 < hits[1] < hits[2]
    assert all(hit % 64 == 0 for hit in hits)


def test_the_same_question_has_the_same_answer_on_every_server(ask: Ask) -> None:
    heard = []
    for _ in range(2):
        with DemoServer(pace=0) as server:
            heard.append(ask(server))
    assert heard[0].text == heard[1].text
    assert heard[0].channel("reasoning_content") == heard[1].channel("reasoning_content")


def test_keys(http: Ask) -> None:
    asked = {"model": "deepseek-flash", "messages": HELLO}
    with DemoServer(pace=0, key=KEY) as server:
        assert http(server, asked, key=KEY).status == 200
        wrong = http(server, asked, key="sk-wrong-e78f")
        assert wrong.status == 401
        assert wrong.json["error"]["type"] == "authentication_error"
        assert wrong.json["error"]["message"].startswith("Authentication Fails, Your api key: ****e78f is invalid")
        none = http(server, asked, key=None)
        assert (none.status, len(none.body), none.headers["server"]) == (401, 31, "openresty")
        assert http(server, method="GET", path="/models", key=None).status == 401
        assert KEY not in repr(server.requests)


def test_an_empty_purse_is_402(http: Ask) -> None:
    with DemoServer(pace=0, balance=0) as server:
        assert http(server, {"model": "deepseek-flash", "messages": HELLO}).status == 402
        assert http(server, method="GET", path="/user/balance").json["is_available"] is False


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"[1]", 400), (b'{"a": NaN}', 400), (b"\xff", 400)])
def test_what_is_not_json_is_refused(server: DemoServer, http: Ask, body: bytes, status: int) -> None:
    heard = http(server, body)
    assert heard.status == status
    assert heard.json["error"]["type"] == "invalid_request_error"


def test_half_a_surrogate_pair_does_not_break_the_stream(server: DemoServer, http: Ask) -> None:
    asked = rb'{"model":"deepseek-flash","stream":true,"messages":[{"role":"user","content":"echo \ud83d"}]}'
    assert "echo ?" in http(server, asked).text


def test_unknown_paths_and_endless_bodies(server: DemoServer, http: Ask) -> None:
    assert http(server, {}, path="/bta/chat/completions").status == 404
    with socket.create_connection(("127.0.0.1", int(server.base_url.rsplit(":", 1)[1]))) as sock:
        sock.sendall(b"POST /chat/completions HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 413")


def test_every_answer_has_a_trace_id(server: DemoServer, http: Ask) -> None:
    answers = [
        http(server, {"model": "deepseek-flash", "messages": HELLO}),
        http(server, {"model": "gpt", "messages": HELLO}),
        http(server, method="GET", path="/models"),
        http(server, key=None),
        http(server, path="/nothing"),
    ]
    assert len({heard.headers["x-ds-trace-id"] for heard in answers}) == len(answers)


# HTTP


def test_one_connection_serves_many_requests(server: DemoServer) -> None:
    import http.client

    asked = json.dumps({"model": "deepseek-flash", "messages": HELLO, "stream": True})
    connection = http.client.HTTPConnection(server.base_url.removeprefix("http://"), timeout=5)
    for _ in range(5):
        connection.request("POST", "/chat/completions", asked, {"Authorization": f"Bearer {KEY}"})
        assert connection.getresponse().read().endswith(b"data: [DONE]\n\n")
    connection.close()
    assert len({seen.connection for seen in server.requests[-5:]}) == 1


def test_http_1_0_clients_get_no_chunks(server: DemoServer, http: Ask) -> None:
    heard = http(server, {"model": "deepseek-flash", "messages": HELLO, "stream": True}, version="HTTP/1.0")
    assert "transfer-encoding" not in heard.headers
    assert heard.text == said()


def test_gzip_is_used_when_it_is_offered_and_switched_on(ask: Ask) -> None:
    import zlib

    with DemoServer(pace=0, gzip=True) as server:
        assert "content-encoding" not in ask(server).headers
        heard = ask(server, gzip=True)
        assert heard.headers["content-encoding"] == "gzip"
        unpacked = zlib.decompressobj(16 + zlib.MAX_WBITS)
        assert unpacked.decompress(heard.body).endswith(b"data: [DONE]\n\n")
        assert unpacked.eof


def test_chunked_request_bodies_are_read(server: DemoServer) -> None:
    body = json.dumps({"model": "deepseek-flash", "messages": HELLO}).encode()
    head = f"POST /chat/completions HTTP/1.1\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n"
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:20], body[20:]))
    with socket.create_connection(("127.0.0.1", int(server.base_url.rsplit(":", 1)[1]))) as sock:
        sock.sendall(f"{head}transfer-encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\n\r\n")
        assert sock.recv(15) == b"HTTP/1.1 200 OK"


# limits


async def test_more_answers_at_once_than_allowed_are_refused_with_the_limit() -> None:
    async with DemoServer(pace=Pace(first_token_s=0.2, jitter=0), concurrency=3) as server:
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key=KEY, max_retries=0) as client:

            async def one() -> str:
                try:
                    await client.chat.completions.create(model="deepseek-flash", messages=HELLO, max_tokens=5)
                except openai.RateLimitError as error:
                    return str(error)
                return ""

            said = await asyncio.gather(*(one() for _ in range(5)))
        refused = [message for message in said if message]
        assert len(refused) == 2
        assert all("concurrency limit of 3." in message for message in refused)
        assert server.running == 0
        assert server.most_running == 3


@pytest.mark.parametrize(("dialect", "name"), [
    ("openai", "x-ratelimit-remaining-requests"), ("groq", "x-ratelimit-remaining-requests"),
    ("github", "x-ratelimit-remaining"), ("openrouter", "x-ratelimit-remaining"),
    ("anthropic", "anthropic-ratelimit-requests-remaining"), ("ietf-06", "ratelimit-remaining"),
])  # fmt: skip
def test_rate_limit_headers_count_down_and_then_refuse(http: Ask, dialect: Any, name: str) -> None:
    asked = {"model": "deepseek-flash", "messages": HELLO}
    with DemoServer(pace=0, rate_limit=RateLimit(limit=2, window_s=60, dialect=dialect)) as server:
        heard = [http(server, asked) for _ in range(3)]
    assert [h.status for h in heard] == [200, 200, 429]
    assert [h.headers[name] for h in heard] == ["1", "0", "0"]
    assert int(heard[-1].headers["retry-after"]) <= 60


def test_the_structured_rate_limit_field_is_written_as_the_draft_says(http: Ask) -> None:
    with DemoServer(pace=0, rate_limit=RateLimit(limit=2, window_s=60, dialect="ietf")) as server:
        headers = http(server, {"model": "deepseek-flash", "messages": HELLO}).headers
    assert headers["ratelimit"] == '"default";r=1;t=60'
    assert headers["ratelimit-policy"] == '"default";q=2;w=60'


# resuming by id


def test_a_stream_with_ids_goes_on_behind_the_last_one_seen(http: Ask) -> None:
    asked = {"model": "deepseek-flash", "messages": HELLO, "stream": True}
    with DemoServer(pace=0, ids="resume", retry_ms=300) as server:
        server.fault = "cut at=content after=7 times=1"
        first = http(server, asked)
        assert first.body.startswith(b"retry: 300\nid: ")
        last = [line[4:] for line in first.body.decode().splitlines() if line.startswith("id: ")][-1]
        second = http(server, asked, Last_Event_ID=last)
        assert first.text + second.text == said()
        assert second.chunks[0]["id"] == first.chunks[0]["id"]
        server.ids = "inclusive"
        again = http(server, asked, Last_Event_ID=last)
        assert again.chunks[0] == first.chunks[-1]
        server.ids = "replay"
        assert http(server, asked, Last_Event_ID=last).text == said()
        server.ids = "ignore"
        assert http(server, asked, Last_Event_ID=last).chunks[0]["id"] != first.chunks[0]["id"]
        server.ids = "count"
        for name in (last, "7"):
            counted = http(server, asked, Last_Event_ID=name)
            assert counted.body.startswith(b"retry: 300\nid: 1\n")
            assert counted.text == said()


def test_deepseek_itself_sends_no_ids(server: DemoServer, ask: Ask) -> None:
    assert not [line for line in ask(server).body.splitlines() if line.startswith((b"id:", b"retry:", b"event:"))]


# pace


def test_scripted_times_are_kept() -> None:
    script = Pace(queue_s=0.2, first_token_s=0.1, thinking_s=0.3, tokens_per_s=100, jitter=0, keepalive_s=0.05)
    asked = json.dumps({"model": "deepseek-flash", "messages": HELLO, "stream": True, "max_tokens": 60}).encode()
    with DemoServer(pace=script) as server:
        port = int(server.base_url.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port)) as sock:
            began = time.monotonic()
            sock.sendall(
                b"POST /chat/completions HTTP/1.1\r\nauthorization: Bearer x\r\nconnection: close\r\n"
                + f"content-length: {len(asked)}\r\n\r\n".encode()
                + asked
            )
            marks: dict[bytes, list[float]] = {b": keep-alive": [], b'"reasoning_content":"': [], b'"content":"': []}
            while data := sock.recv(65536):
                for mark, times in marks.items():
                    times += [time.monotonic() - began] * data.count(mark)
    beats, thoughts, words = marks.values()
    thoughts = thoughts[1:]  # the first one is empty and opens the answer
    assert len(beats) == 4
    assert beats[-1] == pytest.approx(0.15, abs=0.05)
    assert thoughts[0] == pytest.approx(0.3, abs=0.05)
    assert words[0] == pytest.approx(0.6, abs=0.05)
    assert words[-1] - words[0] == pytest.approx((60 - len(thoughts)) / 100, abs=0.05)


def test_an_unstreamed_answer_waits_with_empty_lines(http: Ask) -> None:
    with DemoServer(pace=Pace(queue_s=0.1, keepalive_s=0.02, first_token_s=0, tokens_per_s=1e9)) as server:
        heard = http(server, {"model": "deepseek-flash", "messages": HELLO})
    assert heard.body.startswith(b"\n" * 5 + b"{")
    assert heard.json["choices"][0]["message"]["content"] == said()


def test_a_pace_of_nought_does_not_wait(server: DemoServer) -> None:
    assert set(server.pace.schedule(["start", "reasoning", "content", "finish", "done"])) == {0.0}


# life


async def test_stopping_leaves_no_task_and_no_connection() -> None:
    before = asyncio.all_tasks()
    server = DemoServer(pace=Pace(first_token_s=30))
    async with openai.AsyncOpenAI(base_url="http://x", api_key=KEY, max_retries=0) as client, server:
        client.base_url = server.base_url
        await client.chat.completions.create(model="deepseek-flash", messages=HELLO, stream=True)
        assert (server.open_connections, server.running) == (1, 1)
    assert asyncio.all_tasks() == before
    assert (server.open_connections, server.running) == (0, 0)


def test_a_client_that_leaves_stops_the_writing(ask: Ask) -> None:
    with DemoServer(pace=Pace(tokens_per_s=50)) as server:
        heard = ask(server, quiet_s=0.1)
        assert heard.ending == "open"
        deadline = time.monotonic() + 2
        while server.requests[-1].ended != "client left" and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.requests[-1].ended == "client left"
        assert server.running == 0


def test_a_server_in_a_thread_ends_with_its_block_and_can_begin_again(ask: Ask) -> None:
    server = DemoServer(pace=0)
    threads = threading.active_count()
    for _ in range(2):
        with server:
            assert ask(server).finish == "stop"
        assert threading.active_count() == threads
    server.stop()
    gc.collect()  # a socket that was left open would be reported here


def test_the_server_keeps_as_many_requests_as_it_was_told_and_none_of_its_own_switch(http: Ask) -> None:
    with DemoServer(pace=0, keep=2) as server:
        for path in ("/models", "/a", "/_demo", "/b"):
            http(server, method="GET", path=path)
        assert [seen.path for seen in server.requests] == ["/a", "/b"]


def test_a_port_that_is_taken_is_an_error_and_not_a_wait(server: DemoServer) -> None:
    with pytest.raises(OSError, match=r"in use|10048"):
        DemoServer(int(server.base_url.rsplit(":", 1)[1])).start()


def test_it_listens_on_this_machine_alone(server: DemoServer) -> None:
    assert server.base_url.startswith("http://127.0.0.1:")


def test_serve_prints_its_address_first_and_the_legend_of_its_fault() -> None:
    code = "from deepseek_magic.demo.server import serve; serve(0, 'cut after=20')"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.terminate()
    assert lines[0].startswith("http://127.0.0.1:")
    assert str(Faults("cut").faults[0].legend) in lines[2]


def test_no_answer_waits_for_the_acknowledgement_of_its_head() -> None:
    with DemoServer(pace=0) as server, socket.create_connection(("127.0.0.1", int(server.base_url.rpartition(":")[2]))):
        while not server._open_writers:
            time.sleep(0.001)
        (writer,) = server._open_writers
        assert writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
