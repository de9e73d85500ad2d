"""The picker of conversations: choose one or begin a new one; a fold has what is seldom wanted: rename, export, delete."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import ipywidgets

from ...protocol.errors import ConfigurationError
from ...session import session
from ...text.messages import Message, say
from ..magic.chats import export, rename
from .tabs.sections import Guard, button


class ChatPicker:
    """``box`` and ``fold`` are the widgets, ``help`` their explanations, ``chosen`` the name. ``on_switch`` hears every other choice, ``tell`` what there is to say.

    While the panel is ``busy`` with an answer nothing can be switched. Cells keep their own conversation.
    """

    def __init__(
        self,
        chosen: str,
        *,
        on_switch: Callable[[], None],
        busy: Callable[[], bool],
        tell: Callable[[str], None],
        guard: Guard,
    ) -> None:
        self.chosen = chosen
        self._busy = busy
        self._guard = guard
        self._on_switch = on_switch
        self._tell = tell
        self._sure = False
        self._names = ipywidgets.Dropdown(description=say("chat"))
        self._names.add_class("deepseek-magic-option-chat")
        self.help = {"chat": say("the conversation that is continued")}
        new = button(f"+ {say('New')}", say("start another chat"), guard, self._on_new)
        self._more = ipywidgets.ToggleButton(
            description="…", tooltip=say("rename, export or delete this chat"), layout=ipywidgets.Layout(width="auto")
        )
        example = say("e.g. {example}", example="homework.md")
        self._name = ipywidgets.Text(placeholder=example, description=say("name or file"))
        self._delete = button(say("Delete"), say("forget this chat"), guard, self._on_delete)
        folded = (
            self._name,
            button(say("Rename"), say("give this chat the name in the box"), guard, self._on_rename),
            button(say("Export"), say("write this chat to a file, .md or .jsonl"), guard, self._on_export),
            self._delete,
        )
        self.fold = ipywidgets.HBox(folded)
        self.fold.layout.display = "none"
        self.box = ipywidgets.HBox((self._names, new, self._more))
        self.box.add_class("deepseek-magic-chats")
        self.fold.add_class("deepseek-magic-chat-fold")
        self._more.observe(self._unfold, "value")
        self._names.observe(self._on_chosen, "value")
        self.refresh()

    def _unfold(self, change: Any) -> None:
        self.fold.layout.display = None if change["new"] else "none"

    def refresh(self) -> None:
        """Show the conversations that there are now."""
        names = tuple(dict.fromkeys((*session().chats, self.chosen)))
        # New options select their first entry for a moment, which nobody chose.
        self._names.unobserve(self._on_chosen, "value")
        if names != self._names.options:
            self._names.options = names
        self._names.value = self.chosen
        self._names.observe(self._on_chosen, "value")

    def _switch(self, name: str) -> None:
        if self._busy():
            self.refresh()
            hint = Message("Stop it first, or wait.")
            raise ConfigurationError(Message("An answer is being written in this chat."), hint=hint)
        self.chosen = name
        self.refresh()
        self._name.value = ""
        self._more.value = False
        self._sure = False
        self._delete.description = say("Delete")
        self._on_switch()

    def _on_chosen(self, change: Any) -> None:
        if change["new"] is not None and change["new"] != self.chosen:
            self._guard(lambda: self._switch(change["new"]))

    def _on_new(self) -> None:
        taken = session().chats
        self._switch(next(f"chat-{number}" for number in count(1) if f"chat-{number}" not in taken))

    def _on_rename(self) -> None:
        if not self._typed:
            hint = Message("Type it into the box beside Rename.")
            raise ConfigurationError(Message("A name is missing."), hint=hint)
        if self.chosen in session().chats:
            rename(self.chosen, self._typed)
        self._switch(self._typed)

    def _on_delete(self) -> None:
        if not self._sure and not self._busy():
            self._sure = True
            self._delete.description = say("Really delete?")
            return
        gone = self.chosen
        self._switch(next((name for name in session().chats if name != gone), session().chat))
        if gone in session().chats:
            session().chats.remove(gone)
        self.refresh()
        self._tell(say("{name} is deleted.", name=gone))

    def _on_export(self) -> None:
        name, path = self.chosen, export(self.chosen, self._typed or f"{self.chosen}.md")
        count = len(session().chats.find(name).turns)
        self._tell(say("{name}: {count} turns written to {path}.", name=name, count=count, path=path))

    @property
    def _typed(self) -> str:
        return str(self._name.value).strip()
