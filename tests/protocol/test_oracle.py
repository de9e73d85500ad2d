"""DeepSeek's own protocol code, the package deepseek-recipe, as the judge of this floor.

Every body that ``Request.body()`` makes is put to it, and the streams it makes are read by our decoder.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_magic.protocol.chat import DONE, ChatDecoder, ChatMessage, Request
from deepseek_magic.protocol.completion import Accumulator, Completion
from deepseek_magic.protocol.events import Usage
from deepseek_magic.protocol.options import OPTIONS
from deepseek_magic.protocol.sse import ServerSentEvent, SSEDecoder

recipe = pytest.importorskip("deepseek_recipe", reason="deepseek-recipe has no wheel for this platform.")

MODELS = {
    "deepseek-flash": recipe.ModelVersion.DeepseekV41Flash,
    "deepseek-v4-pro": recipe.ModelVersion.DeepseekV4Pro,
}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Ulm"}'}}
PROMPT = "Answer in json."


def convert(body: dict[str, Any]) -> Any:
    """The judge's reading of a body. It raises its ConversionError (400) for what the API refuses."""
    options = recipe.ConversionOptions().with_reasoning_content_behavior(recipe.ReasoningContentBehavior.Reject)
    for name, version in MODELS.items():
        options = options.with_model_alias(name, version)
    return recipe.ChatCompletionRequest(body).convert(options)


# What is asked

# A few values for each option that the body carries, the bounds among them.
VALUES: dict[str, list[Any]] = {
    "model": list(MODELS),
    "temperature": [0, 0.7, 2],
    "top_p": [0.0001, 0.95, 1],
    "max_tokens": [1, 4096, 393_216],
    "stop": ["\n\n", ["END"], [f"stop {n}" for n in range(16)]],
    "think": ["off", "low", "high", "max"],
    "json": [True, False],
    "seed": [0, 2**63 - 1],
    "tools": [[TOOL], []],
    "tool_choice": ["none", "auto"],
    "logprobs": [True, False],
    "top_logprobs": [0, 20],
    "user_id": ["class-3b", "学生"],
    "extra_body": [{}, {"parallel_tool_calls": False}],
}


def test_every_option_of_the_body_has_values_here() -> None:
    assert set(VALUES) == {option.name for option in OPTIONS if option.scope == "request"}


def allowed(options: dict[str, Any]) -> dict[str, Any]:
    """``options`` without the one combination inside VALUES that the API refuses (see REFUSED)."""
    return options if options.get("logprobs") or "top_logprobs" not in options else options | {"logprobs": True}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in VALUES.items() for value in values], ids=str
)
@pytest.mark.parametrize("think", ["off", "high"])
def test_every_value_of_every_option_is_accepted(name: str, value: Any, think: str) -> None:
    convert(Request.of(PROMPT, **allowed({"think": think, name: value})).body())


def test_every_pair_of_options_is_accepted() -> None:
    for (first, values), (second, others) in itertools.combinations(VALUES.items(), 2):
        for value, other in itertools.product(values, others):
            convert(Request.of(PROMPT, **allowed({first: value, second: other})).body())


@settings(max_examples=200, deadline=None)
@given(st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in VALUES.items()}))
def test_any_set_of_options_is_accepted(options: dict[str, Any]) -> None:
    convert(Request.of(PROMPT, system="Be brief.", **allowed(options)).body())


