"""A transport without a network: what a tape holds is brought again, in the pieces and with the gaps of the recording.

Waits are shortened or lengthened by ``pace``; the call's own clock is told by how much (``HTTPCall.skip``), so that its
figures are those of the recording and its deadlines pass where they passed then.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Final

from ...protocol import errors
from ...protocol.tape.finding import Finder, prompt_of
from ...protocol.tape.takes import Take, Tape, TapeFailure, TapeQuestion
from ...text.messages import Message
from ..calls import HTTPAnswer, HTTPCall, Transport
from .recorder import question_of
from .scrubbing import Scrubber

LEFT_S: Final = 2.0
"""Where nobody read on in the recording, the engine leaves by itself; what has not left after so long was stopped by a
person then."""


class Player(Transport):
    """Plays ``tape``, which sentences call ``name``. ``pace`` is a factor on every wait: 1 as recorded, 0 at once. Safe to
    use from several loops."""

    def __init__(
        self,
        tape: Tape,
        *,
        name: str,
        pace: float = 1.0,
        scrubber: Scrubber | None = None,
    ) -> None:
        self.name = name
        self.pace = pace
        self._scrub = scrubber or Scrubber()
        self._finder = Finder(tape.takes)
        self._cut_off = tape.cut_off
        self._lock = threading.Lock()

    def open(self, call: HTTPCall) -> AbstractAsyncContextManager[HTTPAnswer]:
        """See Transport. Entering raises NotOnTape for what the tape does not have."""
        return self.find(call) or _Played(self._missing(question_of(call, self._scrub)), self.pace, call.skip)

    def find(self, call: HTTPCall) -> AbstractAsyncContextManager[HTTPAnswer] | None:
        """The same; None for what the tape does not have."""
        question = question_of(call, self._scrub)
        with self._lock:
            take = self._finder.find(question)
        return None if take is None else _Played(take, self.pace, call.skip)

    async def aclose(self) -> None:
        """See Transport."""

    @property
    def progress(self) -> tuple[int, int]:
        """How many takes were played, and how many there are."""
        with self._lock:
            return self._finder.taken, len(self._finder)

    @property
    def said(self) -> Message:
        """One sentence on what plays."""
        taken, count = self.progress
        values = {"name": self.name, "taken": taken, "count": count, "pace": f"{self.pace:g}"}
        return Message("The tape {name} is playing: {taken} of {count} requests so far, at pace {pace}.", **values)

    @property
    def notices(self) -> tuple[Message, ...]:
        """What there is to know before it plays."""
        if not self._cut_off:
            return ()
        said = Message("The tape {name} is cut off at its end; what was written before that is played.", name=self.name)
        return (said,)

    def rewind(self) -> None:
        """A new cell begins: questions whose answers were all given may be asked again."""
        with self._lock:
            self._finder.rewind()

    def add(self, take: Take) -> None:
        """Something was recorded beyond the tape."""
        with self._lock:
            self._finder.add(take)

    def _missing(self, question: TapeQuestion) -> errors.NotOnTape:
        with self._lock:
            count, nearest = self._finder.count(question), self._finder.nearest(question)
        hint = Message(
            "Ask as it was recorded; %deepseek_replay FILE --else ask asks the network for what is not on the tape."
        )
        if count:
            said = Message(
                "The tape {name} has {count} answers to this request, and all were given in this cell.",
                name=self.name,
                count=count,
            )
            if count == 1:
                said = Message("The tape {name} has one answer to this request, and it was given in this cell.")
                said = said.filled(name=self.name)
            return errors.NotOnTape(said, hint=hint)
        if nearest is None:
            return errors.NotOnTape(Message("The tape {name} has no such request.", name=self.name), hint=hint)
        take, fields = nearest
        prompt = prompt_of(take.question)
        values = {"name": self.name, "prompt": prompt, "fields": _listed(fields), "cell": take.cell}
        if take.cell:
            said = Message(
                "This request is not on the tape {name}; the nearest one, “{prompt}” in {cell}, differs in {fields}."
            )
        else:
            said = Message("This request is not on the tape {name}; the nearest one, “{prompt}”, differs in {fields}.")
        return errors.NotOnTape(said.filled(**values), hint=hint)


def _listed(messages: tuple[Message, ...]) -> Message | str:
    """Several messages as one, with commas between."""
    listed: Message | str = messages[0] if messages else ""
    for each in messages[1:]:
        listed = Message("{listed}, {then}", listed=listed, then=each)
    return listed


def raised(failure: TapeFailure) -> errors.DeepSeekError:
    """The error of the recording. What is no error of the network is none of a tape either."""
    known = getattr(errors, failure.type, None)
    kind = known if isinstance(known, type) and issubclass(known, errors.TransportError) else errors.Disconnected
    taken = {name: failure.more[name] for name in ("how", "deadline") if name in failure.more}
    try:
        error = kind(failure.message, hint=failure.hint, **taken)
    except TypeError:  # it does not take what stands there
        error = errors.Disconnected(failure.message, hint=failure.hint)
    for name in ("permanent", "absent"):
        if failure.more.get(name) is True:
            setattr(error, name, True)
    return error


class _Schedule:
    """The times of a take, on the loop's clock: every moment is counted from the first, so no delay adds up."""

    def __init__(self, pace: float, skip: Callable[[float], None] | None) -> None:
        self._pace = pace
        self._skip = skip
        self._due_s = asyncio.get_running_loop().time()

    async def wait(self, gap_s: float) -> None:
        """Until ``gap_s`` seconds of the recording after the moment before."""
        self._due_s += gap_s * self._pace
        await asyncio.sleep(max(0.0, self._due_s - asyncio.get_running_loop().time()))
        if self._pace != 1 and self._skip is not None:
            self._skip(gap_s * (1 - self._pace))


