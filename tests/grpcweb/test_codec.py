"""The bytes of gRPC-Web and of xAI's chat interface: by hand here, judged by the protobuf package and xAI's own descriptors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from xai_sdk.proto import chat_pb2, models_pb2, usage_pb2

from deepseek_magic.policy.causes import is_passing
from deepseek_magic.protocol.chat import ChatDecoder, Request
from deepseek_magic.protocol.errors import ConfigurationError, ProtocolError, status_error
from deepseek_magic.protocol.events import Finish, ReasoningDelta, TextDelta, ToolCallDelta, UsageReport
from deepseek_magic.protocol.grpcweb import frames, wire
from deepseek_magic.protocol.grpcweb.answering import Chunks, models
from deepseek_magic.protocol.grpcweb.asking import request

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
INT32 = st.integers(-(2**31), 2**31 - 1)
TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "of a city", "parameters": {"type": "object"}, "strict": True},
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Lima"}'}}


def parsed(body: dict[str, Any]) -> dict[str, Any]:
    """What protobuf reads in our request, by the interface's own names."""
    message = chat_pb2.GetCompletionsRequest.FromString(request(body))
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


# numbers and fields


@given(st.integers(-(2**63), 2**64 - 1))
def test_a_number_is_written_as_protobuf_writes_it(number: int) -> None:
    data = wire.number_field(11, number)
    ((field, value),) = wire.fields(data)
    assert field == 11
    assert isinstance(value, int)
    assert number in (value, wire.signed(value))
    if number < 2**63:
        assert usage_pb2.SamplingUsage.FromString(data).cost_in_usd_ticks == number


@given(st.integers(1, 2**29 - 1), TEXT, st.binary(max_size=40), st.floats(width=32, allow_nan=False))
def test_fields_come_back_in_their_order(field: int, text: str, data: bytes, number: float) -> None:
    sent = wire.text_field(field, text) + wire.bytes_field(field, data) + wire.float_field(field, number)
    numbers, values = zip(*wire.fields(sent), strict=True)
    assert numbers == (field,) * 3
    assert (wire.text(values[0]), wire.inner(values[1]), wire.real(values[2])) == (text, data, number)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_malformed_as_for_protobuf(data: bytes) -> None:
    try:
        known = usage_pb2.SamplingUsage.FromString(data)
    except Exception:
        return  # protobuf also judges what is inside of fields; it takes groups, which nobody writes any more
    try:
        read = [(number, value) for number, value in wire.fields(data) if number == 1 and isinstance(value, int)]
    except wire.Malformed as error:
        assert "kind 3" in str(error) or "kind 4" in str(error)  # noqa: PT017 - no error is as good
        return
    if read:
        assert known.completion_tokens == (wire.signed(read[-1][1]) + 2**31) % 2**32 - 2**31


@given(st.binary(max_size=60))
def test_any_bytes_are_a_chunk_or_a_protocol_error(data: bytes) -> None:
    for read in (Chunks().payload, models):
        try:
            json.loads(read(data))
        except ProtocolError as error:
            assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x0a", "ends inside"),
        (b"\x0a\x05abc", "ends inside"),
        (b"\x0d\x00", "ends inside"),
        (b"\x0b", "kind 3"),
        (b"\x00\x00", "without a number"),
        (b"\x08" + b"\xff" * 10, "does not end"),
    ],
)
def test_what_is_no_message_says_why(data: bytes, why: str) -> None:
    with pytest.raises(wire.Malformed, match=why):
        list(wire.fields(data))


def test_a_text_that_is_not_utf_8_is_damage() -> None:
    damaged = wire.bytes_field(2, wire.bytes_field(1, wire.bytes_field(1, b"\xff\xfe")))
    with pytest.raises(ProtocolError, match="no message of xAI") as caught:
        Chunks().payload(damaged)
    assert not caught.value.permanent


# what is asked


