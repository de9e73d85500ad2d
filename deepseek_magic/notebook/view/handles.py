"""The live view by display updates, for front ends without widgets; and the silent one, for runs nobody watches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from IPython.display import DisplayHandle, clear_output, display

from ...text.messages import say
from .live import Settlement, Surface
from .settled import EMPTY, escape, lasting, remainder
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
    """Draws by updating display handles: a settled segment is never sent again, the last handle has tail and status.

    ``alone``: the cell shows nothing but this answer, so its outputs may be cleared to leave one. ``first``: a handle
    that is there already, to begin with. Reasoning is only counted: a handle that is redrawn would close the fold under
    the reader's hand. Nothing is kept: what was displayed is in the notebook's file.
    """

    def __init__(self, *, alone: bool, unfolded: bool = False, first: DisplayHandle | None = None) -> None:
        self._alone = alone
        self._unfolded = unfolded
        self._last = first
        self._outputs = 0 if first is None else 1
        self._tail = ""
        self._status = Status()

    def settle(self, blocks: Sequence[str]) -> None:
        """Give each segment the handle that the tail had, and the tail a new one."""
        for block in blocks:
            self._show({"text/markdown": block, "text/plain": ""})
            self._last = None
            self._tail = ""

    def tail(self, markdown: str) -> None:
        """Redraw the last handle."""
        self._tail = markdown
        self._redraw()

    def status(self, status: Status) -> None:
        """Redraw the last handle with the new line."""
        self._status = status
        self._redraw()

    def reset(self) -> None:
        """Take everything back where that is allowed; else say that it starts again."""
        if self._outputs > 1 and self._alone:
            clear_output(wait=True)
            self._last, self._outputs = None, 0
        elif self._outputs > 1:
            self._show({"text/markdown": f"*{say('The answer starts again.')}*", "text/plain": ""})
            self._last = None
        self._tail = ""
        self._redraw()

    def close(self, ending: Settlement) -> None:
        """One lasting output in place of all, or the segments as they stand with what was missing below."""
        if ending.empty:
            self._show(EMPTY)
            return
        parts = lasting(ending, unfolded=self._unfolded)
        if self._outputs == 1:
            first, *more = parts
            self._show(*first)
            for data, metadata in more:
                display(data, metadata=metadata, raw=True)
        elif len(parts) == 1 and self._alone:
            clear_output(wait=True)
            display(parts[0][0], metadata=parts[0][1], raw=True)
        else:
            self._show(*remainder(ending, unfolded=self._unfolded))

    def _redraw(self) -> None:
        line = status_text(self._status)
        small = f"<p><sub>{escape(line)}</sub></p>"
        self._show({"text/markdown": f"{self._tail}\n\n{small}" if self._tail else small, "text/plain": line})

    def _show(self, data: dict[str, str], metadata: dict[str, Any] | None = None) -> None:
        if self._last is None:
            self._last = display(data, metadata=metadata, display_id=True, raw=True)
            self._outputs += 1
        else:
            self._last.update(data, metadata=metadata, raw=True)
