"""The prompt box of the panel: a text area whose keys send, and the buttons beside it.

The one widget on the screen with front-end code of its own, because no widget of ipywidgets hears Shift-Enter or puts a
cell into the notebook, and because what is sent must be the text as it was at that moment: a ``Textarea`` reports its
value message by message and holds back the last one while the kernel is busy, a click on a button beside it overtakes it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import anywidget
import ipywidgets
import traitlets

from ...engine.home import engine
from ...text.language import TAGS, language
from ...text.messages import say
from .plain_prompt import PlainPrompt

READY_S: Final = 3.0
"""A page that has not drawn the box so long after it was shown does not have its code."""


class PromptBox(anywidget.AnyWidget):
    """Calls ``on_action(name, text)`` for every button, with the text in the box; Ctrl-Enter is "send".

    ``enter``: what Enter alone does, "newline" or "send"; Shift-Enter does the other. ``actions``: name, text, title,
    enabled, primary of each button. ``texts``: what it says, see ``panel.texts``. ``help``: an explanation for each
    option whose control has the class ``deepseek-magic-option-NAME``.
    ``box`` is what is put into the panel: this widget, or plain ones where the page has not drawn it in time.
    """

    _esm = Path(__file__).with_name("prompt_box.js")
    value = traitlets.Unicode().tag(sync=True)
    actions: Any = traitlets.List().tag(sync=True)
    texts = traitlets.Dict().tag(sync=True)
    help = traitlets.Dict().tag(sync=True)
    enter = traitlets.Unicode("newline").tag(sync=True)
    heard = traitlets.Int().tag(sync=True)

    def __init__(self, on_action: Callable[[str, str], None], **traits: Any) -> None:
        super().__init__(**traits)
        self.act = on_action
        self.box = ipywidgets.VBox((self,))
        self._drawn = False
        self._plain: PlainPrompt | None = None
        self.on_msg(self._said)

    def shown(self) -> None:
        """The panel was displayed: soon the page says that it has drawn the box, or plain widgets take its place."""
        engine.beside(self._do_without(), name="prompt box")

    async def _do_without(self) -> None:
        await engine.pause(READY_S)
        if not self._drawn:
            self._plain = self._plain or PlainPrompt(self)
            self.box.children = (self._plain,)

    def _said(self, _widget: Any, message: dict[str, Any], _buffers: Any) -> None:
        if message["do"] == "drawn":
            self._drawn = True
            if self._plain is not None:  # the kernel was busy, so the page was heard late
                self.box.children, self._plain = (self,), None
            return
        self.heard = max(self.heard, int(message["number"]))
        self.act(str(message["do"]), str(message["text"]))

    def taken(self, text: str) -> None:
        """The text was sent: empty the box, unless the user has kept typing, of which the page knows first."""
        if not self._drawn and self.value == text:
            self.value = ""
        self.send({"do": "taken", "text": text})

    def offer(self, text: str) -> None:
        """Put an example into the box, to be changed or sent."""
        self.value = text
        self.send({"do": "focus"})

    def insert(self, source: str, *, run: bool = False) -> None:
        """Put a cell with ``source`` below the panel's, and ``run`` it; where the front end cannot, it copies it and says so."""
        self._ask_page("run" if run else "insert", source)

    def copy(self, source: str) -> None:
        """Copy ``source`` to the clipboard of the one who looks."""
        self._ask_page("copy", source)

    def _ask_page(self, what: str, text: str) -> None:
        if self._plain is not None:
            self._plain.say(self.texts["neither"])
        else:
            self.send({"do": what, "text": text})


def actions(running: bool, can_continue: bool, again: bool) -> list[dict[str, Any]]:
    """The buttons below the box. Stop is none of them: it stands above the conversation, beside what it ends."""
    rows = (
        ("send", say("Send"), say("ask"), not running),
        ("continue", say("Continue"), say("continue an answer that was stopped or broke off"), can_continue),
        ("regenerate", say("Regenerate"), say("ask the last question again"), again),
    )
    return [
        {"name": name, "text": text, "title": title, "enabled": enabled, "primary": name == "send"}
        for name, text, title, enabled in rows
    ]


def texts(enter: str, who: str) -> dict[str, str]:
    """What the box says, where Enter does this and ``who`` answers."""
    shifted, entered = say("Shift-Enter or Ctrl-Enter sends"), say("Enter sends, Shift-Enter starts a line")
    return {
        "lang": TAGS[language()],
        "label": say("Prompt"),
        "conversation": say("Conversation"),
        "placeholder": say("Ask {who}…  {name} takes the variable of that name", who=who, name="{name}"),
        "keys": entered if enter == "send" else shifted,
        "plain": say(
            "This front end cannot load the panel's own prompt box: no key sends, and no cell can be inserted or copied."
        ),
        "busy": say("The kernel is busy with a cell: it acts on this when the cell has ended."),
        "ended": say("The kernel has ended or was restarted: run this cell again."),
        "inserted": say("The cell was inserted below the panel."),
        "copied": say("Copied."),
        "copied_instead": say(
            "This front end lets no widget insert a cell, so it is in the clipboard: paste it into a cell."
        ),
        "neither": say("This front end allows neither inserting nor copying: select the text above and copy it."),
    }
