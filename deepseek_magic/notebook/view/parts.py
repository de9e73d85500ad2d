"""The widgets that answers are drawn with: as light as they can be made, and how they are let go of.

JupyterLab 4.6 never forgets a widget, closed or not: its channel stays with the page, and what was drawn of it. A layout
is a widget of its own, whose view listens to forty things. Answers come by the hundred, so theirs do without layouts and
styles and are dressed by classes, and what they show is taken out of them before they go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ipywidgets
import traitlets

from .broom import sweep


def _nothing() -> Any:
    return traitlets.Any(None, allow_none=True).tag(sync=True, **ipywidgets.widget_serialization)


class Output(ipywidgets.Output):
    """Without a layout."""

    layout = _nothing()


class Html(ipywidgets.HTML):
    """Without a layout and a style."""

    layout, style = _nothing(), _nothing()


class Button(ipywidgets.Button):
    """Without a layout and a style."""

    layout, style = _nothing(), _nothing()


class VBox(ipywidgets.VBox):
    """Without a layout."""

    layout = _nothing()


class HBox(ipywidgets.HBox):
    """Without a layout."""

    layout = _nothing()


class Accordion(ipywidgets.Accordion):
    """Without a layout."""

    layout = _nothing()


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
