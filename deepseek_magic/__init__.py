"""DeepSeek in a notebook: ``%load_ext deepseek_magic``, then ``%%deepseek``.

The same engine serves Python: ``import deepseek_magic as ds; ds.ask("...")``. Names are loaded at first use, so that
importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .protocol.chat import Message as Message
    from .protocol.chat import Request as Request
    from .protocol.completion import Completion as Completion
    from .protocol.completion import ToolCall as ToolCall

__version__ = "0.1.0"

_HOMES = {
    "Completion": "protocol.completion",
    "ToolCall": "protocol.completion",
    "Message": "protocol.chat",
    "Request": "protocol.chat",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext deepseek_magic``: registers the magics. Prints nothing, needs no network, writes no file."""
    from .notebook import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext deepseek_magic``: takes away what loading added."""
    from .notebook import unload

    unload(shell)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
