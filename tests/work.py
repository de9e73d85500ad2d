"""Work by the number of calls that it makes: the same on every machine, however busy."""

from __future__ import annotations

import sys
from collections.abc import Callable


def calls_made(do: Callable[[], object]) -> int:
    """How many calls and returns there are, of Python and of C, while ``do`` runs."""
    counted = 0

    def count(*_: object) -> None:
        nonlocal counted
        counted += 1

    sys.setprofile(count)
    try:
        do()
    finally:
        sys.setprofile(None)
    return counted
