"""The figures are true: what a record says of a real stream is what the server did, to within 50 ms.

The measure is the server's own clock at each send, not the script that it follows. Both ends run on one steady loop, so a
machine that is busy elsewhere delays neither.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.http import Answer
from deepseek_magic.demo.wire.pace import Pace
from deepseek_magic.engine.client import Client
from deepseek_magic.metrics.phases import STALL_S
from deepseek_magic.metrics.record import StreamRecord

TOLERANCE_S = 0.05
SCRIPT = Pace(queue_s=0.5, keepalive_s=0.1, first_token_s=0.1, thinking_s=0.6, tokens_per_s=50, jitter=0)
STALL_FOR_S = STALL_S + 0.3
WHOLE_TOKENS = 120
"""What a call asks for and gets."""


@dataclass(slots=True)
class Response:
    """What the server sent of one response, and when; seconds of the clock that the client measures with."""

    head_s: float
    comments: int = 0
    frames_s: list[float] = field(default_factory=list)
    thoughts_s: list[float] = field(default_factory=list)
    words_s: list[float] = field(default_factory=list)

    @property
    def pieces_s(self) -> list[float]:
        return sorted((*self.thoughts_s, *self.words_s))

    def note(self, data: bytes, at_s: float) -> None:
        for event in data.decode().split("\n\n"):
            if event.startswith(":"):
                self.comments += 1
            if "data: " not in event:
                continue
            self.frames_s.append(at_s)
            payload = event.partition("data: ")[2]
            delta = {} if payload == "[DONE]" else json.loads(payload)["choices"][0]["delta"]
            if delta.get("reasoning_content"):
                self.thoughts_s.append(at_s)
            if delta.get("content"):
                self.words_s.append(at_s)


@pytest.fixture
def responses(monkeypatch: pytest.MonkeyPatch) -> list[Response]:
    """What the demo server sends from now on, response by response."""
    seen: list[Response] = []
    head, send = Answer.head, Answer.send

    async def noted_head(self: Answer, *args: Any, **options: Any) -> None:
        await head(self, *args, **options)
        seen.append(Response(asyncio.get_running_loop().time()))

    async def noted_send(self: Answer, data: bytes) -> None:
        seen[-1].note(data, asyncio.get_running_loop().time())
        await send(self, data)

    monkeypatch.setattr(Answer, "head", noted_head)
    monkeypatch.setattr(Answer, "send", noted_send)
    return seen


async def call(server: DemoServer) -> StreamRecord:
    """The record of one call."""
    async with Client(server.base_url, api_key="sk-test-1234") as client:
        completion = await client.complete("Say a few words about streams.", max_tokens=WHOLE_TOKENS)
    assert completion.record is not None
    return completion.record


def differences(record: StreamRecord, responses: list[Response]) -> dict[str, float]:
    """Figure → how far the record is from what the server did."""
    first, answering = responses[0], [r for r in responses if r.pieces_s]
    pieces_s = [at_s for response in answering for at_s in response.pieces_s]
    gaps_s = [after - before for before, after in pairwise(pieces_s)]
    thinking_s = sum(r.words_s[0] - r.thoughts_s[0] for r in answering if r.thoughts_s and r.words_s)
    told = {
        "queue": (record.queue_s, sum(r.frames_s[0] - r.head_s for r in responses if r.comments)),
        "first token": ((record.ttft_s or 0) - (record.ttfb_s or 0), pieces_s[0] - first.head_s),
        "thinking": (record.thinking_s, thinking_s),
        "generation": (record.generation_s, sum(r.pieces_s[-1] - r.pieces_s[0] for r in answering)),
        "longest gap": (record.gap_max_s, max(gaps_s)),
        "median gap": (record.gap_p50_s, sorted(gaps_s)[len(gaps_s) // 2]),
        "end to end": (record.total_s - (record.ttfb_s or 0), responses[-1].frames_s[-1] - first.head_s),
    }
    silences = [phase.length_s for phase in record.phases if phase.kind == "silence" and phase.length_s >= STALL_S]
    # Within one response: between two of them lie a wait and a queue, which are phases of their own.
    within_s = [after - before for response in answering for before, after in pairwise(response.pieces_s)]
    for number, gap_s in enumerate(gap for gap in within_s if gap >= STALL_S + TOLERANCE_S):
        told[f"stall {number}"] = (silences[number], gap_s)
    return {name: abs((mine or 0) - true) for name, (mine, true) in told.items()}


async def true_record(server: DemoServer, responses: list[Response]) -> StreamRecord:
    """The record of one call, whose counts are exact and whose times are true."""
    record = await call(server)
    assert record.chunks == sum(len(r.pieces_s) for r in responses)
    assert record.gap_n == record.chunks - 1
    assert record.heartbeats == sum(r.comments for r in responses)
    assert record.attempts == len(responses)
    wrong = {name: s for name, s in differences(record, responses).items() if s > TOLERANCE_S}
    assert not wrong
    return record


async def test_the_record_of_a_call_says_what_the_server_did(responses: list[Response]) -> None:
    async with DemoServer(pace=SCRIPT) as server:
        record = await true_record(server, responses)
    assert record.has_proper_end
    assert record.completion_tokens is not None
    assert not record.tokens_estimated


async def test_a_stall_is_measured_and_told_as_a_phase(responses: list[Response]) -> None:
    fault = f"stall at=content after=5 for={STALL_FOR_S} times=1"
    async with DemoServer(pace=SCRIPT, fault=fault) as server:
        record = await true_record(server, responses)
    assert record.gap_max_s is not None
    assert record.gap_max_s >= STALL_FOR_S - TOLERANCE_S
    assert "silence" in {phase.kind for phase in record.phases}


async def test_the_segments_of_an_answer_that_was_cut_add_up(responses: list[Response]) -> None:
    async with DemoServer(pace=SCRIPT, fault="cut at=content after=10 times=1") as server:
        record = await true_record(server, responses)
    assert record.recovered
    assert record.seams == 1
    assert record.tokens_estimated


async def test_a_stream_taken_up_by_its_event_id_is_one_answer_with_every_token_counted(
    responses: list[Response],
) -> None:
    """Queue, thinking, a stall and a resume in one call, as long as real ones."""
    script = Pace(queue_s=1.0, keepalive_s=0.2, first_token_s=0.1, thinking_s=2.0, tokens_per_s=50, jitter=0)
    fault = f"cut at=content after=5 times=1; stall at=content after=10 for={STALL_FOR_S} times=1"
    async with DemoServer(pace=script, ids="resume", fault=fault) as server:
        record = await true_record(server, responses)
    assert (record.resumes, record.continuations, record.restarts) == (1, 0, 0)
    assert record.recovered
    assert record.gap_max_s is not None
    assert record.gap_max_s >= STALL_FOR_S - TOLERANCE_S
    # The host reports once, at the end, and for all of it: nothing had to be estimated.
    assert not record.tokens_estimated
    assert record.completion_tokens == record.chunks == WHOLE_TOKENS
