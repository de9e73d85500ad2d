"""One exchange that a worker has: what it reports comes out here as if it had come in here.

So all that is decided about an answer is decided by the driver, as for any other: limits, retries, continuations, budget,
journal. A worker that dies is a line that breaks.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ... import __version__
from ...policy.attempts import Ending
from ...protocol.errors import APIStatusError, DeepSeekError
from ...protocol.events import Event, Finish, Strategy
from ..attempt import StreamPosition
from ..calls import HTTPAnswer, HTTPCall
from ..hosts.endpoints import Endpoint
from .shared import Answered
from .travel import Ended, Errand, FarAnswer, Opened, Report
from .worker import died

if TYPE_CHECKING:
    from .crew import Crew, Member


class FarAttempt:
    """See ``engine.attempt.Attempting``. ``label`` is what its tasks are called by in the cluster's dashboard."""

    def __init__(
        self,
        crew: Crew,
        label: str,
        call: HTTPCall,
        *,
        share: int | None,
        call_id: str,
        endpoint: Endpoint,
        strategy: Strategy,
        position: StreamPosition,
        on_answer: Callable[[HTTPAnswer, APIStatusError | None], None],
    ) -> None:
        self.attempt = uuid.uuid4().hex
        self.label = label
        self.answer: HTTPAnswer | None = None
        self.ending: Ending | None = None
        self.anomalies: list[str] = []
        self.finish_reason: str | None = None
        self.retry_s: float | None = None
        self.late_s = 0.0
        position.broken, position.last_id = True, None  # another worker does not know what this one has read
        self._crew = crew
        self._share = share
        self._call = call
        self._call_id = call_id
        self._endpoint = endpoint
        self._strategy: Strategy = strategy
        self._on_answer = on_answer
        self._reports: deque[Report | DeepSeekError] = deque()
        self._woken = asyncio.Event()
        self._sent_s = 0.0

    def errand(self, member: Member) -> bytes:
        """What that worker is told."""
        return Errand(
            attempt=self.attempt,
            call_id=self._call_id,
            driver=self._crew.driver,
            life=member.life,
            version=__version__,
            topic=self._crew.topic,
            call=replace(self._call, key=None, skip=None),
            endpoint=self._endpoint,
            strategy=self._strategy,
        ).packed()

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
        crew, address, share = self._crew, self._endpoint.base_url, self._share
        try:
            if share is not None:
                await crew.admitted(address, self.attempt, share)
            member = await crew.placed(self)
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
            if share is not None:
                finished = self.ending is not None and self.ending.kind == "finished"
                refused = self.ending is not None and not self.ending.opened
                crew.tell(address, self.attempt, "done" if finished else "refused" if refused else "failed")

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
                self._on_answer(self.answer, opened.error)
                if self._share is not None:
                    told = Answered(status=opened.status, headers=dict(opened.headers), error=opened.error)
                    self._crew.tell(self._endpoint.base_url, self.attempt, told)
            case Ended(refused=DeepSeekError() as refused):
                raise refused
            case Ended() as ended:
                if isinstance(self.answer, FarAnswer):
                    self.answer.body_bytes, self.answer.wire_bytes = ended.body_bytes, ended.wire_bytes
                self.anomalies += ended.anomalies
                self.retry_s = ended.retry_s
                self.ending = ended.ending or Ending(kind="reset", strategy=self._strategy, error=died(member.name))
            case pieces:
                for event in pieces.events:
                    if isinstance(event, Finish):
                        self.finish_reason = event.reason
                return pieces.events
        return []
