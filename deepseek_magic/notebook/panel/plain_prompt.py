"""The prompt box where the page cannot load front-end code: on a hub whose server has no anywidget, in VS Code."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import ipywidgets
import traitlets

if TYPE_CHECKING:
    from .prompt_box import PromptBox


class PlainPrompt(ipywidgets.VBox):
    """A text box and a button for each action of ``prompt``, whose text, actions and answers it shares.

    The text arrives when the box is left, just before the button is pressed: a box that reports while it is typed in holds
    back its last words while the kernel is busy, and the click would overtake them.
    """

    def __init__(self, prompt: PromptBox) -> None:
        names = {"description": prompt.texts["label"], "placeholder": prompt.texts["placeholder"]}
        text = ipywidgets.Textarea(rows=3, continuous_update=False, **names)
        text.layout.width = "auto"
        traitlets.link((prompt, "value"), (text, "value"))
        self._prompt = prompt
        self._buttons = {action["name"]: ipywidgets.Button(tooltip=action["title"]) for action in prompt.actions}
        for name, button in self._buttons.items():
            button.on_click(lambda _button, name=name: self._act(name))
        self._note = ipywidgets.HTML()
        row = ipywidgets.HBox(tuple(self._buttons.values()))
        for widget, kind in ((text, "prompt"), (row, "actions"), (self._note, "note")):
            widget.add_class(f"deepseek-magic-{kind}")
        super().__init__((text, row, self._note))
        prompt.observe(self._draw, "actions")
        self._draw()
        self.say(prompt.texts["plain"])

    def say(self, sentence: str) -> None:
        """Show a sentence below the buttons."""
        self._note.value = html.escape(sentence)

    def _act(self, name: str) -> None:
        # The panel answers a "send" that cannot be with a sentence.
        if name == "send" or any(action["enabled"] for action in self._prompt.actions if action["name"] == name):
            self._prompt.act(name, self._prompt.value)

    def _draw(self, _change: Any = None) -> None:
        # None is disabled: it would lose the focus, and with it who uses the keyboard alone.
        for action in self._prompt.actions:
            button = self._buttons[action["name"]]
            button.description = action["text"]
            button.button_style = "primary" if action["primary"] and action["enabled"] else ""