def test_every_setting_of_a_request_has_its_field() -> None:
    asked = Request.of(
        "Hello",
        system="Be short.",
        model="grok-4",
        temperature=0.5,
        top_p=0.25,
        max_tokens=100,
        stop=["END", "結束"],
        seed=7,
        tools=[TOOL],
        tool_choice={"type": "function", "function": {"name": "weather"}},
        logprobs=True,
        top_logprobs=3,
        user_id="u-1",
        extra_body={"n": 2, "frequency_penalty": -0.5, "presence_penalty": 1.5, "parallel_tool_calls": False},
    )
    assert parsed(asked.body()) == {
        "messages": [
            {"content": [{"text": "Be short."}], "role": "ROLE_SYSTEM"},
            {"content": [{"text": "Hello"}], "role": "ROLE_USER"},
        ],
        "model": "grok-4",
        "temperature": 0.5,
        "top_p": 0.25,
        "max_tokens": 100,
        "stop": ["END", "結束"],
        "seed": 7,
        "tools": [
            {
                "function": {
                    "name": "weather",
                    "description": "of a city",
                    "strict": True,
                    "parameters": '{"type": "object"}',
                }
            }
        ],
        "tool_choice": {"function_name": "weather"},
        "logprobs": True,
        "top_logprobs": 3,
        "user": "u-1",
        "n": 2,
        "frequency_penalty": -0.5,
        "presence_penalty": 1.5,
        "parallel_tool_calls": False,
    }


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ({"think": "off"}, "reasoning_effort", "EFFORT_NONE"),
        ({"think": "low"}, "reasoning_effort", "EFFORT_LOW"),
        ({"think": "high"}, "reasoning_effort", "EFFORT_HIGH"),
        ({"think": "max"}, "reasoning_effort", "EFFORT_XHIGH"),
        ({"extra_body": {"reasoning_effort": "medium"}}, "reasoning_effort", "EFFORT_MEDIUM"),
        ({"json": True}, "response_format", {"format_type": "FORMAT_TYPE_JSON_OBJECT"}),
        ({"tool_choice": "auto"}, "tool_choice", {"mode": "TOOL_MODE_AUTO"}),
        ({"tool_choice": "none"}, "tool_choice", {"mode": "TOOL_MODE_NONE"}),
        ({"tool_choice": "required"}, "tool_choice", {"mode": "TOOL_MODE_REQUIRED"}),
        ({"stop": "END"}, "stop", ["END"]),
        (
            {"extra_body": {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "string"}}}}},
            "response_format",
            {"format_type": "FORMAT_TYPE_JSON_SCHEMA", "schema": '{"type": "string"}'},
        ),
        ({"extra_body": {"store_messages": True}}, "store_messages", True),
    ],
)
def test_words_become_the_interface_s_own(options: dict[str, Any], field: str, value: object) -> None:
    assert parsed(Request.of("x", **options).body())[field] == value


def test_a_tool_need_not_be_strict() -> None:
    tool = {"type": "function", "function": {"name": "now"}}
    (sent,) = parsed(Request.of("x", tools=[tool]).body())["tools"]
    assert sent == {"function": {"name": "now", "parameters": "{}"}}


def test_a_conversation_with_tools_and_images_is_told_as_it_was() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}
    said = parsed(
        Request.of(
            [
                {"role": "user", "content": [{"type": "text", "text": "this?"}, image], "name": "ann"},
                {"role": "assistant", "content": "", "reasoning_content": "hm", "tool_calls": [CALL]},
                {"role": "tool", "content": "42", "tool_call_id": "call_1"},
            ],
            tools=[TOOL],
        ).body()
    )
    user, assistant, tool = said["messages"]
    assert user["content"][1] == {
        "image_url": {"image_url": "data:image/png;base64,AAAA", "detail": "DETAIL_LOW"},
    }
    assert user["name"] == "ann"
    assert assistant["reasoning_content"] == "hm"
    assert assistant["tool_calls"] == [
        {
            "id": "call_1",
            "type": "TOOL_CALL_TYPE_CLIENT_SIDE_TOOL",
            "function": {"name": "weather", "arguments": '{"city": "Lima"}'},
        }
    ]
    assert tool == {"content": [{"text": "42"}], "role": "ROLE_TOOL", "tool_call_id": "call_1"}


