"""Tells the page which names a prompt could fill, so that it can set them apart; see ``static/names.js``.

The channel is a comm that is never opened: it is listed by the kernel when a page asks for it, and a page without our
extension hears nothing of it. Once a page has spoken, the names are sent after every cell that has changed them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from ...text.language import language

TARGET: Final = "deepseek_magic.names"
_NUMBERED: Final = re.compile(r"_i?\d+|_(i{1,3}|_{1,2}|oh|ih|dh)?")
"""IPython's own names for what was typed and shown; most of them are new after every cell."""


class NamesChannel:
    """``known`` gives the names. In a terminal nothing happens."""

    def __init__(self, shell: Any, known: Callable[[], Iterable[str]]) -> None:
        self._known = known
        self._told: dict[str, Any] | None = None
        self._comm = _unopened(getattr(getattr(shell, "kernel", None), "comm_manager", None))
        if self._comm is not None:
            self._comm.on_msg(self._asked)

    def _asked(self, _message: Any) -> None:
        self._told = self._names()
        self._comm.send(self._told)

    def post_run_cell(self, _result: Any) -> None:
        """IPython's event: a cell has ended."""
        if self._told is not None and (names := self._names()) != self._told:
            self._told = names
            self._comm.send(names)

    def _names(self) -> dict[str, Any]:
        names = sorted(name for name in self._known() if not _NUMBERED.fullmatch(name))
        return {"names": names, "language": language()}

    def close(self) -> None:
        """Take the channel away, and tell the page."""
        if self._comm is not None:
            self._comm.close()


def _unopened(manager: Any) -> Any:
    """A comm that the kernel lists, and that no page is told of; None without a kernel that has such."""
    try:
        from comm import create_comm, get_comm_manager
    except ImportError:  # a terminal, or ipykernel before 6.18
        return None
    if manager is None or get_comm_manager() is not manager:
        return None
    comm = create_comm(target_name=TARGET, primary=False)
    manager.register_comm(comm)
    return comm
