"""The cells of a notebook's file, and what can happen in one that matters for its cost."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ...protocol.errors import ConfigurationError
from ...text.messages import Message


@dataclass(frozen=True, slots=True)
class NotebookCell:
    """A code cell; ``number`` counts them from 1, as the brackets beside them will after a run of all."""

    number: int
    id: str | None
    source: str


@dataclass(frozen=True, slots=True)
class FoundMagic:
    """A magic that is called; ``why`` nobody can tell how often."""

    name: str
    line: str
    body: str | None
    why: Message | None


@dataclass(frozen=True, slots=True)
class FoundCall:
    """A call of one of ``ASKING``, as it is ``shown``; or a place that may ask without one, with its ``text``."""

    name: str
    shown: str
    node: ast.Call | None
    why: Message | None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Bound:
    """A name gets a value: that of ``node``, the ``answer`` of the call before, a ``function``, or one that is not known."""

    name: str
    node: ast.expr | None = None
    answer: bool = False
    function: bool = False


@dataclass(frozen=True, slots=True)
class Changed:
    """What a name stands for may be changed in place."""

    name: str


@dataclass(frozen=True, slots=True)
class AnyBound:
    """Any name may be bound from here on."""


class PlayedTape(NamedTuple):
    """A tape that answers; ``asks``: the network is asked for what is not on it."""

    name: str
    asks: bool


@dataclass(frozen=True, slots=True)
class Played:
    """From here on a tape answers, or none."""

    tape: PlayedTape | None


Step = FoundMagic | FoundCall | Bound | Changed | AnyBound | Played


def read_notebook(path: Path) -> list[NotebookCell]:
    """The code cells of a notebook's file. Raises ConfigurationError where it cannot be read."""
    hint = Message("Give the path of a notebook, FILE.ipynb.")
    if not path.is_file():
        raise ConfigurationError(Message("There is no notebook {path}.", path=path), hint=hint)
    try:
        cells = json.loads(path.read_text("utf-8"))["cells"]
        sources = [(cell.get("id"), "".join(cell["source"])) for cell in cells if cell["cell_type"] == "code"]
    except OSError as error:
        said = Message("The notebook {path} cannot be read: {why}.", path=path, why=error.strerror)
        raise ConfigurationError(said, hint=hint) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigurationError(
            Message("The notebook {path} cannot be read: {why}.", path=path, why=Message("it is no notebook")),
            hint=hint,
        ) from None
    return [NotebookCell(number, id, source) for number, (id, source) in enumerate(sources, 1)]
