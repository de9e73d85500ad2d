"""Several endpoints in order: when the next one is tried, what it does with half an answer, and for how long one that
failed goes to the end of the line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ..protocol.errors import DeepSeekError
from ..text.messages import Message
from .attempts import Abilities, Delivered, RecoveryPolicy
from .causes import is_down
from .recovery import Continue, Restart, Retry, cannot_continue

DOWN_FOR_S: Final = 60.0
"""An endpoint that failed is asked last for so long; asked it still is, when all others fail too."""

ATTEMPTS_BEFORE_THE_NEXT: Final = 2
"""One that fails twice is left for the next one; waiting longer is for the last one alone."""


def patience(policy: RecoveryPolicy, *, last: bool) -> RecoveryPolicy:
    """How hard to try at an endpoint that has others to fall back on."""
    if last:
        return policy
    tries = ATTEMPTS_BEFORE_THE_NEXT
    return replace(policy, attempts=min(policy.attempts, tries), resumes=min(policy.resumes, tries - 1))


def taking_over(delivered: Delivered, *, can: Abilities, why: Message) -> Retry | Continue | Restart | None:
    """What the next endpoint does with an answer that another one left: ask, as nothing had come; go on from it; begin
    it anew. None when it can do neither, because text that was given out cannot be taken back."""
    if not delivered.anything:
        return Retry(why=why)
    used_up = delivered.tokens_left is not None and delivered.tokens_left <= 0
    if not used_up and cannot_continue(delivered, can) is None:
        return Continue.of(delivered, max_tokens=delivered.tokens_left, why=why)
    return Restart(why=why) if can.rewind else None


class DownEndpoints:
    """Which endpoints failed lately, by base URL. ``now_s`` is of one monotonic clock."""

    def __init__(self) -> None:
        self._until_s: dict[str, float] = {}

    def note(self, base_url: str, error: DeepSeekError | None, now_s: float) -> None:
        """A call ended there, with this error or well."""
        if is_down(error):
            self._until_s[base_url] = now_s + DOWN_FOR_S
        else:
            self._until_s.pop(base_url, None)

    def order(self, base_urls: Sequence[str], now_s: float) -> list[int]:
        """The places in ``base_urls`` in the order to try: the given one, but those that failed lately last."""
        self._until_s = {url: until_s for url, until_s in self._until_s.items() if until_s > now_s}
        return sorted(range(len(base_urls)), key=lambda i: base_urls[i] in self._until_s)
