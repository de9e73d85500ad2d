"""On a worker: a task is a few requests, on the engine of that process.

The task gives its place up at once (``secede``), so a worker with one thread has as many requests open as it was given. What
comes in goes home by events of the scheduler, twice a second, and at once where somebody waits for it: a status, an end. A task
that the driver lets go of is ended here by its change of state: nobody else tells a running function.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import threading
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from distributed import WorkerPlugin, get_worker, secede

from ... import __version__
from ...policy.attempts import Ending
from ...protocol.errors import (
    APIStatusError,
    AuthenticationError,
    ConfigurationError,
    DeepSeekError,
    Disconnected,
    MissingKey,
)
from ...protocol.events import Event, has_pieces
from ...text.messages import Message
from ..attempt import Attempt
from ..calls import UNREAD_S, HTTPAnswer, Transport
from ..home import engine, new_transport
from ..hosts import keys
from ..hosts.endpoints import Endpoint
from .brought import Brought
from .outbox import FIRST_S, HOME_S, Outbox
from .travel import CALL_OFF, KEY, PLUGIN, Batch, Ended, Errand, Hello, Opened, Pieces, Report, packed, unpacked

LATE_MAX: Final = 1000
"""So many requests are remembered that were called off before they began."""
_GONE: Final = ("cancelled", "released", "forgotten")


class Say(Protocol):
    """Tells the driver, in so many seconds or sooner."""

    def __call__(self, what: Opened | Pieces | Ended, in_s: float = 0.0) -> None: ...


class UnfitWorker(ConfigurationError):
    """A worker cannot send requests at all."""

    general = True


class TrialPlugin(WorkerPlugin):  # type: ignore[misc]  # distributed has no types for its users
    """What a worker has for the requests of sweeps, as long as its process lives."""

    name = PLUGIN
    idempotent = True

    def setup(self, worker: Any) -> None:
        """Distributed's hook: the worker has the plugin now."""
        self._worker = worker
        self._life = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._running: dict[str, concurrent.futures.Future[None]] = {}
        self._brought: dict[str, Brought] = {}
        self._called_off: set[str] = set()
        self._making: dict[str, asyncio.Task[None]] = {}
        self._given_up: deque[str] = deque(maxlen=LATE_MAX)
        self._outboxes: dict[str, Outbox] = {}
        self._keys: dict[Endpoint, keys.Key | None] = {}
        self._transport: Transport = new_transport()  # now, for its imports take longer than a request
        worker.handlers[KEY] = self.account
        worker.handlers[CALL_OFF] = self.call_off
        worker.log_event(PLUGIN, packed([self.hello()]))

    def hello(self) -> Hello:
        """Who this is."""
        worker = self._worker
        return Hello(address=worker.address, name=str(worker.name), life=self._life, version=__version__)

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """Distributed's hook: a task changes its state."""
        if finish in _GONE and start in ("executing", "long-running") and str(key).startswith("deepseek-"):
            with self._lock:
                running, brought = self._running.get(str(key)), self._brought.get(str(key))
                if running is None:
                    self._called_off.add(str(key))
            if running is not None:
                running.cancel()
            if brought is not None:
                self._worker.loop.add_callback(self._look_home, brought)

    async def _look_home(self, brought: Brought) -> None:
        """The driver let go of a task: because it is over for it, or because it is gone."""
        try:
            told = await self._worker.scheduler.events(topic=brought.driver)
            gone = any(isinstance(said, dict) and said.get("action") == "remove-client" for _, said in told)
        except (OSError, RuntimeError):  # the scheduler is gone, too
            gone = True
        if gone:
            brought.leave()

    async def teardown(self, worker: Any) -> None:
        """Distributed's hook: the worker ends."""
        with self._lock:
            running, brought = list(self._running.values()), list(self._brought.values())
        for each in running:
            each.cancel()
        stream = worker.batched_stream
        if stream is None or stream.closed():  # nobody takes home what came last
            for of_task in brought:
                of_task.leave()
        with contextlib.suppress(Exception):
            await asyncio.wrap_future(engine.submit(self._transport.aclose()))

    def account(self, endpoint: bytes) -> str:
        """Asked through the scheduler: the digest of this worker's key, "" if it has none."""
        try:
            key = self._key_of(unpacked(endpoint))
        except DeepSeekError:
            return ""
        return "" if key is None else key.digest

    def call_off(self, attempts: Sequence[str]) -> str:
        """Asked through the scheduler: end these requests."""
        engine.loop.call_soon_threadsafe(self._give_up, list(attempts))
        return "OK"

    def run(self, key: str, batch: Batch) -> None:
        """Have the requests of a task made, in the task's thread."""
        with self._lock:
            if key in self._called_off:
                self._called_off.discard(key)
                return
            brought = self._brought[key] = Brought(batch.driver)
            done = self._running[key] = engine.submit(self._do_all(batch, brought))
        try:
            done.result()
        except concurrent.futures.CancelledError:
            pass
        finally:
            with self._lock:
                self._running.pop(key, None)
                self._brought.pop(key, None)
                self._called_off.discard(key)

    # the engine's loop

    def _give_up(self, attempts: Sequence[str]) -> None:
        for attempt in attempts:
            if attempt in self._making:
                self._making[attempt].cancel()
            else:
                self._given_up.append(attempt)

    async def _do_all(self, batch: Batch, brought: Brought) -> None:
        making = {
            errand.attempt: asyncio.ensure_future(self._do(batch, errand, brought))
            for errand in batch.errands
            if errand.attempt not in self._given_up
        }
        self._making.update(making)
        try:
            await asyncio.gather(*making.values(), return_exceptions=True)  # cancels them where it is cancelled
        finally:
            await asyncio.gather(*making.values(), return_exceptions=True)
            for attempt in making:
                del self._making[attempt]

    async def _do(self, batch: Batch, errand: Errand, brought: Brought) -> None:
        loop, outbox = asyncio.get_running_loop(), self._outbox(batch.topic)
        began_s = loop.time()

        def say(what: Opened | Pieces | Ended, in_s: float = 0.0) -> None:
            outbox.put(Report(errand.attempt, loop.time() - began_s, what), in_s)

        def grow(events: Sequence[Event]) -> None:
            outbox.grow(errand.attempt, loop.time() - began_s, events)

        try:
            ended = await self._exchange(batch, errand, brought.begun(errand), say, grow)
            brought.on_its_way(errand)
            say(ended)
        except DeepSeekError as error:
            say(Ended(refused=error))
        except Exception as error:  # whatever it is, the driver waits to hear it
            said = Message("The worker {worker} could not ask ({error}).", worker=self.hello().name, error=repr(error))
            say(Ended(refused=UnfitWorker(said)))

    def _outbox(self, topic: str) -> Outbox:
        if topic not in self._outboxes:
            self._outboxes[topic] = Outbox(functools.partial(self._worker.log_event, topic))
        return self._outboxes[topic]

    async def _exchange(
        self, batch: Batch, errand: Errand, events: list[Event], say: Say, grow: Callable[[Sequence[Event]], None]
    ) -> Ended:
        me, loop = self.hello(), asyncio.get_running_loop()
        if batch.version != __version__:
            raise other_version(me.name, __version__, batch.version)
        if batch.life != self._life:  # the scheduler gave it to the process that came after the one that died
            return Ended(ending=Ending(kind="reset", strategy=errand.strategy, error=died(me.name)))
        call = replace(errand.call, key=self._key_of(errand.endpoint))
        first_s: float | None = None
        read_every_s, watched = 0.0, True

        def on_answer(answer: HTTPAnswer, error: APIStatusError | None) -> None:
            say(Opened.of(answer, error))

        attempt = Attempt(self._transport, call, strategy=errand.strategy, on_answer=on_answer)
        async with contextlib.aclosing(attempt.batches()) as batches:
            async for pieces in batches:
                events += pieces
                if first_s is None and has_pieces(pieces):
                    first_s = loop.time()
                    say(Pieces(pieces), FIRST_S)
                elif first_s is None or errand.watched:
                    say(Pieces(pieces), HOME_S)
                else:
                    grow(pieces)
                    read_every_s = HOME_S
                    # Read in turns what lasts: the last word of a short answer would come later by a tenth of it.
                    if watched and attempt.answer is not None and loop.time() > first_s + HOME_S:
                        watched = False
                        attempt.answer.leave_unread(UNREAD_S)
        assert attempt.ending is not None
        if isinstance(attempt.ending.error, AuthenticationError):
            self._keys.pop(errand.endpoint, None)
        answer = attempt.answer
        return Ended(
            ending=attempt.ending,
            anomalies=tuple(attempt.anomalies),
            retry_s=attempt.retry_s,
            body_bytes=0 if answer is None else answer.body_bytes,
            wire_bytes=0 if answer is None else answer.wire_bytes,
            read_every_s=read_every_s,
        )

    def _key_of(self, endpoint: Endpoint) -> keys.Key | None:
        """The key of this worker's own environment. Raises MissingKey."""
        if endpoint not in self._keys:
            try:
                self._keys[endpoint] = keys.find_key(endpoint)
            except MissingKey:
                variable = (*endpoint.key_variables, "api_key")[0]
                raise MissingKey(
                    Message(
                        "The worker {worker} has no API key for {endpoint}.",
                        worker=self.hello().name,
                        endpoint=endpoint.title,
                    ),
                    hint=Message("Set {variable} in the environment of every worker.", variable=variable),
                ) from None
        return self._keys[endpoint]


def run_trials(batch: bytes) -> None:
    """The task: the requests of a few trials."""
    worker = get_worker()
    plugin, key = worker.plugins[PLUGIN], str(worker.get_current_task())
    secede()
    plugin.run(key, unpacked(batch))


def hello(dask_worker: Any) -> Hello:
    """Asked of every worker that has the plugin."""
    plugin: TrialPlugin = dask_worker.plugins[PLUGIN]
    return plugin.hello()


def died(name: str) -> Disconnected:
    """The error of a request whose worker is gone."""
    return Disconnected(Message("The worker {worker} ended.", worker=name))


def other_version(name: str, theirs: str, ours: str) -> UnfitWorker:
    """The error of a worker that has another version of this package."""
    return UnfitWorker(
        Message(
            "The worker {worker} has deepseek-magic {theirs}, and this is {ours}.",
            worker=name,
            theirs=theirs,
            ours=ours,
        ),
        hint=Message("Install the same version in both places."),
    )
