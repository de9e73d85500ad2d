"""The engine: one daemon thread with its own loop, and the bridges from it to a cell.

A thread of its own, because an answer must go on while a cell computes, because a connection pool belongs to one loop,
and because an interrupt must never land inside the transport. A ``Call`` is the only thing that both sides touch: the
engine puts events in, the cell takes them out, in batches, in its own context. Two bridges wait for it: ``pump`` for a
blocking caller, ``apump`` for a cell that is itself async. Both wake at least every ``HEARTBEAT_S``: without that an
interrupt would be noticed only when the stream ends.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Final, TypeVar

from ..protocol.completion import Completion
from ..protocol.errors import ConfigurationError
from ..protocol.events import Event
from .batched import Batched

HEARTBEAT_S: Final = 0.05
"""A waiting cell looks around this often; measured: above 0.1 s an interrupt feels late."""

BREATH_S: Final = 0.01
"""A cell takes what came in this time together: waking its thread for every token is most of what a fast answer costs."""

CLOSE_S: Final = 2.0
"""How long a cancelled call may take to close its connection before the waiter stops waiting for it."""

_nested = False
"""Whether a nested run is going on in this process."""

T = TypeVar("T")
Source = Callable[["Call"], Coroutine[Any, Any, Completion]]


class Engine:
    """The thread and its loop. Starts at the first use; a fork gets a new one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop."""
        with self._lock:
            if self._loop is None or not self.running:
                self._loop = self._start()
            return self._loop

    def _start(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        ready = threading.Event()

        def run() -> None:
            asyncio.set_event_loop(loop)
            loop.call_soon(ready.set)
            with contextlib.closing(loop):
                loop.run_forever()

        self._thread = threading.Thread(target=run, name="deepseek-magic engine", daemon=True)
        self._thread.start()
        ready.wait()
        return loop

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run ``work`` on the engine's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` on the engine's loop and wait for it; an interrupt cancels it."""
        future = self.submit(work)
        while True:
            try:
                return future.result(HEARTBEAT_S)
            except concurrent.futures.TimeoutError:
                if future.done():  # it ended just now, or with a TimeoutError of its own
                    return future.result()
            except BaseException:
                future.cancel()
                raise

    def start(self, source: Source, *, silent: bool = False) -> Call:
        """Begin a call. ``source`` runs on the engine and has the call it is given ``carry`` a stream. ``silent`` keeps no
        events, for a consumer who wants the completion alone."""
        loop = self.loop
        call = Call(loop, silent=silent, moment=self.moment)
        loop.call_soon_threadsafe(call._begin, source)
        return call

    # what blocks here, and in a web page must not (``page.engine``)

    def moment(self) -> threading.Event:
        """An event that a caller outside of the engine's loop can wait for."""
        return threading.Event()

    def beside(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Have ``work`` done beside the cells. It waits by ``follow`` and ``pause`` alone, which block its own thread."""

        def run() -> None:
            with contextlib.suppress(StopIteration):
                work.send(None)

        threading.Thread(target=run, name=f"deepseek-magic {name}", daemon=True).start()

    async def follow(self, call: Call, show: Callable[[list[Event]], None]) -> Completion:
        """For work beside the cells: hand events to ``show`` until the call ends."""
        return pump(call, show)

    async def pause(self, seconds: float) -> None:
        """For work beside the cells: let time pass."""
        time.sleep(seconds)  # noqa: ASYNC251  its thread is its own

    async def aside(self, function: Callable[..., T], *args: Any) -> T:
        """For the engine's loop: call what may block, without holding up the streams."""
        return await asyncio.to_thread(function, *args)

    @property
    def running(self) -> bool:
        """Whether the thread is there; it is not in a forked child."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self, last: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        """End the loop: cancel what runs, close asynchronous generators, join the thread. For tests and exit.

        ``last`` runs on the loop when no call does any more: it closes what they shared.
        """
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None or not thread.is_alive():
            return

        async def wind_down() -> None:
            await asyncio.sleep(0)  # every call has begun by now
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await loop.shutdown_asyncgens()
            if last is not None:
                await last()

        with contextlib.suppress(concurrent.futures.TimeoutError):
            asyncio.run_coroutine_threadsafe(wind_down(), loop).result(CLOSE_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(CLOSE_S)


class Call:
    """One answer in the making, seen from any thread. The engine calls ``put``; a consumer calls ``drain``."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        silent: bool = False,
        moment: Callable[[], threading.Event] = threading.Event,
    ) -> None:
        self._loop = loop
        self._silent = silent
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._arrived = moment()
        self._ended = moment()
        self._listeners: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None
        self._stream: Batched | None = None
        self._closing: asyncio.Task[None] | None = None
        self._completion: Completion | None = None
        self._error: BaseException | None = None
        self.stopping = False

    # engine side

    def _begin(self, source: Source) -> None:
        self._task = self._loop.create_task(self._run(source))

    def _close(self) -> None:
        if self._stream is not None:  # else ``carry`` will see it
            self._closing = self._loop.create_task(self._stream.aclose())

    async def carry(self, stream: Batched, heard: Callable[[Sequence[Event]], None] | None = None) -> Completion:
        """Hand over what ``stream`` brings, until its end or a Stop, which closes it; its completion. ``heard`` is told first."""
        self._stream = stream
        if self.stopping:
            await stream.aclose()
        else:
            await stream.run(self.put if heard is None else _both(heard, self.put))
        return stream.completion

    async def _run(self, source: Source) -> None:
        try:
            self._completion = await source(self)
        except BaseException as error:
            # Kept for the consumer, who raises it: a task's own exception would only reach the loop's log.
            self._error = error
        finally:
            self._task = self._stream = None  # it keeps the context that asked, with the request of the cell
            self._ended.set()
            self._notify()

    def put(self, events: Sequence[Event]) -> None:
        """Hand over events, in order. Called on the engine's loop."""
        if self._silent:
            return
        with self._lock:
            self._events.extend(events)
        self._notify()

    def _notify(self) -> None:
        self._arrived.set()
        for listener in tuple(self._listeners):
            listener()

    # cell side

    @property
    def done(self) -> bool:
        """Whether the call has ended; events may still wait to be drained."""
        return self._ended.is_set()

    def drain(self) -> list[Event]:
        """All events since the last call, in order; never waits."""
        with self._lock:
            self._arrived.clear()
            events, self._events = self._events, []
        return events

    def wait(self, timeout_s: float = HEARTBEAT_S, *, breath_s: float = 0.0) -> None:
        """Block until something arrived or the call ended, at most ``timeout_s`` seconds; when something arrived, then
        ``breath_s`` more for what comes with it, but not beyond the end."""
        if not self.done and self._arrived.wait(timeout_s) and breath_s:
            self._ended.wait(breath_s)

    async def changed(self, timeout_s: float | None = HEARTBEAT_S) -> None:
        """The same for a consumer on any loop. Without a time-out nothing wakes it but an event or the end."""
        if self.done or self._arrived.is_set():
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        awake = asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the consumer's loop may be closed by now
                loop.call_soon_threadsafe(awake.set)

        self._listeners.append(wake)
        try:
            if not (self.done or self._arrived.is_set()):
                # Not wait_for: up to Python 3.11 it loses a cancellation that comes together with the awaited result,
                # and an interrupt comes so: the kernel notices it when the next event wakes its loop.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(timeout_s):
                        await awake.wait()
        finally:
            self._listeners.remove(wake)

    def stop(self, *, wait_s: float = 0.0) -> None:
        """End the answer now, as the user's own Stop, and wait at most ``wait_s`` seconds for its connection to be closed.

        Safe from any thread, any number of times. The engine's thread calls ``Stream.aclose``, which has ``stop.Watch``
        cancel the wait; the segment ends as "stopped", and ``policy.recovery.decide`` accepts it as "interrupted".
        """
        if not self.stopping:
            self.stopping = True
            with contextlib.suppress(RuntimeError):  # the engine's loop is closed: nothing runs any more
                self._loop.call_soon_threadsafe(self._close)
        if wait_s:
            with contextlib.suppress(ConfigurationError):  # a page that may not wait: the connection closes soon after
                self._ended.wait(wait_s)

    @property
    def completion(self) -> Completion:
        """The completion, once ``done``. Raises RuntimeError before, and what the engine raised if it could not make one."""
        if not self.done:
            raise RuntimeError("the call has not ended yet")
        if self._completion is None:
            raise self._error or RuntimeError("the call ended without a completion")
        return self._completion


