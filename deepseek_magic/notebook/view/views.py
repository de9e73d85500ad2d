"""The view of one answer: the front end's own, with what the call asks for (quiet, detached, a Stop button, a format)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from IPython.display import DisplayHandle

from ...engine.hosts.endpoints import hosts_elsewhere
from ...engine.loop import Call
from ...policy.buffering import BufferPolicy
from ...text.messages import Message
from ..frontend import ViewName, widgets_refused
from .formats import VERBATIM
from .handles import HandleSurface, SilentSurface
from .live import LiveView, Surface, View
from .printing import print_somewhere
from .shield import Shielded

if TYPE_CHECKING:
    from ...session.prepared import Prepared


def view_of(
    front_end: ViewName,
    prepared: Prepared,
    call: Call,
    *,
    name: str,
    quiet: bool,
    alone: bool,
    button: bool,
    detached: bool,
) -> View:
    """The view for ``front_end``. ``name``: the variable that the answer is kept in; ``alone``: the cell shows nothing else.

    ``button``: a Stop button would be heard; ``detached``: the cell does not wait for the answer.
    """
    options = prepared.options
    format = options.get("format", "markdown")
    quiet = quiet or bool(options.get("quiet"))
    in_terminal = front_end in ("text", "rich")
    if in_terminal and detached and not quiet:
        # The answer itself would be printed into what is typed meanwhile.
        said = Message(
            "The answer is being written in the background: print({name}) waits for it, {name}.stop() ends it."
        )
        print_somewhere(said.filled(name=name).localized())
        quiet = True
    if not quiet and (front_end == "text" or (front_end == "rich" and format in VERBATIM)):
        from .terminal import PlainView

        return _shown(PlainView(prepared.notices, format=format))

    def stop() -> None:
        call.stop()
        shielded.stopping()

    def do_without(handle: DisplayHandle) -> None:
        widgets_refused()
        view.move(HandleSurface(alone=alone, unfolded=unfolded, first=handle))

    alone = alone and not detached
    unfolded = bool(options.get("show_reasoning"))
    if quiet or front_end == "silent":
        surface: Surface = SilentSurface(quiet=quiet, unfolded=unfolded)
    else:
        try:
            # Imported at first use: ipywidgets alone is a third of what loading may cost.
            if front_end == "widgets":
                from .widgets import WidgetSurface

                surface = WidgetSurface(on_stop=stop if button else None, unfolded=unfolded, on_refused=do_without)
            elif front_end == "rich":
                from .terminal import RichSurface

                surface = RichSurface(unfolded=unfolded)
            else:
                surface = HandleSurface(alone=alone, unfolded=unfolded)
        except Exception:  # whatever a front end's widgets fail of, the answer comes without them
            surface = HandleSurface(alone=alone, unfolded=unfolded)
    view = live_view(surface, prepared, detached=detached)
    shielded = _shown(view)
    return shielded


def live_view(surface: Surface, prepared: Prepared, *, detached: bool) -> LiveView:
    """The view on ``surface`` that the settings of a request want."""
    return LiveView(
        surface,
        model=prepared.request.model,
        place=hosts_elsewhere(prepared.client.endpoints),
        notices=prepared.notices,
        buffer=BufferPolicy(mode=prepared.options.get("buffer", "balanced")),
        format=prepared.options.get("format", "markdown"),
        detached=detached,
    )


def _shown(view: View) -> View:
    """``view`` in a shield, with what it shows before anything has come."""
    shielded = Shielded(view)
    shielded.show(())
    return shielded
