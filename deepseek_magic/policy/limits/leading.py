"""Of calls that begin alike one goes first, so that the others find its beginning in the host's cache.

A host that reads the same long text for many calls at once reads it, and bills it, for each of them; after one has been
answered it bills the others a fiftieth (DeepSeek: 0.003 against 0.15 dollars a million tokens). So the first call with a
beginning leads, and the others follow when its answer has begun and the host has had time to store what it read. No call
waits for that more than once, and none is made for it. A host whose followers find nothing is not waited for any more.

Pure: times are one monotonic clock's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from ...protocol.chat import Request
from ..pricing import estimate_tokens

LEAD_TOKENS: Final = 2_000
"""A shorter beginning is not worth a wait: of 32 calls at once it costs a cent."""

BUILD_S: Final = 2.0
"""DeepSeek builds its cache in "seconds" (guides/kv_cache); an answer that has begun was read some time before."""

WAIT_S: Final = 10.0
"""The others wait so long at most for a leader that does not begin."""

KEPT_S: Final = 3_600.0
"""For so long a beginning is taken to be stored. DeepSeek drops what is unused after hours."""

MISSES: Final = 3
"""After so many followers in a row that found nothing, a host is not waited for."""

_STEP_CHARS: Final = 256
_MOST_GROUPS: Final = 2_000


class Beginning(NamedTuple):
    """What a long prompt begins with: equal where the host's cache may serve one call from the other."""

    place: tuple[str, str]
    """The address and the model."""
    digest: bytes


def beginning(request: Request, base_url: str) -> Beginning | None:
    """The beginning of a request sent to ``base_url``; None where its prompt is too short to be worth a wait."""
    options, left = request.options, float(LEAD_TOKENS)
    # What stands in the prompt before the messages, or keeps caches apart.
    head = [options.get(name) for name in ("think", "tools", "user_id")]
    digest = hashlib.sha256(repr(head).encode("utf-8", "surrogatepass"))
    for piece in _pieces(request):
        digest.update(piece.encode("utf-8", "surrogatepass"))
        left -= estimate_tokens(piece)
        if left <= 0:
            return Beginning((base_url, str(options.get("model") or "")), digest.digest()[:16])
    return None


def _pieces(request: Request) -> Iterator[str]:
    """The prompt's text in pieces that begin at the same places wherever it begins alike."""
    for message in request.messages:
        yield f"\n{message.role}\n"
        for part in ({"text": message.content},) if isinstance(message.content, str) else message.content:
            text = str(part["text"] if part.get("text") else part)
            for start in range(0, len(text), _STEP_CHARS):
                yield text[start : start + _STEP_CHARS]


@dataclass(slots=True)
class _Group:
    led_s: float
    begun_s: float | None = None

    @property
    def opens_s(self) -> float:
        longest_s = self.led_s + WAIT_S
        return longest_s if self.begun_s is None else min(longest_s, self.begun_s + BUILD_S)


class Leading:
    """Who leads, and who has to wait for it."""

    def __init__(self) -> None:
        self._groups: dict[Beginning, _Group] = {}
        self._misses: dict[tuple[str, str], tuple[int, float]] = {}

    def wait_s(self, of: Beginning | None, now_s: float) -> float:
        """The seconds that a call which has not waited yet has to wait; 0 if it may go. The leader, or its failure, may
        shorten them."""
        group = None if of is None else self._groups.get(of)
        if of is None or group is None or not self._leads(of, now_s):
            return 0.0
        return max(0.0, group.opens_s - now_s)

    def goes(self, of: Beginning, now_s: float) -> bool:
        """A call is sent that nobody has to be waited for. Whether it leads: no other that begins alike was sent lately."""
        group = self._groups.get(of)
        if group is not None and now_s < group.opens_s + KEPT_S:
            return False
        while len(self._groups) >= _MOST_GROUPS:
            del self._groups[next(iter(self._groups))]
        self._groups.pop(of, None)
        self._groups[of] = _Group(now_s)
        return True

    def begun(self, of: Beginning, now_s: float) -> None:
        """The leader's answer has begun, so the host has read what it begins with."""
        group = self._groups.get(of)
        if group is not None and group.begun_s is None:
            group.begun_s = now_s

    def gone(self, of: Beginning) -> None:
        """The leader was not sent, or ended before its answer began: nobody waits for it, and another one may lead."""
        group = self._groups.get(of)
        if group is not None and group.begun_s is None:
            del self._groups[of]

    def billed(self, of: Beginning, hit_tokens: int | None, now_s: float) -> None:
        """What a call that did not lead found in the cache; None where the host does not say."""
        group = self._groups.get(of)
        if group is None or group.begun_s is None:
            return  # nobody had read the beginning for it
        if hit_tokens is not None and 2 * hit_tokens >= LEAD_TOKENS:
            self._misses.pop(of.place, None)
        else:
            self._misses[of.place] = self._misses.get(of.place, (0, 0.0))[0] + 1, now_s

    def _leads(self, of: Beginning, now_s: float) -> bool:
        misses, since_s = self._misses.get(of.place, (0, 0.0))
        return misses < MISSES or now_s > since_s + KEPT_S
