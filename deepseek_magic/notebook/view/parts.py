"""The widgets that answers are drawn with: as light as they can be made, and how they are let go of.

JupyterLab 4.6 never forgets a widget, closed or not: its channel stays with the page, and what was drawn of it. A layout
is a widget of its own, whose view listens to forty things. Answers come by the hundred, so theirs do without layouts and
styles and are dressed by classes, and what they show is taken out of them before they go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import ipywidgets
import traitlets

from .broom import sweep


def _without(kind: type, *parts: str) -> Any:
    """A class of widgets like ``kind``, in which these parts are None."""

    def none() -> Any:
        return traitlets.Any(None, allow_none=True).tag(sync=True, **ipywidgets.widget_serialization)

    return type(kind.__name__, (kind,), {part: none() for part in parts})


Output = _without(ipywidgets.Output, "layout")
Html = _without(ipywidgets.HTML, "layout", "style")
Button = _without(ipywidgets.Button, "layout", "style")
VBox = _without(ipywidgets.VBox, "layout")
HBox = _without(ipywidgets.HBox, "layout")
Accordion = _without(ipywidgets.Accordion, "layout")


def bundle(widget: Any) -> dict[str, Any]:
    """What a front end is sent to draw the widget. ipywidgets 7 only displays itself, under an id that it does not tell.

    Without a kernel a front end shows the plain text, which would be the widget's repr.
    """
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return {"text/plain": "", "application/vnd.jupyter.widget-view+json": view}


def set_titles(widget: Any, titles: Sequence[str]) -> None:
    """Name the parts of an accordion or of tabs, in ipywidgets 7 too."""
    if widget.has_trait("titles"):
        widget.titles = tuple(titles)
    else:
        for place, title in enumerate(titles):
            widget.set_title(place, title)


def close(widget: Any) -> None:
    """Let go of a widget and all that is in it, with layouts and styles where they have them. Outputs are emptied."""
    widgets = list(_within(widget))
    sweep(widgets)
    for each in widgets:
        if isinstance(each, ipywidgets.Output):
            each.outputs = ()
        for part in (each.layout, getattr(each, "style", None), each):
            if part is not None:
                part.close()


def _within(widget: Any) -> Iterator[Any]:
    for child in getattr(widget, "children", ()):
        yield from _within(child)
    yield widget
