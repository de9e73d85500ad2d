"""A chain of thought inside the answer itself, between ``<think>`` and ``</think>`` → apart from it.

Ollama, llama.cpp and vLLM without a reasoning parser send it so (DeepSeek-R1's own format). Only a tag at the very start
counts: anywhere else it is a word of the answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

_OPEN: Final = "<think>"
_CLOSE: Final = "</think>"


@dataclass(slots=True, eq=False)
class ThinkTags:
    """Reads the answer's pieces in order; what may be the beginning of a tag is held back until the next piece.

    ``over`` is true once nothing but answer can follow: then the pieces need not be asked about any more.
    """

    _place: Literal["start", "thought", "gap", "answer"] = "start"
    _held: str = ""
    _thought: list[str] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether the answer itself has begun."""
        return self._place == "answer"

    def feed(self, piece: str) -> tuple[str, str]:
        """What ``piece`` adds to the thought, and to the answer that follows it. Line breaks beside the tags go."""
        self._held += piece
        thought = ""
        if self._place == "start":
            begin = self._held.lstrip()
            if begin.startswith(_OPEN):
                self._place, self._held = "thought", begin.removeprefix(_OPEN)
            elif not _OPEN.startswith(begin):
                self._place = "answer"
        if self._place == "thought":
            if not self._thought:
                self._held = self._held.lstrip("\r\n")
            thought, tag, rest = self._held.partition(_CLOSE)
            if tag:
                self._place, self._held = "gap", rest
            else:
                keep = next(n for n in range(len(_CLOSE) - 1, -1, -1) if thought.endswith(_CLOSE[:n]))
                thought, self._held = thought[: len(thought) - keep], thought[len(thought) - keep :]
            if thought:
                self._thought.append(thought)
        if self._place == "gap":
            self._held = self._held.lstrip("\r\n")
            if self._held:
                self._place = "answer"
        answer = ""
        if self._place == "answer":
            answer, self._held = self._held, ""
        return thought, answer

    @property
    def begun(self) -> bool:
        """Whether a thought is open, or something is held back."""
        return bool(self._held) or self._place == "thought"

    def close(self) -> tuple[str, str]:
        """What was held back when nothing more follows: the rest of the thought, and of the answer."""
        held, self._held = self._held, ""
        return (held, "") if self._place == "thought" else ("", held)

    @property
    def unclosed(self) -> str:
        """All that came since a tag that was never closed, the tag included: perhaps it was the answer. Else ""."""
        return _OPEN + "".join(self._thought) + self._held if self._place == "thought" else ""


def without_thought(text: str) -> str:
    """What follows a thought that is closed in ``text`` without being opened: some servers put the opening tag into the
    prompt, so that nobody sees it."""
    before, tag, answer = text.partition(_CLOSE)
    return answer if tag and _OPEN not in before else text
