"""Events → Completion: the verdict on every kind of ending, seams, tool calls."""

from __future__ import annotations

import dataclasses
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.completion import Accumulator, Completion, ToolCall
from deepseek_magic.protocol.errors import Disconnected
from deepseek_magic.protocol.events import (
    AttemptStarted,
    Event,
    Finish,
    Heartbeat,
    LogProbs,
    ReasoningDelta,
    ResponseStarted,
    Seam,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
    Waiting,
)
from deepseek_magic.protocol.outcome import Outcome, verdict

REQUEST = Request.of("Hi")


def T(text: str) -> TextDelta:  # noqa: N802
    return TextDelta(text=text)


def fold(*events: Event) -> Accumulator:
    accumulator = Accumulator(REQUEST)
    for event in events:
        accumulator.add(event)
    return accumulator


@pytest.mark.parametrize(
    ("finish_reason", "with_answer", "without"),
    [
        ("stop", "complete", "incomplete"),
        ("tool_calls", "complete", "incomplete"),
        ("function_call", "complete", "incomplete"),
        ("length", "truncated", "truncated"),
        ("content_filter", "filtered", "filtered"),
        ("insufficient_system_resource", "incomplete", "incomplete"),
        ("aborted", "incomplete", "incomplete"),
        ("error", "incomplete", "incomplete"),
        ("STOP", "incomplete", "incomplete"),
        ("", "incomplete", "incomplete"),
        (None, "incomplete", "incomplete"),
    ],
)
def test_only_a_documented_finish_reason_with_an_answer_is_a_success(
    finish_reason: str | None, with_answer: Outcome, without: Outcome
) -> None:
    assert verdict(finish_reason, has_answer=True) == with_answer
    assert verdict(finish_reason, has_answer=False) == without
    assert verdict(finish_reason, has_answer=True, interrupted=True) == "interrupted"


@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        ([], "incomplete"),
        ([T("Hello")], "incomplete"),
        ([ReasoningDelta(text="Let me")], "incomplete"),
        ([Finish(reason="stop")], "incomplete"),
        ([T(" \n"), Finish(reason="stop")], "incomplete"),
        ([T("\u3000\u2028"), Finish(reason="stop")], "incomplete"),
        ([ReasoningDelta(text="a"), Finish(reason="stop")], "incomplete"),
        ([ReasoningDelta(text="a"), Finish(reason="length")], "truncated"),
        ([T(" "), T("a"), Finish(reason="stop")], "complete"),
        ([T("a"), Finish(reason="stop"), T("b")], "incomplete"),
        ([T("a"), Finish(reason="stop"), T("b"), Finish(reason="stop")], "complete"),
        ([T("a"), Finish(reason="length")], "truncated"),
        ([T("a"), Finish(reason="content_filter")], "filtered"),
        ([T("a"), Finish(reason="aborted")], "incomplete"),
        ([T("a"), Finish(reason="stop"), Finish(reason="aborted")], "incomplete"),
        ([ToolCallDelta(index=0, name="f"), Finish(reason="tool_calls")], "complete"),
        ([ToolCallDelta(index=0, name="f"), Finish(reason="stop")], "complete"),
        ([ToolCallDelta(index=0, name="f")], "incomplete"),
        ([T("a"), Finish(reason="stop"), AttemptStarted(attempt=2)], "incomplete"),
    ],
)
def test_the_verdict_on_a_stream_is_never_optimistic(events: list[Event], outcome: Outcome) -> None:
    assert fold(*events).completion().outcome == outcome


def test_a_completion_keeps_what_the_stream_said() -> None:
    completion = fold(
        AttemptStarted(attempt=1),
        Heartbeat(comment="keep-alive"),
        Waiting(reason="queue"),
        ResponseStarted(id="U", model="deepseek-flash", system_fingerprint="fp"),
        ReasoningDelta(text="Let "),
        ReasoningDelta(text="me\r\n"),
        T("a\r\n"),
        T("你好 🎉"),
        UsageReport(usage=Usage(total_tokens=3)),
        UsageReport(usage=Usage(total_tokens=4)),
        Finish(reason="stop"),
    ).completion(anomalies=("missing_done",))
    assert completion == Completion(
        request=REQUEST,
        text="a\r\n你好 🎉",
        reasoning="Let me\r\n",
        outcome="complete",
        finish_reason="stop",
        id="U",
        model="deepseek-flash",
        system_fingerprint="fp",
        usage=Usage(total_tokens=4),
        attempts=1,
        anomalies=("missing_done",),
    )


