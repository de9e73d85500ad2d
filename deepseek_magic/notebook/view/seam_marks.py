"""Where two segments of an answer were joined: a thin mark in the text, which unfolds into how and why.

The mark is display only; the answer's own text is never touched. It is left out wherever it could change what is around
it (code, formulas, tables, links, at the edge of an emphasis): the footer below the answer names every seam anyway.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ...protocol.completion import Completion
from ...protocol.events import Seam, SeamKind
from ...text.fences import FenceReader
from ...text.messages import Message, localized, say

_JOINED: Final[Mapping[SeamKind, Message]] = {
    "continued": Message("{what}; asked again for the rest, attempt {n}, and joined{where}."),
    "resumed": Message("{what}; asked again for the rest of the stream, attempt {n}, and joined."),
    "restarted": Message("{what}; asked again from the beginning, attempt {n}."),
}

SIGN: Final = "┊"
_PLACE: Final = "\ue5ea"
"""Stands for a mark while the text is made safe. A private character, which no renderer knows."""

_REACH_CHARS: Final = 40
"""A mark does not cut a word: it waits for the next space, so far at most."""
_UNSURE: Final = re.compile(r"[`$|<\\\]~]|^(?: {4}|\t)|https?:", re.MULTILINE)
_WIDE: Final = "\u2e80"
"""From here on words need no spaces between them."""


def cause(detail: Message | str) -> Any:
    """What happened, of a sentence that says what happened and what is done about it; "" of any other."""
    return detail.values.get("what", "") if isinstance(detail, Message) else ""


def seam_line(seam: Seam) -> str:
    """What broke, where the two segments meet, and how it went on: one sentence.

    A continuation begins some letters before the break, at a whole word, so its place is named as where it was joined: the
    mark is there.
    """
    told = seam.detail.values if isinstance(seam.detail, Message) else {}
    if "what" not in told or "n" not in told:  # of a failover, which has a sentence of its own
        return localized(seam.detail) or say("Joined.")
    where = Message(" at character {at}", at=f"{seam.at_chars:,}") if seam.at_chars else ""
    return _JOINED[seam.kind].filled(what=told["what"], n=told["n"], where=where).localized()


def strip_line(completion: Completion) -> str:
    """What happened to an answer that was asked for more than once, for the line above it; nothing of any other."""
    seams, again = completion.seams, completion.attempts - 1
    if any(
        not cause(seam.detail) for seam in seams
    ):  # of a failover, or of a token budget: these have their own sentence
        return localized(seams[0].detail) if len(seams) == 1 else say("joined {count}×", count=len(seams))
    if not seams:
        return (
            " · ".join((say("No answer {count}×", count=again), asked_again(again)))
            if again > 0 and completion.text
            else ""
        )
    last = seams[-1]
    if len(seams) > 1:
        said = [say("Broke off {count}×", count=len(seams)), asked_again(len(seams))]
    else:
        said = [localized(cause(last.detail)), say("asked again")]
    if last.kind == "restarted":
        said[-1] = say("asked again from the beginning")
    else:
        said.append(say("joined") if len(seams) == 1 else say("joined {count}×", count=len(seams)))
        if completion.outcome == "complete":
            said.append(say("nothing is lost"))
    return " · ".join(said)


def asked_again(count: int) -> str:
    """That an answer was, and how often."""
    return say("asked again") if count == 1 else say("asked again {count}×", count=count)


def marked(text: str, seams: Sequence[Seam], safe: Callable[[str], str], escape: Callable[[str], str]) -> str:
    """``safe(text)`` with a mark at each seam that allows one; ``escape`` makes a text fit for an attribute."""
    if _PLACE in text:
        return safe(text)
    places = {place: seam for seam in seams if (place := _place(text, seam)) is not None}
    if not places:
        return safe(text)
    pieces, begin = [], 0
    for place in sorted(places):
        pieces.append(text[begin:place])
        begin = place
    shown = safe(_PLACE.join([*pieces, text[begin:]]))
    for place in sorted(places):
        shown = shown.replace(_PLACE, f'<span title="{escape(seam_line(places[place]))}">{SIGN}</span>', 1)
    return shown


def _place(text: str, seam: Seam) -> int | None:
    """Where the mark goes: between two words of a plain paragraph; None where there is no such place."""
    at = seam.at_chars
    if seam.kind == "restarted" or at is None or not 0 < at < len(text):
        return None
    if not (text[at - 1] >= _WIDE and text[at] >= _WIDE):
        at = text.find(" ", at - 1, at + _REACH_CHARS)
        if at < 1:
            return None
    begin, end = text.rfind("\n\n", 0, at) + 1, text.find("\n\n", at)
    paragraph = text[begin : end if end >= 0 else len(text)]
    before, after = text[at - 1], text[at:].lstrip(" ")[:1]
    plain = (before.isalnum() or before in ",.;:!?，。；：！？") and after.isalnum()
    if not plain or _UNSURE.search(paragraph) or _in_code(text[:at]):
        return None
    return at


def _in_code(text: str) -> bool:
    """Whether ``text`` ends in a code block."""
    reader = FenceReader()
    for line in text.split("\n"):
        reader.read(line)
    return reader.fence is not None
