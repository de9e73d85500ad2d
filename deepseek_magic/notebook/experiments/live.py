"""The live view of a sweep: one display, a line that says how far it is, a table with a row a setting, a Stop button.

It looks at the sweep's own counts a few times a second and is told nothing: a thousand trials are not a thousand messages.
When the sweep ends the display becomes Markdown that needs no kernel.
"""

from __future__ import annotations

import concurrent.futures
import html
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from IPython.display import DisplayHandle, display

from ...engine.loop import CLOSE_S
from ...session.experiments.running import SweepCall
from ...session.experiments.showing import growing, progress, settled, working
from ...session.experiments.sweep import Sweep
from ...text.messages import say
from ..frontend import ViewName
from ..view.printing import print_somewhere

LINE_S: Final = 0.5
TABLE_SHARE: Final = 20
"""The line is drawn twice a second, the table the less often the longer it takes: after a minute every three seconds."""


_STYLE: Final = """<style>
.deepseek-magic-table th, .deepseek-magic-table td {padding: 1px 14px 1px 0; line-height: 1.5;}
</style>"""
"""In a widget no style of JupyterLab's reaches the table."""


class SweepView:
    """Draws ``call`` for a front end; ``look`` often, ``settle`` once. What fails in drawing costs the drawing alone."""

    def __init__(
        self, call: SweepCall, front_end: ViewName, *, button: bool, quiet: bool, shown: Sweep | None = None
    ) -> None:
        """``shown``: whose table is left at the end, if that is another sweep than the one that is asked."""
        self._call = call
        self._shown = shown or call.sweep
        self._quiet = quiet
        self._live = front_end in ("widgets", "handles") and not quiet
        self._terminal = front_end in ("text", "rich")
        self._handle: DisplayHandle | None = None
        self._widget: _Widget | None = None
        self._began_s = time.monotonic()
        self._line_s = self._table_s = 0.0
        self._drawn = ""
        self._waited: datetime | None = None
        if self._live:
            try:
                if front_end == "widgets":
                    self._widget = _Widget(call.stop if button else None)
                    self._handle = display(self._widget.bundle, display_id=True, raw=True)
                self.look()
            except Exception:  # whatever a front end's widgets fail of, the sweep goes on without
                self._live = False

    def look(self) -> None:
        """Draw what is due."""
        now_s = time.monotonic()
        if self._terminal:
            self._say_wait()
        if not self._live or now_s < self._line_s:
            return
        try:
            self._draw(now_s)
        except Exception:
            self._live = False

    def _say_wait(self) -> None:
        """On a terminal, where nothing grows, a line for each wait of hours."""
        shut = self._call.run.standing.shut
        if shut is not None and shut.until != self._waited and not self._quiet:
            self._waited = shut.until
            print_somewhere(progress(self._call.run.standing, len(self._call.sweep)))

    def _draw(self, now_s: float) -> None:
        call, standing = self._call, self._call.run.standing
        line = progress(standing, len(call.plan))
        if call.judging is not None:
            judged = progress(call.judging.run.standing, len(call.judging.plan))
            line = say("{asked}; judged: {judged}", asked=line, judged=judged)
        self._line_s = now_s + LINE_S
        table_due = now_s >= self._table_s
        if self._widget is not None:
            self._widget.line.value = f"<span>{html.escape(line)}</span>"
        if not table_due:
            return
        self._table_s = now_s + max(LINE_S, (now_s - self._began_s) / TABLE_SHARE)
        table, workers = growing(call.plan, standing, call.scoring.so_far, line), working(standing)
        drawn = f"{_STYLE}{table.body}" if self._widget is not None else table.html
        if workers is not None:
            drawn += workers.html
        if drawn == self._drawn:
            return
        self._drawn = drawn
        if self._widget is not None:
            self._widget.table.value = drawn
        elif self._handle is None:
            self._handle = display({"text/html": drawn, "text/plain": table.text}, display_id=True, raw=True)
        else:
            self._handle.update({"text/html": drawn, "text/plain": table.text}, raw=True)

    def settle(self) -> None:
        """Leave what lasts."""
        if self._quiet:
            return
        try:
            table = settled(self._shown, self._call.notices)
            data = {"text/markdown": table.markdown, "text/plain": table.text}
            if self._terminal:
                print_somewhere(table.text)
            elif self._handle is not None:
                self._handle.update(data, raw=True)
            else:
                display(data, raw=True)
            if self._widget is not None:
                self._widget.close()
        except Exception as failure:
            why = f"{type(failure).__name__}: {failure}"
            print_somewhere(say("The table of the sweep could not be drawn ({why}); the variable has it.", why=why))


class _Widget:
    """The Stop button, the line and the table."""

    def __init__(self, on_stop: Callable[[], None] | None) -> None:
        from ..view.parts import HBox, Html, VBox, bundle
        from ..view.widgets import CLASS, STYLE, stop_button

        self.line, self.table, style = Html(), Html(), Html(STYLE)
        style.add_class(f"{CLASS}-style")
        top = HBox(
            (self.line,)
            if on_stop is None
            else (stop_button(on_stop, say("Stop the sweep and keep what has come")), self.line)
        )
        top.add_class(f"{CLASS}-top")
        self._box = VBox((style, top, self.table))
        self._box.add_class(CLASS)
        self.bundle = bundle(self._box)

    def close(self) -> None:
        from ..view.parts import close

        close(self._box)


class BackgroundSweep:
    """A sweep that goes on after its cell: ``wait()`` gives what it makes, ``stop()`` ends it; ``sweep`` can be read
    meanwhile."""

    def __init__(self, call: SweepCall, view: SweepView, shell: Any, made: Callable[[Sweep], Any]) -> None:
        self._call = call
        self._made = made
        self.sweep = call.sweep
        publisher = shell.display_pub
        header = dict(publisher.parent_header) if getattr(shell, "kernel", None) is not None else None
        self._drawn: concurrent.futures.Future[Sweep] = concurrent.futures.Future()
        drawing = (view, header, publisher)
        threading.Thread(target=self._follow, args=drawing, name="deepseek-magic sweep", daemon=True).start()

    def _follow(self, view: SweepView, header: dict[str, Any] | None, publisher: Any) -> None:
        def claim(message: dict[str, Any]) -> dict[str, Any]:
            message["parent_header"] = header
            return message

        try:
            if header is not None:
                publisher.register_hook(claim)  # in the name of the cell that asked, see ``BackgroundAnswer``
            try:
                self._call.wait(view.look)
            finally:
                view.settle()
        except BaseException as error:
            self._drawn.set_exception(error)
        else:
            self._drawn.set_result(self.sweep)

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._drawn.done()

    def stop(self) -> None:
        """End it now; what has come is kept."""
        self._call.stop(wait_s=CLOSE_S)

    def wait(self, timeout_s: float | None = None) -> Any:
        """Block until it has ended, at most ``timeout_s`` seconds, and give the sweep, or the table of a map. Raises what
        ended it early."""
        return self._made(self._drawn.result(timeout_s))

    def __repr__(self) -> str:
        return repr(self.sweep)
