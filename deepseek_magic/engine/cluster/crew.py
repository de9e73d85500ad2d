"""The workers of a Dask cluster, as the driver has requests sent by them: who is there, who does what, who is gone.

Each request is pinned to the worker that was chosen for it. Dask runs the tasks of a worker that died again, from their
beginning and unasked; a pinned one it cannot, so that what becomes of a request is decided here alone.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import pickle
import re
import threading
import uuid
import weakref
from collections.abc import Callable
from dataclasses import dataclass, fields
from importlib import metadata
from typing import Any, Final

from distributed import Client

from ... import __version__
from ...policy.deadlines import Timeouts
from ...policy.limits.limiter import SlotEnd
from ...protocol.errors import APIStatusError, ConfigurationError, DeepSeekError
from ...protocol.events import Strategy
from ...text.messages import Message
from ..attempt import StreamPosition
from ..calls import HTTPAnswer, HTTPCall
from ..home import engine
from ..hosts.endpoints import Endpoint
from ..trials.standing import WorkerStanding
from .attempt import FarAttempt
from .marking import FarMarker
from .shared import ENTER, GATE, TELL, Answered, ClusterLimits
from .travel import PLUGIN, Hello, Report, unpacked
from .worker import TrialPlugin, UnfitWorker, died, hello, other_version, run_trial

LOOK_S: Final = 0.5
"""So often the connection to the scheduler is looked at, and tasks that could not begin."""
NOBODY_S: Final = 120.0
"""So long a request waits for a worker where none is left: one that was killed is started again in seconds, on a busy machine in half a minute."""
GONE_S: Final = 0.2
"""Before the place of a dead worker's request is free: the server sees its connection end at about the time we hear of it."""
LATER_S: Final = 2.0
"""So much later than it comes to a worker text may come here; deadlines are kept here."""
_DISTRIBUTION: Final = "deepseek-magic"
_WORD: Final = re.compile(r"[^A-Za-z0-9]+")


class ClusterLost(DeepSeekError):
    """The cluster's scheduler, or all of its workers, are gone."""

    permanent = general = True


@dataclass(slots=True, eq=False)
class Member:
    """A worker: its address, what it is called, which process it is, and how many requests it has and had."""

    address: str
    name: str
    life: str
    running: int = 0
    done: int = 0


