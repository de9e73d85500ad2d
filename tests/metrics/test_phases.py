"""The phases of a call: what it was doing at every moment."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_magic.metrics.phases import MAX_PHASES, STALL_S, Course, Phase
from deepseek_magic.metrics.record import StreamRecord
from deepseek_magic.protocol.events import Seam, Waiting
from tests.metrics.test_record import OPENED, QUEUED, Step, attempt, measure, thoughts, words


def told(record: StreamRecord) -> list[tuple[str, float, float]]:
    return [(p.kind, round(p.start_s, 3), round(p.end_s, 3)) for p in record.phases]


def test_a_call_goes_through_request_queue_first_token_thinking_and_answer() -> None:
    assert told(measure(QUEUED, end_s=4.6)) == [
        ("request", 0.0, 0.2),
        ("queue", 0.2, 1.2),
        ("first_token", 1.2, 1.5),
        ("thinking", 1.5, 3.5),
        ("answer", 3.5, 4.5),
        ("silence", 4.5, 4.6),
    ]


def test_a_broken_answer_falls_silent_waits_and_is_joined_where_the_next_attempt_goes_on() -> None:
    steps: list[Step] = [
        (0.0, Waiting(reason="rate")),
        attempt(0.5, 1),
        (0.6, OPENED),
        *words(1.0, 6, 0.1),
        (4.0, Waiting(reason="backoff")),
        attempt(5.0, 2, "continue"),
        (5.1, OPENED),
        (5.2, Seam(kind="continued", at_chars=30)),
        *words(5.4, 2, 0.1),
    ]
    assert told(measure(steps)) == [
        ("wait_rate", 0.0, 0.5),
        ("request", 0.5, 0.6),
        ("first_token", 0.6, 1.0),
        ("answer", 1.0, 1.5),
        ("silence", 1.5, 4.0),
        ("wait_backoff", 4.0, 5.0),
        ("request", 5.0, 5.1),
        ("seam", 5.2, 5.2),
        ("first_token", 5.1, 5.4),
        ("answer", 5.4, 5.5),
    ]


def test_a_stall_is_a_silence_within_the_answer_and_a_short_pause_is_none() -> None:
    stalled = measure([attempt(0, 1), (0.1, OPENED), *words(1, 2, 0.5), *words(1.5 + STALL_S, 2, 0.5)])
    assert [kind for kind, *_ in told(stalled)] == ["request", "first_token", "answer", "silence", "answer"]
    brisk = measure([attempt(0, 1), (0.1, OPENED), *words(1, 5, STALL_S * 0.9)])
    assert [kind for kind, *_ in told(brisk)] == ["request", "first_token", "answer"]


def test_an_endless_crawl_has_a_bounded_number_of_phases() -> None:
    assert len(measure([attempt(0, 1), *words(1, 2000, 2 * STALL_S)]).phases) <= MAX_PHASES + 2


steps_of_a_call = st.lists(
    st.sampled_from([attempt, OPENED, "wait", "thought", "word", "nothing"]).flatmap(
        lambda what: st.tuples(st.just(what), st.sampled_from([0.0, 0.02, 0.3, STALL_S, 7.5]))
    ),
    max_size=30,
)


@given(steps_of_a_call)
def test_phases_follow_each_other_without_a_hole_and_add_up_to_the_whole(plan: list[tuple[object, float]]) -> None:
    steps: list[Step] = [attempt(0, 1)]
    at_s = 0.0
    for number, (what, later_s) in enumerate(plan):
        at_s += later_s
        if what is attempt:
            steps.append(attempt(at_s, number + 2, "continue"))
        elif what == "wait":
            steps.append((at_s, Waiting(reason="backoff")))
            at_s += later_s
            steps.append(attempt(at_s, number + 2, "restart"))
        elif what == OPENED:
            steps.append((at_s, OPENED))
        elif what == "thought":
            steps += thoughts(at_s, 1)
        elif what == "word":
            steps += words(at_s, 1)
    record = measure(steps, end_s=at_s)
    spans = [phase for phase in record.phases if phase.kind != "seam"]
    assert sum(phase.length_s for phase in spans) == pytest.approx(record.total_s)
    for before, after in itertools.pairwise(spans):
        assert before.end_s == pytest.approx(after.start_s)
        assert after.length_s > 0
    waited = sum(phase.length_s for phase in spans if phase.kind == "wait_backoff")
    assert waited == pytest.approx(record.wait_backoff_s)


def test_a_record_keeps_its_phases_through_json() -> None:
    record = measure(QUEUED)
    assert msgspec.json.decode(msgspec.json.encode(record), type=StreamRecord).phases == record.phases
    assert Course(1.0).end(2.5) == (Phase("request", 0.0, 1.5),)
