"""The failure lab: experiments that are seen, a story and a strip that tell them, and buttons that can be pressed at any moment."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepseek_magic.demo.faults.spec import parse
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import LIKE_A_MODEL
from deepseek_magic.notebook.panel.tabs.lab import EXPERIMENTS, armed
from deepseek_magic.notebook.panel.tabs.story import Story, lanes_text, story_html
from deepseek_magic.notebook.panel.tabs.strip import Strip
from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.completion import Completion
from deepseek_magic.protocol.events import AttemptStarted, Event, Finish, ReasoningDelta, Seam, TextDelta, Waiting
from deepseek_magic.protocol.outcome import Outcome
from deepseek_magic.text.catalogue import catalogue
from deepseek_magic.text.messages import Message

from .conftest import Kernel
from .test_panel import CHATS, Front

NAMES = [experiment.name for experiment in EXPERIMENTS]
CLASS = "p = ds.panel(for_class=True)\np"
WHY = Message("{what}; asking again.", what=Message("The answer broke off"))


def ended(outcome: Outcome = "complete") -> Completion:
    return Completion(request=Request.of("hi"), outcome=outcome)


def text_of(markup: str) -> str:
    return re.sub("<.*?>", "", markup)


# the story and its strip


def test_the_story_names_attempts_waits_and_places_once_each() -> None:
    story = Story(now_s=10.0)
    story.note([AttemptStarted(attempt=1), TextDelta(text="a"), TextDelta(text="b")], 11.0)
    story.note([Waiting(reason="backoff", detail="The line <broke>; again in 1 s.")] * 2, 12.0)
    story.note([AttemptStarted(attempt=2, strategy="continue"), Seam(kind="continued", at_chars=2, detail=WHY)], 13.0)
    assert [round(at_s) for at_s, _ in story.lines] == [1, 1, 2, 3, 3]
    assert [line for _, line in story.lines[3:]] == [
        "Asked again for the rest, attempt 2.",
        "Joined at character 2.",
    ]
    assert "&lt;broke&gt;" in story_html(story.lines)


@pytest.mark.parametrize(
    ("seam", "said"),
    [
        (Seam(kind="resumed", detail=WHY), "Joined."),
        (Seam(kind="restarted", at_chars=0, detail=WHY), "The new answer takes the place of the text so far."),
        (Seam(kind="continued", detail="Another endpoint takes over."), "Another endpoint takes over."),
    ],
)
def test_a_place_where_it_was_joined_is_one_sentence(seam: Seam, said: str) -> None:
    story = Story(0.0)
    story.note([seam], 1.0)
    assert story.lines == [(1.0, said)]


FIRST, WORD, WAIT = AttemptStarted(), TextDelta(text="word"), Waiting(reason="backoff")
AGAIN, JOINED = AttemptStarted(attempt=2, strategy="continue"), Seam(kind="continued", at_chars=4)


@pytest.mark.parametrize(
    ("events", "outcome", "said"),
    [
        ([], None, ""),
        ([FIRST], None, "Asked"),
        ([FIRST, WORD, Finish(reason="stop")], "complete", "Asked · whole (9.0 s)"),
        (
            [FIRST, WORD, WAIT, AGAIN, JOINED, WORD],
            "complete",
            "Asked · ✕ broke off after 4 characters (3.0 s) · asked again · + joined (5.0 s) · whole: nothing is lost (9.0 s)",
        ),
        (
            [FIRST, ReasoningDelta(text="hm"), AGAIN],
            None,
            "Asked · ✕ broke off (3.0 s) · asked again",
        ),
        (
            [FIRST, WORD, AGAIN, JOINED, WORD, AGAIN, JOINED],
            "interrupted",
            "Asked · ✕ broke off 2× · asked again 2× · + joined 2× · stopped (9.0 s)",
        ),
        ([FIRST, WAIT, AGAIN, WAIT], "incomplete", "Asked · no answer 2× · asked again · failed (9.0 s)"),
        ([FIRST, Waiting(reason="concurrency"), WORD], None, "Asked"),
        (
            [FIRST, WORD, AGAIN, Seam(kind="restarted", at_chars=0)],
            None,
            "Asked · ✕ broke off after 4 characters (3.0 s) · asked again · begun anew",
        ),
        # the token budget ended it, and it was continued: nothing broke
        ([FIRST, WORD, Finish(reason="length"), AGAIN, JOINED], None, "Asked · asked again · + joined (5.0 s)"),
    ],
)
def test_the_strip_says_what_happened_in_the_words_of_the_glossary(
    events: list[Event], outcome: Outcome | None, said: str
) -> None:
    strip = Strip()
    for number, event in enumerate(events, 1):
        strip.note(event, float(number))
    if outcome is not None:
        strip.end(ended(outcome), 9.0)
    assert " · ".join(strip.words()) == said
    assert text_of(strip.html(9.0).partition("</div>")[0]) == said


def test_the_strip_is_as_long_as_its_time_and_shows_where_nothing_came() -> None:
    strip = Strip()
    for event, at_s in ((FIRST, 0.0), (WORD, 1.0), (WORD, 1.5), (WORD, 6.5), (WAIT, 7.0), (AGAIN, 8.0), (WORD, 9.0)):
        strip.note(event, at_s)
    parts = re.findall(r'strip-(\w+)" style="flex-grow: ([\d.]+)|strip-(broke|joined)"', strip.html(9.5))
    assert [kind or moment for kind, _, moment in parts] == ["wait", "text", "silence", "text", "broke", "wait", "text"]
    assert sum(float(length) for _, length, _ in parts if length) == pytest.approx(9.5)
    assert [float(length) for kind, length, _ in parts if kind == "silence"] == [5.0]
    assert "strip-silence" in strip.html(11.0).rpartition("strip-text")[2]  # while it lasts


# experiments


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: e.name)
def test_every_experiment_is_a_fault_of_the_demo_with_two_sentences(experiment: Any) -> None:
    assert bool(parse(experiment.fault)) is (experiment.fault is not None)
    assert experiment.breaks.endswith(".")
    assert experiment.watch.endswith(".")


def test_the_page_of_the_panel_names_the_faults_of_all_experiments() -> None:
    page = (Path(__file__).parents[2] / "docs" / "panel.md").read_text("utf-8")
    assert [one.name for one in EXPERIMENTS if one.fault is not None and f"`{one.fault}`" not in page] == []


def test_every_experiment_is_explained_in_chinese() -> None:
    texts = [text for one in EXPERIMENTS for text in (one.name, one.breaks, one.watch)]
    assert [text for text in texts if text not in catalogue("zh")] == []


@pytest.mark.parametrize(
    ("fault", "left", "said"),
    [
        (None, (), "Nothing is set up: answers are whole."),
        ("cut at=content after=25 times=1", (1,), "Armed, once: break."),
        ("cut at=content after=12 times=3", (2,), "Armed, 2 times: three breaks."),
        ("cut at=content after=25 times=1", (0,), "Used up: break. Set it up again."),
        ("503 times=1; cut", (0, None), "Armed, every time: 503 times=1; cut."),
        ("refuse for=3", (None,), "In force from Set up on: refuse for=3."),
    ],
)
def test_what_is_set_up_is_armed_until_it_is_used_up(
    fault: str | None, left: tuple[int | None, ...], said: str
) -> None:
    assert armed(fault, left) == said


# buttons, in a kernel


def choose(front: Front, name: str) -> None:
    front.put(front.find(description="experiment"), index=NAMES.index(name))
    front.put(front.find(description="slowness"), value=0.1)
    front.until(lambda: any(str(s.get("description")).endswith(f": {name}") for s in front.state.values()))


def set_up(front: Front, name: str) -> None:
    choose(front, name)
    front.click(f"Set up: {name}")
    front.until(lambda: front.shows(f"Armed, once: {name}.") or front.shows(f"{name}."))


def test_the_lab_makes_the_demo_answer_and_the_head_says_so(kernel: Kernel) -> None:
    front = Front(kernel)
    assert not front.shows("<b>demo server</b>")
    front.click("Set up: no fault")
    front.until(lambda: front.shows("<b>demo server</b> · free"))
    front.until(lambda: front.shows("Ask the demo server"))
    front.until(lambda: front.shows("default: demo"))


def test_the_lab_sets_a_fault_and_tells_what_the_client_did(kernel: Kernel) -> None:
    front = Front(kernel, CLASS)
    choose(front, "break")
    front.click("Set up: break")
    front.until(lambda: front.shows("Armed, once: break."))
    front.ask("hi")
    front.until(lambda: front.shows("Joined at character"))
    front.until(lambda: front.shows("Used up: break."))
    front.until(lambda: front.shows("whole: nothing is lost"))
    assert front.value("p.answer.outcome, p.answer.attempts") == "complete 2"
    front.click("Set up again")
    front.until(lambda: not front.shows("Joined at character"))
    front.until(lambda: front.shows("Armed, once: break."))


def test_it_is_used_up_as_soon_as_it_has_happened_and_not_when_the_answer_ends(kernel: Kernel) -> None:
    front = Front(kernel, CLASS)
    choose(front, "break")
    front.click("Set up: break")
    front.until(lambda: front.shows("Armed, once: break."))
    front.act("send", "long 20")
    front.until(lambda: front.shows("Used up: break."))
    assert not front.enabled("send")
    front.act("stop")
    front.until(lambda: front.enabled("send"))


def test_until_the_button_is_pressed_the_lab_says_what_is_in_force(kernel: Kernel) -> None:
    front = Front(kernel, CLASS)
    choose(front, "break")
    front.click("Set up: break")
    front.until(lambda: front.shows("Armed, once: break."))
    choose(front, "stall")
    front.until(lambda: front.shows("Not set up yet. Until then: Armed, once: break."))
    front.until(lambda: front.state[front.find(description="Set up: stall")]["button_style"] == "primary")


def test_what_a_cell_does_to_the_demo_is_seen_in_the_lab(kernel: Kernel) -> None:
    front = Front(kernel, CLASS)
    front.value("get_ipython().run_line_magic('deepseek_demo', '--fault \"503 times=1\"')")
    front.until(lambda: front.shows("Not set up yet. Until then: Armed, once: 503 times=1."))
    front.value("get_ipython().run_line_magic('deepseek_demo', 'stop')")
    front.until(lambda: front.shows("starts a demo server in this kernel"))


def test_a_fault_that_is_none_changes_nothing_and_is_one_sentence(kernel: Kernel) -> None:
    front = Front(kernel, CLASS)
    front.put(front.find(description="fault"), value="cutt after=3")
    front.until(lambda: any(state.get("description") == "Set up: cutt after=3" for state in front.state.values()))
    front.click("Set up: cutt after=3")
    front.until(lambda: front.shows("There is no fault"))
    assert front.value("__import__('os').environ.get('DEEPSEEK_MAGIC_DEMO')") == "None"


def test_while_a_tape_plays_the_lab_starts_no_server(kernel: Kernel, demo: DemoServer, tmp_path: Path) -> None:
    front = Front(kernel, CLASS)
    tape = tmp_path / "lesson.tape"
    front.value(f"ds.record({str(tape)!r}).__enter__(), str(ds.ask('hi', think='off'))[:0]")
    front.value("get_ipython().run_line_magic('deepseek_record', 'off')")
    front.value(f"get_ipython().run_line_magic('deepseek_replay', {str(tape)!r})")
    front.click("Set up: no fault")
    front.until(lambda: front.shows("The tape lesson.tape answers, so no demo server is started or stopped."))
    assert front.value("__import__('os').environ.get('DEEPSEEK_MAGIC_DEMO')") == "None"


def test_six_questions_have_six_lanes_and_are_counted(kernel: Kernel, demo: DemoServer) -> None:
    demo.pace = LIKE_A_MODEL
    front = Front(kernel, CLASS)
    assert front.value("p._controls.given['think'], p._chosen is p._lab") == "off True"
    front.click("Ask 6 times")
    front.until(lambda: front.shows("<li>running</li>") and front.shows("<li>waiting</li>"))
    counted = re.compile(r"6 asked: (?:\d \w+ · )+\d \w+")
    front.until(lambda: counted.search(json.dumps(front.state, ensure_ascii=False)) is not None)
    front.until(lambda: json.dumps(front.state).count("<li>done") == 6)
    front.until(lambda: not front.shows("6 asked"))
    assert front.value("len(ds.log), p.answer, len(" + CHATS + ")") == "6 None 0"


def test_six_at_once_are_stopped_together_and_not_asked_twice(kernel: Kernel, demo: DemoServer) -> None:
    demo.pace = LIKE_A_MODEL
    front = Front(kernel, CLASS)
    stop = front.state[front.find(description="Stop")]["layout"].removeprefix("IPY_MODEL_")
    front.put(front.box, value="long 60")
    front.click("Ask 6 times")
    front.until(lambda: front.shows("6 asked"))
    front.click("Ask 6 times")
    front.until(lambda: front.shows("What was asked at once has not ended: stop it first, or wait."))
    assert front.state[stop]["display"] is None
    front.act("send", "echo beside them")
    front.until(lambda: front.shows("beside them") and front.enabled("send"))
    front.click("Stop")
    front.until(lambda: json.dumps(front.state).count("<li>stopped") == 6)
    front.until(lambda: front.state[stop]["display"] == "none")


class Stub:
    """A lane in a state."""

    def __init__(self, state: str) -> None:
        self.state, self.open = state, state in ("running", "waiting")


def test_the_states_of_lanes_are_counted_in_one_order() -> None:
    for states in (["waiting", "done", "running"], ["done", "running", "waiting"]):
        lanes: Any = [Stub(state) for state in states]
        assert lanes_text(lanes) == "3 asked: 1 running · 1 waiting · 1 done"


def test_lanes_stay_until_something_else_is_asked_or_set_up(kernel: Kernel) -> None:
    front = Front(kernel, CLASS)
    for next_thing in (lambda: front.ask("hi"), lambda: front.click("Set up: no fault")):
        front.click("Ask 6 times")
        front.until(lambda: json.dumps(front.state).count("<li>done") == 6)
        assert front.value("repr(p._strip.value)") == "''"  # that of the answer before
        next_thing()
        front.until(lambda: json.dumps(front.state).count("<li>done") == 0)


def test_a_question_that_cannot_be_sent_ends_its_lane(kernel: Kernel) -> None:
    front = Front(kernel, "p = ds.panel(for_class=True, budget=1e-9)\np")
    front.click("Set up: no fault")
    front.until(lambda: front.shows("Nothing is set up: answers are whole."))
    front.click("Ask 6 times")
    front.until(lambda: json.dumps(front.state).count("<li>failed") == 6)
    front.act("send", "hi")
    front.until(lambda: front.shows("Over the budget"))
    front.until(lambda: front.enabled("send"))


def test_pressed_while_an_answer_is_written_set_up_holds_for_the_next_one(kernel: Kernel, demo: DemoServer) -> None:
    front = Front(kernel, CLASS)
    choose(front, "no fault")
    front.click("Set up: no fault")
    front.until(lambda: front.shows("Nothing is set up: answers are whole."))
    front.act("send", "long 8")
    front.until(lambda: front.shows("paragraph 1"))
    choose(front, "wrong key")
    front.click("Set up: wrong key")
    front.until(lambda: front.shows("Armed, every time: wrong key."))
    front.until(lambda: front.enabled("send"))
    assert front.value("p.answer.outcome") == "complete"
    for _ in range(2):  # a key is as wrong the second time
        front.ask("hi")
        front.until(lambda: front.enabled("send"))
        assert front.value("p.answer.error.status") == "401"


def test_a_class_view_that_is_closed_stops_what_it_asked(kernel: Kernel, demo: DemoServer) -> None:
    demo.pace = LIKE_A_MODEL
    front = Front(kernel, CLASS)
    front.put(front.box, value="long 60")
    front.click("Ask 6 times")
    front.until(lambda: front.shows("6 asked"))
    front.value("p.close()")
    front.until(lambda: front.value("p._calls.several") == "False")
    assert front.value("{row['outcome'] for row in ds.log} - {'interrupted'}") == "set()"


def test_run_by_nobody_who_looks_the_class_view_leaves_its_picture(
    run_headless: Callable[..., list[list[Any]]],
) -> None:
    (outputs,) = run_headless("%deepseek_panel --class", store_widget_state=False)
    assert [set(output["data"]) for output in outputs][-1] == {"text/markdown", "text/plain"}