class Crew:
    """The workers of one ``distributed.Client``. Made where it may wait; the rest is on the engine's loop."""

    def __init__(self, client: Client) -> None:
        _check(client)
        self.topic = f"deepseek-{uuid.uuid4().hex}"
        self.driver = str(client.id)
        self._client = weakref.ref(client)
        self._members: dict[str, Member] = {}
        self._open: dict[str, tuple[FarAttempt, Member, Any]] = {}
        self._joined = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self.lost: ClusterLost | None = None
        client.subscribe_topic(self.topic, self._on_reports)
        client.subscribe_topic(PLUGIN, self._on_hello)
        client.register_plugin(TrialPlugin(), name=PLUGIN)
        for each in client.run(hello).values():
            self._add(each)

    @property
    def standing(self) -> list[WorkerStanding]:
        """What the workers do, by name; from any thread."""
        members = sorted(self._members.copy().values(), key=lambda member: (len(member.name), member.name))
        return [WorkerStanding(member.name, member.running, member.done) for member in members]

    def at(self, label: str, *, share: int | None = None) -> Errands:
        """What has the requests of one trial sent by the workers; ``label`` is for the dashboard. ``share``: the cluster's own
        limiter is asked first, and so many may be open at once."""
        return Errands(self, f"deepseek-{_WORD.sub('-', label).strip('-')}", share)

    def share(self) -> None:
        """Have a limiter in the scheduler. May wait. Raises ConfigurationError where the scheduler cannot have one."""
        client = self._client()
        try:
            if client is not None:
                client.register_plugin(ClusterLimits(), name=GATE)
        except Exception as error:  # whatever it failed of there
            raise ConfigurationError(
                Message('The cluster\'s scheduler cannot keep limits="cluster" ({error}).', error=repr(error)),
                hint=Message("It needs deepseek-magic as well, in the same version as here."),
            ) from None

    def marker(self, label: str) -> FarMarker:
        """What has functions of scorers run by the workers."""
        return FarMarker(self._client(), label)

    # the client's own thread

    def _on_reports(self, event: tuple[float, bytes]) -> None:
        engine.loop.call_soon_threadsafe(self._deliver, unpacked(event[1]))

    def _on_hello(self, event: tuple[float, bytes]) -> None:
        for each in unpacked(event[1]):
            self._add(each)

    def _on_member(self, address: str) -> Callable[[tuple[float, Any]], None]:
        def heard(event: tuple[float, Any]) -> None:
            said = event[1]
            if isinstance(said, dict) and said.get("action") == "remove-worker":
                engine.loop.call_soon_threadsafe(self._remove, address)

        return heard

    def _add(self, said: Hello) -> None:
        client = self._client()
        if client is not None:
            client.subscribe_topic(said.address, self._on_member(said.address))
        engine.loop.call_soon_threadsafe(self._welcome, said)

    # the engine's loop

    def _welcome(self, said: Hello) -> None:
        known = self._members.get(said.address)
        if known is None or known.life != said.life:
            self._members[said.address] = Member(said.address, said.name, said.life)
        self._joined.set()

    def _remove(self, address: str) -> None:
        gone = self._members.pop(address, None)
        if not self._members:
            self._joined.clear()
        if gone is not None:
            asyncio.get_running_loop().call_later(GONE_S, self._part_with, gone)

    def _part_with(self, gone: Member) -> None:
        for attempt, member, _ in list(self._open.values()):
            if member is gone:
                attempt.lost(died(gone.name))

    def _deliver(self, reports: list[Report]) -> None:
        for report in reports:
            found = self._open.get(report.attempt)
            if found is not None:  # else of an attempt that was given up
                found[0].take(report)

    async def admitted(self, address: str, attempt: str, share: int) -> None:
        """Wait until the cluster's limiter lets an attempt begin. Raises ClusterLost."""
        entering = self._asked(ENTER, address=address, attempt=attempt, client=self.driver, wish=share)
        try:
            await asyncio.wrap_future(entering)
        except Exception as error:  # the scheduler is gone
            raise self._all_lost(error) from None

    def tell(self, address: str, attempt: str, what: Answered | SlotEnd) -> None:
        """Tell the cluster's limiter what became of an attempt."""
        with contextlib.suppress(Exception):  # the scheduler is gone
            self._asked(TELL, address=address, attempt=attempt, what=pickle.dumps(what))

    def _asked(self, operation: str, **what: Any) -> concurrent.futures.Future[Any]:
        client = self._client()
        if client is None:
            raise _lost()

        async def ask() -> Any:
            return await getattr(client.scheduler, operation)(**what)

        return asyncio.run_coroutine_threadsafe(ask(), client.loop.asyncio_loop)

    async def placed(self, attempt: FarAttempt) -> Member:
        """Give an attempt to the worker that has the fewest. Raises ClusterLost."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(NOBODY_S):
                await self._joined.wait()
        client = self._client()
        if self.lost is None and not self._members:
            self.lost = ClusterLost(
                Message("The cluster has had no worker for {seconds} s.", seconds=f"{NOBODY_S:g}"),
                hint=Message("Start some (cluster.scale(2)), and run it again: it asks only what is missing."),
            )
        if self.lost is not None or client is None:
            raise self.lost or _lost()
        member = min(self._members.values(), key=lambda member: member.running)
        errand = attempt.errand(member)
        try:
            future = client.submit(
                run_trial,
                errand,
                key=f"{attempt.label}-{attempt.attempt[:8]}",
                workers=[member.address],
                pure=False,
                retries=0,
            )
        except Exception as error:  # a client that was closed raises its own
            raise self._all_lost(error) from None
        member.running += 1
        self._open[attempt.attempt] = attempt, member, future
        if self._watching is None:
            self._watching = asyncio.get_running_loop().create_task(self._watch())
        return member

    def left(self, attempt: FarAttempt) -> None:
        """An attempt is over, or given up: then its worker ends it."""
        found = self._open.pop(attempt.attempt, None)
        if found is not None:
            _, member, future = found
            member.running -= 1
            member.done += attempt.ending is not None and attempt.ending.kind == "finished"
            with contextlib.suppress(Exception):  # a client that was closed raises its own
                future.release()

    async def _watch(self) -> None:
        """Notice what no event tells: that the scheduler is gone, that a task could not even begin."""
        while self._open:
            await asyncio.sleep(LOOK_S)
            client = self._client()
            if client is None or client.status != "running":
                self._all_lost()
            for attempt, _, future in list(self._open.values()):
                if future.status == "error":
                    why = repr(getattr(future._state, "exception", None))
                    attempt.lost(
                        UnfitWorker(
                            Message("A worker could not begin a task ({error}).", error=why),
                            hint=Message("Every worker needs deepseek-magic, in the same version as here."),
                        )
                    )
        self._watching = None

    def _all_lost(self, error: Exception | None = None) -> ClusterLost:
        self.lost = self.lost or _lost()
        self._joined.set()
        for attempt, _, _ in list(self._open.values()):
            attempt.lost(self.lost)
        return self.lost


@dataclass(frozen=True, slots=True)
class Errands:
    """Makes the exchanges of one trial. See ``engine.segment.Exchanges``."""

    crew: Crew
    label: str
    share: int | None = None

    @staticmethod
    def patience(timeouts: Timeouts) -> Timeouts:
        """The time-outs of a call whose text comes home a little later than it comes in."""
        later = {each.name: getattr(timeouts, each.name) for each in fields(timeouts)}
        return Timeouts(**{name: None if limit is None else limit + LATER_S for name, limit in later.items()})

    def exchange(
        self,
        call: HTTPCall,
        *,
        call_id: str,
        endpoint: Endpoint,
        strategy: Strategy,
        position: StreamPosition,
        on_answer: Callable[[HTTPAnswer, APIStatusError | None], None],
    ) -> FarAttempt:
        """One exchange, on a worker."""
        return FarAttempt(
            self.crew,
            self.label,
            call,
            share=self.share,
            call_id=call_id,
            endpoint=endpoint,
            strategy=strategy,
            position=position,
            on_answer=on_answer,
        )


def _lost() -> ClusterLost:
    return ClusterLost(
        Message("The connection to the cluster's scheduler was lost."),
        hint=Message(
            "What has come is kept; run it again, with a new client or on this machine: it asks only the rest."
        ),
    )


def _check(client: Any) -> None:
    """Raise ConfigurationError for what cannot be used, or has another version of this package on a worker."""
    if not isinstance(client, Client):
        raise ConfigurationError.of_setting("on", type(client).__name__, Message("it takes a distributed.Client"))
    if client.asynchronous:
        said = Message("it takes a client that was made without asynchronous=True")
        raise ConfigurationError.of_setting("on", "Client(asynchronous=True)", said)
    if client.status != "running":
        said = Message("it takes a client that is connected, and this one is {status}", status=client.status)
        raise ConfigurationError.of_setting("on", "Client", said)
    versions = client.run(metadata.version, _DISTRIBUTION, on_error="return")
    if not versions:
        raise ConfigurationError(
            Message("The cluster has no workers."), hint=Message("Start some, like cluster.scale(2).")
        )
    for name, found in versions.items():
        if isinstance(found, Exception):
            raise UnfitWorker(
                Message("The worker {worker} has no deepseek-magic.", worker=name),
                hint=Message("Every worker needs deepseek-magic, in the same version as here."),
            )
        if found != __version__:
            raise other_version(name, found, __version__)


_crews: weakref.WeakKeyDictionary[Client, Crew] = weakref.WeakKeyDictionary()
_crews_lock: Final = threading.Lock()


def crew_of(client: Any) -> Crew:
    """The crew of a client. May wait for the cluster. Raises ConfigurationError."""
    with _crews_lock:
        crew = _crews.get(client) if isinstance(client, Client) else None
        if crew is None or crew.lost is not None:
            crew = Crew(client)
            _crews[client] = crew
        return crew
