"""What lasts of a call of a function in a saved notebook: the call, what became of it, and what went back, folded away.

The model wrote the arguments and anybody may have written the result, so both are escaped: nothing in them is markup here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ...protocol.tools.tool import ToolRun, shown_call
from ...text.characters import printable
from ...text.messages import Message
from ..view.settled import METADATA_KEY, fold

_STATES: Final[Mapping[str, Message]] = {
    "begun": Message("running…"),
    "ran": Message("ran"),
    "failed": Message("failed"),
    "skipped": Message("skipped"),
    "refused": Message("refused: it was not run"),
    "stopped": Message("not run"),
}


def lasting_run(run: ToolRun, *, unfolded: bool = False) -> tuple[dict[str, str], dict[str, Any]]:
    """Data and metadata of the output of one call."""
    state = _STATES[run.state].localized()
    line = f"{run.shown} · {state}"
    plain = f"{line}\n{_indented(run.result)}" if run.result else line
    data = {"text/markdown": fold(line, _detail(run), unfolded=unfolded), "text/plain": printable(plain)}
    about = {"name": run.name, "state": run.state, "arguments": run.arguments, "result_chars": len(run.result)}
    return data, {METADATA_KEY: {"tool": about}}


def _detail(run: ToolRun) -> str:
    whole = shown_call(run.name, run.arguments, short=False)
    return "\n\n".join(part for part in (whole if whole != run.shown else "", run.result) if part)


def _indented(text: str) -> str:
    return "  " + text.replace("\n", "\n  ")
