"""A question about what was said before: the demo quotes it, or says that nobody told it. It knows only what was sent."""

from __future__ import annotations

import re
from typing import Final

from .inquiry import Inquiry
from .texts import say

_ASKS: Final = {
    "en": re.compile(
        r"\s*(?=.*\b(?:we|our|us|my|i)\b)(?:where|when|who|whose|what(?:'s| is| was| are)\b)[^?.\n]*\?\s*",
        re.IGNORECASE,
    ),
    "zh": re.compile(r"\s*(?=.*[我咱])(?=.*(?:哪里|哪儿|在哪|什么时候|几点|谁|叫什么))[^？?。\n]*[？?]\s*"),
}
_SMALL: Final = re.compile(
    r"wh(?:ere|en|o|ose|at)(?:'s)?|is|was|are|am|do|does|did|we|our|us|my|i|the|an?|in|at|to|of", re.IGNORECASE
)
_CHINESE: Final = re.compile(r"[\u3400-\u9fff]+")
_SMALL_SIGNS: Final = frozenset("我们咱的在哪里儿什么时候几点谁叫是了吗呢")
_STEM_CHARS: Final = 4
"""As much of a word as "meet" and "meeting" have in common."""
_SENTENCE: Final = re.compile(r"[^.!?。！？\n]+[.!?。！？]*")


def recalled(asked: Inquiry) -> str | None:
    """The answer to a question about something that was said; None for anything else."""
    *before, question = asked.said or [""]
    if not _ASKS[asked.language].fullmatch(question):
        return None
    wanted = _stems(question)
    for said in reversed(before):
        for sentence in _SENTENCE.findall(said):
            if wanted & _stems(sentence) or not wanted:
                return say(asked.language, "recalled", sentence=sentence.strip(), messages=len(asked.messages))
    return say(asked.language, "never_told", messages=len(asked.messages), s="" if len(asked.messages) == 1 else "s")


def _stems(text: str) -> set[str]:
    """What a sentence is about: the beginnings of its words, and of Chinese its pairs of signs."""
    words = {word[:_STEM_CHARS] for word in re.findall(r"[a-z']+", text.lower()) if not _SMALL.fullmatch(word)}
    runs = _CHINESE.findall("".join(" " if sign in _SMALL_SIGNS else sign for sign in text))
    return words | {run[at : at + 2] for run in runs for at in range(len(run) - 1)}
