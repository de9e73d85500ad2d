"""Who is looking: which view fits the front end that runs this cell, and whether the cell can be awaited."""

from __future__ import annotations

import locale
import os
import sys
from importlib.util import find_spec
from typing import Any, Final, Literal

ViewName = Literal["widgets", "handles", "text", "rich", "silent"]

AWAITING_KERNEL: Final = (7, 1)
"""From here on ipykernel delivers a button's click while an async cell runs (measured on 7.1 to 7.4)."""

LANGUAGE_VARIABLE: Final = "DEEPSEEK_MAGIC_LANGUAGE"


def locales() -> list[str | None]:
    """Names of the user's language, the one that counts most first."""
    # POSIX's order; Windows has no such variables, there Python asks the system.
    variables = (LANGUAGE_VARIABLE, "LC_ALL", "LC_MESSAGES", "LANG")
    return [*(os.environ.get(name) for name in variables), locale.getlocale()[0]]


def _parent(shell: Any) -> dict[str, Any]:
    if getattr(shell, "kernel", None) is None:
        return {}
    return dict(shell.get_parent() or {})


def request_id(shell: Any) -> str | None:
    """The id of the execute request that is being served, None outside a kernel."""
    found: str | None = _parent(shell).get("header", {}).get("msg_id")
    return found


def cell_id(shell: Any) -> str | None:
    """The notebook's id of the running cell, where the front end tells it."""
    found: str | None = _parent(shell).get("metadata", {}).get("cellId")
    return found


_widgets_refused = False


def widgets_refused() -> None:
    """Remember that this kernel's front end has no widget manager: it closes what is opened for it."""
    global _widgets_refused
    _widgets_refused = True


def notebook_path(shell: Any) -> str:
    """Where the notebook lies, as far as its front end tells; else nothing."""
    # The first is set by VS Code, the second by Jupyter's server for the kernels that it starts.
    found = shell.user_ns.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
    return str(found or "")


def can_await(shell: Any) -> bool:
    """Whether a cell of this shell may be turned into an ``await``."""
    if getattr(shell, "kernel", None) is None or not getattr(shell, "autoawait", False):
        return False
    from ipykernel import _version

    return tuple(_version.version_info[:2]) >= AWAITING_KERNEL


def view_for(shell: Any) -> ViewName:
    """The best view for the front end that sent the running request.

    A terminal has no kernel. A headless run (nbclient, papermill, ``jupyter execute``) names no cell and allows no
    input. A console on a kernel names no cell either, but no notebook server started it. Colab draws no widgets of
    this version; a front end that draws none at all is known by the first answer that it refused.
    """
    parent = _parent(shell)
    if getattr(shell, "kernel", None) is None:
        return "rich" if sys.stdout.isatty() and find_spec("rich") is not None else "text"
    if "google.colab" in sys.modules or _widgets_refused:
        return "handles"
    if cell_id(shell) is None:
        if not parent.get("content", {}).get("allow_stdin", False):
            return "silent"
        if "JPY_SESSION_NAME" not in os.environ:
            return "text"
    return "widgets" if find_spec("ipywidgets") is not None else "handles"
