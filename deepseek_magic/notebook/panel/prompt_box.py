"""The prompt box of the panel: a text area whose keys send, and the buttons beside it.

The one widget on the screen with front-end code of its own, because no widget of ipywidgets hears Shift-Enter or puts a
cell into the notebook, and because what is sent must be the text as it was at that moment: a ``Textarea`` reports its
value message by message and holds back the last one while the kernel is busy, a click on a button beside it overtakes it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets


class PromptBox(anywidget.AnyWidget):
    """Calls ``on_action(name, text)`` for every button, with the text in the box; Shift- or Ctrl-Enter is "send".

    ``actions``: name, text, title, enabled, primary of each button. ``texts``: what it says, see ``panel_texts``.
    """

    _esm = Path(__file__).with_name("prompt_box.js")
    value = traitlets.Unicode().tag(sync=True)
    actions: Any = traitlets.List().tag(sync=True)
    texts = traitlets.Dict().tag(sync=True)
    heard = traitlets.Int().tag(sync=True)

    def __init__(self, on_action: Callable[[str, str], None], **traits: Any) -> None:
        super().__init__(**traits)
        self._on_action = on_action
        self.on_msg(self._said)

    def _said(self, _widget: Any, message: dict[str, Any], _buffers: Any) -> None:
        self.heard = max(self.heard, int(message["number"]))
        self._on_action(str(message["do"]), str(message["text"]))

    def taken(self, text: str) -> None:
        """The text was sent: empty the box, unless the user has kept typing."""
        if self.value == text:
            self.value = ""
        self.send({"do": "taken", "text": text})

    def insert(self, source: str) -> None:
        """Put a cell with ``source`` below the panel's; where the front end cannot, it copies it and says so."""
        self.send({"do": "insert", "text": source})

    def copy(self, source: str) -> None:
        """Copy ``source`` to the clipboard of the one who looks."""
        self.send({"do": "copy", "text": source})
