"""Conversations as the journal keeps them: which turns, in which order, each by the call that holds its words.

One row a kernel and conversation, so that a fresh kernel's conversation does not overwrite the one that it could have
continued. The words are in the calls already and are not stored twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from ...protocol.completion import Completion
from ...protocol.conversation import Conversation, Turn
from .stored import Statement

_KEEP: Final = "INSERT OR REPLACE INTO chats (run_id, name, notebook, changed_at, turns) VALUES (?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedChat:
    """A conversation of one kernel: its turns as pairs of turn and call, oldest first."""

    name: str
    notebook: str
    changed_at: datetime
    turns: tuple[tuple[str, str], ...]

    def restored(self, find: Callable[[str], Completion | None]) -> Conversation:
        """The conversation with its words. A turn whose call is gone from the journal is left out."""
        found = ((turn_id, call_id, find(call_id)) for turn_id, call_id in self.turns)
        turns = (Turn.of(turn_id, said, call_id=call_id) for turn_id, call_id, said in found if said is not None)
        return Conversation(name=self.name, turns=tuple(turn for turn in turns if turn is not None))


def newest(rows: Iterable[Any]) -> list[SavedChat]:
    """The newest state of every conversation of every notebook, of rows that come newest first.

    A conversation that was deleted, or has no turn left, is not among them, nor are its older states.
    """
    found: dict[tuple[str, str], SavedChat] = {}
    for row in rows:
        chat = SavedChat(
            name=row["name"],
            notebook=row["notebook"],
            changed_at=datetime.fromisoformat(row["changed_at"]),
            turns=msgspec.json.decode(row["turns"], type=tuple[tuple[str, str], ...]),
        )
        found.setdefault((chat.notebook, chat.name), chat)
    return [chat for chat in found.values() if chat.turns]


def statement_of(run_id: str, notebook: str, name: str, turns: Sequence[Turn]) -> Statement:
    """What is written when a conversation has changed; no turns for one that was deleted."""
    pairs = [(turn.id, turn.call_id) for turn in turns if turn.call_id is not None]
    return _KEEP, (run_id, name, notebook, datetime.now(UTC).isoformat(), msgspec.json.encode(pairs).decode())
