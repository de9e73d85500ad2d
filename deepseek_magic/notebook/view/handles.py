"""The live view by display updates, for front ends without widgets; and the silent one, for runs nobody watches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from IPython.display import DisplayHandle, clear_output, display

from ...text.messages import say
from .live import Settlement, Surface
from .settled import EMPTY, around, lasting, small
from .status import Status, status_text


class SilentSurface(Surface):
    """Draws nothing while the answer comes, then one lasting output; or none at all when ``quiet``."""

    def __init__(self, *, quiet: bool = False, unfolded: bool = False) -> None:
        self._quiet = quiet
        self._unfolded = unfolded

    def close(self, ending: Settlement) -> None:
        """Display the answer, or what there is of it."""
        if not self._quiet and not ending.empty:
            for data, metadata in lasting(ending, unfolded=self._unfolded):
                display(data, metadata=metadata, raw=True)


class HandleSurface(Surface):
    """Draws by updating display handles: the status line in the first, a settled segment once, the tail in the last.

    ``alone``: the cell shows nothing but this answer, so its outputs may be cleared to leave one. ``first``: a handle
    that is there already, to begin with. Reasoning is only counted: a handle that is redrawn would close the fold under
    the reader's hand. Nothing is kept: what was displayed is in the notebook's file.
    """

    def __init__(self, *, alone: bool, unfolded: bool = False, first: DisplayHandle | None = None) -> None:
        self._alone = alone
        self._unfolded = unfolded
        self._line = first
        self._last: DisplayHandle | None = None
        self._settled = 0

    def settle(self, blocks: Sequence[str]) -> None:
        """Give each segment the handle that the tail had, and the tail a new one."""
        for block in blocks:
            self.tail(block)
            self._last = None
            self._settled += 1

    def tail(self, markdown: str) -> None:
        """Redraw the last handle."""
        if markdown or self._last is not None:
            self._last = _shown(self._last, {"text/markdown": markdown, "text/plain": ""})

    def status(self, status: Status) -> None:
        """Redraw the line above the answer."""
        line = status_text(status)
        self._line = _shown(self._line, {"text/markdown": small(line), "text/plain": line})

    def reset(self) -> None:
        """Take everything back where that is allowed; else say that it starts again."""
        if self._settled and self._alone:
            clear_output(wait=True)
            self._line = self._last = None
        elif self._settled:
            self.tail(f"*{say('The answer starts again.')}*")
            self._last = None
        self._settled = 0
        self.tail("")

    def close(self, ending: Settlement) -> None:
        """One lasting output in place of all, or the segments as they stand with what was missing around them."""
        parts = [(EMPTY, {})] if ending.empty else lasting(ending, unfolded=self._unfolded)
        if self._last is None and not self._settled:
            first, *more = parts
            _shown(self._line, *first)
            for data, metadata in more:
                display(data, metadata=metadata, raw=True)
        elif len(parts) == 1 and self._alone:
            clear_output(wait=True)
            display(parts[0][0], metadata=parts[0][1], raw=True)
        else:
            above, below = around(ending, unfolded=self._unfolded)
            _shown(self._line, *above)
            _shown(self._last, *below)


def _shown(
    handle: DisplayHandle | None, data: dict[str, str], metadata: dict[str, Any] | None = None
) -> DisplayHandle | None:
    """``data`` in place of what ``handle`` shows, or in a new one."""
    if handle is None:
        handle = display(data, metadata=metadata, display_id=True, raw=True)
    else:
        handle.update(data, metadata=metadata, raw=True)
    return handle
