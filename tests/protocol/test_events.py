"""The vocabulary of a stream: frozen values that are written down and read back unchanged."""

from __future__ import annotations

import typing

import msgspec
import pytest

from deepseek_magic.protocol.events import (
    AttemptStarted,
    Event,
    Finish,
    Heartbeat,
    LogProbs,
    Piece,
    ReasoningDelta,
    ResponseStarted,
    Seam,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
    Waiting,
    dump_events,
    has_pieces,
    load_events,
)

EVENTS: list[Event] = [
    AttemptStarted(attempt=2, strategy="continue", endpoint="deepseek"),
    Waiting(reason="retry_after", seconds=4.0, detail="429", attempt=2, of_attempts=5),
    Heartbeat(comment="keep-alive"),
    ResponseStarted(id="U", model="deepseek-flash", system_fingerprint="fp"),
    ReasoningDelta(text="Let me"),
    TextDelta(text="你好 🎉\u2028\n"),
    ToolCallDelta(index=1, id="a", name="f", arguments='{"a"'),
    LogProbs(content=({"token": "你", "logprob": -0.5},)),
    UsageReport(usage=Usage(prompt_tokens=0, cache_hit_tokens=4, estimated=True)),
    Seam(kind="continued", at_chars=0, reasoning_at_chars=None, detail="d"),
    Finish(reason="stop"),
]


def test_every_kind_of_event_is_here() -> None:
    assert {type(event) for event in EVENTS} == set(typing.get_args(Event))


def test_a_recorded_stream_is_read_back_as_it_was_written() -> None:
    assert load_events(dump_events(EVENTS)) == EVENTS
    assert [type(event) for event in load_events(dump_events(EVENTS))] == [type(event) for event in EVENTS]


def test_the_names_of_the_kinds_are_a_format_that_old_recordings_rely_on() -> None:
    names = [
        "attempt",
        "waiting",
        "heartbeat",
        "response",
        "reasoning",
        "text",
        "tool_call",
        "logprobs",
        "usage",
        "seam",
        "finish",
    ]
    assert [raw["event"] for raw in msgspec.json.decode(dump_events(EVENTS))] == names


def test_defaults_survive_though_they_are_not_written() -> None:
    bare: list[Event] = [
        AttemptStarted(),
        ResponseStarted(),
        Heartbeat(),
        ToolCallDelta(index=0),
        UsageReport(usage=Usage()),
    ]
    assert load_events(dump_events(bare)) == bare
    assert b"null" not in dump_events(bare[:4])


def test_zero_and_unknown_stay_apart() -> None:
    [report] = load_events(dump_events([UsageReport(usage=Usage(prompt_tokens=0))]))
    assert isinstance(report, UsageReport)
    assert report.usage.prompt_tokens == 0
    assert report.usage.completion_tokens is None


@pytest.mark.parametrize("data", [b"", b"{}", b'[{"event":"other"}]', b'[{"text":"a"}]', b'[{"event":"text"}]', b"[1]"])
def test_what_is_no_recording_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        load_events(data)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_is_frozen_and_named_by_keywords_only(event: Event) -> None:
    with pytest.raises(AttributeError):
        setattr(event, event.__struct_fields__[0], "other")
    with pytest.raises(TypeError):
        type(event)("positional")  # type: ignore[misc]
    hash(event)


def test_text_reasoning_and_tool_calls_are_pieces_of_an_answer_and_nothing_else_is() -> None:
    found = {type(event) for event in EVENTS if has_pieces([event])}
    assert found == set(typing.get_args(Piece))
    assert has_pieces(EVENTS)
    assert not has_pieces([])
