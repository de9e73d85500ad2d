"""The cells of a notebook as text for a prompt: ``{Notebook}``, ``{Cells[-3:]}``, ``--context N``.

A cell is shown as it was typed, with what it printed, its result and its error. Cells that asked a model are left out where
the conversation that is sent has them already.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ...policy.pricing import estimate_tokens
from ...protocol.context.pieces import Attached
from ...protocol.template import Uncut
from ...text.fences import fenced
from ...text.messages import Message
from .gathering import Gathering

MAX_NOTEBOOK_TOKENS: Final = 8_000
MAX_OUTPUT_BYTES: Final = 2_000
NAMES: Final = ("Notebook", "Cells")
"""What cells are called in a prompt."""
MANY_CELLS: Final = 4
"""More are listed as a range."""


class RanCell:
    """A cell that ran: its number, its source as typed, and its output as text, made when it is asked for. ``answer``: the
    model's, of a cell that asked one; ``cut``: how many characters of the output are not in it any more."""

    def __init__(
        self, number: int, source: str, *, output: Callable[[], str] = str, answer: str | None = None, cut: int = 0
    ) -> None:
        self.number, self.source, self.answer, self.cut = number, source, answer, cut
        self._output = output

    @functools.cached_property
    def output(self) -> str:
        """What it printed, its result and its error; of a cell that asked a model the answer."""
        return self._output() if self.answer is None else self.answer


@dataclass(frozen=True, slots=True)
class Excerpt(Uncut):
    """Cells as one text."""

    text: str


class Cells(Uncut):
    """The cells that ran, oldest first: ``Cells[-1]`` and ``Cells[-3:]`` are texts for a prompt, and so are all of them."""

    def __init__(self, ran: Callable[[], Sequence[RanCell]], gathering: Gathering) -> None:
        self._ran, self._gathering = ran, gathering

    def __getitem__(self, which: int | slice) -> Excerpt:
        ran = self._ran()
        return excerpt(ran[which] if isinstance(which, slice) else [ran[which]], self._gathering)

    @property
    def text(self) -> str:
        """All of them, as far as they fit."""
        return excerpt(self._ran(), self._gathering).text


class NotebookValues(Mapping[str, Any]):
    """``Notebook`` and ``Cells`` as variables of a prompt, made when one is used."""

    def __init__(self, ran: Callable[[], Sequence[RanCell]], gathering: Gathering) -> None:
        self._cells = Cells(ran, gathering)

    def __getitem__(self, name: str) -> Any:
        if name not in NAMES:
            raise KeyError(name)
        return self._cells

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)


def excerpt(ran: Sequence[RanCell], gathering: Gathering) -> Excerpt:
    """Cells as one text, the newest kept where they are too long; ``gathering`` lists them."""
    texts = [text for _, text in chosen(ran, gathering)]
    return Excerpt("\n\n".join(texts) or "(no cells)")


def attached(ran: Sequence[RanCell], gathering: Gathering, *, last: int) -> list[Attached]:
    """The ``last`` cells as a part of a message, but for what the conversation has; no older cell takes its place."""
    texts = [text for _, text in chosen(ran, gathering, last=last)]
    return [Attached(gathering.pieces[-1].name, "\n\n".join(texts))] if texts else []


def chosen(ran: Sequence[RanCell], gathering: Gathering, *, last: int | None = None) -> list[tuple[RanCell, str]]:
    """The cells that are sent, each with its text: all, or of the ``last`` ones those that the conversation does not have word
    for word. Those count, too: else the same question would send an older cell each time that it is asked."""
    found: list[tuple[RanCell, str]] = []
    left, known, whole, seen = MAX_NOTEBOOK_TOKENS, list[RanCell](), 0, 0
    for cell in reversed(ran):
        if seen == last:
            break
        seen += 1
        if cell.answer is not None and cell.answer.strip() and gathering.has(cell.answer):
            known.append(cell)
            continue
        text = cell_text(cell, gathering)
        if last is not None and gathering.has(text):
            known.append(cell)
            continue
        left -= estimate_tokens(text)
        if left < 0 and found:
            _say_left_out(ran[0], cell, gathering)
            break
        if left < 0:
            text = _shortened(text)
            gathering.say(
                Message(
                    "{name} was cut to {limit} tokens.", name=f"In[{cell.number}]", limit=f"{MAX_NOTEBOOK_TOKENS:,}"
                )
            )
        whole += len(cell.source) + len(cell.output) + cell.cut
        found.append((cell, text))
    found.reverse()
    if known:
        names = ", ".join(f"In[{cell.number}]" for cell in reversed(known))
        gathering.say(Message("Not sent twice, because the conversation has it: {names}.", names=names))
    if found:
        text = "\n\n".join(text for _, text in found)
        gathering.add(_name([cell for cell, _ in found]), text, whole=whole if _is_cut(found) else None)
    return found


def _is_cut(found: Sequence[tuple[RanCell, str]]) -> bool:
    return any(cell.cut or len(cell.output.encode()) > MAX_OUTPUT_BYTES for cell, _ in found)


def _say_left_out(first: RanCell, last: RanCell, gathering: Gathering) -> None:
    limit = f"{MAX_NOTEBOOK_TOKENS:,}"
    if first.number == last.number:
        said = Message("{name} was left out: cells take {limit} tokens at most, and newer ones go first.")
        gathering.say(said.filled(name=f"In[{first.number}]", limit=limit))
        return
    gathering.say(
        Message(
            "In[{first}] to In[{last}] were left out: cells take {limit} tokens at most, and newer ones go first.",
            first=first.number,
            last=last.number,
            limit=limit,
        )
    )


def _shortened(text: str) -> str:
    """The beginning of a text, as long as is allowed."""
    share = MAX_NOTEBOOK_TOKENS / max(1, estimate_tokens(text))
    return f"{text[: int(len(text) * share)]}\n… (cut)"


def cell_text(cell: RanCell, gathering: Gathering) -> str:
    """A cell as it is sent: its source and its output in code blocks that nothing in them can end."""
    name = f"In[{cell.number}]"
    text = f"{name}:\n{fenced(gathering.clean(name, cell.source.strip()), 'python')}"
    output = cell.output.strip()
    if not output:
        return text.rstrip("\n")
    name = f"Out[{cell.number}]"
    output, cut = shortened_output(gathering.clean(name, output))
    if cut + cell.cut:
        gathering.say(
            Message("{name} is longer than {limit}: only its beginning and its end were sent.", name=name, limit="2 kB")
        )
    return f"{text}{name}:\n{fenced(output)}".rstrip("\n")


def shortened_output(text: str) -> tuple[str, int]:
    """An output, of a long one the first and the last kilobyte; how many bytes were left out."""
    data = text.encode("utf-8", "replace")
    if len(data) <= MAX_OUTPUT_BYTES:
        return text, 0
    half = MAX_OUTPUT_BYTES // 2
    cut = len(data) - MAX_OUTPUT_BYTES
    begin, end = data[:half].decode("utf-8", "ignore"), data[-half:].decode("utf-8", "ignore")
    return f"{begin}\n… (cut: {cut:,} more bytes)\n{end}", cut


def _name(cells: Sequence[RanCell]) -> Message | str:
    if len(cells) > MANY_CELLS:
        first, last = cells[0].number, cells[-1].number
        return Message("{count} cells (In[{first}] to In[{last}])", count=len(cells), first=first, last=last)
    names = []
    for cell in cells:
        names.append(f"In[{cell.number}]")
        if cell.output.strip():
            names.append(f"Out[{cell.number}]")
    return ", ".join(names)
