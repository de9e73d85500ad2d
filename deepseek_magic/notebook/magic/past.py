"""What happened in this notebook, for prompts: ``{In[3]}``, ``{Out[3]}`` and ``{Err}``, the last error. What cells printed, and
so ``{Notebook}``, is in ``printed``."""

from __future__ import annotations

import re
import traceback
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from ...engine.hosts.keys import mask
from ...protocol import template
from ...protocol.chat import Prompt
from ...protocol.errors import ConfigurationError, DeepSeekError
from ...text.messages import Message

MAX_FRAMES: Final = 8
MAX_CHARS: Final = 8_000
_MACHINERY: Final = re.compile(r"[\\/](IPython[\\/]core|ipykernel)[\\/]")
_ONE_CELL: Final = re.compile(r"In\[-?\d+\]")
_CELL: Final = re.compile(r"[\\/]ipykernel_\d+[\\/]|<ipython-input-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A cell that failed: its source as typed, and the error's text with a short traceback."""

    source: str
    error: str


class LastError:
    """Remembers the last error of a shell, but for our own: their sentences say already what to do."""

    def __init__(self, shell: Any) -> None:
        self.failure: Failure | None = None
        before = getattr(shell, "last_execution_result", None)  # the first magic may be the one that asks about it
        if before is not None:
            self.post_run_cell(before)

    def post_run_cell(self, result: Any) -> None:
        """IPython's event: a cell has ended."""
        error = result.error_in_exec or result.error_before_exec
        if isinstance(error, Exception) and not isinstance(error, DeepSeekError):
            # As text: the error itself would keep alive all that its frames hold.
            self.failure = Failure(source=result.info.raw_cell, error=_described(error))

    def known(self) -> Failure:
        """The last error. Raises ConfigurationError where there was none."""
        if self.failure is None:
            raise ConfigurationError(Message("No cell has failed so far, so there is no error to explain."))
        return self.failure


def _described(error: Exception) -> str:
    summary = traceback.TracebackException.from_exception(error)
    frames = [frame for frame in summary.stack if not _MACHINERY.search(frame.filename)]
    shown = []
    for frame in frames[-MAX_FRAMES:]:
        source = frame.line  # read before the name of its file is gone
        name = "the cell" if _CELL.search(frame.filename) else frame.filename
        shown.append(traceback.FrameSummary(name, frame.lineno, frame.name, line=source))
    summary.stack = traceback.StackSummary.from_list(shown)
    if isinstance(error, SyntaxError) and _CELL.search(summary.filename or ""):
        summary.filename = "the cell"
    text = mask("".join(summary.format(chain=False)).strip())
    return text if len(text) <= MAX_CHARS else f"{text[: MAX_CHARS // 2]}\n…\n{text[-MAX_CHARS // 2 :]}"


class _Past(dict[str, Any]):
    """Made when it is used: most prompts ask for nothing of it."""

    def __init__(self, shell: Any, last: LastError) -> None:
        super().__init__(In=None, Err=None)
        self._shell = shell
        self._last = last

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        if name == "In":
            return self._shell.history_manager.input_hist_raw  # as typed; IPython's own In has magics rewritten
        return self._last.known().error


def cell_meant(prompt: Prompt, shell: Any) -> str | None:
    """The text of the one cell that a prompt names, as ``{In[3]}``: what it asks for is meant to take that cell's place."""
    named = {path for path in template.paths(str(prompt)) if _ONE_CELL.fullmatch(path)}
    if len(named) != 1:
        return None
    try:
        return str(shell.history_manager.input_hist_raw[int(named.pop()[3:-1])])
    except IndexError:
        return None


def variables(shell: Any, last: LastError, scope: Mapping[str, Any] = MappingProxyType({})) -> Mapping[str, Any]:
    """The user's variables, and before them what happened; a variable of the user's own called Err stays theirs. First of
    all the ``scope`` of the function that asks, where it is one."""
    past = _Past(shell, last)
    for name in ("In", "Err"):
        own = shell.user_ns.get(name)
        if name in shell.user_ns and own is not shell.history_manager.input_hist_parsed:
            del past[name]
    local = {} if scope is shell.user_ns else dict(scope)
    return ChainMap(local, past, shell.user_ns)
