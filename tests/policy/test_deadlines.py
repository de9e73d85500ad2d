"""Which deadline governs: each happening moves only the clock it is evidence for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_magic.policy.deadlines import FINISH_GRACE_S, Deadline, Deadlines, Happening, Timeouts, happening_of
from deepseek_magic.protocol.errors import ConfigurationError
from deepseek_magic.protocol.events import (
    AttemptStarted,
    Event,
    Finish,
    Heartbeat,
    ReasoningDelta,
    ResponseStarted,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
)

TIMEOUTS = Timeouts(
    connect_s=30, read_s=100, queue_s=600, first_delta_s=90, idle_s=45, idle_reasoning_s=95, total_s=1000
)


@pytest.mark.parametrize(
    ("told", "governs"),
    [
        ([], ("total", 1000)),
        ([("connecting", 0)], ("connect", 30)),
        ([("connecting", 0), ("sent", 5)], ("first_delta", 95)),
        # comments alone: the queue's clock runs from the request, and only silence is worse
        ([("sent", 0), ("comment", 10)], ("read", 110)),
        ([("sent", 0), *(("comment", t) for t in range(10, 590, 10))], ("queue", 600)),
        # data without a delta ends the queue once, and comments after it feed nothing but the line
        ([("sent", 0), ("comment", 50), ("payload", 60)], ("first_delta", 150)),
        ([("sent", 0), ("payload", 60), ("comment", 100), ("payload", 120)], ("first_delta", 150)),
        # reasoning and answer have their own patience, which neither comments nor empty data renew
        ([("sent", 0), ("reasoning", 10)], ("idle", 105)),
        ([("sent", 0), ("reasoning", 10), ("comment", 90), ("payload", 95)], ("idle", 105)),
        ([("sent", 0), ("reasoning", 10), ("text", 20)], ("idle", 65)),
        ([("sent", 0), ("text", 20), ("comment", 60)], ("idle", 65)),
        ([("sent", 0), ("text", 20), ("tool", 30)], ("idle", 75)),
        # after the finish the answer is whole; usage and comments may come, time no longer hurts
        ([("sent", 0), ("text", 20), ("finish", 30)], ("done", 30 + FINISH_GRACE_S)),
        ([("sent", 0), ("text", 20), ("finish", 30), ("payload", 31), ("finish", 31)], ("done", 30 + FINISH_GRACE_S)),
        # unless text comes after it: then the answer goes on
        ([("sent", 0), ("finish", 30), ("text", 31)], ("idle", 31 + 45)),
        ([("sent", 0), ("finish", 30), ("text", 31), ("finish", 32)], ("done", 32 + FINISH_GRACE_S)),
        ([("sent", 0), ("text", 20), ("finish", 999)], ("done", 999 + FINISH_GRACE_S)),
        # between attempts only the whole call's time counts
        ([("sent", 0), ("text", 20), ("waiting", 30)], ("total", 1000)),
        ([("sent", 0), ("text", 20), ("waiting", 30), ("connecting", 40)], ("connect", 70)),
        ([("sent", 0), ("text", 980)], ("total", 1000)),
    ],
)
def test_the_governing_deadline(told: list[tuple[Happening, float]], governs: tuple[str, float]) -> None:
    clock = Deadlines(TIMEOUTS, 0.0)
    due = clock.next()
    for happening, at in told:
        due = clock.told(happening, at)
    assert due is not None
    assert (due.name, due.at_s) == governs


def test_a_comment_drip_cannot_hold_a_stalled_thought_open() -> None:
    clock = Deadlines(Timeouts(), 0.0)
    clock.told("sent", 0.0)
    clock.told("reasoning", 1.0)
    for second in range(2, 121):
        clock.told("comment", float(second))
        assert clock.passed(float(second)) is None
    passed = clock.passed(121.0)
    assert passed is not None
    assert str(passed.what) == "No text arrived for 120 s, although the connection stayed open"


def test_what_is_switched_off_never_passes() -> None:
    never = Timeouts(connect_s=None, read_s=None, queue_s=None, first_delta_s=None, idle_s=None, idle_reasoning_s=None)
    clock = Deadlines(never, 0.0)
    for happening in ("connecting", "sent", "comment", "payload", "reasoning", "text", "waiting"):
        assert clock.told(happening, 1.0) is None  # type: ignore[arg-type]
    assert clock.passed(1e12) is None


@pytest.mark.parametrize("wrong", [0, -1, float("nan")])
def test_a_time_out_that_is_no_time_is_refused(wrong: float) -> None:
    with pytest.raises(ConfigurationError, match="idle_s"):
        Timeouts(idle_s=wrong)


@pytest.mark.parametrize(
    ("event", "happening"),
    [
        (TextDelta(text="a"), "text"),
        (ReasoningDelta(text="a"), "reasoning"),
        (ToolCallDelta(index=0), "tool"),
        (Finish(reason="stop"), "finish"),
        (Heartbeat(), "comment"),
        (ResponseStarted(), "payload"),
        (UsageReport(usage=Usage()), "payload"),
    ],
)
def test_an_event_moves_its_own_clock(event: Event, happening: str) -> None:
    assert happening_of([event]) == happening


HAPPENINGS = st.sampled_from(
    ["connecting", "sent", "comment", "payload", "reasoning", "text", "tool", "finish", "waiting"]
)


@given(st.lists(st.tuples(HAPPENINGS, st.floats(0, 50)), min_size=1, max_size=20))
def test_no_attempt_ever_waits_without_a_deadline(steps: list[tuple[Happening, float]]) -> None:
    clock, now = Deadlines(TIMEOUTS, 0.0), 0.0
    for happening, later in steps:
        now += later
        due = clock.told(happening, now)
        assert due is not None
        assert due.at_s <= max(now, 0) + 1000
    comment = clock.next()
    assert comment is not None
    after = clock.told("comment", now)
    assert after is not None
    # A comment never buys more than the queue or the line allows.
    assert after.at_s <= max(comment.at_s, now + 100.0) or after.name == "queue"


@pytest.mark.parametrize(
    ("batch", "happening"),
    [
        ([TextDelta(text="a"), Heartbeat()], "text"),
        ([TextDelta(text="a"), Finish(reason="stop"), UsageReport(usage=Usage())], "finish"),
        ([ReasoningDelta(text="a"), TextDelta(text="b")], "text"),
        ([ResponseStarted(), Heartbeat()], "payload"),
        ([Heartbeat(), ResponseStarted()], "payload"),
        ([AttemptStarted(), Heartbeat()], "comment"),
        ([AttemptStarted()], None),
        ([], None),
    ],
)
def test_a_batch_is_evidence_for_the_last_that_moved_the_answer(
    batch: list[Event], happening: Happening | None
) -> None:
    assert happening_of(batch) == happening


def test_a_patience_that_is_longer_than_the_connections_is_not_cut_short_by_it() -> None:
    limits = Timeouts().patient(first_token_s=900, idle_s=300)
    clock = Deadlines(limits, 0.0)
    assert (clock.told("sent", 0.0), clock.told("text", 10.0)) == (
        Deadline(name="first_delta", at_s=900.0, limit_s=900.0),
        Deadline(name="idle", at_s=310.0, limit_s=300.0),
    )
    assert (limits.longest_read_s, limits.idle_reasoning_s) == (900.0, 300.0)
    assert Timeouts().patient(total_s=60) == Timeouts(total_s=60)
    assert limits.patient() is limits


def test_what_lies_unread_is_never_noticed_by_a_deadline() -> None:
    assert Timeouts().without_notice_s(0.5) == 0.5
    assert Timeouts(idle_s=1.0).without_notice_s(0.5) == pytest.approx(0.1)
    never = Timeouts(read_s=None, first_delta_s=None, idle_s=None, idle_reasoning_s=None)
    assert never.without_notice_s(0.5) == 0.5
