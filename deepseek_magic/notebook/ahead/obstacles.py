"""What keeps a cell, or all cells, from being asked before their turn: for the look-ahead itself, and for the doctor.

In one place, so that the doctor never promises what the look-ahead will not do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from ...engine.hosts.endpoints import in_order
from ...protocol.errors import DeepSeekError
from ...protocol.options import Options
from ...session import session
from ...text.messages import Message, localized, say
from ..frontend import cell_id, in_notebook_6, in_vscode

if TYPE_CHECKING:
    from ...engine.hosts.doctor import Finding

_WITH_MORE: Final = (
    *("background", "dry_run", "image", "schema", "template", "fill", "cache", "new"),
    *("tool", "tools", "tool_choice", "hedge", "no_ahead", "context", "file", "url"),
)
"""Settings with which a cell waits for its turn: they depend on what is not in its text, or do more than ask."""


def obstacles(options: Options) -> Iterator[Message]:
    """What in the settings of a cell has it wait for its turn. Raises DeepSeekError for an endpoint that cannot be asked."""
    for name in _WITH_MORE:
        if options.get(name):
            yield Message("{setting} is set (%config DeepSeekMagics.{setting} = None takes it back)", setting=name)
    if str(options.get("system", "")).startswith("@"):
        yield Message("the system prompt is a saved one, which may change")
    if len(in_order(options.get("endpoint"), options.get("base_url"))) > 1:
        yield Message("several endpoints are asked")
    if not options.get("no_history"):
        yield Message(
            "each cell continues a conversation (--no-history on a cell, or %config DeepSeekMagics.no_history = True for all)"
        )


def standing(shell: Any) -> Finding | None:
    """What the doctor says of the look-ahead; None where nobody has switched it on."""
    magics = shell.magics_manager.registry.get("DeepSeekMagics")
    if getattr(shell, "kernel", None) is None or magics is None or not magics.look_ahead:
        return None
    well, said = None, Message("off: this version of ipykernel keeps the waiting cells where they cannot be seen")
    if magics.ahead.sees:
        why: list[Message | str] = [_ONE_BY_ONE] if _one_by_one(shell) else _for_all()
        if not why and magics.ahead.is_late:
            why = [_LATE]
        well, said = True, Message("cells are begun early, at most {count} at once", count=magics.look_ahead)
        if why:
            well, said = None, Message("no cell begins early: {why}", why=say("; ").join(map(localized, why)))
    from ...engine.hosts.doctor import Finding  # here, because it loads the engine

    return Finding(subject=Message("look-ahead"), ok=well, said=said)


_ONE_BY_ONE: Final = Message("this front end sends a cell when the one before it has ended")

_LATE: Final = Message(
    "look_ahead was set when the cells of this Run All had been sent already; it works from the next one on"
)


def _one_by_one(shell: Any) -> bool:
    """Whether *Run All* leaves nothing waiting in the kernel, as with nbclient, papermill, consoles and VS Code. JupyterLab and
    Notebook send all: a cell of theirs has a name, or it is Notebook 6."""
    return not in_notebook_6(shell) and (cell_id(shell) is None or in_vscode(shell))


def _for_all() -> list[Message | str]:
    try:
        return [*obstacles(session().in_force({}))]
    except DeepSeekError as error:
        return [error.message]