def _both(one: Callable[[list[Event]], None], other: Callable[[list[Event]], None]) -> Callable[[list[Event]], None]:
    def put(events: list[Event]) -> None:
        one(events)
        other(events)

    return put


def pump(call: Call, show: Callable[[list[Event]], None]) -> Completion:
    """Block until the call ends, handing events to ``show`` as they come.

    Any exception, an interrupt above all, stops the call and is raised again; ``call.completion`` then has what arrived.
    """
    with _stopping(call):
        while not call.done:
            call.wait(breath_s=BREATH_S)
            show(call.drain())
    show(call.drain())
    return call.completion


@contextlib.contextmanager
def _stopping(call: Call) -> Iterator[None]:
    """Whatever ends the wait for a call ends the call."""
    try:
        yield
    except BaseException:
        call.stop(wait_s=CLOSE_S)
        raise


async def outcome(call: Call) -> Completion:
    """The completion, for a consumer on any loop who wants nothing before it. A call that waits so does not poll: all of
    a loop share one heartbeat, without which the loop would notice an interrupt only when something comes."""
    with _stopping(call), _hearts.setdefault(asyncio.get_running_loop(), _Heart()):
        while not call.done:
            await call.changed(None)
    return call.completion


class _Heart:
    """Wakes the running loop every ``HEARTBEAT_S`` while somebody waits on it."""

    def __init__(self) -> None:
        self._waiting = 0
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        self._waiting += 1
        if self._timer is None:
            self._beat()

    def __exit__(self, *_: object) -> None:
        self._waiting -= 1
        if not self._waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(HEARTBEAT_S, self._beat)


