"""Printing to a terminal whose encoding does not have every character: an emoji on a Chinese Windows.

Python raises there. That may cost the character, not the answer.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any


class Printer:
    """A stream of ``sys``, as it is at the moment of writing. All but writing is the stream's own."""

    def __init__(self, name: str) -> None:
        self._name = name

    def write(self, text: str) -> None:
        """Write ``text``, with question marks for what the stream's encoding does not have."""
        stream = getattr(sys, self._name)
        encoding = getattr(stream, "encoding", None) or "utf-8"
        stream.write(text.encode(encoding, "replace").decode(encoding))

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(sys, self._name), name)


def print_somewhere(line: str) -> None:
    """Print ``line`` on stdout, or else on stderr; where neither takes it, there is nobody to read it."""
    for name in ("stdout", "stderr"):
        with contextlib.suppress(Exception):
            Printer(name).write(line + "\n")
            return
