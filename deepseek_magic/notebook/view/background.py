"""An answer that continues while other cells run: its thread, and its handle in the user's variable.

The engine streams in its own thread anyway; what is needed beside it is somebody who draws. That is one small thread an
answer, because the kernel's own thread may be computing. What it displays is sent in the name of the cell that asked:
without that, ipykernel 6 would put it below whichever cell runs at the moment.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Generator
from typing import Any

from ...engine.home import engine
from ...engine.loop import CLOSE_S, HEARTBEAT_S, Call
from ...protocol.completion import Completion
from ...protocol.errors import ConfigurationError
from ...text.messages import say
from ..frontend import cell_id, request_id
from .live import View


class BackgroundAnswer:
    """An answer in the making: ``await`` it or ``wait()`` for it, ``stop()`` it; once done it is its completion.

    ``wait`` and ``await`` give the completion, or raise the DeepSeekError that ended the call; a stopped answer raises
    nothing. All attributes of the completion (text, usage, ...) are this one's, too, as soon as it is done.
    """

    def __init__(self, call: Call, view: View, shell: Any) -> None:
        self._call = call
        publisher = shell.display_pub
        header = dict(publisher.parent_header) if hasattr(publisher, "register_hook") else None
        self._drawn: concurrent.futures.Future[Completion] = concurrent.futures.Future()
        self._drawn.set_running_or_notify_cancel()  # who waits may be cancelled; the answer is not
        self._settled = engine.moment()
        # What draws is given to its thread alone: the answer stays in IPython's ``Out``, and shall not keep it.
        engine.beside(self._follow(view, header, publisher), name="view")

    @classmethod
    def ended(cls, call: Call) -> BackgroundAnswer:
        """The handle of an answer that its cell has waited for and drawn."""
        answer = cls.__new__(cls)
        answer._call = call
        answer._drawn = concurrent.futures.Future()
        answer._drawn.set_result(call.completion)
        answer._settled = engine.moment()
        answer._settled.set()
        return answer

    async def _follow(self, view: View, header: dict[str, Any] | None, publisher: Any) -> None:
        def claim(message: dict[str, Any]) -> dict[str, Any]:
            message["parent_header"] = header
            return message

        try:
            if header is not None:
                publisher.register_hook(claim)  # hooks belong to the thread that registers them, and end with it
            completion = await engine.follow(self._call, view.show)
            view.finish(completion)
        except BaseException as error:
            # Kept for whoever waits: a thread of its own has nobody else to tell.
            self._drawn.set_exception(error)
        else:
            self._drawn.set_result(completion)
        finally:
            self._settled.set()

    @property
    def done(self) -> bool:
        """Whether the answer has ended and is drawn below its cell."""
        return self._drawn.done()

    @property
    def completion(self) -> Completion | None:
        """The completion, None as long as the answer is being written."""
        return self._call.completion if self.done else None

    def stop(self) -> None:
        """End the answer now and keep what has arrived."""
        self._call.stop(wait_s=CLOSE_S)
        with contextlib.suppress(ConfigurationError):  # a page that may not wait: it is drawn soon after
            self._settled.wait(CLOSE_S)

    def wait(self, timeout_s: float | None = None) -> Completion:
        """Block until the answer is done, at most ``timeout_s`` seconds, and give it.

        Raises TimeoutError, or the DeepSeekError that ended the call. An interrupt ends the waiting, not the answer.
        """
        left_s = float("inf") if timeout_s is None else timeout_s
        while not self.done and left_s > 0:
            self._settled.wait(min(HEARTBEAT_S, left_s))
            left_s -= HEARTBEAT_S
        return self._whole()

    def __await__(self) -> Generator[Any, None, Completion]:
        return self._awaited().__await__()

    async def _awaited(self) -> Completion:
        drawn = asyncio.wrap_future(self._drawn)
        while not drawn.done():
            # In short steps: the kernel's loop notices an interrupt only when it wakes.
            await asyncio.wait((drawn,), timeout=HEARTBEAT_S)
        return self._whole()

    def _whole(self) -> Completion:
        completion = self._drawn.result(0)
        if completion.error is not None and completion.outcome != "interrupted":
            completion.error.completion = completion
            raise completion.error
        return completion

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(Completion, name):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        if not self.done:
            raise AttributeError(
                say("There is no {name} yet: the answer is being written; await it, or call wait().", name=name)
            )
        return getattr(self._call.completion, name)

    def __str__(self) -> str:
        """The answer's text; waits for it, so that half an answer is never taken for one."""
        self._settled.wait()
        return self._call.completion.text

    def __repr__(self) -> str:
        return repr(self.completion) if self.done else say("<BackgroundAnswer, being written>")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        completion = self.completion
        return {"text/plain": repr(self)} if completion is None else completion._repr_mimebundle_()


class Background:
    """The answers of a shell that go on after their cell. A cell that is run again stops those of its earlier run."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._running: list[tuple[str | None, str | None, BackgroundAnswer]] = []

    def add(self, answer: BackgroundAnswer) -> None:
        """Remember ``answer`` as one of the cell that runs now."""
        self._running = [entry for entry in self._running if not entry[2].done]
        self._running.append((cell_id(self._shell), request_id(self._shell), answer))

    def pre_run_cell(self, _info: Any) -> None:
        """IPython's event: the cell that is about to run starts again, and so do its answers."""
        cell, request = cell_id(self._shell), request_id(self._shell)
        if cell is None:
            return
        for of_cell, of_request, answer in self._running:
            if of_cell == cell and of_request != request:
                answer.stop()
