"""One exchange that a worker has: what it reports comes out here as if it had come in here.

So all that is decided about an answer is decided by the driver, as for any other: limits, retries, continuations, budget,
journal. A worker that dies is a line that breaks.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final

from ...policy.attempts import Ending
from ...policy.deadlines import Timeouts
from ...protocol.errors import APIStatusError, DeepSeekError
from ...protocol.events import Event, Finish, Strategy
from ..attempt import StreamPosition
from ..calls import HTTPAnswer, HTTPCall
from ..hosts.endpoints import Endpoint
from .shared import Admission, Answered
from .travel import Ended, Errand, FarAnswer, Opened, Report
from .worker import died

if TYPE_CHECKING:
    from .crew import Crew
    from .members import Member


LATER_S: Final = 2.0
"""So much later than it comes to a worker text may come here; deadlines are kept here."""


class FarAttempt:
    """See ``engine.attempt.Attempting``. ``label`` is what its task is called by in the cluster's dashboard, with ``number``."""

    def __init__(
        self,
        crew: Crew,
        label: str,
        number: int,
        call: HTTPCall,
        *,
        share: int | None,
        call_id: str,
        endpoint: Endpoint,
        strategy: Strategy,
        position: StreamPosition,
        watched: bool,
        on_answer: Callable[[HTTPAnswer, APIStatusError | None], None],
    ) -> None:
        self.attempt = uuid.uuid4().hex
        self.label = label
        self.number = number
        self.endpoint = endpoint
        self.answer: HTTPAnswer | None = None
        self.ending: Ending | None = None
        self.anomalies: list[str] = []
        self.finish_reason: str | None = None
        self.retry_s: float | None = None
        self.late_s = 0.0
        position.broken, position.last_id = True, None  # another worker does not know what this one has read
        self._crew = crew
        self._share = share
        self._place: Admission | None = None
        self._call = call
        self._call_id = call_id
        self._strategy: Strategy = strategy
        self._watched = watched
        self._on_answer: Callable[[HTTPAnswer, APIStatusError | None], None] | None = on_answer
        self._reports: deque[Report | DeepSeekError] = deque()
        self._woken = asyncio.Event()
        self._sent_s = 0.0

    @property
    def errand(self) -> Errand:
        """What its worker is told."""
        return Errand(
            attempt=self.attempt,
            call_id=self._call_id,
            call=replace(self._call, key=None, skip=None),
            endpoint=self.endpoint,
            strategy=self._strategy,
            watched=self._watched,
        )

    def take(self, report: Report) -> None:
        """A report came; on the engine's loop."""
        self._reports.append(report)
        self._woken.set()

    def lost(self, error: DeepSeekError) -> None:
        """No more will come, because of this; on the engine's loop."""
        self._reports.append(error)
        self._woken.set()

    async def batches(self) -> AsyncGenerator[list[Event], None]:
        """See ``engine.attempt.Attempt``. Closing it ends the request on its worker."""
        crew = self._crew
        try:
            member = await crew.chosen(self)
            if self._share is not None:
                self._place = Admission(self.endpoint.base_url, await crew.account(member, self.endpoint), self.attempt)
                await crew.admitted(self._place, self._share)
            crew.send(self, member)
            self._sent_s = asyncio.get_running_loop().time()
            while self.ending is None:
                while not self._reports:
                    self._woken.clear()
                    await self._woken.wait()
                batch = self._read(self._reports.popleft(), member)
                if batch:
                    yield batch
        finally:
            self.late_s = 0.0
            crew.left(self)
            if self._place is not None:
                finished = self.ending is not None and self.ending.kind == "finished"
                refused = self.ending is not None and not self.ending.opened
                crew.tell(self._place, "done" if finished else "refused" if refused else "failed")

    def _read(self, report: Report | DeepSeekError, member: Member) -> list[Event]:
        if isinstance(report, DeepSeekError):
            if report.permanent:
                raise report
            self.ending = Ending(kind="reset", strategy=self._strategy, error=report)
            return []
        self.late_s = max(0.0, asyncio.get_running_loop().time() - self._sent_s - report.at_s)
        match report.what:
            case Opened() as opened:
                self.answer = FarAnswer(
                    status=opened.status,
                    headers=opened.headers,
                    http_version=opened.http_version,
                    connect_s=opened.connect_s,
                    timings_s=opened.timings_s,
                )
                on_answer, self._on_answer = self._on_answer, None  # as in ``engine.attempt``
                if on_answer is not None:
                    on_answer(self.answer, opened.error)
                if self._place is not None:
                    told = Answered(status=opened.status, headers=dict(opened.headers), error=opened.error)
                    self._crew.tell(self._place, told)
                if opened.status == 401:
                    member.accounts.clear()
            case Ended(refused=DeepSeekError() as refused):
                raise refused
            case Ended() as ended:
                if isinstance(self.answer, FarAnswer):
                    self.answer.body_bytes, self.answer.wire_bytes = ended.body_bytes, ended.wire_bytes
                    self.answer.read_every_s = ended.read_every_s
                self.anomalies += ended.anomalies
                self.retry_s = ended.retry_s
                self.ending = ended.ending or Ending(kind="reset", strategy=self._strategy, error=died(member.name))
            case pieces:
                for event in pieces.events:
                    if isinstance(event, Finish):
                        self.finish_reason = event.reason
                return pieces.events
        return []


@dataclass(frozen=True, slots=True)
class Errands:
    """Makes the exchanges of one trial. See ``engine.segment.Exchanges``."""

    crew: Crew
    label: str
    number: int
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
        watched: bool,
        on_answer: Callable[[HTTPAnswer, APIStatusError | None], None],
    ) -> FarAttempt:
        """One exchange, on a worker."""
        return FarAttempt(
            self.crew,
            self.label,
            self.number,
            call,
            share=self.share,
            call_id=call_id,
            endpoint=endpoint,
            strategy=strategy,
            position=position,
            watched=watched,
            on_answer=on_answer,
        )
