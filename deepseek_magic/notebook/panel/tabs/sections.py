"""The sections beside the conversation: settings, history, metrics, and the cell that asks the same."""

from __future__ import annotations

import html
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import ipywidgets

from ....engine.gate import Gate
from ....metrics.canvas import PlotKind
from ....metrics.log import MetricsLog
from ....protocol.outcome import OUTCOME_WORDS
from ....session import session
from ....text.messages import say
from ...magic.magics import DeepSeekMagics
from ..gauges import Reading, gauges_html
from .as_magic import Cell
from .controls import GROUP_WORDS, Controls
from .history import OUTCOMES, history_html

Guard = Callable[[Callable[[], None]], None]
"""Does something, and shows the sentence of the DeepSeekError that it may raise."""

PLOT_IN: Final = 4.6
"""As wide as the section is on a laptop, so that the letters of a plot are as tall as those around it."""


def button(text: str, tooltip: str, guard: Guard, do: Callable[[], None]) -> Any:
    """A button that is as wide as its text."""
    made = ipywidgets.Button(description=text, tooltip=tooltip)
    made.layout.width = "auto"
    made.on_click(lambda _button: guard(do))
    return made


def sentence_html(text: str, *, failed: bool = False) -> str:
    """A sentence to the user, an error where something ``failed``; nothing for an empty one."""
    style, role = ("deepseek-magic-error", "alert") if failed else ("", "status")
    return f'<div class="{style}" role="{role}">{html.escape(text)}</div>' if text else ""


class Settings:
    """All controls; the ones that are seldom needed unfold at a click. ``help`` explains each, by its option's name."""

    def __init__(self, controls: Controls, magics: DeepSeekMagics) -> None:
        self._magics = magics
        self._enter = ipywidgets.Checkbox(description=say("Enter sends"), indent=False)
        self._enter.add_class("deepseek-magic-option-enter")
        self._enter.observe(self._entered, "value")
        magics.observe(self._show_enter, "enter")
        self._show_enter()
        self.help = {**controls.help, "enter": say("Enter sends the prompt, and Shift-Enter starts a line")}
        boxes: list[Any] = [ipywidgets.VBox((*controls.group("Model"), self._enter))]
        for name in ("Sampling", "More"):
            folded = ipywidgets.Box(controls.group(name))
            folded.add_class("deepseek-magic-group")
            boxes += [fold(GROUP_WORDS[name].localized(), folded), folded]
        self.box = ipywidgets.VBox(boxes)

    def _entered(self, change: Any) -> None:
        self._magics.enter = "send" if change["new"] else "newline"

    def _show_enter(self, _change: Any = None) -> None:
        self._enter.value = self._magics.enter == "send"

    def close(self) -> None:
        """Hear no more of the magics' settings."""
        self._magics.unobserve(self._show_enter, "enter")


def fold(title: str, folded: Any, *, unfolded: bool = False) -> Any:
    """A button that shows what is ``folded``, and hides it again."""
    toggle = ipywidgets.ToggleButton(description=title, tooltip=say("show or hide these"))
    toggle.layout.width = "auto"
    toggle.observe(partial(_unfold, toggle, folded), "value")
    toggle.value = unfolded
    _unfold(toggle, folded, {"new": unfolded})
    return toggle


def _unfold(toggle: Any, folded: Any, change: Any) -> None:
    folded.layout.display = None if change["new"] else "none"
    toggle.icon = "caret-down" if change["new"] else "caret-right"


class HistorySection:
    """The log as a table."""

    def __init__(self) -> None:
        self._words = ipywidgets.Text(description=say("filter"), placeholder=say("words: model, endpoint, error, …"))
        every = (say("any outcome"), None)
        self._outcome = ipywidgets.Dropdown(
            description=say("outcome"), options=[every, *((OUTCOME_WORDS[o].localized(), o) for o in OUTCOMES)], index=0
        )
        self._table = ipywidgets.HTML(tabbable=True)
        self._table.add_class("deepseek-magic-wide")
        self._table.add_class("deepseek-magic-history")
        self.box = ipywidgets.VBox((self._words, self._outcome, self._table))
        for control in (self._words, self._outcome):
            control.observe(lambda _change: self.refresh(), "value")

    def refresh(self) -> None:
        """Show the log as it is now."""
        log = session().log
        self._table.value = (
            history_html(list(log), self._words.value, self._outcome.value) if len(log) else nothing_yet()
        )


class Metrics:
    """The sums of the session, whether the service levels were met, and a plot."""

    def __init__(self) -> None:
        kinds = [
            (say("latency of all calls"), "latency"),
            (say("speed over time"), "speed"),
            (say("waterfall of the last call"), "waterfall"),
        ]
        self._kind = ipywidgets.Dropdown(description=say("plot"), options=kinds, value="latency")
        self._gauges, self._plot, self._tables = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML(tabbable=True)
        self._tables.add_class("deepseek-magic-wide")
        self._tables.add_class("deepseek-magic-figures")
        self.box = ipywidgets.VBox((self._gauges, self._kind, self._plot, self._tables))
        self._kind.observe(lambda _change: self.refresh(), "value")

    def refresh(self) -> None:
        """Sum up the log as it is now."""
        log = session().log
        if not len(log):
            self._tables.value, self._plot.value = nothing_yet(), ""
            return
        self._tables.value = log.summary()._repr_mimebundle_()["text/html"]
        if not self._plot.value:  # the first one loads matplotlib, which takes seconds
            self._plot.value = _paragraph(say("Drawing…"))
        self._plot.value = _picture(log, self._kind.value)

    def show_gauges(self, reading: Reading, gate: Gate | None, money: str) -> None:
        """Show what the running answer is doing, or how the last one did."""
        self._gauges.value = gauges_html(reading, gate, money)


def nothing_yet() -> str:
    """What stands where the figures of calls will be."""
    return _paragraph(say("No call has been made in this session yet. Ask something, and its figures are here."))


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def _picture(log: MetricsLog, kind: PlotKind) -> str:
    """The plot as an image, or what is missing to draw it."""
    try:
        plot = log.plot(kind, width_in=PLOT_IN)
    except (ImportError, ValueError) as error:
        return _paragraph(str(error))
    return f'<div style="color: var(--jp-ui-font-color1)">{plot.svg()}</div>'


class Source:
    """The cell that would ask the same."""

    def __init__(self, guard: Guard, insert: Callable[[], None], copy: Callable[[], None]) -> None:
        self._text = ipywidgets.HTML()
        self._text.add_class("deepseek-magic-source")
        below = button(say("Insert below"), say("put this cell below the panel"), guard, insert)
        to_clipboard = button(say("Copy"), say("copy this cell to the clipboard"), guard, copy)
        self.box = ipywidgets.VBox((self._text, ipywidgets.HBox((below, to_clipboard))))

    def show(self, cell: Cell) -> None:
        """Show the text of the cell and what it needs beside it."""
        self._text.value = source_html(cell)


def source_html(cell: Cell) -> str:
    """The text of a cell and what it needs beside it."""
    needs = "".join(
        f"<p>{html.escape(say('{name} holds the system prompt; inserting the cell sets it in this kernel.', name=name))}</p>"
        for name in cell.variables
    )
    line, _, body = html.escape(cell.source).partition("\n")
    words = " ".join(f"<span>{word}</span>" for word in line.split(" "))  # a flag is not broken at its dashes
    return f"<pre>{words}\n{body}</pre>{needs}"