@given(TEXT, TEXT, INT32, st.floats(0, 2, width=32))
def test_any_text_arrives_as_it_was_typed(prompt: str, name: str, seed: int, temperature: float) -> None:
    body = {
        "model": name,
        "messages": [{"role": "user", "content": prompt}],
        "seed": seed,
        "temperature": temperature,
    }
    message = chat_pb2.GetCompletionsRequest.FromString(request(body))
    assert (message.messages[0].content[0].text if prompt else "") == prompt
    assert (message.model, message.seed, message.temperature) == (name, seed, temperature)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"logit_bias": {}}, "logit_bias cannot be sent: xAI's gRPC interface has no field for it."),
        ({"seed": 2**40}, "it takes a whole number from -2147483648 to 2147483647"),
        ({"temperature": "warm"}, "temperature cannot be 'warm': it takes a number"),
        ({"temperature": 1e300}, "it takes a number"),
        ({"user": 5}, "it takes text"),
        ({"logprobs": "yes"}, "on or off"),
        ({"reasoning_effort": "huge"}, "it takes one of low, medium, high"),
        ({"tools": [{"name": "weather"}]}, "tools cannot be .*: it is not in the chat API's form"),
        ({"tools": 5}, "it is not in the chat API's form"),
        ({"messages": [{"role": "poet"}]}, "role cannot be 'poet'"),
        ({"messages": [{"role": "assistant", "prefix": True}]}, "prefix cannot be sent"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "audio cannot be sent"),
    ],
)
def test_what_has_no_field_is_said_in_one_sentence(extra: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        request({"messages": [{"role": "user", "content": "x"}], **extra})
    assert "\n" not in str(caught.value)


# what comes back


def chunk(**outputs: Any) -> bytes:
    message = chat_pb2.GetChatCompletionChunk(id="id-1", model="grok-4", system_fingerprint="fp")
    json_format.ParseDict({"outputs": [outputs]}, message)
    message.created.GetCurrentTime()
    data: bytes = message.SerializeToString()
    return data


def events(*messages: bytes) -> list[Any]:
    chunks, decoder = Chunks(), ChatDecoder()
    return [event for message in messages for event in decoder.decode(chunks.payload(message))]


def test_pieces_reasoning_calls_and_the_end_become_the_chat_api_s() -> None:
    call = {
        "id": "call_1",
        "type": "TOOL_CALL_TYPE_CLIENT_SIDE_TOOL",
        "function": {"name": "weather", "arguments": "{}"},
    }
    own = {"id": "s1", "type": "TOOL_CALL_TYPE_WEB_SEARCH_TOOL", "function": {"name": "web", "arguments": "{}"}}
    started, *rest = events(
        chunk(delta={"reasoning_content": "Hm", "role": "ROLE_ASSISTANT"}),
        chunk(delta={"content": "流式"}),
        chunk(delta={"content": "not ours"}, index=1),
        chunk(delta={"tool_calls": [own, call]}),
        chunk(delta={}, finish_reason="REASON_TOOL_CALLS"),
    )
    assert (started.id, started.model, started.system_fingerprint) == ("id-1", "grok-4", "fp")
    assert rest == [
        ReasoningDelta(text="Hm"),
        TextDelta(text="流式"),
        ToolCallDelta(index=0, id="call_1", name="weather", arguments="{}"),
        Finish(reason="tool_calls"),
    ]


@pytest.mark.parametrize(
    ("reason", "ours"),
    [
        ("REASON_STOP", "stop"),
        ("REASON_MAX_LEN", "length"),
        ("REASON_MAX_CONTEXT", "length"),
        ("REASON_TIME_LIMIT", "aborted"),
        ("REASON_TOOL_CALLS", "tool_calls"),
    ],
)
def test_each_finish_reason_means_one_of_ours(reason: str, ours: str) -> None:
    assert events(chunk(delta={}, finish_reason=reason))[-1] == Finish(reason=ours)


def test_a_reason_that_nobody_knows_is_no_end() -> None:
    output = wire.number_field(3, 77)
    (finish,) = events(wire.bytes_field(2, output))
    assert finish == Finish(reason="reason 77")


def test_every_finish_reason_of_the_interface_is_known() -> None:
    known = chat_pb2.GetChatCompletionChunk.DESCRIPTOR.fields_by_name["outputs"].message_type
    reasons = known.fields_by_name["finish_reason"].enum_type.values
    for value in reasons:
        if value.number:
            (_, finish) = events(chunk(delta={}, finish_reason=value.name))
            assert not finish.reason.startswith("reason "), value.name


@pytest.mark.parametrize(("completion", "total"), [(30, 60), (50, 60)], ids=["reasoning beside", "reasoning inside"])
def test_reasoning_is_counted_once_however_the_server_counts_it(completion: int, total: int) -> None:
    message = chat_pb2.GetChatCompletionChunk()
    json_format.ParseDict(
        {
            "usage": {
                "completion_tokens": completion,
                "reasoning_tokens": 20,
                "prompt_tokens": 10,
                "total_tokens": total,
                "cached_prompt_text_tokens": 4,
            }
        },
        message,
    )
    (report,) = events(message.SerializeToString())
    assert isinstance(report, UsageReport)
    usage = report.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (10, 50, 60)
    assert (usage.reasoning_tokens, usage.cache_hit_tokens, usage.cache_miss_tokens) == (20, 4, 6)


def test_log_probabilities_are_the_chat_api_s() -> None:
    token = {"token": "a", "logprob": -0.5, "bytes": "YQ==", "top_logprobs": [{"token": "b", "logprob": -1.5}]}
    said = json.loads(Chunks().payload(chunk(delta={"content": "a"}, logprobs={"content": [token]})))
    assert said["choices"][0]["logprobs"]["content"] == [
        {
            "token": "a",
            "logprob": -0.5,
            "bytes": [97],
            "top_logprobs": [{"token": "b", "logprob": -1.5, "bytes": []}],
        }
    ]


@given(st.lists(TEXT.filter(bool), max_size=5))
def test_any_pieces_come_back_joined(pieces: list[str]) -> None:
    told = events(*(chunk(delta={"content": piece}) for piece in pieces))
    text = "".join(event.text for event in told if isinstance(event, TextDelta))
    whole = "".join(pieces)
    assert whole.startswith(text)
    assert whole[len(text) :] in ("", "\ufffd") or "<" in whole  # held back until what follows is known


def test_models_are_listed_by_name() -> None:
    listed = models_pb2.ListLanguageModelsResponse()
    listed.models.add(name="grok-4", aliases=["grok"], max_prompt_length=5)
    listed.models.add(name="grok-mini")
    assert [one["id"] for one in json.loads(models(listed.SerializeToString()))["data"]] == ["grok-4", "grok-mini"]
    with pytest.raises(ProtocolError, match="list of models"):
        models(b"\x0a\xff")


def test_fields_that_nobody_knows_yet_are_passed_over_wherever_they_are() -> None:
    new = wire.text_field(99, "new") + wire.number_field(98, 1)
    call = (
        wire.text_field(1, "c1") + new + wire.bytes_field(10, wire.text_field(1, "f") + new + wire.text_field(2, "{}"))
    )
    delta = new + wire.text_field(1, "a") + wire.bytes_field(3, call + new)
    token = new + wire.text_field(1, "a") + new
    logprobs = new + wire.bytes_field(1, token)
    output = new + wire.bytes_field(1, delta) + wire.bytes_field(2, logprobs) + new
    said = json.loads(Chunks().payload(new + wire.bytes_field(2, output) + wire.bytes_field(6, new) + new))
    (choice,) = said["choices"]
    assert choice["delta"]["content"] == "a"
    assert choice["delta"]["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
    assert choice["logprobs"]["content"][0]["token"] == "a"
    listed = wire.bytes_field(1, new + wire.text_field(1, "grok") + new) + new
    assert [one["id"] for one in json.loads(models(listed))["data"]] == ["grok"]


@pytest.mark.parametrize(
    "message",
    [
        wire.number_field(2, 5),  # outputs as a number
        wire.number_field(1, 5),  # the id as a number
        wire.bytes_field(2, wire.text_field(3, "stop")),  # the reason as text
        wire.bytes_field(
            2, wire.bytes_field(2, wire.bytes_field(1, wire.number_field(2, 1)))
        ),  # a probability as a number
    ],
)
def test_a_field_of_another_type_is_damage(message: bytes) -> None:
    with pytest.raises(ProtocolError, match="no message of xAI"):
        Chunks().payload(message)


# frames


@given(st.lists(st.binary(max_size=300), max_size=6), st.data())
def test_however_the_bytes_are_cut_the_messages_are_the_same(messages: list[bytes], data: st.DataObject) -> None:
    trailers = b"grpc-status:0\r\ngrpc-message: it%20went%20well\r\n"
    body = b"".join(map(frames.frame, messages)) + b"\x80" + len(trailers).to_bytes(4) + trailers
    reader, read, at = frames.Frames(), [], 0
    while at < len(body):
        size = data.draw(st.integers(1, 80))
        read += reader.feed(body[at : at + size])
        at += size
        assert (reader.trailers is not None) == (at >= len(body))
    assert read == messages
    assert reader.trailers is not None
    assert frames.status_in(reader.trailers) == 0
    assert frames.said_in(reader.trailers) == "it went well"
    assert reader.feed(b"anything") == []  # is no part of the answer


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"\x01\x00\x00\x00\x00", "compressed"),
        (b"\x00\xff\xff\xff\xff", "4294967295 bytes"),
        (b"<html", "no frame of gRPC-Web"),
    ],
)
def test_what_is_no_frame_says_so(head: bytes, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        frames.Frames().feed(head)


@pytest.mark.parametrize(
    ("code", "status", "passing"),
    [
        (1, 503, True),
        (2, 500, True),
        (3, 400, False),
        (4, 504, True),
        (5, 404, False),
        (7, 403, False),
        (8, 429, True),
        (12, 404, False),
        (13, 500, True),
        (14, 503, True),
        (16, 401, False),
    ],
)
def test_a_code_is_a_row_of_the_one_table_of_causes(code: int, status: int, passing: bool) -> None:
    assert frames.http_status(code) == status
    assert is_passing(status_error(status, ""), status=status) is passing


def test_a_request_that_is_too_large_would_be_refused_again() -> None:
    assert frames.http_status(8, "Received message larger than max (5000 vs. 4096)") == 413


@pytest.mark.parametrize(
    ("said", "code"), [("0", 0), ("14", 14), ("99", 2), ("-1", 2), ("x", 2), ("9" * 9999, 2), (None, None)]
)
def test_what_is_no_code_is_an_unknown_failure(said: str | None, code: int | None) -> None:
    assert frames.status_in({} if said is None else {"grpc-status": said}) == code


def test_of_a_sentence_without_end_the_beginning_is_kept() -> None:
    assert frames.said_in({"grpc-message": "too%20" * 10_000}).startswith("too too")
    assert len(frames.said_in({"grpc-message": "x" * 10**6})) == 1000


def test_a_large_message_may_come_byte_by_byte() -> None:
    message = bytes(200_000)
    data = frames.frame(message)
    reader = frames.Frames()
    assert [each for at in range(len(data)) for each in reader.feed(data[at : at + 1])] == [message]


def test_the_server_s_word_on_asking_again_is_read_as_other_hosts_write_it() -> None:
    assert frames.wait_headers({"grpc-retry-pushback-ms": "1500"}) == {"retry-after-ms": "1500"}
    assert frames.wait_headers({"grpc-retry-pushback-ms": "-1"}) == {"x-should-retry": "false"}
    assert frames.wait_headers({}) == {}


def test_no_option_is_left_without_a_field_or_a_sentence() -> None:
    everything = {
        "temperature": 1,
        "top_p": 0.5,
        "max_tokens": 5,
        "stop": ["x"],
        "think": "high",
        "json": True,
        "seed": 1,
        "tools": [TOOL],
        "tool_choice": "auto",
        "logprobs": True,
        "top_logprobs": 1,
        "user_id": "u",
    }
    for name, value in everything.items():
        sent = request(Request.of("json", **{name: value}).body())
        assert sent != request(Request.of("json").body()), name
    assert request({}) == b""


def test_a_code_has_the_name_of_its_specification() -> None:
    assert frames.name_of(14) == "UNAVAILABLE"
