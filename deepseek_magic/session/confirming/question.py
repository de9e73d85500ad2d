"""A question to whoever looks on: what is going to happen, and what may be answered. A value: it asks nobody by itself.

How it is asked is a ``Confirmer``: typed (``typed.py``), or in a notebook by buttons (``notebook/gate``).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from ...protocol.errors import NotConfirmed
from ...text.messages import Message

WAIT_S: Final = 120.0
"""So long a front end is waited for, if nothing else is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One answer: ``name`` is what the program gets, ``label`` what is on the button, ``key`` the letter that may be typed."""

    name: str
    label: Message
    key: str
    icon: str = ""


RUN: Final = Choice(name="run", label=Message("Run"), key="r", icon="play")
SKIP: Final = Choice(name="skip", label=Message("Skip"), key="s", icon="forward")
STOP: Final = Choice(name="stop", label=Message("Stop"), key="x", icon="stop")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToConfirm:
    """What is asked. ``said`` is our sentence; ``detail`` is shown below it exactly as it is, whoever wrote it: markup and
    control characters in it do nothing. ``what`` is named when nobody answers, and ``otherwise`` says what to do then."""

    said: Message
    what: Message | str
    detail: str = ""
    choices: Sequence[Choice] = (RUN, SKIP, STOP)
    otherwise: Message | str = ""

    def unheard(self) -> NotConfirmed:
        """The error where nobody could be asked."""
        said = Message("Nobody looks on who could confirm {what}, so it was not run.", what=self.what)
        return NotConfirmed(said, hint=self.otherwise)

    def aside(self) -> NotConfirmed:
        """The error in a thread, where whoever looks on cannot be asked."""
        said = Message("A thread beside the cell cannot ask who confirms {what}, so it was not run.", what=self.what)
        return NotConfirmed(said, hint=self.otherwise)

    def unanswered(self, wait_s: float) -> NotConfirmed:
        """The error where somebody could have answered, and did not."""
        said = Message(
            "Nobody confirmed {what} within {seconds} s, so it was not run.", what=self.what, seconds=f"{wait_s:g}"
        )
        return NotConfirmed(said, hint=Message("Run the cell again; --confirm-wait waits longer."))


class Confirmer(Protocol):
    """Whoever may say yes, or Stop. Asking gives the name of a choice, and raises NotConfirmed where none comes."""

    def ask(self, question: ToConfirm) -> str:
        """Ask, and wait; for a caller that blocks."""

    async def aask(self, question: ToConfirm) -> str:
        """Ask, and wait; for a caller on a loop."""

    def interruptible(self) -> AbstractContextManager[None]:
        """Within it their interrupt reaches what blocks."""
