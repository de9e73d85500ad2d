"""The person in front of a notebook, asked before something is run. Whatever is to be confirmed is confirmed here.

How to use it, in a cell::

    gate = ConfirmGate(shell, view=magics.view_name, awaited=True, wait_s=WAIT_S)     # awaited: in ``awaited`` of a magic
    answer = await gate.aask(ToConfirm(said=Message("…"), what="the cell", detail=code, choices=(RUN, DISCARD)))
    gate.leave(bundle)        # in the question's place: what lasts of it; once more: the same place again

``ask`` is the same for a caller that blocks. Both give the ``name`` of a ``Choice`` (make your own: name, label, key, icon), and
raise NotConfirmed where nobody looks on (headless, papermill) or nobody answers within ``wait_s``, so that *Run All* goes on or
fails, and never hangs. An interrupt and the kernel's Stop pass through as they are. ``fresh`` parts what is left next from
what was left before. ``ToConfirm``, ``Choice``, ``RUN``, ``SKIP``, ``STOP`` and ``WAIT_S`` are in ``session.confirming.question``.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from IPython.display import DisplayHandle, display

from ...session.confirming.question import WAIT_S, ToConfirm
from ...session.confirming.typed import Typed
from ..frontend import ViewName, hears_clicks, interruptible, takes_input, view_for, widgets_refused


class ConfirmGate:
    """A ``Confirmer`` of a shell. ``awaited`` says that the cell is async, so that a click can be heard while it waits."""

    def __init__(self, shell: Any, *, view: ViewName, awaited: bool, wait_s: float = WAIT_S) -> None:
        unseen = view_for(shell) == "silent"  # whatever view is configured
        self._clicks = awaited and view == "widgets" and hears_clicks(shell) and not unseen
        self._wait_s = wait_s
        there = False if unseen else takes_input(shell)
        # A terminal waits as long as its user likes: there is no Run All, and nothing else to do meanwhile.
        self._typed = Typed(there=there, wait_s=None if there is None else wait_s, interruptible=interruptible)
        self._place: DisplayHandle | None = None

    def ask(self, question: ToConfirm) -> str:
        """Ask by ``input()``, blocking."""
        self.fresh()
        return self._typed.ask(question)

    async def aask(self, question: ToConfirm) -> str:
        """Ask by buttons where they are heard."""
        self.fresh()
        if self._clicks:
            from .buttons import Buttons, NoButtons  # here, since ipywidgets alone is a third of what loading may cost

            buttons = Buttons(question, self._wait_s)
            self._place = buttons.place
            try:
                return await buttons.answer()
            except NoButtons:
                widgets_refused()
                self._clicks = False
                self._place = None
        return self._typed.ask(question)

    def interruptible(self) -> AbstractContextManager[None]:
        """Within it Stop reaches what blocks, in an awaited cell too."""
        return interruptible()

    def leave(self, data: Mapping[str, str], metadata: Mapping[str, Any] | None = None) -> None:
        """Show what lasts: in the place of the question, where it had one on the page, else below all that is there."""
        kept = dict(metadata) if metadata else None
        if self._place is None:
            self._place = display(dict(data), metadata=kept, display_id=True, raw=True)
        else:
            self._place.update(dict(data), metadata=kept, raw=True)

    def fresh(self) -> None:
        """Let what was left be; what is left next gets a place of its own."""
        self._place = None
