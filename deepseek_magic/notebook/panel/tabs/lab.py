"""The failure lab: experiments that make the demo server of this kernel fail, and what the class sees happen.

An experiment is a fault of the demo with two sentences, what breaks and what to watch.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import ipywidgets

from ....text.messages import say
from ...magic.demo import DemoMagics
from .sections import Guard, button, fold
from .story import Lane, lanes_html, story_html

SEVERAL: Final = 6
NAME_CHARS: Final = 24


@dataclass(frozen=True, slots=True)
class Experiment:
    """A fault by name: its spec for the demo, what it breaks, and what there is to see."""

    name: str
    fault: str | None
    breaks: str
    watch: str


EXPERIMENTS: Final = (
    Experiment("no fault", None, "Nothing is broken.", "It is asked once, nothing waits, nothing is joined."),
    Experiment(
        "slow",
        "slow rate=5",
        "The model writes five tokens a second.",
        "The first token is as fast as ever, and it is not asked again: slow is not broken.",
    ),
    Experiment(
        "break",
        "cut at=content after=25 times=1",
        "The connection closes in the middle of the answer, before the body has ended.",
        "It broke off, was asked again for the rest, and was joined: the text so far went along, and nothing is lost.",
    ),
    Experiment(
        "three breaks",
        "cut at=content after=12 times=3",
        "Three connections in a row close in the middle.",
        "It is asked again for the rest each time; four parts are joined to one answer.",
    ),
    Experiment(
        "an end too early",
        "eof-chunked at=content after=25 times=1",
        "The body ends properly, but too early: there was no finish reason.",
        "Many clients treat this as a success; here only a finish reason completes an answer.",
    ),
    Experiment(
        "stall",
        "stall at=content after=20 for=5 times=1",
        "The server falls silent for five seconds and keeps the connection open.",
        "The text stands still while the connection lives: only the client's own clock can notice.",
    ),
    Experiment(
        "hang-up",
        "reset at=after-headers times=2",
        "The server hangs up before it has said a word, twice.",
        "Nothing has arrived, so it is asked again from the beginning, after pauses that grow.",
    ),
    Experiment(
        "too busy",
        "503 times=2",
        "The service is too busy and says so, twice.",
        "The pauses grow, each a little different, so that many clients do not return at the same moment.",
    ),
    Experiment(
        "limit",
        "429 times=2 retry-after=2",
        "Too many requests: the response says how long to wait.",
        "The whole process waits that long, and fewer requests run at once; ask six times to see the queue.",
    ),
    Experiment(
        "wrong key",
        "401",
        "The key is refused.",
        "It is not asked again: the same request would fail again, so the error is shown at once.",
    ),
)


def named(fault: str | None) -> str:
    """What a person calls a fault: the experiment that it belongs to, or what was typed."""
    return next((say(one.name) for one in EXPERIMENTS if one.fault == fault), fault or "")


def armed(fault: str | None, left: Sequence[int | None]) -> str:
    """Whether a fault of the demo is still to come, and how often; ``left`` as ``Faults.left``."""
    if not fault:
        return say("Nothing is set up: answers are whole.")
    name, count = named(fault), sum(count or 0 for count in left)
    if fault.startswith("refuse"):  # a port is closed by the clock, whoever knocks
        return say("In force from Set up on: {fault}.", fault=name)
    if None in left:
        return say("Armed, every time: {fault}.", fault=name)
    if count == 0:
        return say("Used up: {fault}. Set it up again.", fault=name)
    if count == 1:
        return say("Armed, once: {fault}.", fault=name)
    return say("Armed, {count} times: {fault}.", count=count, fault=name)


class Lab:
    """Experiments with the demo server of this kernel, and the ``story`` of what the client did, in ``box`` but for a class."""

    def __init__(
        self,
        demo: DemoMagics,
        guard: Guard,
        ask_several: Callable[[int], None],
        forget_lanes: Callable[[], None],
        *,
        for_class: bool,
    ) -> None:
        self._demo = demo
        self._for_class, self._forget_lanes = for_class, forget_lanes
        self._experiment = ipywidgets.Dropdown(
            description=say("experiment"), options=[(say(e.name), i) for i, e in enumerate(EXPERIMENTS)], value=0
        )
        self._fault = ipywidgets.Text(
            description=say("fault"),
            placeholder=say("or any other, e.g. {example}", example="reset at=reasoning after=2 times=1"),
        )
        self._pace = ipywidgets.BoundedFloatText(description=say("slowness"), value=1.0, min=0.0, max=20.0, step=0.5)
        self._legend, self._lanes = ipywidgets.HTML(), ipywidgets.HTML()
        self._story = ipywidgets.HTML(story_html(()))
        self._button = button("", say("make the demo server do this from now on"), guard, self._set_up)
        self._button.add_class("deepseek-magic-set-up")
        why = say("the prompt in the box, all at once, to see the queue and the limiter")
        several = button(say("Ask {count} times", count=SEVERAL), why, guard, lambda: ask_several(SEVERAL))
        row = ipywidgets.HBox((self._button, several))
        controls = ipywidgets.VBox((self._experiment, self._fault, self._pace, row))
        controls.add_class("deepseek-magic-lab-controls")
        # The strip tells a class what happened; second by second it would push the answer out of the picture.
        happened = fold(say("What happened"), self._story, unfolded=not for_class)
        self.story = ipywidgets.VBox((happened, self._story))
        self.story.add_class("deepseek-magic-happened")
        self.box = ipywidgets.VBox((controls, self._legend, self._lanes, *(() if for_class else (self.story,))))
        for control in (self._fault, self._pace):
            control.observe(lambda _change: self.look(), "value")
        self._experiment.observe(lambda _change: self._choose(), "value")
        self._choose()

    def _choose(self) -> None:
        self._fault.value = EXPERIMENTS[self._experiment.value].fault or ""
        self.look()

    def look(self) -> None:
        """Show what is chosen, and whether it is set up and still to come."""
        server, fault = self._demo.server, self._wanted
        said = [
            say("{state}: {detail}", state=f"<b>{html.escape(name)}</b>", detail=html.escape(text))
            for name, text in self._sentences(fault)
        ]
        lines = [" ".join(said)] if self._for_class and said else said
        if server is None:
            lines.append(html.escape(say("“Set up” starts a demo server in this kernel: no key, no network, no cost.")))
        else:
            standing = armed(server.fault, server.faults.left)
            if not self._is_set_up and not any(_still(server.faults.left)):
                standing = say("Not set up yet. Until then answers are whole.")
            elif not self._is_set_up:
                standing = say("Not set up yet. Until then: {standing}", standing=standing)
            lines.append(f"<b>{html.escape(standing)}</b>")
            if not self._for_class:
                lines.append(html.escape(say("Cells ask this server, too, until %deepseek_demo stop.")))
        self._legend.value = f'<div class="deepseek-magic-legend">{"<br>".join(lines)}</div>'
        used_up = self._is_set_up and server is not None and fault is not None and not any(_still(server.faults.left))
        if used_up:
            self._button.description = say("Set up again")
        elif self._is_set_up:
            self._button.description = say("Set up")
        else:
            self._button.description = say("Set up: {name}", name=_short(named(fault)))
        self._button.button_style = "" if self._is_set_up and not used_up else "primary"

    def _sentences(self, fault: str | None) -> list[tuple[str, str]]:
        """What breaks and what to watch, of an experiment; of any other fault what the demo says of it."""
        for one in EXPERIMENTS:
            if one.fault == fault:
                return [(say("What breaks"), say(one.breaks)), (say("What to watch"), say(one.watch))]
        legend = " ".join(sentence.localized() for sentence in self._demo.legend) if self._is_set_up else ""
        return [(say("What breaks"), legend)] if legend else []

    @property
    def _wanted(self) -> str | None:
        """The fault that is chosen or typed."""
        return self._fault.value.strip() or None

    @property
    def _is_set_up(self) -> bool:
        """Whether the demo does what is chosen."""
        return self._demo.does(self._wanted, self._pace.value)

    def _set_up(self) -> None:
        self._demo.set_up(self._wanted, self._pace.value)
        self.tell([])  # the story of another experiment
        self._forget_lanes()
        self.look()

    def show_lanes(self, lanes: Sequence[Lane]) -> None:
        """Show calls that were asked at once, each on a line of its own."""
        self._lanes.value = lanes_html(lanes)

    def tell(self, lines: Sequence[tuple[float, str]]) -> None:
        """Show the story of the answer that is being written, or was written last."""
        self._story.value = story_html(lines)


def _still(left: Sequence[int | None]) -> list[bool]:
    return [count is None or count > 0 for count in left]


def _short(name: str) -> str:
    """A name that fits on a button."""
    return name if len(name) <= NAME_CHARS else f"{name[: NAME_CHARS - 1].rstrip()}…"
