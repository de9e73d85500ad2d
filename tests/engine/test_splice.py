"""Two segments joined: what is void, what is dropped, what is held back, event by event."""

from __future__ import annotations

import pytest

from deepseek_magic.engine.splice import HOLD_S, Splice
from deepseek_magic.policy.recovery import Continue, Restart
from deepseek_magic.protocol.chat import ChatMessage, Request
from deepseek_magic.protocol.completion import Accumulator
from deepseek_magic.protocol.events import (
    Event,
    Finish,
    Heartbeat,
    ReasoningDelta,
    ResponseStarted,
    Seam,
    TextDelta,
    ToolCallDelta,
)

TEXT = "A sentence that is long enough for an echo."
KEPT = len("A sentence that is long enough for an")


def text(*words: str) -> list[Event]:
    return [TextDelta(text=word) for word in words]


def going_on(
    kept: int = KEPT, *, reasoning: str = "", reasoning_kept: int | None = None, stop: str = "", rewind: bool = True
) -> Splice:
    prefix = ChatMessage(
        role="assistant", content=TEXT[:kept], prefix=True, reasoning_content=reasoning[:reasoning_kept] or None
    )
    sent = Request(
        messages=(ChatMessage(role="user", content="Hi"), prefix), options=Request.of("x", stop=stop or None).options
    )
    step = Continue(
        text_chars=kept,
        reasoning_chars=len(reasoning) if reasoning_kept is None else reasoning_kept,
        why="it broke",
    )
    return Splice(step, sent=sent, text=TEXT, reasoning=reasoning, rewind=rewind)


SEAM = Seam(kind="continued", at_chars=KEPT, detail="it broke")


def test_the_seam_comes_right_before_the_first_piece_and_only_once() -> None:
    splice = going_on()
    quiet: list[Event] = [Heartbeat(), ResponseStarted(id="2")]
    assert splice.feed(quiet, 0) == quiet
    assert splice.feed(text(" echo", "."), 0) == [SEAM, *text(" echo", ".")]
    assert splice.feed([*text("!"), Finish(reason="stop")], 0) == [*text("!"), Finish(reason="stop")]
    assert splice.anomalies == []


def test_a_segment_that_brings_nothing_takes_nothing_away() -> None:
    assert going_on().feed([Finish(reason="stop")], 0) == []  # nor does it end what stood before
    assert going_on().feed([Finish(reason="length")], 0) == [Finish(reason="length")]


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_a_prefix_that_is_sent_back_is_dropped(step: int) -> None:
    splice = going_on()
    whole = TEXT[:KEPT] + " echo."
    pieces = [whole[i : i + step] for i in range(0, len(whole), step)]
    joined = [e for p in pieces for e in splice.feed(text(p), 0)]
    assert joined[0] == SEAM
    assert "".join(e.text for e in joined if isinstance(e, TextDelta)) == " echo."
    assert splice.anomalies == ["echo_stripped"]


def test_what_only_begins_like_an_echo_is_kept() -> None:
    splice = going_on()
    assert splice.feed(text(TEXT[:20]), 0) == []
    assert splice.feed(text(" else"), 0) == [SEAM, *text(TEXT[:20] + " else")]
    assert splice.anomalies == ["seam_suspicious"]


def test_a_half_echo_is_released_at_the_end_and_after_a_while() -> None:
    ended = going_on()
    assert ended.feed(text("A sent"), 0) == []
    assert ended.feed([Finish(reason="stop")], 0) == [SEAM, *text("A sent"), Finish(reason="stop")]
    late = going_on()
    assert late.feed(text("A sent"), 0) == []
    assert late.patience_s(0.5) == HOLD_S - 0.5
    assert late.feed(text("ence"), HOLD_S + 0.1) == [SEAM, *text("A sent", "ence")]
    assert late.patience_s(HOLD_S + 0.1) is None
    silent = going_on(0, reasoning=TEXT, reasoning_kept=KEPT)
    assert silent.feed([ReasoningDelta(text="A sent")], 0) == []
    assert silent.held_chars == len("A sent")
    assert silent.release()[1:] == [ReasoningDelta(text="A sent")]
    assert silent.patience_s(0) is None


