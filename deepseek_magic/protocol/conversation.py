"""A conversation: turns in order, each belonging to the cell that made it.

A value: every change gives a new one. A turn has an id (the notebook cell's), so running a cell again replaces its turn
in place instead of adding one, and what is sent for it is only what came before. Reasoning is kept with a turn and sent
back exactly where the API wants it, which ``Request.body`` decides.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from ..text.fences import fenced
from ..text.messages import Message, localized, say
from .chat import ChatMessage, Request
from .completion import Completion
from .context.pieces import attached_name
from .errors import ConfigurationError
from .options import closest
from .tools.tool import shown_call

INTERRUPTED_NOTE: Final = Message("(interrupted)")
TITLE_CHARS: Final = 40
_PARTS: Final = {"image_url": "image", "file": "file"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What was asked and what came back. ``whole`` is false for an answer that was stopped or broke off; ``call_id`` is
    the call that the answer came by, None where that is not known."""

    id: str
    user: ChatMessage
    assistant: ChatMessage
    whole: bool = True
    call_id: str | None = None
    between: tuple[ChatMessage, ...] = ()
    """The calls of functions that the answer was made with, and what they gave, in the API's order."""

    @classmethod
    def of(cls, id: str, completion: Completion, *, call_id: str | None = None) -> Turn | None:
        """The turn that a call leaves; None when nothing came back."""
        messages = completion.request.messages
        place = next((n for n in reversed(range(len(messages))) if messages[n].role == "user"), None)
        if place is None:
            return None
        results = [n for n in range(place + 1, len(messages)) if messages[n].role == "tool"]
        between = messages[place + 1 : results[-1] + 1] if results else ()
        if not (completion.text or completion.reasoning or between):
            return None
        assistant = ChatMessage(
            role="assistant", content=completion.text, reasoning_content=completion.reasoning or None
        )
        whole = completion.outcome in ("complete", "truncated")
        return cls(id=id, user=messages[place], assistant=assistant, whole=whole, call_id=call_id, between=between)

    @property
    def title(self) -> str:
        """The beginning of what was asked, on one line."""
        asked = " ".join(as_read(self.user).split())
        return asked if len(asked) <= TITLE_CHARS else f"{asked[: TITLE_CHARS - 1]}…"

    @property
    def messages(self) -> tuple[ChatMessage, ...]:
        """The turn as it is sent: half an answer says that it is one, or the model would take it for all it had to say."""
        if self.whole:
            return self.user, *self.between, self.assistant
        marked = f"{as_read(self.assistant)}\n\n{INTERRUPTED_NOTE}".lstrip()
        return self.user, *self.between, replace(self.assistant, content=marked)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What goes before a new prompt: messages, and the oldest turns, which were left out for length."""

    messages: tuple[ChatMessage, ...] = ()
    dropped: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Turns under a name."""

    name: str
    turns: tuple[Turn, ...] = ()

    def with_turn(self, turn: Turn) -> Conversation:
        """With ``turn`` in the place of the one with the same id, or at the end."""
        return replace(self, turns=(turn,)).after(self)

    def after(self, earlier: Conversation) -> Conversation:
        """The turns of ``earlier``, then these; a turn that both have is this one, in its earlier place."""
        turns = {turn.id: turn for turn in (*earlier.turns, *self.turns)}
        return replace(self, turns=tuple(turns.values()))

    def history(
        self, *, before: str | None = None, max_tokens: int | None = None, count: Callable[[str], int] = len
    ) -> History:
        """The messages to send before a prompt: all turns, or those before the turn with the id ``before``.

        With ``max_tokens`` the oldest turns are left out until what ``count`` counts fits. Whole turns only: a question
        without its answer would mislead the model.
        """
        earlier = list(itertools.takewhile(lambda turn: turn.id != before, self.turns))
        kept, used = len(earlier), 0
        while kept and max_tokens is not None:
            turn = earlier[kept - 1]
            used += sum(count(message.text) for message in (turn.user, *turn.between, turn.assistant))
            if used > max_tokens:
                break
            kept -= 1
        dropped = kept if max_tokens is not None else 0
        messages = tuple(m for turn in earlier[dropped:] for m in turn.messages)
        return History(messages=messages, dropped=tuple(earlier[:dropped]))

    def request(self, request: Request, history: History) -> Request:
        """``request`` with the history before its own messages, after a leading system prompt."""
        head = request.messages[:1] if request.messages[0].role == "system" else ()
        return replace(request, messages=(*head, *history.messages, *request.messages[len(head) :]))

    def to_markdown(self) -> str:
        """The conversation as a document."""
        parts = [f"# {self.name}"]
        for turn in self.turns:
            asked, answered = f"## {say('You')}\n\n{as_read(turn.user)}", f"## DeepSeek\n\n{as_read(turn.assistant)}"
            parts += [asked, *_called(turn), answered]
            if not turn.whole:
                parts.append(f"*{INTERRUPTED_NOTE.localized()}*")
        return "\n\n".join(parts) + "\n"

    def to_jsonl(self) -> str:
        """One JSON object a turn: its id, whether the answer is whole, and its messages in the API's terms."""
        lines = []
        for turn in self.turns:
            messages = [
                m.to_json(with_reasoning=m.reasoning_content is not None)
                for m in (turn.user, *turn.between, turn.assistant)
            ]
            row = {"id": turn.id, "whole": turn.whole, "messages": messages}
            lines.append(json.dumps(row, ensure_ascii=False) + "\n")
        return "".join(lines)