def test_reports_of_usage_replace_each_other_and_are_never_summed() -> None:
    reports = [UsageReport(usage=Usage(prompt_tokens=5, completion_tokens=n)) for n in range(4)]
    assert fold(*reports).completion().usage == Usage(prompt_tokens=5, completion_tokens=3)


def test_an_interrupted_answer_keeps_its_text() -> None:
    completion = fold(T("Hel")).completion(interrupted=True)
    assert (completion.outcome, completion.text) == ("interrupted", "Hel")


def test_an_error_is_kept_beside_what_arrived() -> None:
    error = Disconnected("The connection was reset.")
    completion = fold(T("Hel")).completion(error=error)
    assert completion.error is error
    assert completion.outcome == "incomplete"


# Seams


def test_text_after_a_seam_takes_the_place_of_the_void_tail() -> None:
    seam = Seam(kind="continued", at_chars=6)
    accumulator = fold(T("Hello wor"), AttemptStarted(attempt=2, strategy="continue"), seam, T("world"))
    assert accumulator.text == "Hello world"
    assert accumulator.text_chars == 11
    assert accumulator.completion().seams == (seam,)
    assert accumulator.completion().attempts == 2


def test_a_seam_in_the_reasoning_leaves_the_text_alone_and_the_other_way_round() -> None:
    accumulator = fold(
        ReasoningDelta(text="abc"), Seam(kind="continued", reasoning_at_chars=1), ReasoningDelta(text="BC"), T("text")
    )
    assert (accumulator.reasoning, accumulator.text) == ("aBC", "text")
    accumulator.add(Seam(kind="continued", at_chars=2))
    assert (accumulator.reasoning, accumulator.text) == ("aBC", "te")


def test_a_restart_voids_everything() -> None:
    accumulator = fold(
        ReasoningDelta(text="r"), T("🎉a"), Seam(kind="restarted", at_chars=0, reasoning_at_chars=0), T("b")
    )
    assert (accumulator.reasoning, accumulator.text, accumulator.reasoning_chars) == ("", "b", 0)


def test_a_seam_counts_characters_not_bytes() -> None:
    assert fold(T("你🎉好"), Seam(kind="continued", at_chars=2), T("!")).text == "你🎉!"


def test_a_seam_behind_the_end_voids_nothing_and_pads_nothing() -> None:
    assert fold(T("ab"), Seam(kind="continued", at_chars=9), T("c")).text == "abc"


def test_a_seam_that_leaves_only_blanks_leaves_no_answer() -> None:
    accumulator = fold(T("\n\n"), T("a"))
    assert accumulator.has_answer
    accumulator.add(Seam(kind="continued", at_chars=2))
    assert not accumulator.has_answer
    accumulator.add(T("b"))
    assert accumulator.has_answer


@given(st.lists(st.text(max_size=5) | st.integers(0, 30), max_size=20))
def test_the_text_is_at_every_moment_what_the_events_say(steps: list[str | int]) -> None:
    accumulator, model = Accumulator(REQUEST), ""
    for step in steps:
        if isinstance(step, str):
            accumulator.add(T(step))
            model += step
        else:
            accumulator.add(Seam(kind="continued", at_chars=step))
            model = model[:step]
        assert (accumulator.text, accumulator.text_chars) == (model, len(model))
        assert accumulator.has_answer == bool(model.strip())


# Tool calls

CALL = [
    ToolCallDelta(index=1, id="b", name="g", arguments="[]"),
    ToolCallDelta(index=0, id="a", name="f"),
    ToolCallDelta(index=0, arguments='{"a"'),
    ToolCallDelta(index=0, arguments=":1}"),
]


