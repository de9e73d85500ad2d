"""The live view by display updates, for front ends without widgets; and the silent one, for runs nobody watches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from IPython.display import DisplayHandle, clear_output, display

from .live import Ending, Status
from .settled import escape, lasting
from .status import status_text

__all__ = ["HandleSurface", "SilentSurface"]

MAX_OUTPUTS: Final = 40
"""A notebook folds a cell's outputs from the 50th on."""

SEGMENT_BYTES: Final = 1_500
SEGMENT_SHARE: Final = 0.1
"""An output is committed when it passes the first, or this share of all that is committed: few outputs, each sent once."""


class SilentSurface:
    """Draws nothing while the answer comes, then one lasting output; or none at all when ``quiet``."""

    def __init__(self, *, quiet: bool = False, unfolded: bool = False) -> None:
        self._quiet = quiet
        self._unfolded = unfolded

    def open(self, status: Status) -> None:
        """Nothing."""

    def settle(self, blocks: Sequence[str]) -> None:
        """Nothing."""

    def tail(self, markdown: str) -> None:
        """Nothing."""

    def reasoning(self, text: str) -> None:
        """Nothing."""

    def status(self, status: Status) -> None:
        """Nothing."""

    def reset(self) -> None:
        """Nothing."""

    def close(self, ending: Ending) -> None:
        """Display the answer, or what there is of it."""
        if not self._quiet and not ending.empty:
            data, metadata = lasting(ending, unfolded=self._unfolded)
            display(data, metadata=metadata, raw=True)


class HandleSurface:
    """Draws by updating display handles: committed outputs are never sent again, the last one carries tail and status."""

    def __init__(self, *, unfolded: bool = False) -> None:
        self._unfolded = unfolded
        self._open: DisplayHandle | None = None
        self._outputs = 0
        self._held: list[str] = []
        self._committed_bytes = 0
        self._tail = ""
        self._thoughts_chars = 0
        self._status = Status()

    def open(self, status: Status) -> None:
        """Display the first handle."""
        self._status = status
        self._redraw()

    def settle(self, blocks: Sequence[str]) -> None:
        """Hold settled blocks until they are worth an output of their own."""
        self._held.extend(blocks)
        held = "\n\n".join(self._held)
        size = len(held.encode())
        if size < max(SEGMENT_BYTES, SEGMENT_SHARE * self._committed_bytes) or self._outputs >= MAX_OUTPUTS:
            return
        assert self._open is not None
        self._open.update({"text/markdown": held, "text/plain": held}, raw=True)
        self._committed_bytes += size
        self._held.clear()
        self._tail = ""
        self._open = None
        self._redraw()

    def tail(self, markdown: str) -> None:
        """Redraw the last handle."""
        self._tail = markdown
        self._redraw()

    def reasoning(self, text: str) -> None:
        """Only counted: a handle that is redrawn would close again under the reader's hand."""
        self._thoughts_chars += len(text)

    def status(self, status: Status) -> None:
        """Redraw the last handle with the new line."""
        self._status = status
        self._redraw()

    def reset(self) -> None:
        """Take everything back."""
        if self._outputs > 1:
            clear_output(wait=True)
            self._open, self._outputs = None, 0
        self._held.clear()
        self._committed_bytes, self._tail = 0, ""
        self._redraw()

    def close(self, ending: Ending) -> None:
        """One lasting output in place of all of them."""
        assert self._open is not None
        data, metadata = ({"text/plain": ""}, {}) if ending.empty else lasting(ending, unfolded=self._unfolded)
        if self._outputs == 1:
            self._open.update(data, metadata=metadata, raw=True)
        else:
            clear_output(wait=True)
            display(data, metadata=metadata, raw=True)

    def _redraw(self) -> None:
        line = status_text(self._status)
        parts = [*self._held, self._tail, f"<sub>{escape(line)}</sub>"]
        data = {"text/markdown": "\n\n".join(part for part in parts if part), "text/plain": line}
        if self._open is None:
            self._open = display(data, display_id=True, raw=True)
            self._outputs += 1
        else:
            self._open.update(data, raw=True)
