"""Work that is done in the journal's own transactions, and who waits for what it gives."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
"""What is done in the writer's own transaction, after all that came before it, and has an answer."""


@dataclass(slots=True, eq=False)
class PendingWork:
    """A work, and who waits for it: any thread, or a task on a loop."""

    work: Work[Any]
    answer: concurrent.futures.Future[Any] | asyncio.Future[Any]

    def give(self, answer: Any, error: Exception | None) -> None:
        """Say to who waits how it went; on the loop, where that is a task."""
        if isinstance(self.answer, asyncio.Future):
            if self.answer.done():
                return
        elif not self.answer.set_running_or_notify_cancel():
            return
        if error is not None:
            self.answer.set_exception(error)
        else:
            self.answer.set_result(answer)


Answered = tuple[PendingWork, Any, Exception | None]
"""A work with what it gave, or why it could not."""


def did(work: Work[Any], connection: sqlite3.Connection) -> tuple[Any, Exception | None]:
    """What ``work`` gives, or why it could not; then nothing of it is kept, and all that came before it is."""
    connection.execute("SAVEPOINT work")
    try:
        done, why = work(connection), None
    except Exception as error:
        if isinstance(error, sqlite3.OperationalError):
            raise  # the disk is full, or the file locked: that concerns everybody
        connection.execute("ROLLBACK TO work")
        done, why = None, error
    connection.execute("RELEASE work")
    return done, why


def give(answers: Sequence[Answered]) -> None:
    """Say to all who wait how it went, from any thread."""
    on_loops = defaultdict[asyncio.AbstractEventLoop, list[Answered]](list)
    for asked, answer, error in answers:
        if isinstance(asked.answer, asyncio.Future):
            on_loops[asked.answer.get_loop()].append((asked, answer, error))
        else:
            asked.give(answer, error)
    for loop, together in on_loops.items():
        with contextlib.suppress(RuntimeError):  # it is closed, and nobody waits there any more
            loop.call_soon_threadsafe(_give_here, together)


def _give_here(answers: Sequence[Answered]) -> None:
    for asked, answer, error in answers:
        asked.give(answer, error)
