"""``%deepseek_sweeps``: the list of sweeps, and what can be done with one that is there."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from IPython.display import display

from ...protocol.errors import ConfigurationError
from ...protocol.options import Option, closest
from ...session.experiments.listing import sweeps
from ...session.files import free_path
from ...text.messages import Message, numbered, say
from ..magic.flags import read_line
from ..magic.manuals import helped
from .flags import FLAGS

if TYPE_CHECKING:
    from ..magic.magics import DeepSeekMagics

ACTIONS: Final = ("show", "side", "compare", "resume", "retry", "export", "delete")
AGAIN_FLAGS: Final[Mapping[str, Option]] = {
    flag: option
    for flag, option in FLAGS.items()
    if option.name in ("go", "budget", "concurrency", "on", "limits", "quiet")
}
"""What ``resume`` and ``retry`` take besides a name."""
_WRITERS: Final = {".csv": "to_csv", ".jsonl": "to_jsonl", ".parquet": "to_parquet"}


def manage(shell: Any, magics: DeepSeekMagics, owner: Any, line: str) -> None:
    """Do what the line says. Raises ConfigurationError."""
    if helped(owner, "deepseek_sweeps", line):
        return
    try:
        action, *rest = shlex.split(line) or [""]
    except ValueError as error:
        said = Message("The line cannot be read: {error}.", error=error)
        raise ConfigurationError(said, hint=Message("Close the quotation mark.")) from None
    if not action:
        display(sweeps)
        return
    if action not in ACTIONS:
        raise ConfigurationError(
            Message("%deepseek_sweeps does not know {action}{near}.", action=action, near=closest(action, ACTIONS)),
            hint=Message("%deepseek_sweeps? lists what it does."),
        )
    if not rest:
        raise ConfigurationError(
            Message("%deepseek_sweeps {action} needs the name of a sweep.", action=action),
            hint=Message("%deepseek_sweeps lists them."),
        )
    sweep, more = sweeps[rest[0]], rest[1:]
    if (more and action in ("show", "side", "delete")) or (len(more) > 1 and action == "compare"):
        raise ConfigurationError(
            Message('"{text}" on the line was not understood.', text=" ".join(more)),
            hint=Message("%deepseek_sweeps? lists what it does; put a name with spaces in quotation marks."),
        )
    match action:
        case "show":
            display(sweep)
        case "side":
            display(sweep.side())
        case "compare":
            display(sweeps[more[0]].compare(against=sweep) if more else sweep.compare())
        case "resume" | "retry":
            from .sweep_cell import SweepCells

            how = read_line(shlex.join(more), AGAIN_FLAGS, see=Message("%deepseek_sweeps? lists what it does."))
            SweepCells(shell, magics).again(sweep, {**how.options, "retry": action == "retry"})
        case "export":
            _export(sweep, more)
        case "delete":
            sweep.delete()
            print(say("The sweep {name} is forgotten; its answers stay in the journal.", name=rest[0]))


def _export(sweep: Any, rest: list[str]) -> None:
    names = [word for word in rest if word != "--overwrite"]
    if len(names) != 1:
        said = Message("%deepseek_sweeps export needs the name of a file.")
        raise ConfigurationError(said, hint=Message("Its ending says what is written: .csv, .jsonl or .parquet."))
    with free_path(names[0], tuple(_WRITERS), overwrite="--overwrite" in rest) as path:
        getattr(sweep, _WRITERS[path.suffix.lower()])(path)
    trials = numbered(len(sweep), Message("1 trial"), Message("{count} trials"))
    print(say("{trials} written to {path}.", trials=trials, path=path))