class _Played(AbstractAsyncContextManager[HTTPAnswer]):
    """A take for as long as somebody reads it; or the error that there is none."""

    def __init__(self, take: Take | errors.NotOnTape, pace: float, skip: Callable[[float], None] | None) -> None:
        self._take = take
        self._pace = pace
        self._skip = skip

    async def __aenter__(self) -> HTTPAnswer:
        take = self._take
        if isinstance(take, errors.NotOnTape):
            raise take
        schedule = _Schedule(self._pace, self._skip)
        await schedule.wait(take.opening_s)
        if take.status is None:
            if take.failure is None:  # nobody waited for the headers
                await _nobody()
                raise _ends_here()
            raise raised(take.failure)
        return _PlayedAnswer(take, take.status, schedule)

    async def __aexit__(self, *raised: object) -> None:
        return None


class _PlayedAnswer:
    """HTTPAnswer from a take; ``recorded_at`` is when that was asked."""

    read_every_s = 0.0

    def __init__(self, take: Take, status: int, schedule: _Schedule) -> None:
        self.status = status
        self.headers: Mapping[str, str] = take.headers
        self.http_version = take.http_version
        self.connect_s = take.connect_s
        self.timings_s: Mapping[str, float] = {}
        self.body_bytes = self.wire_bytes = 0
        self.recorded_at = datetime.fromisoformat(take.at)
        self._take = take
        self._schedule = schedule

    def leave_unread(self, at_most_s: float) -> None:
        """Nothing: the tape has its own times."""

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        take = self._take
        for read in take.reads:
            await self._schedule.wait(read.gap_s)
            self.body_bytes = self.wire_bytes = self.body_bytes + len(read.data)
            yield read.data
        await self._schedule.wait(take.end_gap_s)
        if take.failure is not None:
            raise raised(take.failure)
        if take.end == "left":
            await _nobody()
            raise _ends_here()

    async def drain(self) -> bool:
        return self._take.end != "damaged"


async def _nobody() -> None:
    await asyncio.sleep(LEFT_S)


def _ends_here() -> errors.NotOnTape:
    said = Message("The recording of this answer ends here, because it was stopped when the tape was made.")
    return errors.NotOnTape(said, hint=Message("Go on with the next cell."))
