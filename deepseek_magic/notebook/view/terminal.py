"""The live view in a terminal: settled blocks are printed once, only the open tail is redrawn. Ctrl-C is Stop.

With rich installed the answer is rendered; without it, and in consoles that show plain text only, it is printed as it
comes. Control characters are taken out: a model must not steer the terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...protocol.completion import Completion
from ...protocol.events import Event, ReasoningDelta, Seam, TextDelta
from ...text.characters import printable
from ...text.messages import Message, localized, say
from .formats import complaint
from .live import Settlement, Surface, View
from .printing import Printer
from .settled import footer
from .status import Status, status_text


class PlainView(View):
    """Prints deltas as they come. A stop is said at the end."""

    def __init__(self, notices: Sequence[Message | str] = (), *, format: str = "markdown") -> None:
        self._format = format
        self._thinking = False
        self._column_open = False
        self._notices = [*notices]
        self._out = Printer("stdout")

    def show(self, events: Sequence[Event]) -> None:
        """Print the text of ``events``; what there is to say beforehand at the first call."""
        while self._notices:
            self._line(f"({localized(self._notices.pop(0))})")
        for event in events:
            match event:
                case ReasoningDelta() if not self._thinking:
                    self._thinking = True
                    self._line(say("(thinking…)"))
                case TextDelta(text=text):
                    self._print(printable(text))
                case Seam(at_chars=int()):
                    self._line(say("(the answer was joined here; the final text is in the variable)"))
        self._out.flush()

    def finish(self, completion: Completion) -> None:
        """End the line, print the footer."""
        if completion.text or completion.error is None:
            self._line(f"({footer(completion)})")
        for sentence in (*completion.notices, complaint(self._format, completion)):
            if sentence is not None:
                self._line(localized(sentence))
        self._out.flush()

    def _line(self, text: str) -> None:
        self._print(("\n" if self._column_open else "") + text + "\n")

    def _print(self, text: str) -> None:
        if text:
            self._out.write(text)
            self._column_open = not text.endswith("\n")


class RichSurface(Surface):
    """Renders Markdown with rich. The tail lives in a transient ``rich.live.Live`` that settled blocks pass by above."""

    def __init__(self, *, unfolded: bool = False) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.markdown import Markdown
        from rich.text import Text

        self._markdown, self._text = Markdown, Text
        self._console = Console(file=Printer("stdout"))  # type: ignore[arg-type]  # it is one in all that rich asks for
        self._live = Live(console=self._console, transient=True, auto_refresh=False)
        self._unfolded = unfolded
        self._tail: Any = None
        self._status = Status()

    def open(self, status: Status) -> None:
        """Start the live part."""
        self._live.start()
        self.status(status)

    def settle(self, blocks: Sequence[str]) -> None:
        """Print above the live part, once."""
        for block in blocks:
            self._console.print(self._markdown(printable(block)))

    def tail(self, markdown: str) -> None:
        """Redraw the open rest, its last lines when it is taller than the screen."""
        self._tail = self._markdown(printable(markdown)) if markdown else None
        self._redraw()

    def reasoning(self, text: str) -> None:
        """Printed dimmed when asked for, else only counted in the status line."""
        if self._unfolded:
            self._console.print(self._text(printable(text), style="dim"), end="")

    def status(self, status: Status) -> None:
        self._status = status
        self._redraw()

    def reset(self) -> None:
        """What was printed stays above; say that it starts again."""
        self._console.print(self._text(say("(the answer starts again)"), style="dim"))

    def close(self, ending: Settlement) -> None:
        """Print what was still open, then the footer."""
        self._live.update(self._text(""), refresh=True)
        self._live.stop()
        self.settle([piece.markdown for piece in ending.segments[ending.drawn :]])
        if not ending.empty:
            for line in (footer(ending.completion, ending.elapsed_s), *ending.said):
                self._console.print(self._text(line, style="dim"))
            if ending.failure:
                self._console.print(self._text(ending.failure))

    def _redraw(self) -> None:
        from rich.console import Group

        line = self._text(status_text(self._status) + " · " + say("Ctrl-C stops"), style="dim")
        self._live.update(Group(self._tail, line) if self._tail is not None else line, refresh=True)
