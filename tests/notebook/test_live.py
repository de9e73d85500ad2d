"""The live view: what is drawn when, on a clock that the test turns."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from deepseek_magic.notebook.view.live import MAX_REDRAWS_PER_S, TAIL_BYTES_PER_S, LiveView, Settlement
from deepseek_magic.notebook.view.settled import lasting
from deepseek_magic.notebook.view.status import Status, status_html, status_text
from deepseek_magic.policy.buffering import BufferPolicy
from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.completion import Accumulator
from deepseek_magic.protocol.events import (
    AttemptStarted,
    Event,
    Finish,
    ReasoningDelta,
    ResponseStarted,
    Seam,
    TextDelta,
    Waiting,
)

PARAGRAPH = "A sentence of some length that says nothing, again and again. " * 8 + "\n\n"


class Paper:
    """A surface that remembers what was drawn on it."""

    def __init__(self) -> None:
        self.settled: list[str] = []
        self.tails: list[str] = []
        self.thoughts = ""
        self.states: list[Status] = []
        self.resets = 0
        self.kept: list[str] = []
        self.ending: Settlement | None = None

    def open(self, status: Status) -> None:
        self.states.append(status)

    def settle(self, blocks: Sequence[str]) -> None:
        self.settled += blocks

    def tail(self, markdown: str) -> None:
        self.tails.append(markdown)

    def reasoning(self, text: str) -> None:
        self.thoughts += text

    def status(self, status: Status) -> None:
        self.states.append(status)

    def reset(self) -> None:
        self.settled.clear()
        self.resets += 1

    def keep(self, text: str) -> None:
        self.kept.append(text)

    def close(self, ending: Settlement) -> None:
        self.ending = ending


class Stage:
    """A view, its paper, a clock, and the accumulator that knows the truth."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.paper = Paper()
        self.truth = Accumulator(Request.of("hi"))
        self.view = LiveView(self.paper, buffer=BufferPolicy(mode="realtime"), clock=lambda: self.now_s)

    def play(self, *events: Event, after_s: float = 0.01) -> None:
        self.now_s += after_s
        for event in events:
            self.truth.add(event)
        self.view.show(events)

    def write(self, text: str, *, after_s: float = 0.01) -> None:
        for word in text.split(" "):
            self.play(TextDelta(text=word + " "), after_s=after_s)

    def end(self) -> Settlement:
        self.play(Finish(reason="stop"))
        self.view.finish(self.truth.completion())
        assert self.paper.ending is not None
        return self.paper.ending


def test_the_segments_joined_are_the_answer() -> None:
    stage = Stage()
    stage.write(PARAGRAPH * 30)
    ending = stage.end()
    assert "".join(segment.raw for segment in ending.segments) == ending.completion.text
    assert [segment.markdown for segment in ending.segments[: ending.drawn]] == stage.paper.settled
    assert ending.drawn > 2


def test_settled_text_is_drawn_once_and_the_cost_grows_with_the_length() -> None:
    def drawn_bytes(paragraphs: int) -> int:
        stage = Stage()
        stage.write(PARAGRAPH * paragraphs)
        stage.end()
        return sum(map(len, stage.paper.settled)) + sum(map(len, stage.paper.tails))

    assert drawn_bytes(40) <= 2.6 * drawn_bytes(20)


def test_redraws_are_bounded_in_number_and_in_bytes() -> None:
    stage = Stage()
    stage.write("| a | b |\n|---|---|\n" + "| word | word |\n" * 2000, after_s=0.001)
    assert len(stage.paper.tails) <= stage.now_s * MAX_REDRAWS_PER_S + 2
    assert sum(len(tail.encode()) for tail in stage.paper.tails) <= stage.now_s * TAIL_BYTES_PER_S * 1.5


def test_what_is_held_back_is_drawn_when_nothing_more_comes() -> None:
    stage = Stage()
    stage.play(TextDelta(text="one"))
    stage.now_s += 1
    stage.view.show([])
    assert stage.paper.tails[-1] == "one"


@pytest.mark.parametrize("seed", range(20))
def test_after_any_seams_the_segments_are_the_answer_as_it_stands(seed: int) -> None:
    chance = random.Random(seed)
    stage = Stage()
    for _ in range(5):
        stage.write(PARAGRAPH * chance.randint(1, 8))
        at = chance.randint(0, stage.truth.text_chars)
        stage.play(Seam(kind="continued", at_chars=at))
    stage.write("the end")
    ending = stage.end()
    assert "".join(segment.raw for segment in ending.segments) == ending.completion.text


def test_a_seam_that_takes_nothing_back_draws_nothing_anew() -> None:
    stage = Stage()
    stage.write("some text")
    stage.play(Seam(kind="continued", at_chars=stage.truth.text_chars))
    assert stage.paper.resets == 0
    assert stage.paper.states[-1].seams == 1


def test_a_seam_in_the_open_tail_takes_nothing_settled_back() -> None:
    stage = Stage()
    stage.write(PARAGRAPH * 8 + "half a wo")
    settled = list(stage.paper.settled)
    assert settled
    stage.play(Seam(kind="continued", at_chars=stage.truth.text_chars - len("wo ")))
    stage.write("word and the rest", after_s=0.3)
    assert stage.paper.resets == 0
    assert stage.paper.settled[: len(settled)] == settled
    assert "half a word and the rest" in stage.paper.tails[-1]


def test_a_seam_within_what_is_settled_draws_the_answer_anew() -> None:
    stage = Stage()
    stage.write(PARAGRAPH * 8)
    stage.play(Seam(kind="restarted", at_chars=10))
    assert stage.paper.resets == 1


