"""A view whose failures stay its own: whatever goes wrong in drawing, the stream goes on and the answer is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...protocol.completion import Completion
from ...protocol.events import Event
from ...text.messages import Message, say
from .live import View
from .printing import print_somewhere


class Shielded(View):
    """Passes everything on to ``view`` until that fails, and ``finish`` even then: it may still leave the answer.

    A failure is reported once, at the end, in one printed sentence. An interrupt is no failure and passes.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._failure: Exception | None = None

    def show(self, events: Sequence[Event]) -> None:
        if self._failure is None:
            self._try(self._view.show, events)

    def stopping(self) -> None:
        if self._failure is None:
            self._try(self._view.stopping)

    def say(self, notice: Message | str) -> None:
        if self._failure is None:
            self._try(self._view.say, notice)

    def finish(self, completion: Completion) -> None:
        """Leave what is to last, and say what could not be drawn."""
        self._try(self._view.finish, completion)
        if self._failure is not None:
            why = f"{type(self._failure).__name__}: {self._failure}"
            said = say("Not all of the answer could be drawn ({why}); the variable has it as it came.", why=why)
            print_somewhere(said)

    def _try(self, draw: Callable[..., None], *args: Any) -> None:
        try:
            draw(*args)
        except Exception as failure:
            self._failure = self._failure or failure
