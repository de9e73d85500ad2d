"""What is sent along with a prompt, as it is listed: names, sizes, about how many tokens, and what they cost."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ...text.messages import Message
from ..measured import Cost

_FRAME: Final = re.compile(r"((?:File|Page) [^\n]{1,4096}|In\[\d+\]):\n(`{3,})[^`\n]*\n.*\n\2\Z", re.DOTALL)
"""How each of them begins and ends; what the journal gives back is known by it."""
_ONE: Final = Message("{name} ({size})")
_PART: Final = Message("{name} ({size} of {whole})")
SENT: Final = Message("Sent along: {names}; about {tokens} tokens.")
SENT_AT: Final = Message("Sent along: {names}; about {tokens} tokens, {cost}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One thing that is sent along. Sizes are bytes of UTF-8: ``sent`` of the text, ``whole`` of what it was made from,
    None where that is the same; ``tokens`` is an estimate."""

    name: Message | str
    sent: int
    tokens: int
    whole: int | None = None

    @property
    def shown(self) -> Message:
        """The name with its sizes."""
        if self.whole is None:
            return _ONE.filled(name=self.name, size=size(self.sent))
        return _PART.filled(name=self.name, size=size(self.sent), whole=size(self.whole))


class Attached(dict[str, Any]):
    """The part of a message that a piece is, in the API's terms; it knows its ``name``, which a person reads in its place."""

    def __init__(self, name: Message | str, text: str) -> None:
        super().__init__(type="text", text=text)
        self.name = name


def attached_name(part: Mapping[str, Any]) -> Message | str | None:
    """What a part of a message that was sent along is called; None for any other part."""
    if isinstance(part, Attached):
        return part.name
    framed = _FRAME.match(str(part.get("text"))) if part.get("type") == "text" else None
    return framed[1].removeprefix("File ").removeprefix("Page ") if framed else None


def size(count: int) -> str:
    """A number of bytes with two digits or three."""
    for unit, factor in (("MB", 1_000_000), ("kB", 1_000)):
        if count >= factor:
            part = count / factor
            return f"{part:.1f} {unit}".replace(".0 ", " ") if part < 100 else f"{part:.0f} {unit}"
    return f"{count} B"


def listed(pieces: Sequence[Piece], cost: Cost | None) -> Message:
    """The sentence that lists what was sent along. ``cost``: of its tokens, none of them cached."""
    names = pieces[0].shown
    for piece in pieces[1:]:
        names = Message("{names}, {name}", names=names, name=piece.shown)
    values: Mapping[str, Any] = {"names": names, "tokens": f"{sum(piece.tokens for piece in pieces):,}"}
    return SENT.filled(**values) if cost is None else SENT_AT.filled(cost=cost.rounded, **values)
