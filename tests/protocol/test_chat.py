"""Request ⇄ the API's JSON, payloads → events: every deviation of the hosts that the fact sheet names."""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_magic.protocol.chat import ChatDecoder, ChatMessage, Request, error_from_body, read_usage
from deepseek_magic.protocol.errors import (
    APIStatusError,
    AuthenticationError,
    ConfigurationError,
    InsufficientBalance,
    InvalidRequest,
    ProtocolError,
    RateLimited,
    ServerError,
)
from deepseek_magic.protocol.events import (
    Event,
    Finish,
    Heartbeat,
    LogProbs,
    ReasoningDelta,
    ResponseStarted,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from deepseek_magic.protocol.options import OPTIONS, Options

# Request → body

BASE = {
    "model": "deepseek-flash",
    "messages": [{"role": "user", "content": "Hi"}],
    "stream": True,
    "stream_options": {"include_usage": True},
}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
# What one option by itself adds to the body.
ADDED: dict[str, tuple[Any, dict[str, Any]]] = {
    "model": ("deepseek-v4-pro", {"model": "deepseek-v4-pro"}),
    "temperature": (0.5, {"temperature": 0.5}),
    "top_p": (0.9, {"top_p": 0.9}),
    "max_tokens": (100, {"max_tokens": 100}),
    "stop": ("END", {"stop": ("END",)}),
    "think": ("max", {"thinking": {"type": "enabled"}, "reasoning_effort": "max"}),
    "json": (True, {"response_format": {"type": "json_object"}}),
    "seed": (7, {"seed": 7}),
    "tools": (TOOLS, {"tools": TOOLS}),
    "tool_choice": ("auto", {"tool_choice": "auto"}),
    "logprobs": (True, {"logprobs": True}),
    "top_logprobs": (3, {"top_logprobs": 3}),
    "user_id": ("class-3b", {"user_id": "class-3b"}),
    "extra_body": ({"enable_thinking": False}, {"enable_thinking": False}),
}


def test_a_bare_prompt_sends_no_setting_at_all() -> None:
    assert Request.of("Hi").body() == BASE


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_one_option_changes_its_own_fields_of_the_body_and_nothing_else(option: Any) -> None:
    if option.scope == "request":
        value, added = ADDED[option.name]
        assert Request.of("Hi", **{option.name: value}).body() == BASE | added
    else:
        value = {"text": "deepseek", "number": 0.1, "integer": 2, "switch": True, "choice": (*option.choices, "")[0]}[
            option.kind
        ]
        if option.name != "system":  # an argument of its own: it becomes a message
            assert Request.of("Hi", **{option.name: value}).body() == BASE


def test_thinking_off_is_said_without_an_effort() -> None:
    assert Request.of("Hi", think="off").body() == BASE | {"thinking": {"type": "disabled"}}


def test_json_switched_off_sends_nothing() -> None:
    assert Request.of("Hi", json=False).body() == BASE


def test_a_body_that_is_not_streamed_has_no_stream_fields() -> None:
    assert Request.of("Hi").body(stream=False) == {k: v for k, v in BASE.items() if not k.startswith("stream")}


def test_extra_body_has_the_last_word_whatever_the_order() -> None:
    for options in ({"temperature": 1, "extra_body": {"temperature": 9}}, {"extra_body": {"temperature": 9}, "temperature": 1}):  # fmt: skip
        assert Request.of("Hi", **options).body()["temperature"] == 9


def test_extra_body_can_name_the_model_and_add_to_the_stream_options() -> None:
    extra = {"model": "ep-2026", "stream_options": {"chunk_include_usage": True}}
    added = {"model": "ep-2026", "stream_options": {"include_usage": True, "chunk_include_usage": True}}
    assert Request.of("Hi", extra_body=extra).body() == BASE | added


def test_a_request_holds_request_settings_alone() -> None:
    assert dict(Request.of("Hi", output="x", seed=1).options) == {"seed": 1}
    assert dict(Request.of(Request.of("Hi"), output="x", seed=1).options) == {"seed": 1}


def test_the_system_prompt_goes_first_and_replaces_an_earlier_one() -> None:
    request = Request.of("Hi", system="one")
    assert [m.content for m in request.messages] == ["one", "Hi"]
    assert [m.content for m in Request.of(request, system="two").messages] == ["two", "Hi"]


def test_a_request_can_be_asked_again_with_some_options_changed() -> None:
    request = Request.of(Request.of("Hi", seed=1, temperature=0.5), seed=2, temperature=None)
    assert dict(request.options) == {"seed": 2}


def test_messages_survive_the_way_to_json_and_back() -> None:
    raw = [
        {"role": "system", "content": "s", "name": "n"},
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}], "reasoning_content": "r"},
        {"role": "tool", "content": "7", "tool_call_id": "1"},
        {"role": "assistant", "content": "It", "reasoning_content": "r", "prefix": True},
    ]
    assert [ChatMessage.from_json(m).to_json(with_reasoning=False) for m in raw] == raw