TURN = [{"role": "user", "content": "Weather in Ulm?"}]
TOOL_TURN = [
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "7 °C", "tool_call_id": "call_1"},
]
HISTORIES: dict[str, list[dict[str, Any]]] = {
    "a question": TURN,
    "a system prompt in the middle": [
        *TURN,
        {"role": "assistant", "content": "7 °C"},
        {"role": "system", "content": "!"},
    ],
    "an empty answer": [*TURN, {"role": "assistant", "content": None}, *TURN],
    "an answer with its reasoning": [*TURN, {"role": "assistant", "content": "a", "reasoning_content": "r"}, *TURN],
    "an open tool turn": [*TURN, *TOOL_TURN],
    "a closed tool turn": [*TURN, *TOOL_TURN, {"role": "assistant", "content": "7 °C"}, *TURN],
    "parts": [{"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}],
}
PREFIXES: dict[str, dict[str, Any]] = {
    "cut in the reasoning": {"content": None, "reasoning_content": "Let me"},
    "cut in the answer": {"content": "It is", "reasoning_content": "Let me see."},
    "cut in the answer, reasoning thrown away": {"content": "It is"},
}


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
@pytest.mark.parametrize("tools", [None, [TOOL]], ids=["no tools", "tools"])
@pytest.mark.parametrize("think", ["off", "high"])
@pytest.mark.parametrize("model", MODELS)
def test_every_conversation_is_accepted(history: list[dict[str, Any]], tools: Any, think: str, model: str) -> None:
    convert(Request.of(history, tools=tools, think=think, model=model).body())


@pytest.mark.parametrize("prefix", PREFIXES.values(), ids=PREFIXES)
@pytest.mark.parametrize("think", ["off", "high"])
def test_every_continuation_is_accepted(prefix: dict[str, Any], think: str) -> None:
    convert(Request.of([*TURN, {"role": "assistant", "prefix": True, **prefix}], think=think, stop="END").body())


@pytest.mark.parametrize(("text", "reasoning"), [("", "Let me"), ("It is", "Let me see."), ("It is", "")])
@pytest.mark.parametrize("options", [{}, {"think": "off"}, {"stop": "END", "max_tokens": 10}], ids=str)
def test_every_request_that_goes_on_from_a_cut_is_accepted(text: str, reasoning: str, options: dict[str, Any]) -> None:
    request = Request.of(TURN, **options)
    again = request.continued(text=text, reasoning=reasoning, style="deepseek_prefix", max_tokens=5)
    convert(again.body())
    convert(again.continued(text=" more", style="deepseek_prefix").body())


# What the API refuses though each setting by itself is right. Request lets it through, because other hosts take it and
# because the API's own sentence says it best; the error is InvalidRequest.
REFUSED: list[tuple[str, list[dict[str, Any]], dict[str, Any]]] = [
    ("must contain the word 'json'", TURN, {"json": True}),
    ("does not support this tool_choice", TURN, {"tools": [TOOL], "tool_choice": "required"}),
    ("no function named 'g'", TURN, {"tools": [TOOL], "think": "off", "tool_choice": {"type": "function", "function": {"name": "g"}}}),
    ("Tool names must be unique", TURN, {"tools": [TOOL, TOOL]}),
    ("logprobs must be set to true", TURN, {"top_logprobs": 3}),
    ("only n = 1", TURN, {"extra_body": {"n": 2}}),
    ("supported API model names", TURN, {"model": "DeepSeek-V5"}),
    ("should not be used with prefix", [*TURN, {"role": "assistant", "content": "a", "prefix": True}], {"tools": [TOOL]}),
    ("should not be used with prefix", [*TURN, *TOOL_TURN, {"role": "assistant", "content": "a", "prefix": True}], {}),
    ("should not be used with prefix", [{"role": "user", "content": "json"}, {"role": "assistant", "content": "a", "prefix": True}], {"json": True}),
    ("not final message", [*TURN, {"role": "assistant", "content": "a", "prefix": True}, *TURN], {}),
    ("must be a response to a preceding", [*TURN, TOOL_TURN[1]], {}),
    ("must be followed by tool messages", [*TURN, TOOL_TURN[0]], {"tools": [TOOL]}),
]  # fmt: skip


@pytest.mark.parametrize(("sentence", "messages", "options"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_only_the_api_can_refuse_is_refused_by_it(
    sentence: str, messages: list[dict[str, Any]], options: dict[str, Any]
) -> None:
    with pytest.raises(recipe.ConversionError) as refusal:
        convert(Request.of(messages, **options).body())
    assert refusal.value.status_code == 400
    assert sentence in json.loads(refusal.value.body)["error"]["message"]


# What is answered

STOP, LENGTH, FILTER = (getattr(recipe.InferenceFinishReason, name) for name in ("Stop", "Length", "ContentFilter"))


def answer(request: Request, written: Sequence[str], finish: Any = STOP) -> bytes:
    """The stream that DeepSeek's code makes of what the model wrote, framed as server-sent events."""
    converted = convert(request.body())
    generator = recipe.ChatCompletionRequest.chunk_generator(converted, "id-1", "deepseek-flash")
    processor = recipe.StreamProcessor(generator, converted.parsing_options)
    usage = recipe.PromptUsage(prompt_tokens=10, prompt_cache_hit_tokens=4)
    chunks = processor.push(recipe.InferenceChunk.ready(prompt_usage=usage, system_fingerprint="fp_1"))
    inputs = [*(recipe.InferenceChunk.text(text, 1) for text in written), recipe.InferenceChunk.finish(finish)]
    for chunk in inputs:
        if not processor.finished:  # a stop sequence ends it before the model does
            chunks += processor.push(chunk)
    chunks += processor.finish()
    payloads = [": keep-alive", *(f"data: {chunk.to_json()}" for chunk in chunks), f"data: {DONE}"]
    return "".join(f"{payload}\n\n" for payload in payloads).encode()


def read(request: Request, chunks: Sequence[bytes]) -> Completion:
    sse, chat, fold = SSEDecoder(), ChatDecoder(), Accumulator(request)
    for chunk in chunks:
        for event in sse.feed(chunk):
            if isinstance(event, ServerSentEvent):
                for delta in chat.decode(event.data):
                    fold.add(delta)
    assert chat.done
    return fold.completion()


def usage(completion_tokens: int) -> Usage:
    return Usage(
        prompt_tokens=10,
        completion_tokens=completion_tokens,
        total_tokens=10 + completion_tokens,
        cache_hit_tokens=4,
        cache_miss_tokens=6,
    )


THOUGHT = ["\n", "Let me", " see", ".\n", "</think>", "\n\n"]
SPOKEN = ["It", " is **", "七", " °C** ", "🌧", "\u2028", " in", " Ulm", "."]
TEXT = "It is **七 °C** 🌧\u2028 in Ulm."
INVOKED = [
    "\n\n<｜DSML｜ calls>\n",
    '<｜DSML｜ invoke name="weather">\n<｜DSML｜ parameter name="city" string="true">',
    "U",
    "lm",
    "</｜DSML｜ parameter>\n</｜DSML｜ invoke>\n</｜DSML｜ calls>",
]
PREFIXED = ChatMessage(role="assistant", content="line1", prefix=True, reasoning_content="Let me see.")
USER = ChatMessage(role="user", content=PROMPT)

# name: (request, what the model writes, how the backend ends, expected facts)
ANSWERS: dict[str, tuple[Request, list[str], Any, dict[str, Any]]] = {
    "thinking": (
        Request.of(PROMPT),
        [*THOUGHT, *SPOKEN],
        STOP,
        {"text": TEXT, "reasoning": "Let me see.", "outcome": "complete", "finish_reason": "stop"},
    ),
    "not thinking": (Request.of(PROMPT, think="off"), SPOKEN, STOP, {"text": TEXT, "reasoning": "", "outcome": "complete"}),
    "v4-pro": (Request.of(PROMPT, model="deepseek-v4-pro"), [*THOUGHT, *SPOKEN], STOP, {"text": TEXT, "outcome": "complete"}),
    "length in the answer": (
        Request.of(PROMPT, think="off"),
        SPOKEN[:3],
        LENGTH,
        {"text": "It is **七", "outcome": "truncated", "finish_reason": "length"},
    ),
    "length in the reasoning": (
        Request.of(PROMPT),
        THOUGHT[:3],
        LENGTH,
        {"text": "", "reasoning": "Let me see", "outcome": "truncated"},
    ),
    "filtered": (Request.of(PROMPT, think="off"), SPOKEN[:1], FILTER, {"text": "It", "outcome": "filtered"}),
    "stop sequence": (
        Request.of(PROMPT, think="off", stop="in Ulm"),
        SPOKEN,
        STOP,
        {"text": TEXT.removesuffix("in Ulm."), "outcome": "complete", "finish_reason": "stop"},
    ),
    "an empty answer": (Request.of(PROMPT), THOUGHT, STOP, {"text": "", "outcome": "incomplete", "finish_reason": "stop"}),
    "JSON": (
        Request.of(PROMPT, json=True, think="off"),
        ["```json\n", '{"a":', " 1}", "\n```"],
        STOP,
        {"outcome": "complete"},
    ),
    "a tool call": (
        Request.of(PROMPT, tools=[TOOL]),
        [*THOUGHT, "Look.", *INVOKED],
        STOP,
        {"text": "Look.", "reasoning": "Let me see.", "outcome": "complete", "finish_reason": "tool_calls"},
    ),
    "a tool call cut by length": (
        Request.of(PROMPT, tools=[TOOL], think="off"),
        INVOKED[:3],
        LENGTH,
        {"text": "", "outcome": "truncated", "tool_calls": ()},
    ),
    "a continued thought": (
        Request(messages=(USER, ChatMessage(role="assistant", prefix=True, reasoning_content="Let"))),
        [" me", " see.", "</think>", "Yes."],
        STOP,
        {"text": "Yes.", "reasoning": " me see.", "outcome": "complete"},
    ),
    "a continued answer": (
        Request(messages=(USER, PREFIXED)),
        ["\n", "line2"],
        STOP,
        {"text": "\nline2", "reasoning": "", "outcome": "complete"},
    ),
    "a continued answer without thinking": (
        Request.of([USER, PREFIXED], think="off"),
        ["\n", "line2"],
        STOP,
        # The API's code drops newlines at this seam; that is why recovery rewinds the prefix before it sends it.
        {"text": "line2", "outcome": "complete"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_its_streams_mean_the_same_through_our_decoder_at_every_chunk_border(name: str) -> None:
    request, written, finish, facts = ANSWERS[name]
    stream = answer(request, written, finish)
    whole = read(request, [stream])
    assert {key: getattr(whole, key) for key in facts} == facts
    assert (whole.id, whole.model, whole.system_fingerprint) == ("id-1", "deepseek-flash", "fp_1")
    assert whole.usage == usage(8 if name == "stop sequence" else len(written))
    assert read(request, [bytes([byte]) for byte in stream]) == whole
    for at in range(0, len(stream), 1 + len(stream) // 1000):
        assert read(request, [stream[:at], stream[at:]]) == whole


@pytest.mark.parametrize("end", [b"\r\n", b"\r"], ids=["CRLF", "CR"])
def test_its_streams_mean_the_same_with_other_line_ends(end: bytes) -> None:
    for request, written, finish, _ in ANSWERS.values():
        stream = answer(request, written, finish)
        assert read(request, [stream.replace(b"\n", end)]) == read(request, [stream])


def test_a_tool_call_arrives_whole() -> None:
    request, written, finish, _ = ANSWERS["a tool call"]
    [call] = read(request, [answer(request, written, finish)]).tool_calls
    assert call.name == "weather"
    assert call.id
    assert json.loads(call.arguments) == {"city": "Ulm"}


def test_json_mode_arrives_as_json_padded_with_spaces() -> None:
    request, written, finish, _ = ANSWERS["JSON"]
    text = read(request, [answer(request, written, finish)]).text
    assert json.loads(text) == {"a": 1}
    assert text.strip() == '{"a": 1}'


@pytest.mark.parametrize("name", ANSWERS)
def test_a_stream_that_is_cut_anywhere_is_never_complete(name: str) -> None:
    request, written, finish, _ = ANSWERS[name]
    stream = answer(request, written, finish)
    end = stream.rindex(b'"finish_reason":"')
    for at in range(0, end, 1 + end // 300):
        sse, chat, fold = SSEDecoder(), ChatDecoder(), Accumulator(request)
        for event in sse.feed(stream[:at]):
            if isinstance(event, ServerSentEvent):
                for delta in chat.decode(event.data):
                    fold.add(delta)
        assert fold.completion().outcome == "incomplete"
