"""The workers of a Dask cluster, as the driver has requests sent by them: who is there, who does what, who is gone.

Each task is pinned to the worker that was chosen for its requests. Dask runs the tasks of a worker that died again, from their
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
from typing import Any, Final

from distributed import Client

from ... import __version__
from ...policy.limits.limiter import SlotEnd
from ...protocol.errors import ConfigurationError, DeepSeekError
from ...text.messages import Message
from ..home import engine
from ..hosts.endpoints import Endpoint
from ..trials.standing import WorkerStanding
from .attempt import Errands, FarAttempt
from .checks import check
from .marking import FarMarker
from .members import GATHER_S, Member, Placed, Task, key_of
from .shared import ENTER, GATE, TELL, Admission, Answered, ClusterLimits
from .travel import CALL_OFF, KEY, PLUGIN, Batch, Hello, Report, unpacked
from .worker import TrialPlugin, UnfitWorker, died, hello, run_trials

LOOK_S: Final = 0.5
"""So often the connection to the scheduler is looked at, and tasks that could not begin."""
NOBODY_S: Final = 120.0
"""So long a request waits for a worker where none is left: one that was killed is started again in seconds, on a busy machine in half a minute."""
GONE_S: Final = 0.2
"""Before the place of a dead worker's request is free: the server sees its connection end at about the time we hear of it."""
_WORD: Final = re.compile(r"[^A-Za-z0-9]+")


class ClusterLost(DeepSeekError):
    """The cluster's scheduler, or all of its workers, are gone."""

    permanent = general = True


