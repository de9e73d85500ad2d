"""The notebook around this process, if one has loaded the extension: who draws the sweeps of Python calls, and which cells ran.

Apart from the calls, because loading the extension says so before anything of theirs is imported.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .context.cells import RanCell


class Watcher(Protocol):
    """What draws one sweep."""

    def look(self) -> None:
        """Draw what is due."""

    def settle(self) -> None:
        """Leave what lasts."""


watch: Callable[[Any], Watcher] | None = None
"""Makes the view of a ``SweepCall``; set by the notebook."""

ran: Callable[[], Sequence[RanCell]] | None = None
"""The cells that ran, oldest first; set by the notebook."""


@contextlib.contextmanager
def watching(call: Any) -> Iterator[Callable[[], None]]:
    """Have the call drawn while it runs; what is to be called now and then meanwhile."""
    if watch is None:
        yield lambda: None
        return
    view = watch(call)
    try:
        yield view.look
    finally:
        view.settle()
