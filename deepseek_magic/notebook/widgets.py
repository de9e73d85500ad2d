"""The live view in Output widgets: settled blocks grow in one, the open tail is redrawn in the other.

The whole view is one display, which at the end is updated in place into the lasting Markdown: no jump, and nothing of
the widgets is left in the saved notebook.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import ipywidgets
from IPython.display import DisplayHandle, clear_output, display

from .live import Ending, Status
from .settled import EMPTY, escape, lasting
from .status import reasoning_title, status_html

__all__ = ["WidgetSurface"]

FOLD_CLASS: Final = "deepseek-magic-fold"

STYLE: Final = (
    f".{FOLD_CLASS} .jupyter-widget-Collapse, .{FOLD_CLASS} .jupyter-widget-Collapse-header,"
    f".{FOLD_CLASS} .jupyter-widget-Collapse-contents "
    "{border: none; background: none; padding: 0 0 0 2px; font-weight: normal; color: inherit;}"
)
"""The fold shall look like the ``<details>`` that takes its place when the answer settles."""


def _stop_button(on_stop: Callable[[], None] | None) -> tuple[ipywidgets.Button, ...]:
    if on_stop is None:
        return ()
    button = ipywidgets.Button(description="Stop", icon="stop", tooltip="Stop this answer and keep what has come")
    button.layout.width = "5.5em"
    button.layout.height = "26px"
    button.on_click(lambda _button: on_stop())
    return (button,)


class WidgetSurface:
    """Draws in the cell's output by widgets. With ``on_stop`` there is a Stop button that calls it."""

    def __init__(self, shell: Any, *, on_stop: Callable[[], None] | None, unfolded: bool = False) -> None:
        self._message_id: str = shell.get_parent()["header"]["msg_id"]
        self._unfolded = unfolded
        self._settled = ipywidgets.Output()
        self._tail = ipywidgets.Output()
        self._thoughts = ipywidgets.Output()
        self._fold = ipywidgets.Accordion(children=(self._thoughts,), selected_index=0 if unfolded else None)
        self._fold.add_class(FOLD_CLASS)
        self._caption = ipywidgets.HTML()
        self._status = ipywidgets.HTML(f"<style>{STYLE}</style>")
        self._top = ipywidgets.HBox((*_stop_button(on_stop), self._caption))
        self._top.layout.align_items = "flex-start"
        self._view = ipywidgets.VBox((self._top, self._settled, self._tail, self._status))
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
        if self._fold not in self._top.children:
            self._top.children = (*self._top.children[:-1], self._fold)
        with self._into(self._thoughts):
            sys.stdout.write(text)
            sys.stdout.flush()

    def status(self, status: Status) -> None:
        """Redraw the status line and the title of the reasoning."""
        self._status.value = f"<style>{STYLE}</style>{status_html(status)}"
        self._caption.value = f'<sub class="{FOLD_CLASS}">{escape(status.model)}</sub>'
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
        (data, metadata), *others = [(EMPTY, {})] if ending.empty else lasting(ending, unfolded=self._unfolded)
        self._handle.update(data, metadata=metadata, raw=True)
        for data, metadata in others:
            display(data, metadata=metadata, raw=True)
        widgets = {*self._top.children, self._caption, self._fold, self._thoughts, *self._view.children, self._view}
        for widget in widgets:
            for part in (widget.layout, getattr(widget, "style", None), widget):
                if part is not None:
                    part.close()

    @contextmanager
    def _into(self, output: ipywidgets.Output) -> Iterator[None]:
        # Output's own context manager swallows what is raised inside it, an interrupt included, and shows a traceback.
        sys.stdout.flush()
        output.msg_id = self._message_id
        try:
            yield
        finally:
            output.msg_id = ""
