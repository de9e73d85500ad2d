"""``--format``: what is made of an answer besides Markdown, while it is written and when it is there.

Text and JSON are drawn verbatim, in a code block. Code stays Markdown, since it comes with words around it; it is offered
as the next cell, and never run.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any, Final

from ...protocol.completion import Completion
from ...protocol.errors import ProtocolError
from ...protocol.markdown import Segmenter, safe
from ...text.fences import fenced
from ...text.messages import say
from ...text.segmenter import Cutter
from .printing import print_somewhere

VERBATIM: Final = ("text", "json")
FIRST_SEGMENT_CHARS: Final = 8_192


class Verbatim(Cutter):
    """Cuts a text that is still being written into code blocks.

    A segment is settled when it is as long as all before it, so that there are few however long the text gets.
    """

    def __init__(self) -> None:
        super().__init__()
        self._settled_chars = 0
        self._open = ""

    def feed(self, delta: str) -> None:
        """Take the next piece of the answer."""
        self._open += delta

    def settled(self) -> list[str]:
        """The code blocks settled since the last call."""
        if len(self._open) >= max(FIRST_SEGMENT_CHARS, self._settled_chars):
            self._settle(self._open.rfind("\n") + 1)
        return super().settled()

    @property
    def text(self) -> str:
        """All that was fed."""
        return "".join((*(segment.raw for segment in self.segments), self._open))

    def tail(self) -> str:
        """The open rest as a code block."""
        return safe(fenced(self._open)) if self._open else ""

    def finish(self) -> list[str]:
        """The last code block."""
        self._settle(len(self._open))
        return super().settled()

    def _settle(self, chars: int) -> None:
        text, self._open = self._open[:chars], self._open[chars:]
        self._settled_chars += chars
        if text:
            self._add(text, safe(fenced(text)) if text.strip() else "")


def segmenter(format: str) -> Segmenter | Verbatim:
    """What cuts an answer of this format."""
    return Verbatim() if format in VERBATIM else Segmenter()


def body(format: str, completion: Completion) -> str:
    """The whole answer as safe Markdown."""
    text = completion.text
    if not text:
        return ""
    if format == "json":
        with contextlib.suppress(ProtocolError):
            return safe(fenced(json.dumps(completion.json, indent=2, ensure_ascii=False), "json"))
    return safe(fenced(text)) if format in VERBATIM else safe(text)


def complaint(format: str, completion: Completion) -> str | None:
    """A sentence where the answer is not of the format that was asked for."""
    if not completion.text:
        return None
    if format == "json" or completion.schema is not None:
        try:
            completion.value  # noqa: B018  (read for what it raises)
        except ProtocolError as error:
            return error.localized()
    if format == "code" and completion.code is None:
        return say("The answer contains no code, so no cell was made from it.")
    return None


def offer_code(shell: Any, code: str, *, watched: bool) -> None:
    """Make ``code`` the next cell, to be read and run by hand; print it where nobody watches."""
    if watched:
        shell.set_next_input(code)
    else:
        print_somewhere(code)
