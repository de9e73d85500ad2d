"""Output widgets that are used again and again.

JupyterLab never lets go of one: its model listens to the session for as long as the page lives, and holds its last view
with all that is drawn in it, whether it was closed or not (jupyterlab-manager 5.0, measured: the nodes of every answer
stayed). So those of answers that have settled, or left the screen, are emptied and kept for the next answer.
"""

from __future__ import annotations

from typing import Any, Final

import ipywidgets
from comm import get_comm_manager

__all__ = ["close", "output"]

MOST_SPARE: Final = 100

_spare: list[ipywidgets.Output] = []


def output(*shown: dict[str, Any]) -> ipywidgets.Output:
    """An Output widget that shows this; ``close`` it when it is not needed any more. Safe from any thread."""
    try:
        widget = _spare.pop()
    except IndexError:
        return ipywidgets.Output(outputs=shown)
    widget.outputs = shown
    return widget


def close(widget: Any) -> None:
    """Let go of a widget of any kind with its layout and style, which are widgets of their own."""
    if isinstance(widget, ipywidgets.Output):
        widget.outputs = ()
        if len(_spare) < MOST_SPARE and _is_open(widget):
            _spare.append(widget)
            return
    for part in (widget.layout, getattr(widget, "style", None), widget):
        if part is not None:
            part.close()


def _is_open(widget: Any) -> bool:
    """Whether both ends still know it: a front end without widgets closes what is opened for it."""
    return widget.comm is not None and widget.comm.comm_id in get_comm_manager().comms
