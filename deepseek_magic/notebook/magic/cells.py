"""A cell that begins with ``%%deepseek`` or ``%%deepseek_sweep`` becomes an ``await``, and a question mark at the end of a line stays a question.

Two input transformers. Awaiting keeps the kernel's loop free, so that the Stop button is heard (notebook front ends
send its click to the busy kernel, which serves it only while an async cell waits); IPython itself does not await a magic. Where awaiting
cannot work, and for a cell run from inside another cell, IPython's own blocking form is left as it is.
"""

from __future__ import annotations

import re
from typing import Any, Final

from IPython.core.inputtransformer2 import EscapedCommand, assemble_continued_line, find_end_of_continued_line

from ..frontend import can_await, request_id

_CELL: Final = re.compile(r"%%(?P<name>deepseek(?:_sweep|_map|_judge)?)(?:[ \t]+(?P<line>.*))?\s*$")
_HELP: Final = re.compile(r"%%deepseek(?:_sweep|_map|_judge)?\?{1,2}\s*$")
_ASSIGNED: Final = re.compile(r"[^\W\d][\w.]*\s*=\s*(?=%deepseek)")
_AWAIT: Final = "await get_ipython().magics_manager.registry[{owner!r}].awaited({line!r}, {body!r}{which})\n"
_CALL: Final = "get_ipython().run_line_magic({name!r}, {line!r});\n"
_CALL_CELL: Final = "get_ipython().run_cell_magic({name!r}, {line!r}, {body!r});\n"
"""The semicolon: the answer is shown already, and a terminal would write an empty ``Out[n]:`` below it."""
_OWNERS: Final = {
    "deepseek": "DeepSeekMagics",
    "deepseek_fix": "FixMagics",
    "deepseek_resume": "ResumeMagics",
}
"""The magics that draw an answer, and so are awaited on a line."""
_CELL_OWNERS: Final = {
    "deepseek": "DeepSeekMagics",
    "deepseek_sweep": "ExperimentMagics",
    "deepseek_map": "ExperimentMagics",
    "deepseek_judge": "ExperimentMagics",
}
"""Those of whole cells."""


class CellTransformer:
    """Knows which requests already run, so that a cell run by another cell is not awaited inside it."""

    has_side_effects = True
    """IPython leaves such a transform out while it asks whether a cell is complete: a terminal goes on asking for lines
    of a cell magic until one is empty, and must see that it is one."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._running: str | None = None

    def pre_run_cell(self, _info: Any) -> None:
        """IPython's event: from here on, whatever this request transforms is nested."""
        self._running = request_id(self._shell)

    @property
    def awaits(self) -> bool:
        """Whether the text that is being transformed may await."""
        return can_await(self._shell) and request_id(self._shell) != self._running

    def __call__(self, lines: list[str]) -> list[str]:
        """The cleanup transform itself."""
        if lines and _HELP.match(lines[0]):
            return lines[:1]  # IPython would run what is below the question as Python
        head = _CELL.match(lines[0]) if lines else None
        if head is None:
            return lines
        name, line, body = head["name"], head["line"] or "", "".join(lines[1:])
        if self.awaits:
            which = f", {name!r}" if name in ("deepseek_map", "deepseek_judge") else ""
            return [_AWAIT.format(owner=_CELL_OWNERS[name], line=line, body=body, which=which)]
        if not body.strip():
            # IPython refuses an empty cell magic before we could say what is missing, or give the help asked for.
            return [_CALL.format(name=name, line=line)]
        return [_CALL_CELL.format(name=name, line=line, body=body)]


class DeepSeekLine(EscapedCommand):
    """``%deepseek`` on a line, taken before IPython's help (``…?``) gets to see it. Bound to a shell by ``line_transformer``."""

    priority = 4  # HelpEnd has 5, and the lower one goes first
    cells: CellTransformer

    @classmethod
    def find(cls, tokens_by_line: Any) -> Any:
        """The first line of the cell that calls the magic, or gives its answer a name (``x = %deepseek …``)."""
        for tokens in tokens_by_line:
            words = [token for token in tokens if token.string.strip()]
            start = words[0].start if words else None
            if len(words) > 3 and _ASSIGNED.match(words[0].line[words[0].start[1] :]):
                words = words[next(at for at, word in enumerate(words) if word.string == "%") :]
            called = len(words) > 1 and words[0].string == "%" and words[1].string in _OWNERS
            if called and words[0].end == words[1].start and (len(words) == 2 or words[2].start != words[1].end):
                return cls(start)  # where IPython's help begins as well: of two, the one further left goes first
        return None

    def transform(self, lines: list[str]) -> list[str]:
        """The lines with that one replaced by a call."""
        end_line = find_end_of_continued_line(lines, self.start_line)
        text = assemble_continued_line(lines, (self.start_line, self.start_col), end_line)
        assigned = _ASSIGNED.match(text)
        name, _, line = text[assigned.end() if assigned else 0 :].strip().removeprefix("%").partition(" ")
        line = line.strip()
        before = lines[self.start_line][: self.start_col] + (assigned[0] if assigned else "")
        if self.cells.awaits and not before[:1].isspace():  # in a block it may stand in a function that awaits nothing
            call = before + _AWAIT.format(owner=_OWNERS[name], line=line, body=None, which="")
        else:
            call = before + _CALL.format(name=name, line=line)
        return [*lines[: self.start_line], call, *lines[end_line + 1 :]]


def line_transformer(cells: CellTransformer) -> type[DeepSeekLine]:
    """The transformer of ``%deepseek`` lines for one shell."""
    return type("DeepSeekLine", (DeepSeekLine,), {"cells": cells})
