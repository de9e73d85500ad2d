"""A text that grows by small pieces and takes the memory of what it says, at the end too."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

PIECES_MAX: Final = 256
"""Pieces are joined when there are so many: as objects they cost some 60 bytes each, and joining each one costs time."""

LONG_CHARS: Final = 256
"""A piece as long as that is itself what others are joined to; waiting, such pieces would be a second copy of much text."""


@dataclass(slots=True, eq=False)
class GrowingText:
    """What was written so far. A list of pieces would cost 20 times its text, a StringIO four bytes a character, and
    both once more the text itself when it is asked for."""

    chars: int = 0
    """How long it is, in characters, known without joining."""
    _text: str = ""
    _pieces: list[str] = field(default_factory=list)

    def write(self, piece: str) -> None:
        """Append ``piece``."""
        self.chars += len(piece)
        self._pieces.append(piece)
        if len(self._pieces) >= PIECES_MAX or len(piece) >= LONG_CHARS:
            self._join()

    @property
    def text(self) -> str:
        """All of it."""
        if self._pieces:
            self._join()
        return self._text

    def truncate(self, chars: int) -> None:
        """Keep the first ``chars`` characters, if it has more."""
        if chars < self.chars:
            self._text = self.text[:chars]
            self.chars = chars

    def _join(self) -> None:
        # CPython lengthens a str in place where a local variable is all that holds it: no second copy is ever there.
        text, self._text = self._text, ""
        try:
            text += "".join(self._pieces)
        finally:  # an interrupt may come here, and nothing of the text may go
            self._text = text
        self._pieces.clear()