@pytest.mark.parametrize("tools", [None, TOOLS], ids=["no tools", "tools"])
@pytest.mark.parametrize("content", ["absent", None, ""])
@pytest.mark.parametrize("role", ["user", "assistant", "tool", "system"])
def test_no_message_ever_has_null_content(role: str, content: str | None, tools: Any) -> None:
    message = {"role": role} if content == "absent" else {"role": role, "content": content}
    assert Request.of([message], tools=tools).body()["messages"][0]["content"] == ""


def reasoning_sent(message: dict[str, Any], **options: Any) -> Any:
    body = Request.of([{"role": "user", "content": "q"}, message, {"role": "user", "content": "q"}], **options).body()
    assert "reasoning_content" not in body["messages"][0]
    return body["messages"][1].get("reasoning_content", "absent")


def test_old_reasoning_is_sent_exactly_where_the_api_demands_it() -> None:
    plain = {"role": "assistant", "content": "a", "reasoning_content": "r"}
    bare = {"role": "assistant", "content": "a"}
    calling = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    assert reasoning_sent(plain) == "absent"
    assert reasoning_sent(plain, tools=TOOLS) == "r"
    assert reasoning_sent(bare, tools=TOOLS) == ""
    assert reasoning_sent(calling) == ""
    assert reasoning_sent(calling | {"reasoning_content": "r"}) == "r"
    assert reasoning_sent(plain | {"prefix": True}) == "r"
    assert reasoning_sent(bare | {"prefix": True}) == "absent"


@pytest.mark.parametrize("prompt", ["", "  \n", []])
def test_an_empty_prompt_is_refused(prompt: Any) -> None:
    with pytest.raises(ConfigurationError):
        Request.of(prompt)


@pytest.mark.parametrize(
    "message", ["Hi", None, {}, {"role": "developer", "content": "x"}, {"role": "user", "content": 3}]
)
def test_what_is_not_a_message_is_refused_in_a_sentence(message: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"message"):
        Request.of([message])


def test_the_prompt_is_the_text_of_the_last_user_message() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:"}}, {"type": "text", "text": "b"}]  # fmt: skip
    assert Request.of([{"role": "user", "content": parts}, {"role": "assistant", "content": "x"}]).prompt == "a\n\nb"
    assert Request.of([{"role": "system", "content": "x"}]).prompt == ""


def test_requests_that_would_be_sent_alike_are_equal_and_have_one_digest() -> None:
    one = Request.of("Hi", temperature=1, seed=3)
    two = Request.of([{"role": "user", "content": "Hi"}], seed=3, temperature=1.0)
    assert one == two
    assert hash(one) == hash(two)
    assert one.digest() == two.digest()
    assert one != Request.of("Hi", seed=3)
    assert one != Request.of("hi", temperature=1, seed=3)
    assert one != "Hi"


def test_a_prompt_with_half_a_surrogate_pair_still_has_a_digest() -> None:
    assert len(Request.of("\ud83d").digest()) == 64


# Payload → events


def chunk(delta: Any = None, finish: Any = None, **fields: Any) -> str:
    choice = {"index": 0, "delta": delta or {}, "logprobs": None, "finish_reason": finish}
    return json.dumps({"object": "chat.completion.chunk", "created": 1, "choices": [choice], **fields})


def decode(*payloads: str | bytes) -> list[Event]:
    decoder = ChatDecoder()
    return [event for payload in payloads for event in decoder.decode(payload)]


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


T, R = (lambda text: TextDelta(text=text)), (lambda text: ReasoningDelta(text=text))


def test_the_documented_sequence_gives_its_events() -> None:
    head = {"id": "U", "model": "deepseek-flash", "system_fingerprint": "fp_x", "usage": None}
    events = decode(
        chunk({"role": "assistant", "content": None, "reasoning_content": ""}, **head),
        chunk({"content": None, "reasoning_content": "Let me"}, **head),
        chunk({"content": "Hello", "reasoning_content": None}, **head),
        chunk({"content": "", "reasoning_content": None}, "stop", **head | {"usage": {"prompt_tokens": 10}}),
        "[DONE]",
    )
    assert events == [
        ResponseStarted(id="U", model="deepseek-flash", system_fingerprint="fp_x"),
        R("Let me"),
        T("Hello"),
        UsageReport(usage=Usage(prompt_tokens=10)),
        Finish(reason="stop"),
    ]


@pytest.mark.parametrize("payload", ["[DONE]", " [DONE]", "[DONE] ", "\t[DONE]\n", b"[DONE]", b" [DONE] "])
def test_done_is_known_with_spaces_around_it(payload: str | bytes) -> None:
    decoder = ChatDecoder()
    assert not decoder.done
    assert decoder.decode(payload) == []
    assert decoder.done


@pytest.mark.parametrize("payload", ["", " ", b"", b"\n"])
def test_a_blank_payload_says_nothing(payload: str | bytes) -> None:
    decoder = ChatDecoder()
    assert decoder.decode(payload) == []
    assert not decoder.done


