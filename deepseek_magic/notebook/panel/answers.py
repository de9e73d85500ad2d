"""The conversation as the panel shows it: questions, settled answers, and the live view of the one being written.

The live view is the one of the magics (``WidgetSurface``); only its place differs, a slot of the panel instead of a
cell's output.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any, Final

import ipywidgets

from ...protocol.conversation import Conversation, Turn, as_read
from ...protocol.markdown import safe
from ...text.messages import Message, say
from ..view.parts import Button, HBox, Html, Output, VBox, close
from ..view.settled import Part
from ..view.status import Status
from ..view.widgets import WidgetSurface

SHOWN_TURNS: Final = 20
"""Older turns are in the conversation and its export; drawn, they would fill the browser's memory."""

EXAMPLES: Final = (
    Message("Compare three planets in a table"),
    Message("Write the primes below 30 as code"),
    Message("Explain in five sentences how streaming works"),
)
"""What an empty conversation offers. The demo answers them with a table, with code, and with prose that a cut is seen in."""

EMPTY_TURNS: Final = 200
"""So many empty boxes of older turns may stand before the first that is shown."""


class PanelSurface(WidgetSurface):
    """Draws into a slot. ``on_status`` hears every new status; ``on_leave`` is given what lasts."""

    def __init__(
        self,
        slot: Any,
        *,
        on_status: Callable[[Status], None],
        on_leave: Callable[[Sequence[Part]], None],
        unfolded: bool = False,
    ) -> None:
        super().__init__(on_stop=None, unfolded=unfolded)
        self._slot = slot
        self._on_status = on_status
        self._on_leave = on_leave
        self._top.children = ()  # the panel has a row of its own for what happens now
        close(self._status)

    def status(self, status: Status) -> None:
        """Tell the panel, and redraw the title of the reasoning."""
        self._entitle(status)
        self._on_status(status)

    def _place(self, view: Any) -> None:
        _empty(self._slot)
        self._slot.children = (view,)

    def _leave(self, parts: Sequence[Part]) -> None:
        self._slot.children = tuple(_settled(data) for data, _ in parts)
        self._on_leave(parts)


class Transcript:
    """The turns on the screen, oldest first. ``box`` is the widget; ``offer`` is given an example that was chosen."""

    def __init__(self, offer: Callable[[str], None]) -> None:
        self._offer = offer
        self.box = ipywidgets.VBox()
        self.box.add_class("deepseek-magic-transcript")
        self._slots: dict[str, Any] = {}

    def show(self, conversation: Conversation | None) -> None:
        """Show the turns of another conversation."""
        self._slots.clear()
        _empty(self.box)
        for turn in conversation.turns[-SHOWN_TURNS:] if conversation is not None else ():
            self.slot(turn.id, as_read(turn.user)).children = (_answer(turn),)
        if not self._slots:
            self.box.children = (self._invitation(),)

    def _invitation(self) -> Any:
        """What an empty conversation shows: examples that go into the box at a click."""
        row = HBox(tuple(self._chip(example.localized()) for example in EXAMPLES))
        row.add_class("deepseek-magic-chips")
        return VBox((Html(f"<p>{html.escape(say('Nothing was asked in this chat yet. For example:'))}</p>"), row))

    def _chip(self, text: str) -> Any:
        chip = Button(description=text, tooltip=say("put this into the prompt box"))
        chip.on_click(lambda _button: self._offer(text))
        return chip

    def slot(self, turn: str, question: str) -> Any:
        """Where the answer of a turn goes; its question is above. A turn that is asked again keeps its place."""
        if turn not in self._slots:
            if not self._slots:
                _empty(self.box)
            asked = Html(f'<div class="deepseek-magic-question">{html.escape(question)}</div>')
            answer = VBox()
            answer.add_class("deepseek-magic-answer")
            self._slots[turn] = answer
            self.box.children = (*self.box.children, VBox((asked, answer)))
            while len(self._slots) > SHOWN_TURNS:
                self._drop(next(iter(self._slots)))
        return self._slots[turn]

    def _drop(self, turn: str) -> None:
        """Take a turn off the screen; its empty box stays for a while.

        A front end draws again all boxes after one that is removed, and ipywidgets keeps what it drew before for as long as
        their widgets live: dropping the first of twenty turns for every new one would cost twenty turns of the page's
        memory each.
        """
        answer = self._slots.pop(turn)
        gone = next(child for child in self.box.children if answer in child.children)
        gone.add_class("deepseek-magic-gone")
        _empty(gone)
        empty = [child for child in self.box.children if not child.children]
        if len(empty) >= EMPTY_TURNS:
            self.box.children = tuple(child for child in self.box.children if child.children)
            for child in empty:
                close(child)


def _answer(turn: Turn) -> Any:
    text = str(turn.assistant.content)
    shown = safe(text) if turn.whole else f"{safe(text)}\n\n*{say('(stopped)')}*"
    return _settled({"text/markdown": shown, "text/plain": text})


def _settled(data: dict[str, str]) -> Any:
    return Output(outputs=({"output_type": "display_data", "data": data, "metadata": {}},))


def _empty(box: Any) -> None:
    for child in box.children:
        close(child)
    box.children = ()
