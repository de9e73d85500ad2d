"""The cells that wait in the kernel behind the running one.

*Run All* sends every cell at once, and the kernel keeps what it has not come to. ipykernel tells nobody of it, so this
module reads two internals, one for each of its generations, and nothing else does. What it does not recognise it leaves
alone: then there is no queue to be seen.
"""

from __future__ import annotations

import contextlib
import inspect
import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol


class WaitingCell(NamedTuple):
    """A cell that will be run: the id of its request, the notebook's id of it where the front end tells, its text."""

    request_id: str
    cell_id: str | None
    source: str


class KernelQueue(Protocol):
    """What waits in one kernel. For the kernel's main thread."""

    def waiting(self, running: str) -> list[WaitingCell]:
        """The cells behind the request ``running``, in order."""

    def saw(self, running: str) -> bool:
        """Whether the request ``running``, and so all that came behind it, came when this looked already."""

    def close(self) -> None:
        """Let the kernel be as it was."""


def queue_of(kernel: Any) -> KernelQueue | None:
    """The queue of a kernel; None where it cannot be seen."""
    for kind in (_Tapped, _Flushed):
        with contextlib.suppress(Exception):  # whatever another version has in its place
            if kind.fits(kernel):
                return kind(kernel)
    return None


_HEADER: Final = 1
_METADATA: Final = 3
_CONTENT: Final = 4
_DELIMITER: Final = b"<IDS|MSG>"


def _cell_of(frames: Sequence[Any]) -> WaitingCell | None:
    """The cell in a message as it came; None where it is another message. Jupyter's own reader would take the message for
    one that was sent twice when it comes to it."""
    parts = [bytes(getattr(frame, "buffer", frame)) for frame in frames]
    parts = parts[parts.index(_DELIMITER) + 1 :]
    header = json.loads(parts[_HEADER])
    if header.get("msg_type") != "execute_request":
        return None
    metadata, content = json.loads(parts[_METADATA]), json.loads(parts[_CONTENT])
    if content.get("silent") or not isinstance(content.get("code"), str):
        return None
    return WaitingCell(str(header["msg_id"]), metadata.get("cellId"), content["code"])


def _read(frames: Sequence[Any]) -> WaitingCell | None:
    with contextlib.suppress(Exception):  # a damaged message is the kernel's to complain of
        return _cell_of(frames)
    return None


class _Flushed:
    """ipykernel 6: what has come lies in the socket or, after a flush, in the kernel's queue."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel

    @staticmethod
    def fits(kernel: Any) -> bool:
        """Whether this kernel has what is read."""
        return (
            getattr(kernel, "shell_channel_thread", None) is None
            and hasattr(kernel.msg_queue._queue, "popleft")
            and callable(kernel.shell_stream.flush)
            and callable(kernel.dispatch_shell)
        )

    def waiting(self, running: str) -> list[WaitingCell]:
        """See KernelQueue. The running one is in the queue no more."""
        import zmq

        self._kernel.shell_stream.flush(zmq.POLLIN)
        found = []
        for _, dispatch, args in [*self._kernel.msg_queue._queue]:
            if dispatch == self._kernel.dispatch_shell and args and (cell := _read(args[0])) is not None:
                found.append(cell)
        return found

    def saw(self, running: str) -> bool:
        """See KernelQueue. What has come is there at any time."""
        return True

    def close(self) -> None:
        """See KernelQueue."""


class _Tapped:
    """ipykernel 7: each message waits in a task for its turn. It goes through a function of ours that notes it."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        self._known: dict[str, WaitingCell] = {}
        self._manager = kernel.shell_channel_thread.manager
        self._manager.set_on_recv_callback(self._note)

    @staticmethod
    def fits(kernel: Any) -> bool:
        """Whether this kernel has what is read."""
        manager = kernel.shell_channel_thread.manager
        taken = [*inspect.signature(kernel.shell_main).parameters]
        return (
            inspect.iscoroutinefunction(kernel.shell_main)
            and taken == ["subshell_id", "msg"]
            and [*inspect.signature(manager.set_on_recv_callback).parameters] == ["on_recv_callback"]
        )

    async def _note(self, subshell_id: str | None, msg: Any) -> None:
        cell = _read(msg) if subshell_id is None else None
        if cell is None:
            await self._kernel.shell_main(subshell_id, msg)
            return
        self._known[cell.request_id] = cell
        try:
            await self._kernel.shell_main(subshell_id, msg)
        finally:
            self._known.pop(cell.request_id, None)

    def waiting(self, running: str) -> list[WaitingCell]:
        """See KernelQueue. One that is over is known no more, so that all but the running one wait."""
        return [cell for request_id, cell in self._known.items() if request_id != running]

    def saw(self, running: str) -> bool:
        """See KernelQueue. What came before is a task by now, into which nobody sees."""
        return running in self._known

    def close(self) -> None:
        """See KernelQueue."""
        self._manager.set_on_recv_callback(self._kernel.shell_main)