# name: (payloads, events)
TOLERATED: dict[str, tuple[list[str], list[Event]]] = {
    "no delta on the finish chunk": (['{"choices":[{"index":0,"finish_reason":"stop"}]}'], [Finish(reason="stop")]),
    "null delta": (['{"choices":[{"index":0,"delta":null,"finish_reason":"stop"}]}'], [Finish(reason="stop")]),
    "role null": ([chunk({"role": None, "content": "a"})], [T("a")]),
    "no index": (['{"choices":[{"delta":{"content":"a"}}]}'], [T("a")]),
    "null index": (['{"choices":[{"index":null,"delta":{"content":"a"}}]}'], [T("a")]),
    "empty finish reason": ([chunk({"content": "a"}, "")], [T("a")]),
    "reasoning under its other name": ([chunk({"reasoning": "a"})], [R("a")]),
    "reasoning under both names": ([chunk({"reasoning": "a", "reasoning_content": "a"})], [R("a")]),
    "both channels in one chunk": ([chunk({"reasoning": "a", "content": "b"})], [R("a"), T("b")]),
    "empty reasoning": ([chunk({"reasoning_content": "", "content": ""})], []),
    "no choices": (['{"object":"chat.completion.chunk","id":"","choices":[]}'], []),
    "null choices with an id": (['{"id":"a","choices":null}'], [ResponseStarted(id="a")]),
    "usage alone": (['{"choices":[],"usage":{"total_tokens":3}}'], [UsageReport(usage=Usage(total_tokens=3))]),
    "usage without choices": (['{"usage":{"total_tokens":3}}'], [UsageReport(usage=Usage(total_tokens=3))]),
    "usage on every chunk": (
        [chunk({"content": "a"}, usage={"total_tokens": 3}), chunk({"content": "b"}, usage={"total_tokens": 4})],
        [T("a"), UsageReport(usage=Usage(total_tokens=3)), T("b"), UsageReport(usage=Usage(total_tokens=4))],
    ),
    "usage after the finish": (
        [chunk({}, "stop"), '{"choices":[],"usage":{"total_tokens":3}}'],
        [Finish(reason="stop"), UsageReport(usage=Usage(total_tokens=3))],
    ),
    "text after the finish": ([chunk({}, "stop"), chunk({"content": "a"})], [Finish(reason="stop"), T("a")]),
    "text on the finish chunk": ([chunk({"content": "a"}, "stop")], [T("a"), Finish(reason="stop")]),
    "two finishes": ([chunk({}, "stop"), chunk({}, "stop")], [Finish(reason="stop")]),
    "two finishes that differ": ([chunk({}, "stop"), chunk({}, "length")], [Finish(reason="stop"), Finish(reason="length")]),
    "the whole message behind its deltas": (
        [chunk({"content": "a"}), chunk({"content": "b"}), '{"choices":[{"message":{"content":"ab"},"finish_reason":"stop"}]}'],
        [T("a"), T("b"), Finish(reason="stop")],
    ),
    "the message so far in every chunk": (
        ['{"choices":[{"message":{"content":"a"}}]}', '{"choices":[{"message":{"content":"ab"}}]}'],
        [T("a"), T("b")],
    ),
    "a message behind an empty delta": (['{"choices":[{"delta":{},"message":{"content":"a"}}]}'], [T("a")]),
    "a message with what no delta brought": (
        [chunk({"reasoning": "r"}), '{"choices":[{"message":{"reasoning":"r","content":"a"}}]}'],
        [R("r"), T("a")],
    ),
    "a message that calls its thought otherwise than the deltas": (
        [chunk({"reasoning": "r"}), chunk({"content": "a"}), '{"choices":[{"message":{"reasoning_content":"r","content":"a"}}]}'],
        [R("r"), T("a")],
    ),
    "a message with the thought that came in tags": (
        [chunk({"content": "<think>r</think>a"}), '{"choices":[{"message":{"reasoning_content":"r","content":"a"}}]}'],
        [R("r"), T("a")],
    ),
    "a refusal": (
        [chunk({"content": None, "refusal": "I"}), chunk({"refusal": " won't"}, "stop")],
        [T("I"), T(" won't"), Finish(reason="content_filter")],
    ),
    "log probabilities": (
        ['{"choices":[{"delta":{"content":"a"},"logprobs":{"content":[{"token":"a"}]}}]}'],
        [T("a"), LogProbs(content=({"token": "a"},))],
    ),
    "a ping": (['{"type":"ping"}', '{"type": "keepalive", "at": 1}'], [Heartbeat(comment="ping")] * 2),
    "a bare ping": (["ping", '"ping"', "[PING]", ": keep-alive"], [Heartbeat(comment="ping")] * 4),
    "a ping as a key": (['{"ping":1764000000}', '{"heartbeat": true}'], [Heartbeat(comment="ping")] * 2),
    "a raw tab in a string": (['{"choices":[{"delta":{"content":"a\tb"}}]}'], [T("a\tb")]),
    "a thought in tags": (
        [chunk({"content": "<th"}), chunk({"content": "ink>\nr</think>"}), chunk({"content": "\n\na"}, "stop")],
        [R("r"), T("a"), Finish(reason="stop")],
    ),
    "a tag after a thought of its own": ([chunk({"reasoning": "r"}), chunk({"content": "<think>"})], [R("r"), T("<think>")]),
    "a tag that is never closed": (
        [chunk({"content": "<think> is a tag"}, "stop")],
        [R(" is a tag"), T("<think> is a tag"), Finish(reason="stop")],
    ),
    "a thought that the token budget ended": ([chunk({"content": "<think>r"}, "length")], [R("r"), Finish(reason="length")]),
    "what looked like a tag": ([chunk({"content": "<th"}, "stop")], [T("<th"), Finish(reason="stop")]),
    "SiliconFlow's eos": ([chunk({}, "eos")], [Finish(reason="stop")]),
    "Gemini's STOP": ([chunk({}, "STOP")], [Finish(reason="stop")]),
    "an unknown finish reason": ([chunk({}, "aborted")], [Finish(reason="aborted")]),
    "another choice": (['{"choices":[{"index":1,"delta":{"content":"b"}},{"index":0,"delta":{"content":"a"}}]}'], [T("a")]),
    "a whole answer instead of a stream": (
        ['{"id":"a","choices":[{"index":0,"message":{"content":"b","reasoning_content":"r"},"finish_reason":"stop"}],"usage":{}}'],
        [ResponseStarted(id="a"), R("r"), T("b"), UsageReport(usage=Usage()), Finish(reason="stop")],
    ),
    "message beside delta (Perplexity)": (
        ['{"choices":[{"index":0,"delta":{"content":"b"},"message":{"content":"ab"}}]}'],
        [T("b")],
    ),
    "parts (Mistral)": (
        [chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "r"}]}, {"type": "text", "text": "a"}]})],
        [R("r"), T("a")],
    ),
    "a thinking part as text": ([chunk({"content": [{"type": "thinking", "thinking": "r"}]})], [R("r")]),
    "empty parts": ([chunk({"content": [{"type": "text", "text": ""}, {"type": "thinking", "thinking": ""}]})], []),
    "an empty error": ([chunk({"content": "a"}, error=None), chunk({"content": "b"}, error={})], [T("a"), T("b")]),
    "NaN among the fields": (['{"choices":[{"delta":{"content":"a"},"logprobs":{"x":NaN}}]}'], [T("a")]),
    "unknown fields everywhere": (['{"x":1,"choices":[{"y":2,"delta":{"content":"a","z":[]}}]}'], [T("a")]),
    "the model is named later": (
        ['{"id":"","model":"","choices":[]}', '{"id":"a","model":"m","choices":[]}', '{"id":"a","model":"m","choices":[]}'],
        [ResponseStarted(id="a", model="m")],
    ),
    "U+2028 and U+0085 in the text": ([chunk({"content": "a\u2028b\u0085c"}), '{"choices":[{"delta":{"content":"\u2028"}}]}'], [T("a\u2028b\u0085c"), T("\u2028")]),
}  # fmt: skip


