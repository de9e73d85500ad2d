"""Who is asked by Python's calls: the notebook that has loaded the extension, else whoever sits at the terminal.

Apart from the calls, because loading the extension says so before anything of theirs is imported.
"""

from __future__ import annotations

from typing import Protocol

from .question import Confirmer
from .typed import Typed


class FindConfirmer(Protocol):
    """Who is asked, for at most so long; ``awaited``: the caller is on a loop."""

    def __call__(self, *, wait_s: float, awaited: bool) -> Confirmer:
        """See above."""


find: FindConfirmer | None = None
"""Set by the notebook."""


def confirmer(*, wait_s: float, awaited: bool) -> Confirmer:
    """Who is asked here."""
    return Typed() if find is None else find(wait_s=wait_s, awaited=awaited)