def test_inside_a_thought_the_thought_goes_on_and_its_echo_is_dropped() -> None:
    thought = "First I have to think about it"
    splice = going_on(0, reasoning=thought, reasoning_kept=len("First I have to think about"))
    echo: list[Event] = [ReasoningDelta(text="First I have to think about"), ReasoningDelta(text=" that")]
    seam = Seam(kind="continued", at_chars=0, reasoning_at_chars=27, detail="it broke")
    assert splice.feed(echo, 0) == [seam, ReasoningDelta(text=" that")]
    assert splice.feed(text("Answer"), 0) == text("Answer")


def test_the_end_of_a_thought_that_looks_like_its_echo_comes_before_the_answer() -> None:
    thought = "Yes, this is what I think about it now.\nYes"
    splice = going_on(0, reasoning=thought, reasoning_kept=len(thought) - 4)
    out = splice.feed([ReasoningDelta(text="Yes"), *text("The answer")], 0)
    assert out[1:] == [ReasoningDelta(text="Yes"), *text("The answer")]


def test_a_thought_that_begins_anew_behind_an_answer_is_no_part_of_it() -> None:
    splice = going_on(reasoning="done")
    assert splice.feed([ReasoningDelta(text="again"), ReasoningDelta(text="!"), *text(" echo")], 0) == [
        SEAM,
        *text(" echo"),
    ]
    assert splice.anomalies == ["rethought"]


@pytest.mark.parametrize(
    ("stop", "came", "left"),
    [
        ("an echo", " echo", TEXT[: KEPT - 2]),  # began before the seam
        ("echo", " echo and more", TEXT[:KEPT] + " "),
        (" echo", " echo", TEXT[:KEPT]),
        ("never", " echo.", TEXT[:KEPT] + " echo."),
        ("echo.!", " echo.", TEXT[:KEPT] + " echo."),  # held back, and released at the end
    ],
)
def test_a_stop_text_ends_the_answer_wherever_it_stands(stop: str, came: str, left: str) -> None:
    splice = going_on(stop=stop)
    screen = Accumulator(Request.of("Hi"))
    screen.add(TextDelta(text=TEXT))
    events = [e for letter in came for e in splice.feed(text(letter), 0)]
    if not splice.over:
        events += splice.feed([Finish(reason="stop")], 0)
    for event in events:
        screen.add(event)
    assert (screen.text, screen.finish_reason) == (left, "stop")


def test_what_cannot_be_taken_back_stays_where_a_stop_text_began_in_it() -> None:
    splice = going_on(len(TEXT), stop="echo.\nEnd", rewind=False)
    seam = Seam(kind="continued", detail="it broke")
    assert splice.feed(text("\nE", "nd, and more"), 0) == [seam, Finish(reason="stop")]
    assert splice.over


def test_a_restart_voids_everything_before_its_first_piece() -> None:
    seam = Seam(kind="restarted", at_chars=0, reasoning_at_chars=0, detail="anew")
    for first in (TextDelta(text="x"), ReasoningDelta(text="x"), ToolCallDelta(index=0, name="f")):
        splice = Splice(Restart(why="anew"), sent=Request.of("Hi"), text=TEXT, reasoning="r")
        assert splice.feed([first, *text("y")], 0) == [seam, first, *text("y")]


def test_a_second_run_is_swallowed_while_it_repeats_the_first_and_refused_when_it_does_not() -> None:
    step = Restart(why="anew", compare=True)
    same = Splice(step, sent=Request.of("Hi"), text=TEXT, reasoning="")
    assert same.feed([ReasoningDelta(text="hm"), *text(TEXT[:9], TEXT[9:] + " More")], 0) == text(" More")
    other = Splice(step, sent=Request.of("Hi"), text=TEXT, reasoning="")
    assert other.feed([*text(TEXT[:9], "else"), Finish(reason="stop")], 0) == []
    assert other.diverged
    assert other.over