@pytest.mark.parametrize("case", TOLERATED.values(), ids=TOLERATED)
def test_what_hosts_do_differently_is_understood(case: tuple[list[str], list[Event]]) -> None:
    payloads, events = case
    assert decode(*payloads) == events
    assert decode(*(payload.encode() for payload in payloads)) == events


@pytest.mark.parametrize(
    "payload",
    [
        "{",
        "Bad gateway",
        "<html>",
        "null",
        "[]",
        '"text"',
        "7",
        "{}",
        '{"error":{}}',
        '{"type":"response.created","response":{"id":"a"}}',
        '{"type":"message_start","message":{"id":"a","content":[]}}',
        '{"choices":{}}',
        '{"choices":[null]}',
        '{"choices":[{"delta":"a"}]}',
        '{"choices":[{"delta":{"content":3}}]}',
        '{"choices":[{"delta":{"content":[{"type":"audio"}]}}]}',
        '{"choices":[{"delta":{"content":["a"]}}]}',
        '{"choices":[{"delta":{"reasoning_content":[1]}}]}',
        '{"choices":[{"delta":{"tool_calls":{"a":1}}}]}',
        '{"choices":[{"delta":{"tool_calls":["a"]}}]}',
        '{"choices":[{"delta":{"tool_calls":[{"function":"f"}]}}]}',
        '{"choices":' + "[" * 100_000,
        '{"usage":' + "[" * 100_000,
        b"\xff\xfe",
    ],
    ids=lambda payload: repr(payload)[:50],
)
def test_what_cannot_be_read_raises_and_is_never_skipped(payload: str | bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(payload)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["choices", "delta", "content", "reasoning", "tool_calls", "function", "index", "usage", "error", "message", "finish_reason", "prompt_tokens_details"]), inner, max_size=4)))  # fmt: skip
def test_any_json_gives_events_or_one_of_our_errors(raw: Any) -> None:
    for payload in (raw, {"choices": [{"delta": raw}]}, {"choices": [{"delta": {"tool_calls": raw}}], "usage": raw}):
        with contextlib.suppress(ProtocolError, APIStatusError):
            decode(json.dumps(payload))


