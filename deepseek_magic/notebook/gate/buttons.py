"""A question as buttons in the cell's output. The cell is awaited meanwhile, or no click would be heard."""

from __future__ import annotations

import asyncio
import html
import time
from collections.abc import Callable
from typing import Any, Final

from IPython.display import DisplayHandle, display

from ...engine.loop import HEARTBEAT_S
from ...session.confirming.question import Choice, ToConfirm
from ...text.characters import printable
from ...text.design.tokens import rule
from ...text.messages import say
from ..view.parts import Button, HBox, Html, VBox, bundle, close

CLASS: Final = "deepseek-magic-ask"

_STYLE: Final = f"""<style>
{rule(f".{CLASS}")}
.{CLASS} {{border-left: var(--deepseek-rule) solid var(--deepseek-accent); padding-left: var(--deepseek-space-2);}}
.{CLASS} pre {{margin: var(--deepseek-space-1) 0; max-height: 24em; overflow: auto; white-space: pre-wrap;
overflow-wrap: anywhere; line-height: var(--deepseek-line-height);}}
.{CLASS} small {{color: var(--deepseek-quiet);}}
.{CLASS} .widget-html-content, .{CLASS} p {{line-height: var(--deepseek-line-height);}}
.{CLASS} .{CLASS}-choices {{flex-flow: row wrap; column-gap: var(--deepseek-space-2);}}
.{CLASS} .{CLASS}-choices > button {{min-width: 5.5em; width: auto; height: 26px;}}
</style>"""


class NoButtons(Exception):
    """The front end has nothing to draw widgets with."""


class Buttons:
    """One question on the page. ``place`` is where it stands, and stays when the buttons go."""

    def __init__(self, question: ToConfirm, wait_s: float) -> None:
        self._question = question
        self._wait_s = wait_s
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[str | None] = self._loop.create_future()
        buttons = [self._button(choice) for choice in question.choices]
        self._view = VBox(
            (Html(_STYLE + _words(question, wait_s)), HBox(tuple(buttons), _dom_classes=(f"{CLASS}-choices",))),
            _dom_classes=(CLASS,),
        )
        if self._view.comm is not None:
            self._view.comm.on_close(lambda _message: self._settle(None))
        self.place: DisplayHandle = display(bundle(self._view), display_id=True, raw=True)

    def _button(self, choice: Choice) -> Any:
        button = Button(description=choice.label.localized(), icon=choice.icon)
        button.on_click(self._chosen(choice.name))
        return button

    def _chosen(self, name: str) -> Callable[[Any], None]:
        return lambda _button: self._settle(name)

    def _settle(self, name: str | None) -> None:
        if not self._answer.done():
            self._answer.set_result(name)

    async def answer(self) -> str:
        """The choice that was clicked. Raises NotConfirmed when none was in time, and NoButtons."""
        until_s = time.monotonic() + self._wait_s
        try:
            # In short waits: an interrupt is noticed only when something wakes the kernel's loop.
            while not self._answer.done():
                left_s = until_s - time.monotonic()
                if left_s <= 0:
                    raise self._question.unanswered(self._wait_s)
                await asyncio.wait({self._answer}, timeout=min(HEARTBEAT_S, left_s))
        finally:
            self.place.update({"text/plain": ""}, raw=True)
            close(self._view)
        name = self._answer.result()
        if name is None:
            raise NoButtons
        return name


def _words(question: ToConfirm, wait_s: float) -> str:
    """The question as HTML; what others wrote is escaped."""
    said = f"<p>{html.escape(question.said.localized())}</p>"
    if question.detail:
        said += f"<pre>{html.escape(printable(question.detail))}</pre>"
    waits = say("Waits for you {seconds} s, then the cell fails and nothing is run.", seconds=f"{wait_s:g}")
    return f"{said}<p><small>{html.escape(waits)}</small></p>"
