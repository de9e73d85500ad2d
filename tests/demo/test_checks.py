"""DeepSeek's own protocol code is the judge: what it refuses the demo refuses in the same words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deepseek_magic.demo.api.checks import check
from deepseek_magic.demo.api.shapes import Refused

recipe = pytest.importorskip("deepseek_recipe")

ASK = [{"role": "user", "content": "hi"}]
OFF = {"type": "disabled"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ANSWERED = {"role": "tool", "content": "x", "tool_call_id": "c1"}


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "deepseek-flash", "messages": ASK, **fields}


def said(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return body(messages=[*ASK, *messages], **fields)


def assistant(**fields: Any) -> dict[str, Any]:
    return {"role": "assistant", **fields}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def tool(name: str = "f", **fields: Any) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": name, "parameters": {"type": "object", "properties": {}}, **fields},
    }


CALLED = assistant(content="", tool_calls=[CALL], reasoning_content="")
NAMED = {"type": "function", "function": {"name": "f"}}

BODIES: list[Any] = [
    body(),
    {"messages": ASK},
    {"model": "deepseek-flash"},
    body(model=None),
    body(model=3),
    body(messages=[]),
    body(messages="hi"),
    body(messages=["x"]),
    body(messages=[{"content": "x"}]),
    body(messages=[{"role": "developer", "content": "x"}]),
    body(messages=[{"role": "user"}]),
    body(messages=[user(None)]),
    body(messages=[user("")]),
    body(messages=[user(3)]),
    body(messages=[user([])]),
    body(messages=[user([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])]),
    body(messages=[user([{"type": "x"}])]),
    body(messages=[user([{"type": "text"}])]),
    body(messages=[{"role": "system", "content": None}, *ASK]),
    body(messages=[{"role": "system", "content": "only this"}]),
    body(messages=[{"role": "user", "content": "a", "name": "bob"}]),
    body(messages=[{"role": "user", "content": "a", "name": 3}]),
    body(messages=[assistant(content="x")]),
    said(assistant(content=None), *ASK),
    said(assistant(), *ASK),
    said(assistant(content="x")),
    said(assistant(content=None, tool_calls=[]), *ASK),
    said(assistant(content="x", reasoning_content=3), *ASK),
    said(assistant(content="x", tool_calls=[{"id": "a"}]), *ASK),
    said({"role": "latest_reminder", "content": "x"}),
    said(ANSWERED),
    body(messages=[ANSWERED]),
    said(CALLED, {"role": "tool", "content": "x"}),
    said(CALLED, {**ANSWERED, "tool_call_id": "zz"}),
    said(CALLED, ANSWERED, ANSWERED),
    said(CALLED, ANSWERED),
    said(CALLED, {**ANSWERED, "content": None}),
    said({**CALLED, "content": None}, ANSWERED),
    said({**CALLED, "reasoning_content": None}, ANSWERED),
    said({**CALLED, "reasoning_content": None}, ANSWERED, thinking=OFF),
    said({**CALLED, "reasoning_content": None}, ANSWERED, tools=[tool()]),
    said({**CALLED, "reasoning_content": None}, ANSWERED, assistant(content="y"), *ASK, tools=[tool()]),
    said(assistant(content="y"), *ASK, tools=[tool()]),
    said(assistant(content="y"), tools=[tool()]),
    said(CALLED),
    said(CALLED, *ASK),
    said({**CALLED, "tool_calls": [CALL, {**CALL, "id": "c2"}]}, ANSWERED, *ASK),
    said({**CALLED, "tool_calls": [CALL, CALL]}, ANSWERED),
    said({**CALLED, "tool_calls": [{**CALL, "function": {"name": "f", "arguments": {}}}]}, ANSWERED),
    said(assistant(content="x", prefix=True)),
    said(assistant(content="x", prefix=True), *ASK),
    said(assistant(content=None, prefix=True, reasoning_content="a")),
    said(assistant(content="x", prefix="true")),
    said(assistant(content="x", prefix=None)),
    body(messages=[{"role": "user", "content": "x", "prefix": True}]),
    said(assistant(content="x", prefix=True, reasoning_content=""), tools=[tool()]),
    said(assistant(content="x", prefix=True), tools=[tool()]),
    said(assistant(content="x", prefix=True), tools=[tool()], thinking=OFF),
    said(assistant(content="x", prefix=True), tools=[tool()], tool_choice="none", thinking=OFF),
    said(assistant(content="x", prefix=True), tools=[]),
    said(CALLED, ANSWERED, assistant(content="x", prefix=True)),
    said(user("json"), assistant(content="x", prefix=True), response_format={"type": "json_object"}),
    body(response_format={"type": "json_object"}),
    body(messages=[user("JSON please")], response_format={"type": "json_object"}),
    said(assistant(content="json"), *ASK, response_format={"type": "json_object"}),
    body(response_format={"type": "xml"}),
    body(response_format="json"),
    body(response_format=None),
    body(response_format={"type": "text"}),
    body(thinking={"type": "adaptive"}),
    body(thinking={"type": "auto"}),
    body(thinking="on"),
    body(thinking=None),
    body(thinking={}),
    *(body(reasoning_effort=effort) for effort in ("none", "minimal", "ultra", "x", None, 3)),
    *(body(max_tokens=n) for n in (0, -1, 1, 393_216, 393_217, 2**40, "12", 1.5, None)),
    *(body(temperature=t) for t in (0, 2, 3, -0.1, "1", True, None)),
    *(body(top_p=p) for p in (0, 1, 1.1, -1)),
    body(frequency_penalty=3),
    body(presence_penalty=-3),
    *(body(stop=s) for s in ("a", "", [], ["a"] * 16, ["a"] * 17, ["a", ""], 3, None)),
    *(body(stream=s) for s in (True, None, "yes")),
    body(stream_options={"include_usage": True}),
    body(stream=False, stream_options={"include_usage": True}),
    body(stream=True, stream_options={"include_usage": True}),
    body(stream=True, stream_options={"include_usage": "x"}),
    body(stream_options=None),
    body(stream_options={}),
    body(tools=[tool()]),
    body(tools=[tool(), tool()]),
    body(tools=[tool("a b")]),
    body(tools=[tool("")]),
    body(tools=[tool("f" * 200)]),
    body(tools=[{"type": "web"}]),
    body(tools=[{"function": {"name": "f"}}]),
    body(tools=[{"type": "function"}]),
    body(tools=[{"type": "function", "function": {}}]),
    body(tools=[{"type": "function", "function": {"name": "f"}}]),
    body(tools=[{"type": "function", "function": {"name": "f", "parameters": "x"}}]),
    body(tools=[]),
    body(tools="x"),
    body(tools=[tool(strict=True)]),
    body(tools=[tool(strict=True), tool("g")]),
    body(tools=[tool(f"f{i}") for i in range(200)]),
    *(body(tools=[tool()], tool_choice=c) for c in ("required", "none", "auto", "x", {}, None, NAMED)),
    *(body(tools=[tool()], tool_choice=c, thinking=OFF) for c in ("required", NAMED)),
    body(tools=[tool("g")], tool_choice=NAMED, thinking=OFF),
    body(tool_choice="required"),
    body(tool_choice=NAMED, thinking=OFF),
    body(logprobs=True, top_logprobs=5),
    *(body(top_logprobs=n) for n in (0, 5)),
    *(body(logprobs=True, top_logprobs=n) for n in (-1, 20, 21)),
    body(logprobs="x"),
    *(body(seed=s) for s in (1, -1, 2**63 - 1, 2**63, "a")),
    *(body(n=n) for n in (0, 1, 2, None)),
    body(user_id="a b"),
    body(unknown=1),
    body(max_completion_tokens="x"),
]


def judged(asked: Any) -> tuple[int, str] | None:
    """Status and message with which the judge refuses, None when it accepts."""
    options = recipe.ConversionOptions(reasoning_content_behavior=recipe.ReasoningContentBehavior.Reject)
    options = options.with_model_versions_by_name({"deepseek-flash": recipe.ModelVersion.DeepseekV41Flash})
    try:
        recipe.ChatCompletionRequest(asked).convert(options)
    except recipe.ConversionError as error:
        return error.status_code, json.loads(error.body)["error"]["message"]
    except ValueError as error:
        why = str(error).removeprefix("invalid request body: ")
        return 400, f"Failed to deserialize the JSON body into the target type: {why}"
    return None


def ours(asked: Any) -> tuple[int, str] | None:
    try:
        check(asked)
    except Refused as refused:
        return refused.status, refused.body["error"]["message"]
    return None


@pytest.mark.parametrize("asked", BODIES, ids=lambda asked: json.dumps(asked)[:90])
def test_the_demo_judges_a_body_as_deepseek_does(asked: Any) -> None:
    assert ours(asked) == judged(asked)


def test_an_unknown_model_is_answered_with_the_names_that_exist() -> None:
    status, message = ours(body(model="gpt")) or (0, "")
    assert status == 400
    assert message == "The supported API model names are deepseek-flash, deepseek-v4-pro, but you passed gpt."


def test_json_schema_is_refused_as_the_host_does_though_the_protocol_code_would_take_it() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}
    assert ours(body(response_format=wanted)) == (400, "This response_format type is unavailable now")
