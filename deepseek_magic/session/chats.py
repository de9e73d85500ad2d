"""The conversations of this kernel, each change of them kept in the journal, and those that earlier kernels left.

Apart from the session, which knows which conversation a cell means, and from the journal, which knows no cells.
"""

from __future__ import annotations

import contextlib
import sqlite3
import uuid
from pathlib import Path

from ..engine.journal.reader import Journal
from ..engine.journal.saved_chats import SavedChat
from ..policy.pricing import estimate_tokens
from ..protocol.chat import Request
from ..protocol.completion import Completion
from ..protocol.conversation import Conversation, Conversations
from ..protocol.errors import ConfigurationError
from ..protocol.options import closest
from ..text.messages import Message


class Remembered(Conversations):
    """Conversations by name. ``notebook`` is what they are kept under, the kernel's folder where it is empty;
    ``run_id`` names this process."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self.notebook = ""
        self._journal = journal
        self.run_id = uuid.uuid4().hex
        self._folder = str(Path.cwd())  # as it was at first: %cd makes no other notebook
        self._offered: set[str] = set()

    def __setitem__(self, name: str, conversation: Conversation) -> None:
        super().__setitem__(name, conversation)
        self._keep(conversation)

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self._keep(Conversation(name=name))

    def _keep(self, conversation: Conversation) -> None:
        self._journal.keep_chat(self.run_id, self._where, conversation.name, conversation.turns)

    @property
    def _where(self) -> str:
        return self.notebook or self._folder

    def go_on(
        self, request: Request, name: str, turn: str | None, max_tokens: int | None
    ) -> tuple[Request, tuple[Message, ...]]:
        """``request`` after what was said in a conversation before ``turn``, and sentences for the user."""
        said = self._offer(name, turn)
        conversation = self.get(name, Conversation(name=name))
        history = conversation.history(before=turn, max_tokens=max_tokens, count=estimate_tokens)
        if history.dropped:
            first, last, count = history.dropped[0].title, history.dropped[-1].title, len(history.dropped)
            said = Message(
                "The oldest turn of {name} (“{first}”) was left out: the history is longer than {limit} tokens."
                if count == 1
                else "The {count} oldest turns of {name} (“{first}” to “{last}”) were left out: the history is longer than {limit} tokens.",
                name=name,
                count=count,
                first=first,
                last=last,
                limit=f"{max_tokens:,}",
            )
        return conversation.request(request, history), (said,) if said else ()

    def texts(self, name: str, turn: str | None, max_tokens: int | None) -> list[str]:
        """What goes before the turn ``turn`` of a conversation, as texts."""
        conversation = self.get(name, Conversation(name=name))
        history = conversation.history(before=turn, max_tokens=max_tokens, count=estimate_tokens)
        return [message.text for message in history.messages]

    def _offer(self, name: str, turn: str | None) -> Message | None:
        """A sentence where an earlier kernel left turns that the cell ``turn`` seems to go on from; once a conversation.

        A notebook that is run from its first question on starts over, without a notice.
        """
        if turn is None or name in self or name in self._offered:
            return None
        self._offered.add(name)
        with contextlib.suppress(sqlite3.Error):
            for saved in self._journal.saved_chats(but_run=self.run_id):
                if (saved.notebook, saved.name) == (self._where, name) and saved.turns[0][0] != turn:
                    return Message(
                        "An earlier kernel of this notebook left a conversation {name} ({count}); %deepseek_chat reload {name} brings it back.",
                        name=name,
                        count=len(saved.turns),
                    )
        return None

    def saved(self) -> list[SavedChat]:
        """What earlier kernels left: this notebook's conversations first, then those of others, newest first.

        Raises ConfigurationError for a journal that cannot be read.
        """
        try:
            found = self._journal.saved_chats(but_run=self.run_id)
        except sqlite3.Error as error:
            raise ConfigurationError(
                Message("The journal {path} cannot be read: {error}.", path=self._journal.path, error=str(error))
            ) from None
        return sorted(found, key=lambda saved: saved.notebook != self._where)

    def is_here(self, saved: SavedChat) -> bool:
        """Whether it is of this notebook."""
        return saved.notebook == self._where

    def reload(self, name: str) -> SavedChat:
        """Bring back a conversation that an earlier kernel left; what was said since comes after it.

        Raises ConfigurationError where there is none of that name.
        """
        known = self.saved()
        saved = next((one for one in known if one.name == name), None)
        if saved is None:
            near = closest(name, [one.name for one in known])
            said = Message("No earlier kernel left a conversation {name}{near}.", name=name, near=near)
            raise ConfigurationError(said, hint=Message("%deepseek_chat reload lists what can be brought back."))
        self[name] = self.get(name, Conversation(name=name)).after(saved.restored(self._completion))
        return saved

    def _completion(self, call_id: str) -> Completion | None:
        entry = self._journal.get(call_id)
        return None if entry is None else entry.completion