_hearts: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Heart] = weakref.WeakKeyDictionary()


async def apump(call: Call, show: Callable[[list[Event]], None]) -> Completion:
    """The same for an async cell: the kernel's loop stays free, so buttons work while the answer comes."""
    with _stopping(call):
        while not call.done:
            await call.changed()
            await asyncio.sleep(BREATH_S)
            show(call.drain())
    show(call.drain())
    return call.completion


def pump_turning(call: Call, show: Callable[[list[Event]], None]) -> Completion:
    """``pump``, but where a loop already runs in this thread it is kept turning, so that the caller's own tasks go on.

    This is the one place of nest_asyncio2 (the maintained continuation of nest-asyncio). Nested runs end last in, first
    out, so a second answer inside a nested one waits plainly, and so does a loop that cannot be patched (uvloop).
    """
    global _nested
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return pump(call, show)
    if _nested or not isinstance(loop, asyncio.BaseEventLoop):
        return pump(call, show)
    import nest_asyncio2

    nest_asyncio2.apply(loop)
    _nested = True
    task = loop.create_task(apump(call, show))
    try:
        with _stopping(call):
            return loop.run_until_complete(task)
    except BaseException:
        # A nested run that is interrupted leaves its task running, and with it the stream: end it, and wait for that.
        task.cancel()
        with contextlib.suppress(BaseException):
            loop.run_until_complete(task)
        raise
    finally:
        _nested = False
