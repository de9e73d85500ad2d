"""When held chunks are shown: group sizes, whole sentences, the longest delay; and that no character is lost or moved."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_magic.policy.buffering import SENTENCE_MAX_CHARS, BufferMode, BufferPolicy, ChunkBuffer
from deepseek_magic.protocol.events import (
    AttemptStarted,
    Event,
    Finish,
    Heartbeat,
    ReasoningDelta,
    Seam,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
    Waiting,
)
from tests.work import calls_made

MODES: tuple[BufferMode, ...] = ("realtime", "balanced", "sentence")


def text(*events: Event) -> str:
    return "".join(e.text for e in events if isinstance(e, TextDelta))


def shown_texts(policy: BufferPolicy, pieces: list[str], gap_s: float = 0.0) -> list[str]:
    """What a reader sees at each release, the last flush included."""
    buffer = ChunkBuffer(policy)
    releases = [buffer.add(TextDelta(text=piece), i * gap_s) for i, piece in enumerate(pieces)]
    return [text(*release) for release in [*releases, buffer.flush()] if release]


def sentences(answer: str, *, max_delay_s: float = 1e9) -> list[str]:
    """The answer as sentences, fed a character at a time (each release is one or more whole sentences)."""
    return shown_texts(BufferPolicy(mode="sentence", max_delay_s=max_delay_s), list(answer))


def folded(events: list[Event]) -> list[Event]:
    """The same stream with neighbouring text joined, so that streams cut at different borders compare equal."""
    out: list[Event] = []
    for event in events:
        if isinstance(event, TextDelta | ReasoningDelta) and out and type(out[-1]) is type(event):
            event = type(event)(text=out.pop().text + event.text)  # type: ignore[union-attr]
        out.append(event)
    return out


@pytest.mark.parametrize(("mode", "chunks"), [("realtime", 2), ("balanced", 8)])
def test_the_first_group_has_the_size_that_the_mode_promises(mode: BufferMode, chunks: int) -> None:
    releases = shown_texts(BufferPolicy(mode=mode), ["ab"] * chunks)
    assert releases == ["ab" * chunks]


@pytest.mark.parametrize(("rate", "wanted"), [(20, 5), (50, 5), (100, 7), (160, 11), (1000, 15)])
def test_a_balanced_group_follows_the_chunk_rate_within_its_bounds(rate: float, wanted: int) -> None:
    releases = shown_texts(BufferPolicy(mode="balanced", max_delay_s=10), ["x"] * 200, 1 / rate)
    assert len(releases[-2]) == wanted  # the last one is the flush


def test_a_burst_without_time_between_chunks_makes_the_largest_groups() -> None:
    assert [len(r) for r in shown_texts(BufferPolicy(mode="balanced"), ["x"] * 38)] == [8, 15, 15]


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_held_longer_than_the_longest_delay(mode: BufferMode) -> None:
    buffer = ChunkBuffer(BufferPolicy(mode=mode, max_delay_s=0.2))
    assert buffer.due_s(0.0) is None
    assert buffer.add(TextDelta(text="a"), 5.0) == []
    assert buffer.due_s(5.05) == pytest.approx(0.15)
    assert buffer.due_s(9.0) == 0.0
    assert text(*buffer.add(TextDelta(text="b"), 5.3)) == "ab"
    assert buffer.due_s(5.3) is None


def test_a_sentence_may_be_held_longer_than_a_chunk_unless_told_otherwise() -> None:
    assert BufferPolicy(mode="balanced").max_delay_s == 0.25
    assert BufferPolicy(mode="sentence").max_delay_s == 3.0
    assert BufferPolicy(mode="sentence", max_delay_s=0.25).max_delay_s == 0.25


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "event",
    [
        Seam(kind="continued", at_chars=1),
        Seam(kind="restarted", at_chars=0),
        Waiting(reason="backoff", seconds=1.0),
        Finish(reason="stop"),
        UsageReport(usage=Usage(prompt_tokens=1)),
        AttemptStarted(attempt=2, strategy="continue"),
        Heartbeat(),
    ],
    ids=lambda e: type(e).__name__,
)
def test_other_events_push_out_what_is_held_and_pass_at_once(mode: BufferMode, event: Event) -> None:
    buffer = ChunkBuffer(BufferPolicy(mode=mode))
    buffer.add(TextDelta(text="a"), 0.0)
    assert buffer.add(event, 0.0) == [TextDelta(text="a"), event]
    assert buffer.flush() == []


@pytest.mark.parametrize("mode", MODES)
def test_channels_are_never_merged_or_reordered(mode: BufferMode) -> None:
    call = ToolCallDelta(index=0, id="1", name="f", arguments="{")
    events: list[Event] = [ReasoningDelta(text="r"), TextDelta(text="t"), call, TextDelta(text="u")]
    buffer = ChunkBuffer(BufferPolicy(mode=mode, min_chunks=5, start_chunks=5, realtime_chunks=5))
    out = [e for event in events for e in buffer.add(event, 0.0)]
    assert [*out, *buffer.flush()] == events


def test_english_sentences_end_at_their_marks_and_not_inside_words_and_numbers() -> None:
    answer = (
        'Dr. Smith paid 3.14 USD, e.g. for J. R. Example. See fig. 2 at example.com. He asked: "Why?" Then he left... '
        "U.S. prices vary. In 2024. No. 5 lives! No. Never. The Ph.D. thesis at 9 a.m. Monday"
    )
    assert sentences(answer) == [
        "Dr. Smith paid 3.14 USD, e.g. for J. R. Example. ",
        "See fig. 2 at example.com. ",
        'He asked: "Why?" ',
        "Then he left... ",
        "U.S. prices vary. ",
        "In 2024. ",
        "No. 5 lives! ",
        "No. ",
        "Never. ",
        "The Ph.D. thesis at 9 a.m. Monday",
    ]


def test_chinese_sentences_keep_their_closing_quotes() -> None:
    answer = "他说：“好的。”然后走了！真的吗？！是的……版本是3.14。结束"
    assert sentences(answer) == ["他说：“好的。”", "然后走了！", "真的吗？！", "是的……", "版本是3.14。", "结束"]


def test_a_chinese_sentence_with_ascii_marks_ends_too() -> None:
    assert sentences("好吗?是的!没错.完了") == ["好吗?", "是的!", "没错.", "完了"]


def test_headings_list_items_and_paragraphs_end_with_their_line() -> None:
    answer = "# Title\n\n1. First thing\n2. Second one. With two\n\nA paragraph\nover two lines\n\nNext"
    assert sentences(answer) == [
        "# Title\n",
        "\n",
        "1. First thing\n",
        "2. Second one. ",
        "With two\n",
        "\n",
        "A paragraph\nover two lines\n\n",
        "Next",
    ]


@pytest.mark.parametrize(
    "block",
    [
        "```python\nx = 1. + 2\n\nprint('a. B')  # end. Next\n```\n",
        "~~~\n```\nStill. Inside.\n~~~\n",
        "- ```\n  A. B\n  ```\n",
        "| a | b |\n|---|---|\n| One. Two | 三。四 |\n| 5. Six | x |\n",
        "a | b\n--- | ---\nOne. Two | x\n",
        "$$\na = b. C\n\n= d.\n$$\n",
        "\\[\na. B\n\\]\n",
    ],
    ids=["fence", "tildes", "fence in a list", "table", "table without outer pipes", "dollars", "brackets"],
)
def test_a_fence_a_table_and_a_formula_come_in_one_piece(block: str) -> None:
    assert sentences(f"Before it. See\n{block}\nAfter it. End") in (
        ["Before it. ", "See\n", block, "\n", "After it. ", "End"],
        ["Before it. ", "See\n", block + "\n", "After it. ", "End"],
        ["Before it. ", "See\n" + block + "\n", "After it. ", "End"],
        ["Before it. ", "See\n" + block, "\n", "After it. ", "End"],
    )


def test_inline_code_and_inline_formulas_hide_their_full_stops_but_money_does_not() -> None:
    assert sentences("Call `a. B` now. Then $x. Y$ and \\(p. Q\\) hold. It costs $5. Done") == [
        "Call `a. B` now. ",
        "Then $x. Y$ and \\(p. Q\\) hold. ",
        "It costs $5. ",
        "Done",
    ]


def test_a_sentence_inside_one_delta_is_shown_and_its_rest_waits() -> None:
    buffer = ChunkBuffer(BufferPolicy(mode="sentence"))
    assert buffer.add(TextDelta(text="One is here. Two is"), 0.0) == [TextDelta(text="One is here. ")]
    assert buffer.add(TextDelta(text=" there. T"), 0.1) == [TextDelta(text="Two is there. ")]
    assert buffer.flush() == [TextDelta(text="T")]


def test_the_rest_of_a_split_is_as_old_as_its_own_first_character() -> None:
    buffer = ChunkBuffer(BufferPolicy(mode="sentence", max_delay_s=1.0))
    buffer.add(TextDelta(text="A paragraph\n| he"), 0.0)
    buffer.add(TextDelta(text="ad |"), 0.4)
    assert buffer.add(TextDelta(text="\n"), 0.5) == [TextDelta(text="A paragraph\n")]
    assert buffer.due_s(0.5) == pytest.approx(0.5)


def test_a_fence_too_long_for_the_buffer_is_shown_in_parts() -> None:
    lines = ["```\n", *["code\n"] * (SENTENCE_MAX_CHARS // 2)]
    releases = shown_texts(BufferPolicy(mode="sentence", max_delay_s=1e9), lines)
    assert max(map(len, releases)) < SENTENCE_MAX_CHARS + 10
    assert "".join(releases) == "".join(lines)


def test_a_fence_that_was_shown_in_part_still_ends_at_its_own_end() -> None:
    buffer = ChunkBuffer(BufferPolicy(mode="sentence", max_delay_s=1.0))
    assert buffer.add(TextDelta(text="```\na. B\n"), 0.0) == []
    assert text(*buffer.flush()) == "```\na. B\n"
    assert buffer.add(TextDelta(text="c. D\n``"), 1.0) == []
    assert text(*buffer.add(TextDelta(text="`\n"), 1.1)) == "c. D\n```\n"


def test_a_sentence_of_any_length_is_read_in_linear_time() -> None:
    """The scanner looks at each character a bounded number of times: ten times the text, not a hundred times the steps."""

    def steps(chars: int) -> int:
        pieces = [TextDelta(text="word ")] * (chars // 5)
        buffer = ChunkBuffer(BufferPolicy(mode="sentence", max_delay_s=1e9))
        return calls_made(lambda: [buffer.add(piece, 0.0) for piece in pieces])

    assert steps(20_000) < 12 * steps(2_000)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "fast"},
        {"mode": "balanced", "min_chunks": 9},
        {"mode": "realtime", "realtime_chunks": 0},
        {"max_delay_s": -1},
    ],
)
def test_a_policy_that_cannot_be_kept_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"mode|chunk|max_delay_s"):
        BufferPolicy(**wrong)  # type: ignore[arg-type]


PIECES = st.text(alphabet='ab .。！?…\n`$|-#\\[]()1”"', min_size=1, max_size=12)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(TextDelta, text=PIECES),
    st.builds(TextDelta, text=PIECES),
    st.builds(ReasoningDelta, text=PIECES),
    st.builds(ToolCallDelta, index=st.just(0), arguments=PIECES),
    st.just(Heartbeat()),
    st.just(Seam(kind="restarted", at_chars=0)),
    st.just(UsageReport(usage=Usage())),
)


@given(mode=st.sampled_from(MODES), steps=st.lists(st.tuples(EVENTS, st.floats(0, 2), st.booleans()), max_size=60))
def test_what_comes_out_is_what_went_in(mode: BufferMode, steps: list[tuple[Event, float, bool]]) -> None:
    buffer = ChunkBuffer(BufferPolicy(mode=mode, max_delay_s=1.0))
    now_s, out = 0.0, []
    for event, gap_s, flush in steps:
        now_s += gap_s
        out += buffer.add(event, now_s)
        due_s = buffer.due_s(now_s)
        assert due_s is None or 0 < due_s <= 1.0 + 1e-9
        if flush:
            out += buffer.flush()
    out += buffer.flush()
    assert folded(out) == folded([event for event, _, _ in steps])


@given(pieces=st.lists(PIECES, max_size=40))
def test_sentence_ends_do_not_depend_on_where_the_network_cut_the_text(pieces: list[str]) -> None:
    """What is shown after the whole text does not depend on its chunks: the open rest is the same."""
    rests = []
    for chunks in (pieces, list("".join(pieces)), ["".join(pieces)] if "".join(pieces) else []):
        buffer = ChunkBuffer(BufferPolicy(mode="sentence", max_delay_s=1e9))
        for chunk in chunks:
            buffer.add(TextDelta(text=chunk), 0.0)
        rests.append(text(*buffer.flush()))
    assert all(a == b for a, b in pairwise(rests))
