"""A transport around a transport that writes down what passes: the recording half of a tape."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ... import __version__
from ...protocol import errors
from ...protocol.tape.finding import canonical, resource_of
from ...protocol.tape.takes import End, Read, Take, TapeFailure, TapeQuestion, head_line, lines_of
from ...text.messages import Message
from ..calls import HTTPAnswer, HTTPCall, Transport
from ..hosts.endpoints import is_loopback
from .scrubbing import Scrubber

PRIVATE: Final = frozenset({"user/balance"})
"""What is no matter of a lesson, and is not recorded."""
_MORE: Final = ("how", "deadline", "permanent", "absent")
"""What errors of the network carry besides their words."""


class TapeFile:
    """The file that takes are appended to, from any thread. It is made with the first take; ``count`` are written.

    ``problem`` is the system's word for why a take could not be written: recording never costs an answer.
    """

    def __init__(self, path: Path, *, numbered_from: int = 1, begun: bool = False) -> None:
        self.path = path
        self.count = 0
        self.problem = ""
        self._begun = begun
        self._next = numbered_from
        self._lock = threading.Lock()

    def number(self) -> int:
        """The number of the next take."""
        with self._lock:
            self._next += 1
            return self._next - 1

    def append(self, take: Take) -> None:
        """Write a take in one piece."""
        with self._lock:
            text = lines_of(take)
            if not self._begun:
                text = head_line(by=f"deepseek-magic {__version__}", at=_now()) + text
            try:
                with self.path.open("a" if self._begun else "w", encoding="utf-8", newline="\n") as file:
                    file.write(text)
            except OSError as error:
                self.problem = error.strerror or type(error).__name__
                return
            self._begun = True
            self.count += 1


class Recorder(Transport):
    """Writes every call of ``inner`` to ``file``. ``cell`` names the cell that runs; ``heard`` is given each take."""

    def __init__(
        self,
        inner: Transport,
        file: TapeFile,
        *,
        cell: Callable[[], str] = str,
        scrubber: Scrubber | None = None,
        heard: Callable[[Take], None] = lambda _take: None,
    ) -> None:
        self._inner = inner
        self._file = file
        self._cell = cell
        self._scrub = scrubber or Scrubber()
        self._heard = heard

    def open(self, call: HTTPCall) -> AbstractAsyncContextManager[HTTPAnswer]:
        """See Transport."""
        opened = self._inner.open(call)
        if call.method == "HEAD" or resource_of(call.url) in PRIVATE:
            return opened
        return _Recording(opened, self._asked(call), self)

    async def warm_up(self, url: str) -> float | None:
        """See Transport; nothing of it is recorded."""
        return await self._inner.warm_up(url)

    async def aclose(self) -> None:
        """See Transport."""
        await self._inner.aclose()

    def _asked(self, call: HTTPCall) -> Take:
        """A take as far as it is known when it is asked."""
        return Take(
            number=self._file.number(),
            at=_now(),
            question=question_of(call, self._scrub),
            cell=self._cell(),
            endpoint=call.place.name if call.place is not None else "",
            local=is_loopback(call.host.rpartition(":")[0] or call.host),
        )

    def written(self, asked: Take, answer: HTTPAnswer | None, ended: _Ending) -> None:
        """Write what became of a call."""
        scrub, opened = self._scrub, dict[str, Any]()
        if answer is not None:
            refused = not 200 <= answer.status < 300
            pieces = scrub.pieces([data for _, data in ended.reads], echoes=refused)
            opened = {
                "status": answer.status,
                "headers": scrub.headers(answer.headers),
                "http_version": answer.http_version,
                "connect_s": answer.connect_s,
                "reads": tuple(_reads([gap_s for gap_s, _ in ended.reads], pieces)),
            }
        failure = None if ended.error is None else _failure(ended.error, scrub)
        opened |= {"opening_s": ended.opening_s, "end_gap_s": ended.gap_s}
        take = replace(asked, **opened, end=ended.end, failure=failure)
        self._file.append(take)
        self._heard(take)


def question_of(call: HTTPCall, scrub: Scrubber) -> TapeQuestion:
    """What a call asks, as a tape knows it."""
    return TapeQuestion(
        method=call.method,
        resource=resource_of(call.url),
        body=scrub.text(canonical(call.body)),
        after=scrub.text(call.headers.get("last-event-id", "")),
    )


def _reads(gaps_s: list[float], pieces: list[bytes]) -> list[Read]:
    """The reads; one of which nothing is left gives its gap to the next, since no read is empty."""
    reads, before_s = [], 0.0
    for gap_s, data in zip(gaps_s, pieces, strict=True):
        before_s += gap_s
        if data:
            reads.append(Read(gap_s=before_s, data=data))
            before_s = 0.0
    return reads


def _failure(error: errors.DeepSeekError, scrub: Scrubber) -> TapeFailure:
    more = {name: value for name in _MORE if (value := getattr(error, name, None)) not in (None, False)}
    hint = scrub.said(error.hint) if error.hint else ""
    return TapeFailure(type=type(error).__name__, message=scrub.said(error.message), hint=hint, more=more)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class _Ending:
    """The times of one call as they are measured, and how it ended."""

    def __init__(self) -> None:
        self._last_s = self._now_s
        self.opening_s = self.gap_s = 0.0
        self.reads: list[tuple[float, bytes]] = []
        self.end: End = "left"
        self.error: errors.DeepSeekError | None = None

    @property
    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def gap(self) -> float:
        """Seconds since this was asked last."""
        before_s, self._last_s = self._last_s, self._now_s
        return self._last_s - before_s


class _Recording(AbstractAsyncContextManager[HTTPAnswer]):
    """A call for as long as somebody reads it."""

    def __init__(self, opened: AbstractAsyncContextManager[HTTPAnswer], asked: Take, recorder: Recorder) -> None:
        self._opened = opened
        self._asked = asked
        self._recorder = recorder
        self._answer: HTTPAnswer | None = None

    async def __aenter__(self) -> HTTPAnswer:
        ending = self._ending = _Ending()
        try:
            self._answer = await self._opened.__aenter__()
        except BaseException as error:
            ending.opening_s = ending.gap()
            ending.error = error if isinstance(error, errors.DeepSeekError) else None
            self._recorder.written(self._asked, None, ending)
            raise
        ending.opening_s = ending.gap()
        return _RecordedAnswer(self._answer, ending)

    async def __aexit__(self, *raised: Any) -> None:
        self._ending.gap_s = self._ending.gap()
        try:
            await self._opened.__aexit__(*raised)
        finally:
            self._recorder.written(self._asked, self._answer, self._ending)


class _RecordedAnswer:
    """HTTPAnswer that notes what is read of it."""

    def __init__(self, answer: HTTPAnswer, ending: _Ending) -> None:
        self._answer = answer
        self._ending = ending
        self.status = answer.status
        self.headers = answer.headers
        self.http_version = answer.http_version
        self.connect_s = answer.connect_s
        self.timings_s = answer.timings_s

    @property
    def wire_bytes(self) -> int:
        return self._answer.wire_bytes

    @property
    def body_bytes(self) -> int:
        return self._answer.body_bytes

    @property
    def read_every_s(self) -> float:
        return self._answer.read_every_s

    def leave_unread(self, at_most_s: float) -> None:
        """Nothing: a recording has each read as it comes."""

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        ending = self._ending
        try:
            async with contextlib.aclosing(self._answer.chunks()) as chunks:
                async for data in chunks:
                    ending.reads.append((ending.gap(), data))
                    yield data
            ending.end = "whole"
        except errors.DeepSeekError as error:
            ending.error = error
            raise

    async def drain(self) -> bool:
        whole = await self._answer.drain()
        self._ending.end = "rest" if whole else "damaged"
        return whole


def free(path: Path, *, overwrite: bool) -> None:
    """Raise ConfigurationError where no tape can be written: a file is there, or no folder, or it may not be written."""
    if path.exists() and not overwrite:
        said = Message("{name} was not recorded to: it exists already.", name=path.name)
        raise errors.ConfigurationError(said, hint=Message("Take another name, or add --overwrite (overwrite=True)."))
    if path.is_dir() or not path.parent.is_dir():
        said = Message("{name} cannot be a tape: there is no folder {path}.", name=path.name, path=path.parent)
        if path.is_dir():
            said = Message("{name} cannot be a tape: it is a folder.", name=path.name)
        raise errors.ConfigurationError(said)
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise errors.ConfigurationError(Message("{name} cannot be a tape: it may not be written.", name=path.name))
