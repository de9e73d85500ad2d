"""The live view in Output widgets: one for each settled segment, and one for the open tail, which is drawn again.

Contents are set as the widgets' state and not displayed into them: one message a redraw, nothing sent back by the
browser, and whatever else the cell prints stays where it belongs. When a segment settles, the tail's widget keeps it
and a new one takes the tail, so that nothing is on the screen twice, not even for a frame. The whole view is one
display, which at the end is updated in place into the lasting Markdown: no jump, and nothing of the widgets is left in
the saved notebook.
"""

from __future__ import annotations

import html
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

from IPython.display import DisplayHandle, display

from ...text.design.tokens import rule
from ...text.messages import say
from .live import Settlement, Surface
from .parts import Accordion, Button, HBox, Html, Output, VBox, bundle, close, set_titles
from .settled import EMPTY, NOTHING, Part, lasting
from .status import Status, reasoning_title, status_html

CLASS: Final = "deepseek-magic"

THOUGHT_CHARS: Final = 2_000
"""Reasoning is sent again until its piece is this long; then the next piece begins."""

STYLE: Final = f"""<style>
{rule(f".{CLASS}")}
.{CLASS} .jupyter-widget-Collapse, .{CLASS} .jupyter-widget-Collapse-header, .{CLASS} .jupyter-widget-Collapse-contents
{{border: none; background: none; padding: 4px 0 0 2px; font-weight: normal; color: inherit;}}
.{CLASS} .jupyter-widget-Collapse-contents {{padding: 4px 0 0 20px;}}
.{CLASS} .jp-OutputArea-output {{padding: 0;}}
.{CLASS} .{CLASS}-style {{display: none;}}
.{CLASS} .{CLASS}-top {{flex-flow: row wrap; align-items: center; column-gap: var(--deepseek-space-2);}}
.{CLASS} .{CLASS}-top > button {{width: 5.5em; height: 26px;}}
.{CLASS} .{CLASS}-top > .{CLASS}-status {{flex: 1 1 16em; width: auto;}}
.{CLASS} .{CLASS}-status > div {{line-height: var(--deepseek-line-height); font-variant-numeric: tabular-nums;}}
.{CLASS} .{CLASS}-status span {{color: var(--deepseek-quiet);}}
.{CLASS} .{CLASS}-status b {{color: var(--deepseek-text); font-weight: normal;}}
.{CLASS} .{CLASS}-status i {{font-style: normal; display: inline-block;}}
.{CLASS} .{CLASS}-top > .{CLASS}-fold {{flex: 1 0 100%; padding-bottom: var(--deepseek-space-1);}}
.{CLASS} .jupyter-widgets-disconnected::before, .{CLASS} button.jupyter-widgets-disconnected {{display: none;}}
</style>"""
"""The fold shall look like the ``<details>`` that takes its place when the answer settles. When the kernel has ended the
text stays without JupyterLab's broken links, and a Stop that nobody hears goes."""

KEPT_STYLE: Final = "white-space: pre-wrap; word-break: normal; overflow-wrap: anywhere"