def test_tool_calls_are_assembled_by_index() -> None:
    assert fold(*CALL, Finish(reason="tool_calls")).completion().tool_calls == (
        ToolCall(index=0, id="a", name="f", arguments='{"a":1}'),
        ToolCall(index=1, id="b", name="g", arguments="[]"),
    )


@pytest.mark.parametrize("reason", [None, "length", "aborted", "content_filter"])
def test_half_a_tool_call_is_never_given_out(reason: str | None) -> None:
    events = [*CALL, *([Finish(reason=reason)] if reason else [])]
    assert fold(*events).completion().tool_calls == ()
    assert fold(*CALL, Finish(reason="tool_calls")).completion(interrupted=True).tool_calls == ()


@pytest.mark.parametrize("kind", ["continued", "restarted"])
def test_a_new_response_begins_its_tool_calls_anew(kind: str) -> None:
    seam = Seam(kind=kind, at_chars=0)  # type: ignore[arg-type]
    accumulator = fold(*CALL, seam)
    assert not accumulator.tool_open
    again = fold(*CALL, seam, *CALL, Finish(reason="tool_calls")).completion()
    assert [call.arguments for call in again.tool_calls] == ['{"a":1}', "[]"]


def test_a_response_that_is_attached_again_goes_on_with_its_tool_calls() -> None:
    events = [*CALL[:3], Seam(kind="resumed"), CALL[3], Finish(reason="tool_calls")]
    assert [call.arguments for call in fold(*events).completion().tool_calls] == ['{"a":1}', "[]"]


# The value


def test_a_completion_is_its_text_to_str_and_a_short_line_to_repr() -> None:
    completion = Completion(request=REQUEST, text="x" * 100, outcome="complete")
    assert str(completion) == "x" * 100
    assert len(repr(completion)) < 100
    assert "complete" in repr(completion)


def test_a_completion_shows_itself_as_markdown_with_the_answer_as_its_text_twin() -> None:
    bundle = Completion(request=REQUEST, text="**a** <script>")._repr_mimebundle_()
    assert bundle["text/plain"] == "**a** <script>"
    assert "<script>" not in bundle["text/markdown"]


def test_a_completion_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Completion(request=REQUEST).text = "other"  # type: ignore[misc]


def test_memory_grows_with_the_text_and_not_with_the_chunks() -> None:
    accumulator = Accumulator(REQUEST)
    tracemalloc.start()
    for number in range(60_000):
        accumulator.add(T(f"{number:03d}"[-3:]))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Four bytes a character and some air; the pieces themselves would be twenty.
    assert used < 8 * accumulator.text_chars


def test_a_tool_call_whose_arguments_are_no_json_is_odd() -> None:
    def anomalies(arguments: str) -> tuple[str, ...]:
        call = ToolCallDelta(index=0, id="a", name="f", arguments=arguments)
        return fold(call, Finish(reason="tool_calls")).completion(anomalies=("x",)).anomalies

    assert anomalies('{"a":1}') == anomalies("") == ("x",)
    assert anomalies('{"a":1}{"a":2}') == ("x", "broken_tool_arguments")


def test_log_probabilities_go_with_the_text_that_a_seam_makes_void() -> None:
    ab, c = {"token": "ab", "logprob": -0.1}, {"token": "c", "logprob": -0.2}
    thought = {"token": "r", "logprob": -0.3}
    came = [T("abc"), LogProbs(content=(ab, c), reasoning_content=(thought,))]
    assert fold(*came).completion().logprobs == (ab, c)
    assert fold(*came, Seam(kind="continued", at_chars=2)).completion().logprobs == (ab,)
    anew = fold(*came, Seam(kind="restarted", at_chars=0, reasoning_at_chars=0), *came).completion()
    assert (anew.logprobs, anew.reasoning_logprobs) == ((ab, c), (thought,))


def test_an_answer_gives_its_code() -> None:
    assert fold(T("```python\nx = 1\n```"), Finish(reason="stop")).completion().code == "x = 1"
    assert fold(T("No code."), Finish(reason="stop")).completion().code is None


def test_without_a_schema_the_value_is_the_json() -> None:
    assert fold(T('{"a": 1}'), Finish(reason="stop")).completion().value == {"a": 1}