@pytest.mark.parametrize("name", ["ping", "keepalive", "metadata"])
def test_an_event_of_another_name_is_a_sign_of_life(name: str) -> None:
    assert ChatDecoder().decode('{"cost":1}', name=name) == [Heartbeat(comment=name)]


def test_an_event_of_another_name_that_holds_a_chunk_is_read() -> None:
    assert ChatDecoder().decode(chunk({"content": "a"}), name="delta") == [T("a")]


def test_another_dialect_is_refused_and_sending_again_would_not_help() -> None:
    with pytest.raises(ProtocolError) as caught:
        ChatDecoder().decode('{"type":"response.created"}', name="response.created")
    assert caught.value.permanent


ODD: dict[str, list[str]] = {
    "id_changed": ['{"id":"a","choices":[]}', '{"id":"b","choices":[]}'],
    "finish_repeated": [chunk({}, "stop"), chunk({}, "stop")],
    "text_after_finish": [chunk({}, "stop"), chunk({"content": "a"})],
    "think_tag_unclosed": [chunk({"content": "<think>a"}, "stop")],
}


@pytest.mark.parametrize("anomaly", ODD)
def test_what_is_odd_and_harms_nothing_is_named_once(anomaly: str) -> None:
    decoder = ChatDecoder()
    for payload in ODD[anomaly] + ODD[anomaly][-1:]:
        decoder.decode(payload)
    assert decoder.anomalies.count(anomaly) == 1


# Torn characters


def test_a_surrogate_pair_split_over_two_deltas_becomes_its_character() -> None:
    halves = [r'{"choices":[{"delta":{"content":"a\ud83c"}}]}', r'{"choices":[{"delta":{"content":"\udf89b"}}]}']
    assert decode(*halves) == [T("a"), T("🎉b")]


def test_an_escaped_pair_in_one_delta_becomes_its_character() -> None:
    assert decode(r'{"choices":[{"delta":{"content":"\ud83c\udf89"}}]}') == [T("🎉")]


