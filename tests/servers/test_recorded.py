"""Streams as LiteLLM, ``transformers serve`` and llama.cpp's server sent them, kept by ``bash .ci/servers``, through the engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deepseek_magic.engine.client import Client
from deepseek_magic.policy.attempts import RecoveryPolicy
from deepseek_magic.protocol.completion import Completion
from deepseek_magic.protocol.errors import ServerError
from tests.engine.wire import CLOSE, END, Script, ScriptedServer, head, piece

FOLDER = Path(__file__).with_name("recorded")
# file: (outcome, finish reason, whether usage was reported, anomalies)
KEPT: dict[str, tuple[str, str, bool, tuple[str, ...]]] = {
    "litellm-text": ("truncated", "length", True, ()),
    "litellm-tool": ("complete", "tool_calls", True, ()),
    "transformers-text": ("truncated", "length", True, ("missing_done",)),
    "llama_cpp_python-text": ("truncated", "length", False, ()),
    "llama_cpp_python-tool": ("complete", "tool_calls", False, ("broken_tool_arguments",)),
}


def chunks_of(stream: bytes) -> list[dict[str, Any]]:
    """What a reader with no care at all finds in it."""
    lines = [line.removeprefix("data: ") for line in stream.decode("utf-8").splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


async def asked(script: Script) -> Completion:
    once = RecoveryPolicy(attempts=1, resumes=0)
    async with ScriptedServer([script]) as server, Client(server.base_url, recovery=once) as client:
        return await client.stream("Hi", think="off").run(lambda _: None)


@pytest.mark.parametrize("name", KEPT)
async def test_a_stream_is_read_as_it_was_meant_however_it_is_framed(name: str) -> None:
    stream = (FOLDER / f"{name}.sse").read_bytes()
    deltas = [choice["delta"] for chunk in chunks_of(stream) for choice in chunk["choices"]]
    calls = [call for delta in deltas for call in delta.get("tool_calls") or ()]
    outcome, reason, reported, anomalies = KEPT[name]
    framings: tuple[Script, ...] = (
        [head(connection="close"), stream, CLOSE],
        [head(), *(piece(stream[at : at + 11]) for at in range(0, len(stream), 11)), END],
    )
    for script in framings:
        completion = await asked(script)
        assert completion.text == "".join(delta.get("content") or "" for delta in deltas)
        assert completion.reasoning == "".join(delta.get("reasoning_content") or "" for delta in deltas)
        assert "".join(call.arguments for call in completion.tool_calls) == (
            "".join(call["function"].get("arguments") or "" for call in calls)
        )
        assert len(completion.tool_calls) == bool(calls)
        assert (completion.outcome, completion.finish_reason, completion.anomalies) == (outcome, reason, anomalies)
        assert completion.usage is not None
        assert completion.usage.estimated is not reported


@pytest.mark.parametrize("name", KEPT)
async def test_a_stream_that_ends_before_its_reason_is_never_whole(name: str) -> None:
    stream = (FOLDER / f"{name}.sse").read_bytes()
    whole = stream.index(b'"finish_reason":' + (b" " if b'"finish_reason": ' in stream else b"") + b'"')
    for end in range(0, whole, max(1, whole // 12)):
        completion = await asked([head(connection="close"), stream[:end], CLOSE])
        assert completion.outcome == "incomplete"
        assert completion.error is not None


async def test_litellm_says_inside_the_stream_that_the_server_behind_it_broke() -> None:
    stream = (FOLDER / "litellm-behind-cut.sse").read_bytes()
    completion = await asked([head(connection="close"), stream, CLOSE])
    deltas = [choice["delta"] for chunk in chunks_of(stream) for choice in chunk.get("choices", ())]
    assert completion.text == "".join(delta.get("content") or "" for delta in deltas)
    assert completion.outcome == "incomplete"
    assert isinstance(completion.error, ServerError)
    assert "OpenAIException - Connection error" in str(completion.error)
