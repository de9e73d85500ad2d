"""On a worker: one task is one request, on the engine of that process.

The task gives its place up at once (``secede``), so a worker with one thread has as many requests open as it was given. What
comes in goes home by events of the scheduler, twice a second, and at once where somebody waits for it: a status, a first word,
an end. A task that the driver lets go of is ended here by its change of state: nobody else tells a running function.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import threading
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from distributed import WorkerPlugin, get_worker, secede

from ... import __version__
from ...policy.attempts import Ending
from ...protocol.chat import Request
from ...protocol.completion import Accumulator
from ...protocol.errors import AuthenticationError, ConfigurationError, DeepSeekError, Disconnected, MissingKey
from ...protocol.events import Event, ReasoningDelta, TextDelta, ToolCallDelta
from ...text.messages import Message
from ..attempt import Attempt
from ..calls import HTTPAnswer, Transport
from ..home import engine, new_transport
from ..hosts import keys
from ..hosts.endpoints import Endpoint
from ..journal.reader import Journal
from .travel import PLUGIN, Ended, Errand, Hello, Opened, Pieces, Report, packed, unpacked

HOME_S: Final = 0.5
"""So often growing text goes home: so much of it is at risk when a worker dies."""
SOON_S: Final = 0.02
"""What somebody waits for goes home so soon, with what else there is by then."""
_GONE: Final = ("cancelled", "released", "forgotten")
_WORDS: Final = frozenset({TextDelta, ReasoningDelta, ToolCallDelta})


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
        self._brought: dict[str, tuple[Errand, list[Event]]] = {}
        self._called_off: set[str] = set()
        self._outboxes: dict[str, list[Report]] = defaultdict(list)
        self._due: dict[str, asyncio.TimerHandle] = {}
        self._keys: dict[Endpoint, keys.Key | None] = {}
        self._transport: Transport = new_transport()  # now, for its imports take longer than a request
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
                self._worker.loop.add_callback(self._look_home, *brought)

    async def _look_home(self, errand: Errand, events: list[Event]) -> None:
        """The driver let go of a request: because it is over for it, or because it is gone."""
        try:
            told = await self._worker.scheduler.events(topic=errand.driver)
            gone = any(isinstance(said, dict) and said.get("action") == "remove-client" for _, said in told)
        except (OSError, RuntimeError):  # the scheduler is gone, too
            gone = True
        if gone:
            leave(errand, events)

    async def teardown(self, worker: Any) -> None:
        """Distributed's hook: the worker ends."""
        with self._lock:
            running, brought = list(self._running.values()), list(self._brought.values())
        for each in running:
            each.cancel()
        stream = worker.batched_stream
        if stream is None or stream.closed():  # nobody takes home what came last
            for errand, events in brought:
                leave(errand, events)
        with contextlib.suppress(Exception):
            await asyncio.wrap_future(engine.submit(self._transport.aclose()))

    def run(self, key: str, errand: Errand) -> None:
        """Do an errand, in the thread of its task."""
        with self._lock:
            if key in self._called_off:
                self._called_off.discard(key)
                return
            events: list[Event] = []
            self._brought[key] = errand, events
            done = self._running[key] = engine.submit(self._do(key, errand, events))
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

    async def _do(self, key: str, errand: Errand, events: list[Event]) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()

        def say(what: Opened | Pieces | Ended, *, soon: bool) -> None:
            self._outboxes[errand.topic].append(Report(errand.attempt, loop.time() - began_s, what))
            self._send(errand.topic, SOON_S if soon else HOME_S)

        try:
            ended = await self._exchange(errand, events, say)
            self._brought.pop(key, None)  # from here on it is on its way home
            say(ended, soon=True)
        except DeepSeekError as error:
            say(Ended(refused=error), soon=True)
        except Exception as error:  # whatever it is, the driver waits to hear it
            said = Message("The worker {worker} could not ask ({error}).", worker=self.hello().name, error=repr(error))
            say(Ended(refused=UnfitWorker(said)), soon=True)

    async def _exchange(self, errand: Errand, events: list[Event], say: Any) -> Ended:
        me = self.hello()
        if errand.version != __version__:
            raise other_version(me.name, __version__, errand.version)
        if errand.life != self._life:  # the scheduler gave it to the process that came after the one that died
            return Ended(ending=Ending(kind="reset", strategy=errand.strategy, error=died(me.name)))
        call = replace(errand.call, key=self._key_of(errand.endpoint))
        heard = False

        def on_answer(answer: HTTPAnswer, error: Any) -> None:
            say(Opened.of(answer, error), soon=True)

        attempt = Attempt(self._transport, call, strategy=errand.strategy, on_answer=on_answer)
        async with contextlib.aclosing(attempt.batches()) as batches:
            async for batch in batches:
                first = not heard and _has_words(batch)
                heard = heard or first
                events += batch
                say(Pieces(batch), soon=first)
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

    def _send(self, topic: str, in_s: float) -> None:
        """Have the reports of a topic sent in so many seconds, or sooner."""
        loop, due = asyncio.get_running_loop(), self._due.get(topic)
        if due is not None and due.when() <= loop.time() + in_s:
            return
        if due is not None:
            due.cancel()
        self._due[topic] = loop.call_later(in_s, self._sent, topic)

    def _sent(self, topic: str) -> None:
        del self._due[topic]
        reports = self._outboxes.pop(topic)
        self._worker.log_event(topic, packed(reports))


def leave(errand: Errand, events: Sequence[Event]) -> None:
    """Write what has come of an answer into this machine's own journal, for ``ds.journal.merge``: nobody took it home. Not of the
    rest of one, whose beginning is elsewhere."""
    if errand.strategy not in ("first", "retry") or not _has_words(events) or errand.call.body is None:
        return
    body = json.loads(errand.call.body)
    request = Request.of([*body["messages"]], model=body["model"])
    answer = Accumulator(request)
    for event in events:
        answer.add(event)
    journal = Journal(mask=keys.mask_content)
    journal.begin(errand.call_id, request, errand.endpoint.name, base_url=errand.endpoint.base_url)
    journal.end(errand.call_id, answer.completion(interrupted=True))
    journal.close()


def _has_words(batch: Sequence[Event]) -> bool:
    return any(type(event) in _WORDS for event in batch)


def run_trial(errand: bytes) -> None:
    """The task: one request."""
    worker = get_worker()
    plugin, key = worker.plugins[PLUGIN], str(worker.get_current_task())
    secede()
    plugin.run(key, unpacked(errand))


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