@pytest.mark.parametrize("half", [r"\ud83c", r"\udf89", r"\udf89\ud83c"])
def test_half_a_pair_without_the_other_becomes_a_replacement_character(half: str) -> None:
    payload = '{"choices":[{"delta":{"content":"a%sb"},"finish_reason":"stop"}]}' % half  # noqa: UP031
    said = text(decode(payload))
    assert said == "a" + "\ufffd" * (len(half) // 6) + "b"
    said.encode()  # never a surrogate


def test_a_torn_character_at_the_end_waits_for_the_next_delta() -> None:
    for torn in ("\ufffd", "\ud83c"):
        decoder = ChatDecoder()
        assert decoder.decode(chunk({"content": "a" + torn})) == [T("a")]
        assert decoder.decode(chunk({"content": torn})) == [T("\ufffd")]
        assert decoder.decode(chunk({}, "stop")) == [T("\ufffd"), Finish(reason="stop")]


def test_a_torn_character_keeps_its_place_when_the_channel_changes() -> None:
    assert decode(chunk({"reasoning": "a\ufffd"}), chunk({"content": "b"})) == [R("a"), R("\ufffd"), T("b")]
    call = {"index": 0, "id": "1", "function": {"name": "f"}}
    assert decode(chunk({"content": "a\ufffd"}), chunk({"tool_calls": [call]}))[:2] == [T("a"), T("\ufffd")]


@given(st.text(st.characters()), st.lists(st.integers(0, 40), max_size=5))
def test_text_cut_anywhere_between_its_utf16_units_arrives_whole(said: str, cuts: list[int]) -> None:
    units = said.encode("utf-16-le", "surrogatepass")
    borders = sorted({0, len(units), *(min(2 * cut, len(units)) for cut in cuts)})
    pieces = [units[a:b].decode("utf-16-le", "surrogatepass") for a, b in itertools.pairwise(borders)]
    events = decode(*(chunk({"content": piece}) for piece in pieces), chunk({}, "stop"))
    assert text(events) == units.decode("utf-16-le", "replace")


# Tool calls


def tool(
    index: int | None = None, id: str | None = None, name: str | None = None, arguments: Any = ""
) -> dict[str, Any]:
    raw: dict[str, Any] = {"function": {"name": name, "arguments": arguments}}
    return raw | {k: v for k, v in (("index", index), ("id", id)) if v is not None}


def calls(*deltas: list[dict[str, Any]]) -> dict[int, tuple[str | None, str | None, str]]:
    """What each index amounts to: the first id and name, all arguments."""
    found: dict[int, tuple[str | None, str | None, str]] = {}
    for event in decode(*(chunk({"tool_calls": delta}) for delta in deltas)):
        assert isinstance(event, ToolCallDelta)
        id, name, arguments = found.get(event.index, (None, None, ""))
        found[event.index] = (id or event.id, name or event.name, arguments + event.arguments)
    return found


def test_calls_under_one_id_are_told_apart_by_index_once_the_first_is_whole() -> None:
    two = calls([tool(0, "a", "f")], [tool(0, arguments="{}")], [tool(1, "a", "g")], [tool(1, arguments="{}")])
    assert two == {0: ("a", "f", "{}"), 1: ("a", "g", "{}")}
    assert calls([tool(0, "a", "f", '{"b"')], [tool(1, "a", "f", ":1}")]) == {0: ("a", "f", '{"b":1}')}


def test_an_index_may_be_written_as_text() -> None:
    first, second = {**tool(id="a", name="f"), "index": "0"}, {**tool(id="b", name="g"), "index": "1"}
    rest = [{**tool(arguments="{}"), "index": "0"}, {**tool(arguments="[]"), "index": "1"}]
    assert calls([first], [second], rest) == {0: ("a", "f", "{}"), 1: ("b", "g", "[]")}


def test_fragments_are_told_apart_by_index() -> None:
    deltas = [
        tool(0, "a", "f"),
        tool(0, arguments="{"),
        tool(1, "b", "g"),
        tool(1, arguments="[]"),
        tool(0, arguments="}"),
    ]
    assert calls(*([delta] for delta in deltas)) == {0: ("a", "f", "{}"), 1: ("b", "g", "[]")}


@pytest.mark.parametrize("together", [True, False], ids=["in one delta", "each in its own"])
def test_calls_without_an_index_are_told_apart_by_their_ids(together: bool) -> None:
    first, second = tool(id="a", name="f", arguments="{}"), tool(id="b", name="g", arguments="[]")
    deltas = [[first, second]] if together else [[first], [second]]
    assert calls(*deltas) == {0: ("a", "f", "{}"), 1: ("b", "g", "[]")}


def test_fragments_without_index_and_id_go_on_with_the_call_before() -> None:
    deltas = [
        tool(id="a", name="f"),
        tool(arguments="{"),
        tool(arguments="}"),
        tool(name="g"),
        tool(arguments="[]"),
        tool(id="a", arguments=" "),
        tool(id="b", name="h"),
    ]
    assert calls(*([delta] for delta in deltas)) == {0: ("a", "f", "{} "), 1: (None, "g", "[]"), 2: ("b", "h", "")}


def test_a_new_id_is_a_new_call_whatever_its_index() -> None:
    deltas = [tool(0, "a", "f", "{}"), tool(0, "b", "f", "{"), tool(0, arguments="}"), tool(0, "a", arguments=" ")]
    assert calls(*([delta] for delta in deltas)) == {0: ("a", "f", "{} "), 1: ("b", "f", "{}")}


def test_a_whole_call_is_over_when_its_index_is_named_again() -> None:
    assert calls([tool(0, name="f", arguments="{}")], [tool(0, name="f", arguments="{}")]) == {
        0: (None, "f", "{}"),
        1: (None, "f", "{}"),
    }


def test_fragments_that_each_have_an_id_of_their_own_are_one_call() -> None:
    deltas = [tool(0, "a", "f"), tool(0, "b", arguments='{"x":'), tool(0, "c", arguments="1}")]
    assert calls(*([delta] for delta in deltas)) == {0: ("a", "f", '{"x":1}')}


def test_arguments_given_as_an_object_become_their_text() -> None:
    assert calls([tool(0, "a", "f", {"city": "Köln"})]) == {0: ("a", "f", '{"city": "Köln"}')}
    assert calls([tool(0, "a", "f", {})]) == {0: ("a", "f", "{}")}
    assert calls([tool(0, "a", "f", None)]) == {0: ("a", "f", "")}


def test_a_call_without_a_function_is_still_a_fragment() -> None:
    assert decode(chunk({"tool_calls": [{"index": 2, "id": "a", "function": None}]})) == [
        ToolCallDelta(index=2, id="a")
    ]


# Usage


def test_cache_figures_are_read_in_both_places() -> None:
    top = {"prompt_tokens": 10, "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 6}
    nested = {
        "prompt_tokens": 10,
        "prompt_tokens_details": {"prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 6},
    }
    openai = {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 4}}
    expected = Usage(prompt_tokens=10, cache_hit_tokens=4, cache_miss_tokens=6)
    assert read_usage(top) == read_usage(nested) == read_usage(openai) == expected


def test_absent_is_none_and_zero_is_zero() -> None:
    assert read_usage({}) == Usage()
    assert read_usage({"completion_tokens_details": {"reasoning_tokens": 0}}) == Usage(reasoning_tokens=0)
    assert read_usage({"prompt_tokens": None, "completion_tokens": "7", "total_tokens": True}) == Usage()
    assert read_usage({"prompt_tokens_details": None, "completion_tokens_details": [1]}) == Usage()


# Errors

BALANCE = "Too many requests. Your current concurrency is 26, which exceeds your concurrency limit of 25 based on your remaining balance."
ERRORS: dict[str, tuple[int, str | bytes, type[APIStatusError], int, str]] = {
    "DeepSeek": (401, '{"error":{"message":"Authentication Fails","type":"authentication_error","param":null,"code":"invalid_request_error"}}', AuthenticationError, 401, "Authentication Fails"),
    "DeepSeek 402": (402, '{"error":{"message":"Insufficient Balance","type":"unknown_error"}}', InsufficientBalance, 402, "Insufficient Balance"),
    "DeepSeek 429": (429, json.dumps({"error": {"message": BALANCE, "code": "invalid_request_error"}}), RateLimited, 429, "limit of 25"),
    "DeepSeek 503, as bytes": (503, b'{"error":{"message":"Service is too busy."}}', ServerError, 503, "Service is too busy."),
    "Ollama": (404, '{"error":"model \\"x\\" not found"}', InvalidRequest, 404, 'model "x" not found'),
    "Alibaba, flat": (400, '{"code":"InvalidParameter","message":"bad model","request_id":"1"}', InvalidRequest, 400, "bad model"),
    "SiliconFlow, flat": (503, '{"code":50603,"message":"System is busy","data":null}', ServerError, 503, "System is busy"),
    "LiteLLM without a database": (400, '{"error":{"message":"No connected db.","type":"no_db_connection","param":null,"code":"400"}}', AuthenticationError, 400, "No connected db"),
    "SiliconFlow, a bare string": (401, '"Invalid token"', AuthenticationError, 401, "Invalid token"),
    "FastAPI": (404, '{"detail":"Not Found"}', InvalidRequest, 404, "Not Found"),
    "FastAPI 422": (422, '{"detail":[{"loc":["body"],"msg":"Field required"}]}', InvalidRequest, 422, "Field required"),
    "plain text": (500, "upstream\n  timed out", ServerError, 500, "upstream timed out"),
    "a proxy's page": (502, "<!doctype html><HTML><body>nginx</body></HTML>", ServerError, 502, "no reason given"),
    "HAProxy's page": (504, "<html><body><h1>504 Gateway Time-out</h1>\nNo answer.</body></html>", ServerError, 504, "504 Gateway Time-out"),
    "a gateway's page": (502, "<html><title>\n502 Bad Gateway</title></html>", ServerError, 502, "502 Bad Gateway"),
    "nothing": (500, b"", ServerError, 500, "no reason given"),
    "not UTF-8": (500, b"caf\xe9", ServerError, 500, "caf\ufffd"),
    "a list": (400, "[1]", InvalidRequest, 400, "no reason given"),
    "null": (400, "null", InvalidRequest, 400, "no reason given"),
    "a message that is no text": (400, '{"error":{"message":{"a":1}}}', InvalidRequest, 400, '{"a": 1}'),
    "nested without end": (400, "[" * 100_000, InvalidRequest, 400, "[["),
    "in the stream": (200, '{"error":{"message":"oops"}}', ServerError, 200, "oops"),
    "in the stream, OpenRouter": (200, '{"error":{"code":429,"message":"slow"},"choices":[{"delta":{"content":""}}]}', RateLimited, 429, "slow"),
    "in the stream, Groq": (200, '{"error":{"code":"tool_use_failed","status_code":400,"message":"no"}}', InvalidRequest, 400, "no"),
    "in the stream, status": (200, '{"error":{"status":400,"message":"no"}}', InvalidRequest, 400, "no"),
    "in the stream, too long": (200, '{"error":{"code":"string_above_max_length","message":"no"}}', InvalidRequest, 400, "no"),
    "in the stream, OpenAI's code": (200, '{"error":{"message":"long","type":"invalid_request_error","code":"context_length_exceeded"}}', InvalidRequest, 400, "long"),
    "in the stream, OpenAI's key": (200, '{"error":{"message":"key","type":"invalid_request_error","code":"invalid_api_key"}}', AuthenticationError, 401, "key"),
    "in the stream, a type alone": (200, '{"error":{"message":"no","type":"invalid_request_error"}}', InvalidRequest, 400, "no"),
    "in the stream, DeepSeek's code for all": (200, '{"error":{"message":"m","type":"unknown_error","code":"invalid_request_error"}}', ServerError, 200, "m"),
    "in the stream, Anthropic": (200, '{"error":{"type":"overloaded_error","message":"busy"}}', ServerError, 200, "busy"),
    "in the stream, Alibaba": (200, '{"error":{"code":"Arrearage","message":"no money"}}', InsufficientBalance, 402, "no money"),
    "in the stream, a code in text": (200, '{"error":{"code":"502","message":"no"}}', ServerError, 502, "no"),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS.values(), ids=ERRORS)
def test_the_error_body_of_every_host_becomes_the_typed_error(
    case: tuple[int, str | bytes, type[APIStatusError], int, str],
) -> None:
    status, body, kind, read_status, said = case
    error = error_from_body(status, body, retry_after_s=2.5, trace_id="t")
    assert type(error) is kind
    assert (error.status, error.retry_after_s, error.trace_id) == (read_status, 2.5, "t")
    assert said in str(error.message)
    assert error.hint


def test_the_http_status_decides_and_the_body_only_explains() -> None:
    error = error_from_body(503, '{"error":{"message":"m","type":"authentication_error","code":401}}')
    assert isinstance(error, ServerError)
    assert (error.status, error.type, error.code) == (503, "authentication_error", "401")


@pytest.mark.parametrize(
    "payload",
    [body for status, body, *_ in ERRORS.values() if status == 200]
    + ['{"error":"text"}', '{"message":"flat","code":"x"}'],
)
def test_an_error_object_in_the_stream_raises(payload: str) -> None:
    with pytest.raises(APIStatusError):
        decode(chunk({"content": "a"}), payload)


def test_a_very_long_error_body_is_cut() -> None:
    assert len(str(error_from_body(500, "x" * 10**6))) < 1100


def test_options_that_are_checked_already_change_a_request_and_its_system_prompt() -> None:
    first = Request.of("Hi", seed=1)
    assert dict(Request.asking(first, Options(temperature=0.5)).options) == {"seed": 1, "temperature": 0.5}
    assert [m.content for m in Request.asking(first, Options(), system="brief").messages] == ["brief", "Hi"]


def test_a_server_that_does_not_know_the_stream_options_is_not_sent_them() -> None:
    request = Request.of("Hi", extra_body={"top_k": 5}).without_usage()
    assert "stream_options" not in request.body()
    assert request.body()["top_k"] == 5
    assert not request.asks_usage


def test_an_id_that_comes_late_begins_a_call_only_after_a_whole_one() -> None:
    assert calls([tool(0, name="f", arguments="{}")], [tool(0, "a", "g")]) == {0: (None, "f", "{}"), 1: ("a", "g", "")}
    assert calls([tool(0, name="f", arguments="{")], [tool(0, "a", arguments="}")]) == {0: ("a", "f", "{}")}


def test_a_message_of_parts_is_read_once() -> None:
    whole = {"message": {"content": [{"type": "text", "text": "Hi"}]}}
    payload = json.dumps({"choices": [whole]})
    assert [e for e in decode(payload, payload) if isinstance(e, TextDelta)] == [T("Hi")]


def test_a_message_that_takes_back_an_earlier_one_adds_nothing() -> None:
    payloads = [json.dumps({"choices": [{"message": {"content": said}}]}) for said in ("Hi", "Ho", "Hi!")]
    assert text(decode(*payloads)) == "Hi!"


def test_an_empty_piece_of_thought_is_nothing() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": ""}, "x", {"type": "text", "text": "Hm"}]}]
    assert decode(chunk({"content": parts})) == [R("Hm")]


def test_an_error_names_the_field_that_it_is_about() -> None:
    body = '{"error": {"message": "Invalid value.", "param": "top_p"}}'
    assert error_from_body(400, body).said == "Invalid value (top_p)"


def test_a_thought_torn_at_the_end_of_a_read_is_whole_in_the_next() -> None:
    decoder = ChatDecoder()
    decoder.decode(chunk({"reasoning_content": "Hm"}, id="c1"))
    lines = "\n".join(chunk({"reasoning_content": said}) for said in (" a\ufffd", "b"))
    events: list[Event] = []
    assert decoder.decode_lines(lines.encode(), events)
    assert "".join(event.text for event in events if isinstance(event, ReasoningDelta)) == " a\ufffdb"


def test_an_early_end_is_told_once_whatever_the_later_one_says() -> None:
    events = decode(chunk({}, "stop"), chunk({"content": "a"}), chunk({}, "length"))
    assert [event.reason for event in events if isinstance(event, Finish)] == ["stop"]


@pytest.mark.parametrize("reason", ["tool_calls", "stop", "length"])
@pytest.mark.parametrize("arguments", ["", '{"a": ', "{}", "[" * 100_000])
def test_a_finish_inside_a_tool_call_is_not_told(reason: str, arguments: str) -> None:
    """Only the end of the stream can; an answer that its budget ended is half in any case."""
    decoder = ChatDecoder()
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": arguments}}
    events = [*decoder.decode(chunk({"tool_calls": [call]})), *decoder.decode(chunk({}, reason))]
    told = [event.reason for event in events if isinstance(event, Finish)]
    held = arguments != "{}" and reason != "length"
    assert (told, decoder.finish_in_call, decoder.finish_reason) == ([] if held else [reason], held, reason)


@pytest.mark.parametrize("body", [b"", b"no JSON at all", b'"a"\n"b"', b"[\n1]"])
def test_an_answer_in_one_piece_that_is_no_chunk_is_refused_as_it_is(body: bytes) -> None:
    decoder = ChatDecoder()
    if not body:
        assert decoder.decode_whole(body) == []
        return
    with pytest.raises(ProtocolError, match="not a chat chunk"):
        decoder.decode_whole(body)