class Crew:
    """The workers of one ``distributed.Client``. Made where it may wait; the rest is on the engine's loop."""

    def __init__(self, client: Client) -> None:
        check(client)
        self.topic = f"deepseek-{uuid.uuid4().hex}"
        self.driver = str(client.id)
        self._client = weakref.ref(client)
        self._members: dict[str, Member] = {}
        self._open: dict[str, Placed] = {}
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

    def at(self, label: str, number: int, *, share: int | None = None) -> Errands:
        """What has the requests of one trial sent by the workers; ``label`` and ``number`` are for the dashboard. ``share``: the
        cluster's own limiter is asked first, and so many may be open at once."""
        return Errands(self, f"deepseek-{_WORD.sub('-', label).strip('-')}-trial", number, share)

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
        for placed in list(self._open.values()):
            if placed.member is gone:
                placed.attempt.lost(died(gone.name))

    def _deliver(self, reports: list[Report]) -> None:
        for report in reports:
            found = self._open.get(report.attempt)
            if found is not None:  # else of an attempt that was given up
                found.attempt.take(report)

    async def chosen(self, attempt: FarAttempt) -> Member:
        """Set aside for an attempt the worker that has the fewest. Raises ClusterLost."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(NOBODY_S):
                await self._joined.wait()
        if self.lost is None and not self._members:
            self.lost = ClusterLost(
                Message("The cluster has had no worker for {seconds} s.", seconds=f"{NOBODY_S:g}"),
                hint=Message("Start some (cluster.scale(2)), and run it again: it asks only what is missing."),
            )
        if self.lost is not None:
            raise self.lost
        member = min(self._members.values(), key=lambda member: member.running)
        member.running += 1
        self._open[attempt.attempt] = Placed(attempt, member)
        if self._watching is None:
            self._watching = asyncio.get_running_loop().create_task(self._watch())
        return member

    async def account(self, member: Member, endpoint: Endpoint) -> str:
        """The digest of a worker's key for an endpoint; "" where it has none, or is gone."""
        if endpoint not in member.accounts:
            asked = {"op": KEY, "endpoint": pickle.dumps(endpoint)}
            try:
                told = await asyncio.wrap_future(self._asked("proxy", msg=asked, worker=member.address))
            except Exception:  # what there is to say of it is said by the request itself
                return ""
            member.accounts[endpoint] = str(told)
        return member.accounts[endpoint]

    async def admitted(self, place: Admission, share: int) -> None:
        """Wait until the cluster's limiter lets an attempt begin. Raises ClusterLost."""
        entering = self._asked(ENTER, **place._asdict(), client=self.driver, wish=share)
        try:
            await asyncio.wrap_future(entering)
        except Exception as error:  # the scheduler is gone
            raise self._all_lost(error) from None

    def tell(self, place: Admission, what: Answered | SlotEnd) -> None:
        """Tell the cluster's limiter what became of an attempt."""
        with contextlib.suppress(Exception):  # the scheduler is gone
            self._asked(TELL, **place._asdict(), what=pickle.dumps(what))

    def _asked(self, operation: str, **what: Any) -> concurrent.futures.Future[Any]:
        client = self._client()
        if client is None:
            raise _lost()

        async def ask() -> Any:
            return await getattr(client.scheduler, operation)(**what)

        return asyncio.run_coroutine_threadsafe(ask(), client.loop.asyncio_loop)

    def send(self, attempt: FarAttempt, member: Member) -> None:
        """Have the worker that was set aside for an attempt make it, in a moment and together with others."""
        if self._members.get(member.address) is member:  # else the attempt is about to hear that it is gone
            member.ready.append(attempt)
            if len(member.ready) == 1:
                asyncio.get_running_loop().call_later(GATHER_S, self._submit, member)

    def _submit(self, member: Member) -> None:
        ready, member.ready = member.ready, []
        for label in dict.fromkeys(each.label for each in ready):
            together = [each for each in ready if each.label == label]
            batch = Batch(
                driver=self.driver,
                life=member.life,
                version=__version__,
                topic=self.topic,
                errands=[each.errand for each in together],
            )
            client = self._client()
            try:
                if client is None:
                    raise _lost()
                future = client.submit(
                    run_trials,
                    batch.packed(),
                    key=key_of(together),
                    workers=[member.address],
                    priority=1,  # before scores, which compute
                    pure=False,
                    retries=0,
                )
            except Exception as error:  # a client that was closed raises its own
                self._all_lost(error)
                return
            task = Task(member, future, {each.attempt for each in together})
            for each in together:
                self._open[each.attempt].task = task

    def left(self, attempt: FarAttempt) -> None:
        """An attempt is over, or given up: then its worker ends it."""
        found = self._open.pop(attempt.attempt, None)
        if found is None:
            return
        member, task = found.member, found.task
        member.running -= 1
        member.done += attempt.ending is not None and attempt.ending.kind == "finished"
        if task is None:
            if attempt in member.ready:
                member.ready.remove(attempt)
            return
        task.attempts.discard(attempt.attempt)
        if not task.attempts:
            with contextlib.suppress(Exception):  # a client that was closed raises its own
                task.future.release()
        elif attempt.ending is None:
            task.given_up.append(attempt.attempt)
            if len(task.given_up) == 1:
                asyncio.get_running_loop().call_later(GATHER_S, self._call_off, task)

    def _call_off(self, task: Task) -> None:
        """Have single requests of a task ended. Where all of it was given up, the task is."""
        given_up, task.given_up = task.given_up, []
        if task.attempts:
            with contextlib.suppress(Exception):  # the scheduler is gone
                self._asked("proxy", msg={"op": CALL_OFF, "attempts": given_up}, worker=task.member.address)

    async def _watch(self) -> None:
        """Notice what no event tells: that the scheduler is gone, that a task could not even begin."""
        while self._open:
            await asyncio.sleep(LOOK_S)
            client = self._client()
            if client is None or client.status != "running":
                self._all_lost()
            for placed in list(self._open.values()):
                if placed.task is not None and placed.task.future.status == "error":
                    why = repr(getattr(placed.task.future._state, "exception", None))
                    placed.attempt.lost(
                        UnfitWorker(
                            Message("A worker could not begin a task ({error}).", error=why),
                            hint=Message("Every worker needs deepseek-magic, in the same version as here."),
                        )
                    )
        self._watching = None

    def _all_lost(self, error: Exception | None = None) -> ClusterLost:
        self.lost = self.lost or _lost()
        self._joined.set()
        for placed in list(self._open.values()):
            placed.attempt.lost(self.lost)
        return self.lost


def _lost() -> ClusterLost:
    return ClusterLost(
        Message("The connection to the cluster's scheduler was lost."),
        hint=Message(
            "What has come is kept; run it again, with a new client or on this machine: it asks only the rest."
        ),
    )


_crews: weakref.WeakKeyDictionary[Client, Crew] = weakref.WeakKeyDictionary()
_crews_lock: Final = threading.Lock()


def crew_of(client: Any) -> Crew:
    """The crew of a client. May wait for the cluster. Raises ConfigurationError."""
    with _crews_lock:
        crew = _crews.get(client) if isinstance(client, Client) else None
        if crew is None or crew.lost is not None or client.status != "running":
            crew = Crew(client)
            _crews[client] = crew
        return crew
