"""Which turn of a conversation a call is: the cell it is in, and the call's index within its cell.

So a cell that is run again replaces its turns, and one that was edited to ask less gives up those that it no longer has.
"""

from __future__ import annotations

from typing import Any

from ...session import session_in_use
from ..frontend import cell_id, request_id


class Turns:
    """Names the turns of a shell's cells."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._request: str | None = None
        self._calls = 0
        self._depth = 0

    def next(self) -> str | None:
        """The turn of the call that is made now; None where the front end does not tell which cell it is."""
        cell, request = cell_id(self._shell), request_id(self._shell)
        self._calls = self._calls + 1 if request == self._request else 1
        self._request = request
        return None if cell is None else f"{cell}:{self._calls}"

    def pre_run_cell(self, _info: Any) -> None:
        """IPython's event: a cell begins, perhaps inside another one."""
        self._depth += 1

    def post_run_cell(self, result: Any) -> None:
        """IPython's event: a cell has ended. Turns that only its earlier text had go from every conversation."""
        self._depth = max(self._depth - 1, 0)  # the cell that loaded us began unseen
        if self._depth:
            return  # the cell around it may ask on
        cell, request = cell_id(self._shell), request_id(self._shell)
        used = session_in_use()
        if cell is not None and used is not None and result.success:
            used.chats.keep_of_cell(cell, self._calls if request == self._request else 0)
