"""A lesson on tape: ``with ds.record(file)`` and ``with ds.replay(file)``; a recording needs the network, a replay nothing."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Self

from ..engine.tape.deck import Deck, Else, deck
from ..engine.tape.recorder import TapeFile
from ..protocol.errors import ConfigurationError
from ..text.messages import Message, numbered


class Recording:
    """A tape that is being recorded, from ``ds.record`` on until ``stop``, or to the end of a ``with`` block."""

    def __init__(self, deck: Deck, file: TapeFile) -> None:
        self._deck = deck
        self._file = file

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    @property
    def count(self) -> int:
        """How many requests are on it."""
        return self._file.count

    def stop(self) -> None:
        """End it. Raises ConfigurationError when a part of it could not be written."""
        if self._deck.recording is self._file:
            self._deck.stop()
        if self._file.problem:
            said = Message("The tape {name} is not complete: {why}.", name=self.path.name, why=self._file.problem)
            raise ConfigurationError(said, hint=Message("Make room, and record it again."))

    @property
    def said(self) -> Message:
        """One sentence on it."""
        one = Message("The tape {name} holds one request so far.", name=self.path.name)
        many = Message("The tape {name} holds {count} requests so far.", name=self.path.name, count=self.count)
        return numbered(self.count, one, many)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Replay:
    """A tape that plays, from ``ds.replay`` on until ``stop``, or to the end of a ``with`` block.

    ``notices`` are sentences for whoever plays it.
    """

    def __init__(self, deck: Deck, path: Path, *, pace: float, otherwise: Else) -> None:
        self._deck = deck
        self._player = deck.play(path, pace=pace, otherwise=otherwise)

    @property
    def name(self) -> str:
        """The file's name."""
        return self._player.name

    @property
    def notices(self) -> tuple[Message, ...]:
        """What there is to know about the tape before it plays."""
        return self._player.notices

    @property
    def taken(self) -> int:
        """How many recorded requests were played."""
        return self._player.progress[0]

    @property
    def count(self) -> int:
        """How many it holds."""
        return self._player.progress[1]

    def stop(self) -> None:
        """Stop it: calls go to the network again."""
        if self._deck.playing is self._player:
            self._deck.stop()

    @property
    def said(self) -> Message:
        """One sentence on it."""
        return self._player.said

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def record(file: str | PathLike[str], *, overwrite: bool = False) -> Recording:
    """Record on a tape what the network brings to every call of this process from now on, until the ``with`` block ends or
    ``stop`` is called: status, headers, each network read with the gap before it.

    No key is in it, nor the name of this machine or of your home folder. Raises ConfigurationError when the file is there
    and ``overwrite`` is not set, when it cannot be written, and while another tape is recorded or played.
    """
    return Recording(deck, deck.record(Path(file).expanduser(), overwrite=overwrite))


def recording() -> Recording | None:
    """What is recorded at the moment, if anything is."""
    file = deck.recording
    return None if file is None or deck.playing is not None else Recording(deck, file)


def replay(file: str | PathLike[str], *, pace: float = 1.0, otherwise: Else = "refuse") -> Replay:
    """Answer every call of this process from a tape, without key or network, until the ``with`` block ends or ``stop`` is
    called. ``pace`` is a factor on every wait: 1 as recorded, 0 at once.

    ``otherwise``: what is not on the tape is refused with ``ds.NotOnTape`` ("refuse"), or the network is asked and the
    answer is recorded, too ("ask"). Raises ConfigurationError for what is no tape, and while another one is in use.
    """
    return Replay(deck, Path(file).expanduser(), pace=pace, otherwise=otherwise)
