"""Who is looking: which view fits the front end that runs this cell, whether the cell can be awaited, how it shows a Stop."""

from __future__ import annotations

import contextlib
import locale
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, Final, Literal

from ..text.messages import Message

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
    kernel = getattr(shell, "kernel", None)
    asked = shell if hasattr(shell, "get_parent") else kernel  # JupyterLite's shell leaves it to its kernel
    ask = getattr(asked, "get_parent", None)
    return dict(ask() or {}) if kernel is not None and ask is not None else {}


def request_id(shell: Any) -> str | None:
    """The id of the execute request that is being served, None outside a kernel."""
    found: str | None = _parent(shell).get("header", {}).get("msg_id")
    return found


def stops_on_error(shell: Any) -> bool:
    """Whether the kernel runs none of the cells that wait when the running one fails, as front ends ask; JupyterLab does not of
    a cell with the tag ``raises-exception``."""
    return bool(_parent(shell).get("content", {}).get("stop_on_error", True))


def takes_input(shell: Any) -> bool | None:
    """Whether whoever sent the running request answers ``input()``; None outside a kernel, where a terminal may."""
    if getattr(shell, "kernel", None) is None:
        return None
    return bool(_parent(shell).get("content", {}).get("allow_stdin", False))


def cell_id(shell: Any) -> str | None:
    """The notebook's id of the running cell, where the front end tells it."""
    found: str | None = _parent(shell).get("metadata", {}).get("cellId")
    return found


NO_WIDGETS: Final = Message("This front end draws no widgets, so it has no panel.")

_widgets_refused = False


def widgets_refused() -> None:
    """Remember that this kernel's front end has no widget manager: it closes what is opened for it."""
    global _widgets_refused
    _widgets_refused = True


def no_panel(shell: Any) -> Message | None:
    """Why the front end of the running cell cannot have a panel; None where it can."""
    if _widgets_refused:
        return NO_WIDGETS
    if in_notebook_6(shell):
        return Message("Notebook 6 cannot draw the panel: its widgets are too old.")
    if view_for(shell) in ("text", "rich"):
        return Message("A panel needs a notebook: a terminal draws no widgets.")
    return None


_vscode = False


def in_vscode(shell: Any) -> bool:
    """Whether a cell of VS Code was ever run here. Its cells have addresses for names; a click on a widget has none."""
    global _vscode
    _vscode = _vscode or (cell_id(shell) or "").startswith("vscode-")
    return _vscode


def in_notebook_6(shell: Any) -> bool:
    """Notebook 6 names no cell, knows no user's name and counts no messages, as a console and a program do."""
    header = _parent(shell).get("header", {})
    return header.get("username") == "username" and re.fullmatch("[0-9a-f]{32}", header.get("msg_id", "")) is not None


def _in_colab(shell: Any) -> bool:
    return type(shell).__module__.startswith("google.colab")


def takes_failure_from_reply(shell: Any) -> bool:
    """Whether the front end stops Run All at a cell whose reply says that it failed, with no error in its outputs.

    JupyterLab and Notebook 6 and 7 do. Of VS Code and Colab it is not known, and a terminal and a run that nobody
    watches have nothing else to tell it by.
    """
    return in_notebook_6(shell) or (cell_id(shell) is not None and not in_vscode(shell) and not _in_colab(shell))


class Stopped(KeyboardInterrupt):
    """The user stopped the answer. Raised so that the cell counts as stopped and Run All does not go on over it."""

    def _render_traceback_(self) -> list[str]:
        """IPython's hook: one line, no frames."""
        return [str(self)]


def unpainted(shell: Any) -> bool:
    """Let a ``Stopped`` that ends the running cell send no error, only the reply that says so; False where it must.

    Whoever catches exceptions by ``set_custom_exc``, too, goes on to; after the cell all is as it was, or as the cell has
    set it meanwhile.
    """
    if not takes_failure_from_reply(shell):
        return False
    if Stopped in shell.custom_exceptions:  # the cell has caught one before
        return True
    others, show = shell.custom_exceptions, shell.CustomTB

    def nothing(_shell: Any, kind: type[BaseException], error: BaseException, trace: Any, tb_offset: Any = None) -> Any:
        return None if issubclass(kind, Stopped) else show(kind, error, trace, tb_offset)

    def restore(*_args: Any) -> None:
        if shell.CustomTB is ours:
            shell.custom_exceptions, shell.CustomTB = others, show
        shell.events.unregister("post_run_cell", restore)

    shell.set_custom_exc((*others, Stopped), nothing)
    ours = shell.CustomTB
    shell.events.register("post_run_cell", restore)
    return True


def notebook_path(shell: Any) -> str:
    """Where the notebook lies, as far as its front end tells; else nothing."""
    # The first is set by VS Code, the second by Jupyter's server for the kernels that it starts.
    found = shell.user_ns.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
    return str(found or "")


def in_jupyterlite(shell: Any) -> bool:
    """Whether the kernel runs in the web page."""
    return type(getattr(shell, "kernel", None)).__module__.startswith("pyodide_kernel")


def can_await(shell: Any) -> bool:
    """Whether a cell of this shell may be turned into an ``await``."""
    if getattr(shell, "kernel", None) is None or not getattr(shell, "autoawait", False):
        return False
    if in_jupyterlite(shell):
        return True
    from ipykernel import _version

    return tuple(_version.version_info[:2]) >= AWAITING_KERNEL


def hears_clicks(shell: Any) -> bool:
    """Whether a click reaches Python while a cell is awaited. JupyterLite keeps it until the cell has ended."""
    return not in_jupyterlite(shell)


def view_for(shell: Any) -> ViewName:
    """The best view for the front end that sent the running request.

    A terminal has no kernel. A headless run (nbclient, papermill, ``jupyter execute``) names no cell and allows no
    input. A console on a kernel names no cell either, but no notebook server started it. Colab and ipywidgets 7 draw
    no widgets like ours, VS Code asks its user for permission first; a front end that draws none at all is known by
    the first answer that it refused.
    """
    if getattr(shell, "kernel", None) is None:
        return "rich" if sys.stdout.isatty() and find_spec("rich") is not None else "text"
    if cell_id(shell) is None and not _parent(shell).get("content", {}).get("allow_stdin", False):
        return "silent"
    if _in_colab(shell) or in_notebook_6(shell):
        return "handles"
    if cell_id(shell) is None and "JPY_SESSION_NAME" not in os.environ and not in_jupyterlite(shell):
        return "text"
    return "handles" if _widgets_refused or in_vscode(shell) or _widgets_are_old() else "widgets"


def _widgets_are_old() -> bool:
    """Whether ipywidgets is missing, or that of Colab and Notebook 6."""
    try:
        from ipywidgets import __version__
    except ImportError:
        return True
    return int(__version__.partition(".")[0]) < 8


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let an interrupt reach what runs here: a kernel that awaits a cell has it end the cell at its next await, which what
    blocks never comes to."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