def _called(turn: Turn) -> list[str]:
    """The calls of functions in a turn, each with what it gave. Ids are looked up among the results right behind the answer that
    called: some hosts give the same ones in each round."""
    parts: list[str] = []
    for place, message in enumerate(turn.between):
        behind = itertools.takewhile(lambda each: each.role == "tool", turn.between[place + 1 :])
        gave = {result.tool_call_id: result.text for result in behind}
        parts += [
            f"## {shown_call(call['function']['name'], call['function']['arguments'])}\n\n{fenced(gave.get(call['id'], ''))}"
            for call in message.tool_calls
        ]
    return parts


class Conversations(dict[str, Conversation]):
    """The conversations of a session by name. Every refusal is a ConfigurationError."""

    def keep_of_cell(self, cell: str, calls: int) -> None:
        """Let a cell's turns go that come after its first ``calls`` ones. Turns of a cell are called ``cell:1``, ``cell:2``…"""
        for name, conversation in list(self.items()):
            kept = tuple(t for t in conversation.turns if not _is_of_cell(t.id, cell, beyond=calls))
            if len(kept) < len(conversation.turns):
                self[name] = replace(conversation, turns=kept)

    def find(self, name: str) -> Conversation:
        """The conversation of that name."""
        if name not in self:
            said = Message("There is no conversation {name}{near}.", name=name, near=closest(name, tuple(self)))
            raise ConfigurationError(said, hint=Message("%deepseek_chat lists them."))
        return self[name]

    def rename(self, name: str, new: str) -> None:
        """Give a conversation another name."""
        self.branch(name, new)
        del self[name]

    def branch(self, name: str, new: str) -> None:
        """Have a second conversation with the turns so far; each then goes its own way."""
        conversation = self.find(name)
        if new in self:
            said = Message("A conversation {name} exists already.", name=new)
            raise ConfigurationError(said, hint=Message("Take another name, or delete that one first."))
        self[new] = replace(conversation, name=new)

    def remove(self, name: str) -> None:
        """Forget a conversation."""
        self.find(name)
        del self[name]


def _is_of_cell(turn_id: str, cell: str, *, beyond: int) -> bool:
    of, _, number = turn_id.rpartition(":")
    return of == cell and number.isdecimal() and int(number) > beyond


def as_read(message: ChatMessage) -> str:
    """What a message says, for a person: a picture, and what was sent along, is a word in brackets, and several stand beside
    each other."""
    if isinstance(message.content, str):
        return message.content
    said: list[str] = []
    for in_words, parts in itertools.groupby(
        message.content, lambda part: "text" in part and attached_name(part) is None
    ):
        if in_words:
            said += (str(part["text"]) for part in parts)
        else:
            names = (attached_name(part) or _PARTS.get(str(part.get("type")), "part") for part in parts)
            said.append(" ".join(f"[{localized(name)}]" for name in names))
    return "\n\n".join(said)
