"""Text that grows, and pieces taken together: less is handled, and nothing is changed."""

from __future__ import annotations

import itertools
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from deepseek_magic.protocol.events import Event, Heartbeat, ReasoningDelta, TextDelta, ToolCallDelta
from deepseek_magic.protocol.runs import joined, runs_of
from deepseek_magic.text.growing import LONG_CHARS, GrowingText

PIECES = st.text(min_size=1, max_size=3)
EVENTS = st.lists(
    st.one_of(
        PIECES.map(lambda text: TextDelta(text=text)),
        PIECES.map(lambda text: ReasoningDelta(text=text)),
        st.just(ToolCallDelta(index=0, arguments="{")),
        st.just(Heartbeat()),
    )
)


def pieces(events: list[Event]) -> list[tuple[str, str]]:
    """Every character with its channel; other events as they are."""
    found = []
    for event in events:
        if isinstance(event, TextDelta | ReasoningDelta):
            found += [(type(event).__name__, char) for char in event.text]
        else:
            found.append((type(event).__name__, repr(event)))
    return found


@given(EVENTS)
def test_runs_say_what_their_events_said_in_the_same_order(events: list[Event]) -> None:
    assert pieces(joined(events)) == pieces(events)
    assert sum(count for _, count in runs_of(events)) == len(events)


@given(EVENTS)
def test_no_two_neighbouring_runs_are_text_of_one_channel(events: list[Event]) -> None:
    kinds = [type(event) for event in joined(events)]
    for before, after in itertools.pairwise(kinds):
        assert before is not after or before in (ToolCallDelta, Heartbeat)


STEPS = st.one_of(
    st.text(max_size=3), st.sampled_from(("x" * LONG_CHARS, "\U0001f600" * 300, "ä")), st.integers(0, 2000)
)


@given(st.lists(STEPS), st.booleans())
def test_a_growing_text_is_the_text_that_was_written(steps: list[str | int], looking: bool) -> None:
    grown, expected = GrowingText(), ""
    for step in steps:
        if isinstance(step, int):
            grown.truncate(step)
            expected = expected[:step]
        else:
            grown.write(step)
            expected += step
        assert grown.chars == len(expected)
        if looking:
            assert grown.text == expected
    assert grown.text == expected


def test_a_growing_text_takes_the_memory_of_its_text_at_its_end_too() -> None:
    grown = GrowingText()
    tracemalloc.start()
    try:
        for _ in range(400_000):
            grown.write("tok")
        text = grown.text
        assert tracemalloc.get_traced_memory()[1] < 1.2 * len(text)
    finally:
        tracemalloc.stop()
