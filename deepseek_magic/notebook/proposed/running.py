"""Code run as a cell of its own, from inside of the cell that is running.

By IPython's ``run_cell``, so that errors, displays, ``In`` and ``Out`` are those of a cell. What a cell inside of a cell would
break is put right: the number of the next cell, what the outer cell's value is shown by, and the interrupt, which a kernel that
awaits a cell keeps to itself.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from ...protocol.errors import DeepSeekError
from ...text.messages import Message
from ..frontend import interruptible


class CodeFailed(DeepSeekError):
    """The code of an answer was run and raised an error, which is shown above. ``__cause__`` is that error."""


def needs_await(shell: Any, code: str) -> bool:
    """Whether ``code`` awaits outside of functions."""
    transformed, failed = _transformed(shell, code)
    return bool(shell.should_run_async(code, transformed_cell=transformed, preprocessing_exc_tuple=failed))


def number(shell: Any) -> int:
    """The number that the next code will have, in ``In`` and ``Out``: the one after the running cell's, if that has one."""
    return max(int(shell.execution_count), len(shell.history_manager.input_hist_raw))


def run(shell: Any, code: str) -> int:
    """Run ``code`` as a cell; its number. For code that does not await, or where no loop runs.

    Raises CodeFailed or KeyboardInterrupt when it did not end well; what went wrong is shown by then.
    """
    with _as_a_cell(shell), interruptible():
        result = shell.run_cell(code, store_history=True)
    return _ended(result)


async def arun(shell: Any, code: str) -> int:
    """The same inside of a cell that is awaited."""
    transformed, failed = _transformed(shell, code)
    if not shell.should_run_async(code, transformed_cell=transformed, preprocessing_exc_tuple=failed):
        return run(shell, code)
    result = None
    with _as_a_cell(shell):
        try:  # as ipykernel does for a cell of its own
            result = await shell.run_cell_async(
                code, store_history=True, transformed_cell=transformed, preprocessing_exc_tuple=failed
            )
        finally:
            shell.events.trigger("post_execute")
            shell.events.trigger("post_run_cell", result)
    return _ended(result)


def _transformed(shell: Any, code: str) -> tuple[str, Any]:
    """``code`` as Python, or as it is with the reason why it cannot be."""
    try:
        return shell.transform_cell(code), None
    except Exception:
        return code, sys.exc_info()


def _ended(result: Any) -> int:
    error = result.error_before_exec or result.error_in_exec
    if error is not None and not isinstance(error, Exception):
        raise KeyboardInterrupt from error  # or a cancellation, which an interrupt of an awaited cell becomes
    if error is not None:
        name = type(error).__name__
        raise CodeFailed(Message("The code was run and failed: {error}.", error=name)) from error
    return int(result.execution_count or 0)


@contextlib.contextmanager
def _as_a_cell(shell: Any) -> Iterator[None]:
    """Give the code a number of its own, and the outer cell back what was its own."""
    before, hook = shell.execution_count, shell.displayhook
    outer = getattr(hook, "exec_result", None)
    inputs = shell.history_manager.input_hist_raw
    shell.execution_count = number(shell)
    try:
        yield
    finally:
        hook.exec_result = outer
        shell.execution_count = before  # by which the outer cell's own value is numbered

        def renumber(*_args: Any) -> None:
            shell.events.unregister("post_run_cell", renumber)
            shell.execution_count = max(shell.execution_count, len(inputs))

        shell.events.register("post_run_cell", renumber)
