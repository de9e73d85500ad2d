"""The live view in Output widgets: settled blocks grow in one, the open tail is redrawn in the other.

The whole view is one display, which at the end is updated in place into the lasting Markdown: no jump, and nothing of
the widgets is left in the saved notebook.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ipywidgets
from IPython.display import DisplayHandle, clear_output, display

from .live import Ending, Status
from .settled import lasting
from .status import reasoning_title, status_html

__all__ = ["WidgetSurface"]


class WidgetSurface:
    """Draws in the cell's output by widgets. With ``on_stop`` there is a Stop button that calls it."""

    def __init__(self, shell: Any, *, on_stop: Callable[[], None] | None, unfolded: bool = False) -> None:
        self._message_id: str = shell.get_parent()["header"]["msg_id"]
        self._unfolded = unfolded
        self._line = ipywidgets.HTML()
        self._settled = ipywidgets.Output()
        self._tail = ipywidgets.Output()
        self._thoughts = ipywidgets.Output()
        self._fold = ipywidgets.Accordion(
            children=(self._thoughts,), titles=("Reasoning",), selected_index=0 if unfolded else None
        )
        self._fold.layout.display = "none"
        head: list[Any] = [self._line]
        if on_stop is not None:
            self._button = ipywidgets.Button(description="Stop", icon="stop", tooltip="Stop this answer and keep it")
            self._button.layout.width = "5.5em"
            self._button.on_click(lambda _button: on_stop())
            head.insert(0, self._button)
        self._head = ipywidgets.HBox(head)
        self._head.layout.align_items = "center"
        self._view = ipywidgets.VBox((self._head, self._fold, self._settled, self._tail))
        self._handle: DisplayHandle | None = None

    def open(self, status: Status) -> None:
        """Display the view."""
        self.status(status)
        self._handle = display(self._view, display_id=True)

    def settle(self, blocks: Sequence[str]) -> None:
        """Send settled Markdown, once."""
        with self._into(self._settled):
            for block in blocks:
                display({"text/markdown": block}, raw=True)

    def tail(self, markdown: str) -> None:
        """Redraw the open rest."""
        with self._into(self._tail):
            clear_output(wait=bool(markdown))
            if markdown:
                display({"text/markdown": markdown}, raw=True)

    def reasoning(self, text: str) -> None:
        """Append as a plain stream: it is sent once and never rendered."""
        self._fold.layout.display = None
        with self._into(self._thoughts):
            sys.stdout.write(text)
            sys.stdout.flush()

    def status(self, status: Status) -> None:
        """Redraw the status line and the title of the reasoning."""
        self._line.value = status_html(status)
        if status.reasoning_deltas:
            self._fold.titles = (reasoning_title(status),)

    def reset(self) -> None:
        """Empty both outputs."""
        for output in (self._settled, self._tail):
            with self._into(output):
                clear_output()

    def close(self, ending: Ending) -> None:
        """Turn the view into the lasting output and let go of the widgets."""
        assert self._handle is not None
        data, metadata = ({"text/plain": ""}, {}) if ending.empty else lasting(ending, unfolded=self._unfolded)
        self._handle.update(data, metadata=metadata, raw=True)
        for widget in (self._view, self._head, *self._head.children, self._fold, *self._view.children[2:]):
            widget.close()
        self._thoughts.close()

    @contextmanager
    def _into(self, output: ipywidgets.Output) -> Iterator[None]:
        # Output's own context manager swallows what is raised inside it, an interrupt included, and shows a traceback.
        sys.stdout.flush()
        output.msg_id = self._message_id
        try:
            yield
        finally:
            output.msg_id = ""
