"""Finish reason → outcome: the words are mapped here; what recovery does about an ending is in ``policy.recovery``.

The verdict is never optimistic: only a finish reason from the provider makes an answer complete. ``[DONE]`` alone, the
end of the file alone and a timer alone do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from ..text.messages import words

Outcome = Literal["complete", "truncated", "filtered", "interrupted", "incomplete"]

AT_LENGTH: Final = "length"
"""The reason of an answer that its token budget ended, which may be continued."""

OUTCOMES: Final[Mapping[str, Outcome]] = {
    "stop": "complete",
    "tool_calls": "complete",
    "function_call": "complete",
    AT_LENGTH: "truncated",
    "content_filter": "filtered",
}
"""The documented ends. Any other word is no end of an answer."""

OUTCOME_WORDS: Final = words("complete", "truncated", "filtered", "interrupted", "incomplete", "cached")
"""How an outcome is shown; the log has "cached" besides, for an answer from the journal."""

GAVE_UP: Final = frozenset({"insufficient_system_resource", "aborted"})
"""The words of a server that broke off by itself."""

WHOLE: Final = frozenset(OUTCOMES.values())
"""What a provider can make of an answer; the other outcomes are the user's and the network's."""


RESUMABLE: Final[tuple[Outcome, ...]] = ("interrupted", "incomplete", "truncated")
"""The outcomes that leave an answer which can be resumed."""


def verdict(finish_reason: str | None, *, has_answer: bool, interrupted: bool = False) -> Outcome:
    """What an ending is worth. A ``stop`` without a word of answer is an empty response, not an answer."""
    if interrupted:
        return "interrupted"
    outcome = OUTCOMES.get(finish_reason or "", "incomplete")
    return "incomplete" if outcome == "complete" and not has_answer else outcome
