"""Streams as real hosts sent them, through decoder and accumulator: the same text as was read from them by hand."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from deepseek_magic.protocol.chat import ChatDecoder, Request
from deepseek_magic.protocol.completion import Accumulator, Completion
from deepseek_magic.protocol.errors import APIStatusError, DeepSeekError, InvalidRequest, ProtocolError
from deepseek_magic.protocol.sse import Comment, SSEDecoder

FOLDER = Path(os.environ.get("DEEPSEEK_MAGIC_RECORDED", Path(__file__).parents[3] / "shared" / "recorded"))
MANIFEST = FOLDER / "manifest.json"
if not MANIFEST.is_file():
    pytest.skip("The recorded streams are not beside this checkout.", allow_module_level=True)

CASES: dict[str, dict[str, Any]] = {
    Path(entry["file"]).name: entry["facts"] for entry in json.loads(MANIFEST.read_text("utf-8"))
}

# Not chat completions: the Responses dialect is refused at its first event, by name.
OTHER_DIALECT = {name for name in CASES if "responses" in name}
# The host ended the stream with an error object.
BROKEN_OFF = {name for name, facts in CASES.items() if facts["error"] is not None}
# [DONE] came, a finish reason never did: that is a cut for us, though the text may be whole.
UNFINISHED = {"pai_snowflake.sse"}
OUTCOMES = {"stop": "complete", "tool_calls": "complete", "length": "truncated", None: "incomplete"}


class Reading:
    """One recorded stream, read in chunks of ``size`` bytes until its end or its error."""

    def __init__(self, name: str, size: int) -> None:
        stream = (FOLDER / name).read_bytes()
        sse, self.chat, fold = SSEDecoder(), ChatDecoder(), Accumulator(Request.of("recorded"))
        self.events = self.comments = 0
        self.error: DeepSeekError | None = None
        try:
            for at in range(0, len(stream), size):
                for event in sse.feed(stream[at : at + size]):
                    if isinstance(event, Comment):
                        self.comments += 1
                        continue
                    self.events += 1
                    for delta in self.chat.decode(event.data):
                        fold.add(delta)
        except DeepSeekError as error:
            self.error = error
        self.completion: Completion = fold.completion(error=self.error)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize("size", [7, 1460, 10**9])
@pytest.mark.parametrize("name", sorted(set(CASES) - OTHER_DIALECT))
def test_a_recorded_stream_means_what_its_facts_say(name: str, size: int) -> None:
    facts, reading = CASES[name], Reading(name, size)
    answer = reading.completion
    assert (len(answer.text), sha(answer.text)) == (facts["content_len"], facts["content_sha256_16"])
    assert (len(answer.reasoning), sha(answer.reasoning)) == (facts["reasoning_len"], facts["reasoning_sha256_16"])
    assert answer.finish_reason == facts["finish_reason"]
    assert answer.outcome == OUTCOMES[facts["finish_reason"]]
    calls = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in answer.tool_calls]
    assert calls == facts["tool_calls"]
    if facts["models"]:
        assert answer.model in facts["models"]
    assert (reading.error is not None) == (name in BROKEN_OFF)
    if reading.error is None:
        assert (reading.events, reading.comments) == (facts["events"], facts["comments"])
        assert reading.chat.done == facts["done_marker"]
        for name_of_count in ("prompt_tokens", "completion_tokens", "total_tokens"):
            assert getattr(answer.usage, name_of_count) == facts["usage"][name_of_count]
        details = facts["usage"].get("completion_tokens_details") or {}
        assert answer.usage.reasoning_tokens == details.get("reasoning_tokens")
        cached = (facts["usage"].get("prompt_tokens_details") or {}).get("cached_tokens")
        assert answer.usage.cache_hit_tokens == cached


def test_the_stream_without_a_finish_reason_is_incomplete() -> None:
    assert {name for name in CASES if name not in OTHER_DIALECT | BROKEN_OFF and not CASES[name]["finish_reason"]} == (
        UNFINISHED
    )


@pytest.mark.parametrize("name", sorted(OTHER_DIALECT))
def test_a_stream_of_the_responses_dialect_is_refused(name: str) -> None:
    reading = Reading(name, 1460)
    assert isinstance(reading.error, ProtocolError)
    assert "response.created" in str(reading.error)
    assert reading.completion.outcome == "incomplete"


@pytest.mark.parametrize("name", sorted(BROKEN_OFF))
def test_an_error_object_in_the_stream_is_raised_with_its_own_status(name: str) -> None:
    error = Reading(name, 1460).error
    assert isinstance(error, APIStatusError)
    facts = CASES[name]["error"]
    assert facts.get("error", facts)["message"] in str(error)
    assert isinstance(error, InvalidRequest)
    assert error.status == 400