class WidgetSurface(Surface):
    """Draws in the cell's output by widgets. With ``on_stop`` there is a Stop button that calls it.

    ``on_refused`` is called with the view's handle when the front end closes the widgets: it has nothing to draw them.
    """

    def __init__(
        self,
        *,
        on_stop: Callable[[], None] | None,
        unfolded: bool = False,
        on_refused: Callable[[DisplayHandle], None] | None = None,
    ) -> None:
        self._unfolded = unfolded
        self._tail = Output()
        self._answer = VBox((self._tail,))
        self._thought_text = ""
        self._thought: Any = None
        self._thoughts: Any = None
        self._fold: Any = None
        self._status = Html(_dom_classes=(f"{CLASS}-status",))
        self._style = Html(STYLE, _dom_classes=(f"{CLASS}-style",))
        button = () if on_stop is None else (stop_button(on_stop),)
        # Above the answer: below one that grows it would leave the screen.
        self._top = HBox((*button, self._status), _dom_classes=(f"{CLASS}-top",))
        self._view = VBox((self._style, self._top, self._answer), _dom_classes=(CLASS,))
        self._handle: DisplayHandle | None = None
        self._kept: DisplayHandle | None = None
        self._kept_class = f"{CLASS}-kept-{uuid.uuid4().hex[:8]}"
        if on_refused is not None and self._view.comm is not None:
            self._on_refused = on_refused
            self._view.comm.on_close(self._refused)

    def open(self, status: Status) -> None:
        """Display the view."""
        self.status(status)
        self._place(self._view)

    def settle(self, blocks: Sequence[str]) -> None:
        """Leave each segment in the widget of the tail, and give the tail a new one."""
        for block in blocks:
            self.tail(block)
            self._tail = Output()
            self._answer.children = (*self._answer.children, self._tail)

    def tail(self, markdown: str) -> None:
        shown = {"output_type": "display_data", "data": {"text/markdown": markdown}, "metadata": {}}
        self._tail.outputs = (shown,) if markdown else ()

    def reasoning(self, text: str) -> None:
        """Append to the fold, as text that is never rendered."""
        if self._fold is None:
            self._thought = Html()
            self._thoughts = VBox((self._thought,))
            opened = 0 if self._unfolded else None
            self._fold = Accordion((self._thoughts,), selected_index=opened, _dom_classes=(f"{CLASS}-fold",))
            self._top.children = (*self._top.children, self._fold)
        self._thought_text += text
        while len(self._thought_text) > THOUGHT_CHARS and (cut := self._thought_text.rfind("\n", 0, -1) + 1):
            self._show_thought(self._thought_text[: cut - 1])
            self._thought_text = self._thought_text[cut:]
            self._thought = Html()
            self._thoughts.children = (*self._thoughts.children, self._thought)
        self._show_thought(self._thought_text)

    def _show_thought(self, text: str) -> None:
        self._thought.value = f'<div style="white-space: pre-wrap; line-height: 1.4">{html.escape(text)}</div>'

    def status(self, status: Status) -> None:
        """Redraw the status line and the title of the reasoning."""
        self._status.value = status_html(status)
        self._entitle(status)

    def _entitle(self, status: Status) -> None:
        if status.reasoning_tokens and self._fold is not None:
            set_titles(self._fold, [reasoning_title(status)])

    def reset(self) -> None:
        """Take all text back."""
        for widget in self._answer.children[:-1]:
            close(widget)
        self._answer.children = (self._tail,)
        self.tail("")

    def _refused(self, _message: Any) -> None:
        if self._handle is not None:
            self._on_refused(self._handle)

    def keep(self, text: str) -> None:
        """Put the raw text into an output of its own. The view's style hides it, so it is seen when the view is gone."""
        if self._handle is None:
            return
        shown = f'<pre class="{self._kept_class}" style="{KEPT_STYLE}">{html.escape(text)}</pre>'
        data = {"text/html": shown, "text/plain": text} if text else NOTHING
        if self._kept is None:
            self._style.value = f"{STYLE}<style>.{self._kept_class} {{display: none;}}</style>"
            self._kept = display(data, display_id=True, raw=True)
        else:
            self._kept.update(data, raw=True)

    def close(self, ending: Settlement) -> None:
        """Turn the view into the lasting output and let go of the widgets."""
        self._leave([(EMPTY, {})] if ending.empty else lasting(ending, unfolded=self._unfolded))
        close(self._view)

    def _place(self, view: Any) -> None:
        """Where the view is seen: the output of the cell."""
        self._handle = display(bundle(view), display_id=True, raw=True)

    def _leave(self, parts: Sequence[Part]) -> None:
        """Put what lasts in the view's place."""
        assert self._handle is not None
        (data, metadata), *others = parts
        self._handle.update(data, metadata=metadata, raw=True)
        if others and self._kept is not None:  # it is in the second place, and must not be there empty
            data, metadata = others.pop(0)
            self._kept.update(data, metadata=metadata, raw=True)
        for data, metadata in others:
            display(data, metadata=metadata, raw=True)


def stop_button(on_stop: Callable[[], None], tooltip: str | None = None) -> Any:
    """A button that ends what is being written or asked."""
    button = Button(
        description=say("Stop"), icon="stop", tooltip=tooltip or say("Stop this answer and keep the text so far")
    )
    button.on_click(lambda _button: on_stop())
    return button
