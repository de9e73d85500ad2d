"""Who carries out the steps of a question with tools: a caller that blocks, and one on a loop. Functions run where it stands."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from ...protocol.completion import Completion
from ...protocol.errors import NotConfirmed
from ...protocol.tools.tool import ToolRun
from ..confirming.question import Confirmer
from ..prepared import Prepared
from .rounds import AskModel, AskPerson, Returned, RunTool, Steps, Tell


def drive(
    steps: Steps,
    ask_model: Callable[[Prepared], Completion],
    person: Confirmer,
    tell: Callable[[ToolRun], None] = lambda _run: None,
) -> Completion:
    """Carry out the steps, blocking. An interrupt at a question or in a function ends the answer as the user's Stop."""
    answer: Any = None
    thrown: BaseException | None = None
    while True:
        try:
            step = steps.send(answer) if thrown is None else steps.throw(thrown)
        except StopIteration as end:
            return _completion(end)
        answer = thrown = None
        try:
            match step:
                case AskModel(prepared=prepared):
                    answer = ask_model(prepared)
                case AskPerson(question=question):
                    answer = person.ask(question)
                case RunTool():
                    answer = _run(step, person)
                case Tell(run=run):
                    tell(run)
        except (NotConfirmed, KeyboardInterrupt) as error:
            thrown = error


async def adrive(
    steps: Steps,
    ask_model: Callable[[Prepared], Awaitable[Completion]],
    person: Confirmer,
    tell: Callable[[ToolRun], None] = lambda _run: None,
) -> Completion:
    """The same on a loop: functions that are async are awaited on it, others hold it up while they run."""
    answer: Any = None
    thrown: BaseException | None = None
    while True:
        try:
            step = steps.send(answer) if thrown is None else steps.throw(thrown)
        except StopIteration as end:
            return _completion(end)
        answer = thrown = None
        try:
            match step:
                case AskModel(prepared=prepared):
                    answer = await ask_model(prepared)
                case AskPerson(question=question):
                    answer = await person.aask(question)
                case RunTool():
                    answer = await _arun(step, person)
                case Tell(run=run):
                    tell(run)
        except (NotConfirmed, KeyboardInterrupt, asyncio.CancelledError) as error:
            thrown = error


def _completion(end: StopIteration) -> Completion:
    found: Completion = end.value
    return found


def _run(step: RunTool, person: Confirmer) -> Returned:
    try:
        with person.interruptible():
            value = step.tool.call(step.arguments)
            return Returned(value=_awaited(value) if inspect.isawaitable(value) else value)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # in a caller that blocks nobody cancels: what is raised is the function's own
        return Returned(error=error)


async def _arun(step: RunTool, person: Confirmer) -> Returned:
    task = _task()
    before = 0 if task is None else task.cancelling()
    try:
        with person.interruptible():
            value = step.tool.call(step.arguments)
        return Returned(value=await value if inspect.isawaitable(value) else value)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        cancelled = isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > before
        closed = isinstance(error, GeneratorExit) and (task is None or _task() is not task)
        if cancelled or closed:  # from outside; else it is the function's own
            raise
        return Returned(error=error)


def _task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs here
        return None


def _awaited(value: Awaitable[Any]) -> Any:
    """The result of an async function for a caller that blocks: on a loop of its own, in this thread where that has none."""

    async def whole() -> Any:
        return await value

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(whole())
    found: list[Returned] = []
    begun: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []
    given_up = threading.Event()
    context = contextvars.copy_context()

    async def cancellable() -> Any:
        task = asyncio.ensure_future(whole())
        begun.append((asyncio.get_running_loop(), task))
        if given_up.is_set():  # before there was anything to cancel
            task.cancel()
        return await task

    def work() -> None:
        try:
            found.append(Returned(value=context.run(asyncio.run, cancellable())))
        except BaseException as error:
            found.append(Returned(error=error))

    thread = threading.Thread(target=work, name="deepseek-magic tool", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.05)  # in short waits, so that an interrupt is noticed
    except BaseException:
        given_up.set()
        for loop, task in begun:
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(task.cancel)
        raise
    if found[0].error is not None:
        raise found[0].error
    return found[0].value
