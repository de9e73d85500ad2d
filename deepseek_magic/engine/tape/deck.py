"""Whether this process records or plays a tape. Every transport that is made here asks it, call by call.

While a tape plays, the places that calls go to need no key. Whatever is learnt of a place (its limits, the ways that it
refuses, answers that the journal keeps) is learnt apart from the place itself: see ``Endpoint.address``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from ...protocol.errors import ConfigurationError
from ...protocol.tape.takes import Take, Tape, read_tape
from ...text.messages import Message
from ..calls import HTTPAnswer, HTTPCall, Transport
from ..hosts import endpoints
from ..hosts.endpoints import Endpoint, Taped
from ..hosts.keys import find_key
from .player import Player
from .recorder import Recorder, TapeFile, free

Else = Literal["refuse", "ask"]
ELSE: Final[tuple[Else, ...]] = ("refuse", "ask")
"""What becomes of a request that is not on the tape."""

_numbers: Final = itertools.count(1)


class Deck:
    """One tape at a time. ``cell`` names the cell that runs, for the tape; the notebook sets it."""

    def __init__(self) -> None:
        self.cell: Callable[[], str] = str
        self.recording: TapeFile | None = None
        self.playing: Player | None = None
        self.taped: Taped | None = None

    def record(self, path: Path, *, overwrite: bool = False) -> TapeFile:
        """Record every call from now on. Raises ConfigurationError."""
        self._check_empty()
        free(path, overwrite=overwrite)
        self.recording = TapeFile(path)
        self._put(Taped(number=next(_numbers), name=path.name))
        return self.recording

    def play(self, path: Path, *, pace: float = 1.0, otherwise: Else = "refuse") -> Player:
        """Answer every call from a tape from now on; ``otherwise`` is for what it does not hold. Raises ConfigurationError."""
        self._check_empty()
        if pace < 0:
            raise ConfigurationError.of_setting("pace", pace, Message("it takes a number from 0"))
        if otherwise not in ELSE:
            raise ConfigurationError.of_setting("else", otherwise, Message("it takes refuse or ask"))
        tape = load(path)
        asks = otherwise == "ask"
        file = TapeFile(path, numbered_from=max((take.number for take in tape.takes), default=0) + 1, begun=True)
        player = Player(tape, name=path.name, pace=pace)
        self.playing, self.recording = player, file if asks else None
        self._put(Taped(number=next(_numbers), name=path.name, plays=True, asks=asks, pace=pace), tape)
        return player

    def stop(self) -> None:
        """Take the tape out."""
        self.playing = self.recording = self.taped = None
        endpoints.taping = None

    def open(self, call: HTTPCall, inner: Transport) -> AbstractAsyncContextManager[HTTPAnswer]:
        """Open a call as the tape has it, or by ``inner``."""
        player, file = self.playing, self.recording
        if player is None:
            return inner.open(call) if file is None else Recorder(inner, file, cell=self.cell).open(call)
        found = player.find(call)
        if found is not None:
            return found
        if file is None:
            return player.open(call)
        return Recorder(inner, file, cell=self.cell, heard=player.add).open(_with_key(call))

    def new_cell(self) -> None:
        """A cell begins."""
        if self.playing is not None:
            self.playing.rewind()

    def _check_empty(self) -> None:
        if self.playing is not None:
            said = Message("The tape {name} is playing already.", name=self.playing.name)
            raise ConfigurationError(said, hint=Message("%deepseek_replay off stops it."))
        if self.recording is not None:
            said = Message("The tape {name} is being recorded.", name=self.recording.path.name)
            raise ConfigurationError(said, hint=Message("%deepseek_record off ends it."))

    def _put(self, taped: Taped, tape: Tape | None = None) -> None:
        self.taped = taped
        first = next((take for take in tape.takes if take.question.method == "POST"), None) if tape else None

        def places(found: tuple[Endpoint, ...], typed: bool) -> tuple[Endpoint, ...]:
            if first is not None and not typed and not taped.asks:
                found = (_of(first),)
            return tuple(_at_tape(place, taped) for place in found)

        endpoints.taping = places


def _of(take: Take) -> Endpoint:
    """The endpoint that was asked."""
    return endpoints.recorded(take.endpoint, local=take.local, grpc_web="." in take.question.resource)


def _at_tape(place: Endpoint, taped: Taped) -> Endpoint:
    if not taped.plays:
        return replace(place, tape=taped)
    if taped.asks:
        return replace(place, tape=taped)
    return replace(place, tape=taped, title=taped.name, needs_key=False, key_variables=(), has_balance=False)


def _with_key(call: HTTPCall) -> HTTPCall:
    """A call that goes to the network after all. Raises MissingKey where it needs a key that there is not."""
    if call.key is not None or call.place is None:
        return call
    return replace(call, key=find_key(replace(call.place, tape=None)))


def load(path: Path) -> Tape:
    """The tape in a file. Raises ConfigurationError."""
    try:
        with path.open(encoding="utf-8") as lines:
            return read_tape(lines, name=path.name)
    except FileNotFoundError:
        raise ConfigurationError(
            Message("There is no tape at {path}.", path=path),
            hint=Message("It belongs beside the notebook; %deepseek_record FILE makes one."),
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError(Message("{name} is no tape.", name=path.name)) from None
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ConfigurationError(Message("The tape {name} cannot be read: {why}.", name=path.name, why=why)) from None


class Switched(Transport):
    """A transport that leaves a call to the deck's tape, where there is one."""

    def __init__(self, inner: Transport, deck: Deck) -> None:
        self._inner = inner
        self._deck = deck

    def open(self, call: HTTPCall) -> AbstractAsyncContextManager[HTTPAnswer]:
        """See Transport."""
        if self._deck.taped is None:
            return self._inner.open(call)
        return self._deck.open(call, self._inner)

    async def warm_up(self, url: str) -> float | None:
        """See Transport. While a tape plays, nobody is waited for."""
        return None if self._deck.playing is not None else await self._inner.warm_up(url)

    async def aclose(self) -> None:
        """See Transport."""
        await self._inner.aclose()

    @property
    def keep_warm_s(self) -> float | None:
        """See HTTPXTransport."""
        found: float | None = self._inner.keep_warm_s  # type: ignore[attr-defined]
        return found

    @keep_warm_s.setter
    def keep_warm_s(self, every_s: float | None) -> None:
        self._inner.keep_warm_s = every_s  # type: ignore[attr-defined]


deck: Final = Deck()
"""The deck of this process."""
