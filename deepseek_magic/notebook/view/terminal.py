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
from ...text.growing import GrowingText
from ...text.messages import Message, localized, say
from .formats import VERBATIM, complaint
from .live import Settlement, Surface, View
from .printing import Printer
from .settled import footer
from .status import Status, status_text
from .typeset import Typesetter, with_signs


class PlainView(View):
    """Prints deltas as they come. A stop is said at the end.

    What is printed cannot be taken back: where a seam goes back some letters, and the same come again, they are passed over.
    """

    def __init__(self, notices: Sequence[Message | str] = (), *, format: str = "markdown") -> None:
        self._format = format
        self._thinking = False
        self._column_open = False
        self._notices = [*notices]
        self._said: set[str] = set()
        self._out = Printer("stdout")
        self._text = GrowingText()
        self._again, self._seam_chars = "", 0
        self._typesetter = Typesetter()

    def show(self, events: Sequence[Event]) -> None:
        """Print the text of ``events``; what there is to say beforehand at the first call."""
        while self._notices:
            self._said.add(said := localized(self._notices.pop(0)))
            self._line(f"({said})")
        for event in events:
            match event:
                case ReasoningDelta() if not self._thinking:
                    self._thinking = True
                    self._line(say("(thinking…)"))
                case TextDelta(text=text):
                    self._write(text)
                case Seam(at_chars=int(at_chars)):
                    self._again = self._text.text[at_chars:]
                    self._seam_chars = at_chars
                    self._text.truncate(at_chars)
        self._out.flush()

    def say(self, notice: Message | str) -> None:
        self._notices.append(notice)

    def finish(self, completion: Completion) -> None:
        """End the line, print the footer."""
        self._print(self._typesetter.finish())
        if completion.text or completion.error is None:
            self._line(f"({footer(completion)})")
        for sentence in (*completion.notices, complaint(self._format, completion)):
            if sentence is not None and localized(sentence) not in self._said:
                self._line(localized(sentence))
        self._out.flush()

    def _write(self, text: str) -> None:
        self._text.write(text)
        if not self._again:
            self._set(text)
            return
        same = next((i for i, (old, new) in enumerate(zip(self._again, text, strict=False)) if old != new), None)
        same = min(len(self._again), len(text)) if same is None else same
        if same == len(text):
            self._again = self._again[same:]
        elif same == len(self._again):
            self._again = ""
            self._set(text[same:])
        else:
            self._print(self._typesetter.finish())
            self._line(say("(the answer was joined here; the final text is in the variable)"))
            self._again, self._typesetter = "", Typesetter()
            self._set(self._text.text[self._seam_chars :].lstrip())

    def _set(self, text: str) -> None:
        text = printable(text)
        self._print(text if self._format in VERBATIM else self._typesetter.feed(text))

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
            self._console.print(self._markdown(with_signs(printable(block))))

    def tail(self, markdown: str) -> None:
        """Redraw the open rest, its last lines when it is taller than the screen."""
        self._tail = self._markdown(with_signs(printable(markdown))) if markdown else None
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
