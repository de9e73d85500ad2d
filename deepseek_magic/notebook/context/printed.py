"""The cells that ran, with what they printed: for ``{Notebook}``, ``{Cells[-3:]}`` and ``--context N``.

IPython keeps sources and results. What is printed it hands on and forgets, so the streams of a cell are listened to while it
runs; of a long text its beginning and its end are kept.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ...protocol.completion import Completion
from ...protocol.errors import DeepSeekError
from ...session.context.cells import RanCell
from ...text.values import as_table
from ..frontend import cell_id
from ..view.background import BackgroundAnswer

KEPT_CHARS: Final = 2_000
"""Of each end of what a cell prints: more would not be sent."""
KEPT_CELLS: Final = 1_000
_COLOURS: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")
_ASKED: Final = re.compile(r"\s*%%?deepseek(?:\s|$)")
_OVERWRITTEN: Final = re.compile(r"[^\n]*\r(?!\n|$)")


@dataclass(slots=True)
class _Printed:
    """What one cell has printed so far, and how it failed."""

    cell: str | None = None
    head: str = ""
    tail: str = ""
    chars: int = 0
    error: str = ""

    def add(self, text: str) -> None:
        self.chars += len(text)
        room = KEPT_CHARS - len(self.head)
        if room > 0:
            self.head, text = self.head + text[:room], text[room:]
        if text:
            self.tail = (self.tail + text)[-KEPT_CHARS:]

    @property
    def cut(self) -> int:
        """How many characters are kept no more."""
        return self.chars - len(self.head) - len(self.tail)

    @property
    def text(self) -> str:
        between = f"\n… (cut: {self.cut:,} more characters)\n" if self.cut else ""
        return _OVERWRITTEN.sub("", _COLOURS.sub("", f"{self.head}{between}{self.tail}"))


class Printed:
    """Listens to the cells of a shell. ``failed`` gives the text of the error that a cell just had."""

    def __init__(self, shell: Any, failed: Callable[[], str]) -> None:
        self._shell = shell
        self._failed = failed
        self._kept: dict[int, _Printed] = {}
        self._running: _Printed | None = None
        self._undo: list[Callable[[], None]] = []
        self._depth = 0
        self._known = 0
        """How many cells there were when the running one began; IPython versions differ in when they count it."""

    def pre_run_cell(self, _info: Any) -> None:
        """IPython's event: a cell begins, perhaps inside another one."""
        self._depth += 1
        if self._depth > 1:
            return
        self._known = len(self._shell.history_manager.input_hist_raw)
        self._running = _Printed(cell=cell_id(self._shell))
        self._undo = [_listening(stream, self._running.add) for stream in (sys.stdout, sys.stderr)]

    def post_run_cell(self, result: Any) -> None:
        """IPython's event: a cell has ended."""
        self._depth = max(self._depth - 1, 0)  # the cell that loaded us began unseen
        if self._depth or self._running is None:
            return
        kept, self._running = self._running, None
        self.close()
        error = result.error_in_exec or result.error_before_exec
        if error is not None:
            ours = isinstance(error, DeepSeekError) or not isinstance(error, Exception)
            kept.error = f"{type(error).__name__}: {error}" if ours else self._failed()
        if result.execution_count is not None:
            self._kept[result.execution_count] = kept
            while len(self._kept) > KEPT_CELLS:
                self._kept.pop(next(iter(self._kept)))

    def close(self) -> None:
        """Listen no more."""
        for undo in reversed(self._undo):
            undo()
        self._undo = []

    def ran(self) -> list[RanCell]:
        """The cells that ran, oldest first, but for the one that runs now, and for those that asked a model and have no answer,
        dry runs above all. Of one that ran again only the last time."""
        sources: Sequence[str] = self._shell.history_manager.input_hist_raw
        ended = min(self._known, len(sources)) if self._depth else len(sources)
        found: list[RanCell] = []
        seen: set[str] = set()
        for number in range(ended - 1, 0, -1):
            printed = self._kept.get(number, _Printed())
            if not sources[number].strip() or printed.cell in seen:
                continue
            if printed.cell is not None:
                seen.add(printed.cell)
            cell = self._cell(number, sources[number], printed)
            if cell.answer is not None or not _ASKED.match(cell.source):
                found.append(cell)
        return found[::-1]

    def _cell(self, number: int, source: str, printed: _Printed) -> RanCell:
        value = self._shell.user_ns.get("Out", {}).get(number)
        if isinstance(value, BackgroundAnswer):
            value = value.completion
        answer = value.text if isinstance(value, Completion) else None

        def output() -> str:
            result = "" if answer is not None else self._result(number, value)
            text = re.sub(
                rf"(?:^|\n)Out\[{number}\]: .*\Z", "", printed.text, flags=re.DOTALL
            )  # which a terminal prints
            return "\n".join(part for part in (text.strip("\n"), result, printed.error) if part.strip())

        return RanCell(number, source, output=output, answer=answer, cut=printed.cut)

    def _result(self, number: int, value: Any) -> str:
        with contextlib.suppress(Exception):  # whatever a value fails of when it is looked at
            table = None if value is None else as_table(value)
            if table is not None:
                return table.text
        return str(self._shell.history_manager.output_hist_reprs.get(number, ""))


def _listening(stream: Any, hear: Callable[[str], None]) -> Callable[[], None]:
    """Have ``hear`` told what is written to a stream; how to undo it. As IPython does it in a terminal: the stream itself
    stays, because others compare it."""
    write, own = stream.write, "write" in getattr(stream, "__dict__", {})

    def heard(text: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(text, str):
            hear(text)
        return write(text, *args, **kwargs)

    def undo() -> None:
        if getattr(stream, "__dict__", {}).get("write") is heard:  # else somebody listens who came later
            if own:
                stream.write = write
            else:
                del stream.write

    try:
        stream.write = heard
    except (AttributeError, TypeError):  # a stream that lets nobody listen
        return lambda: None
    return undo