def test_the_status_says_what_goes_on() -> None:
    stage = Stage()
    stage.play(AttemptStarted(attempt=1), ResponseStarted(model="deepseek-flash"), ReasoningDelta(text="hm"))
    stage.play(ReasoningDelta(text="m"), after_s=1)
    assert stage.paper.states[-1].state == "thinking"
    assert stage.paper.states[-1].model == "deepseek-flash"
    assert stage.paper.states[-1].reasoning_tokens == 2
    stage.play(Waiting(reason="retry_after", seconds=4, detail="429, next try in 4 s", of_attempts=5))
    assert (stage.paper.states[-1].state, stage.paper.states[-1].detail) == ("waiting", "429, next try in 4 s")
    stage.play(AttemptStarted(attempt=2), TextDelta(text="x"), TextDelta(text="y"), after_s=4)
    assert (stage.paper.states[-1].state, stage.paper.states[-1].attempt) == ("writing", 2)


def test_the_line_says_that_it_writes_from_the_first_text_that_is_drawn() -> None:
    stage = Stage()
    stage.play(ReasoningDelta(text="hm"), ReasoningDelta(text="m"))
    stage.play(TextDelta(text="held back"))
    assert (stage.paper.states[-1].state, stage.paper.tails) == ("thinking", [])
    stage.play(TextDelta(text=", then drawn"))
    assert (stage.paper.states[-1].state, stage.paper.tails) == ("writing", ["held back, then drawn"])


def test_text_that_was_held_back_does_not_hide_a_wait_that_came_after_it() -> None:
    stage = Stage()
    stage.play(TextDelta(text="held back"), Waiting(reason="backoff", seconds=1, detail="so"))
    stage.now_s += 1
    stage.view.show([])
    assert stage.paper.states[-1].state == "waiting"


def test_the_line_begins_with_what_goes_on_and_ends_with_who_answers() -> None:
    status = Status(state="writing", model="flash", place="a.host", elapsed_s=3, tokens_per_s=60, attempt=2)
    assert status_text(status) == "Writing… 3 s · 60 tokens/s · attempt 2 · flash · at a.host"
    assert status_text(replace(status, of_attempts=6)).split(" · ")[2] == "attempt 2 of 6"


def test_a_wait_and_another_attempt_are_what_a_reader_notices() -> None:
    waiting = Status(state="waiting", detail="<503>; asking again, attempt 3 of 6.", attempt=2, of_attempts=6)
    assert noticed(waiting) == ["Waiting: &lt;503&gt;; asking again, attempt 3 of 6."]
    assert noticed(Status(state="writing", attempt=2, of_attempts=6, model="flash")) == ["attempt 2 of 6"]
    assert noticed(Status(state="writing", model="flash", tokens_per_s=60)) == []


def noticed(status: Status) -> list[str]:
    return re.findall("<b>(.*?)</b>", status_html(status))


def test_a_long_piece_counts_as_the_tokens_that_it_is_about() -> None:
    stage = Stage()
    stage.play(ReasoningDelta(text="What a resumed answer had thought before it was cut comes as one piece. " * 5))
    assert 50 < stage.paper.states[-1].reasoning_tokens < 200


def test_reasoning_is_drawn_whole_and_apart() -> None:
    stage = Stage()
    for _ in range(50):
        stage.play(ReasoningDelta(text="thought <b> "))
    stage.write("answer")
    ending = stage.end()
    assert stage.paper.thoughts == "thought <b> " * 50
    assert "thought" not in "".join(stage.paper.tails)
    ((data, _),) = lasting(ending)
    assert data["text/markdown"].startswith("<details><summary>Reasoning</summary>")
    assert "<b>" not in data["text/markdown"]
    assert data["text/plain"] == "answer "


def test_reasoning_cannot_leave_its_fold() -> None:
    stage = Stage()
    stage.play(ReasoningDelta(text="</details>\n\n# out $x$ \\(y\\) `c` <img src=x onerror=1>\n\n<script>"))
    stage.write("answer")
    ((data, _),) = lasting(stage.end())
    fold = data["text/markdown"].split("\n\n")[0]
    assert fold.endswith("</blockquote></details>")
    assert fold.count("</details>") == 1
    assert not any(sign in fold for sign in ("$", "\\", "`", "<img", "<script"))


def test_what_has_come_is_kept_now_and_then_and_let_go_at_the_end() -> None:
    stage = Stage()
    stage.write(PARAGRAPH * 40)
    *kept, last = stage.paper.kept
    assert len(kept) >= 3
    assert all(stage.truth.text.startswith(text) for text in [*kept, last])
    assert sum(map(len, stage.paper.kept)) <= 3 * len(stage.truth.text)
    stage.end()
    assert stage.paper.kept[-1] == ""


def test_a_quick_answer_is_kept_by_its_settling_alone() -> None:
    stage = Stage()
    stage.write("a few words")
    stage.end()
    assert stage.paper.kept == []


def test_a_view_that_moves_draws_all_that_has_come_on_its_new_surface() -> None:
    stage = Stage()
    stage.write(PARAGRAPH * 10)
    new = Paper()
    stage.view.move(new)
    stage.write("and more ")
    stage.play(Finish(reason="stop"))
    stage.view.finish(stage.truth.completion())
    assert new.settled[: len(stage.paper.settled)] == stage.paper.settled
    assert stage.paper.ending is None
    assert new.ending is not None
