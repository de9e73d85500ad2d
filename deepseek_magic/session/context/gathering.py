"""What was gathered for one prompt: the pieces, without their secrets, and what is said of them."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from ...engine.hosts.secrets import Shield
from ...policy.pricing import estimate_tokens
from ...protocol.context.pieces import Attached, Piece
from ...text.messages import Message

_NAMED: Final = 5


class Gathering:
    """Takes texts, gives them back without secrets, and keeps the list. ``known``: texts that the conversation holds
    already, which are not sent twice; asked for once, when that matters."""

    def __init__(self, known: Callable[[], Sequence[str]]) -> None:
        self.pieces: list[Piece] = []
        self._known = known
        self._secrets: Counter[str] = Counter()
        self._said: list[Message] = []

    @functools.cached_property
    def _texts(self) -> Sequence[str]:
        return self._known()

    @functools.cached_property
    def _shield(self) -> Shield:
        return Shield()

    def clean(self, name: str, text: str) -> str:
        """``text`` without its secrets; ``name`` is what a person is told that they were in."""
        found = self._shield.clean(text)
        if found.left_out:
            self._secrets[name] += found.left_out
        return found.text

    def add(self, name: Message | str, text: str, *, whole: int | None = None) -> None:
        """List a text that is sent; ``whole``: the bytes of what it was made from, if these are more."""
        sent = len(text.encode("utf-8", "replace"))
        if whole is not None and whole <= sent:
            whole = None
        self.pieces.append(Piece(name=name, sent=sent, tokens=estimate_tokens(text), whole=whole))

    def part(self, name: str, text: str, said: str, *, whole: int) -> Attached | None:
        """A text as the part ``said`` of a message, listed; None where the conversation has it already."""
        if self.has(said):
            self.say(Message("Not sent twice, because the conversation has it: {names}.", names=name))
            return None
        self.add(name, text, whole=whole)
        return Attached(name, said)

    def say(self, notice: Message) -> None:
        """One more sentence for the user."""
        if notice not in self._said:
            self._said.append(notice)

    def has(self, text: str) -> bool:
        """Whether the conversation holds this text already."""
        return any(text in earlier for earlier in self._texts)

    def notices(self) -> Iterator[Message]:
        """Sentences for the user, but for the list itself."""
        yield from self._said
        if self._secrets:
            count, names = self._secrets.total(), list(self._secrets)
            shown = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
            yield Message(
                "What looks like a key or a password was left out: {count}× in {names}.", count=count, names=shown
            )
