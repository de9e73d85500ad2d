"""When a request may start: one limiter for an endpoint and its key, shared by all calls of the process.

A pure state machine; the engine puts a fair queue around it:

    while (pause := limiter.may_start(now, tokens)) is not None: show it, wait pause.seconds or until a call ends
    slot = limiter.started(now, tokens)          the request is sent
    limiter.observe(slot, now, status, ...)      its status and headers are there
    limiter.ended(slot, now, "done")             the stream is over, however it ended

Times are one monotonic clock's, except ``now_epoch_s``, which absolute header times are measured by.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from ...protocol.errors import APIStatusError, ConfigurationError
from ...protocol.events import WaitReason
from ...text.messages import Message
from ..causes import is_class_rule, quota_exhausted
from .buckets import Allowance, TokenBucket
from .concurrency import ConcurrencyWindow
from .ratelimit_headers import Headers, concurrency_limit, read_budgets, retry_after_s

SlotEnd = Literal["done", "refused", "failed"]
"""How a request ended: its stream came to its end, it was refused before one began, or anything else."""

UNANSWERED_MIN: Final = 4
UNANSWERED_SHARE: Final = 16
ACCEPTED_SHARE: Final = 8
"""At most this many requests (or a sixteenth of the cap, or an eighth of those accepted in a row) wait for their status at
once. A lowered limit then shows after a handful of refusals, however wide the window is, or costs an eighth of what went
well; and short answers are not held to four a round trip for ever."""
EVEN_SHARE: Final = 3
"""Where others send the requests each status comes later than the server gave it. There so many times as many may wait for
theirs as an even flow through the whole window has waiting."""
LEARNT: Final = 0.1
"""How much one request changes what is known of how long they take."""

RAMP_S: Final = 1.0
RAMP_FIRST_S: Final = 0.1
RAMP_SHARE: Final = 8
"""After a freeze an eighth of the window starts at once, the rest spread over a second: no herd."""

BREAK_S: Final = 10.0
"""After a used-up quota calls fail at once for this long: a batch stops, a person who topped up barely notices."""

FREEZE_BASE_S: Final = 0.5
FREEZE_MAX_S: Final = 8.0
TOLD_MAX_S: Final = 600.0
"""A pause that the server asked for keeps other calls waiting so long at most; then one of them asks again."""
SPREAD: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitPolicy:
    """What the client imposes on itself; what servers say comes on top.

    ``requests_per_s`` with ``burst`` is a rate of one's own, None for none. ``low_water``: the share of a server's
    budget below which the pace falls. ``concurrency``: requests at once. ``retry_share`` of all requests, and
    ``retries_per_minute`` besides, may be repetitions of refused ones.
    """

    requests_per_s: float | None = None
    burst: int = 4
    low_water: float = 0.20
    concurrency: int = 4
    retry_share: float = 0.10
    retries_per_minute: float = 10.0

    def __post_init__(self) -> None:
        paced = self.requests_per_s is None or self.requests_per_s > 0
        rules = (
            ("requests_per_s", paced, Message("it takes a number above 0, or None")),
            ("burst", self.burst >= 1, Message("it takes a number from 1")),
            ("low_water", 0 <= self.low_water <= 1, Message("it takes a number from 0 to 1")),
            ("concurrency", self.concurrency >= 1, Message("it takes a number from 1")),
            ("retry_share", self.retry_share >= 0, Message("it takes a number from 0")),
            ("retries_per_minute", self.retries_per_minute >= 0, Message("it takes a number from 0")),
        )
        for name, holds, why in rules:
            if not holds:
                raise ConfigurationError.of_setting(name, getattr(self, name), why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Why a request may not start yet. ``seconds`` is None when only another call's end can open the gate."""

    seconds: float | None
    reason: WaitReason


@dataclass(frozen=True, slots=True)
class Slot:
    """A request that has been let through."""

    number: int
    sent_at_s: float
    tokens: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The state of the limiter, for a panel or a doctor's report. ``fraction`` is the scarcest budget's remainder."""

    running: int
    window: int
    frozen_s: float
    fraction: float | None


class RetryBudget:
    """Bounds repetitions to a share of the requests, so that many callers cannot keep a busy server down.

    For refusals (429, 5xx). A broken line burdens nobody and is not counted here.
    """

    def __init__(self, policy: LimitPolicy, now_s: float) -> None:
        self._share = policy.retry_share
        # A bucket of rate 0 would never refill and divide by zero; this one only never refills.
        self._bucket = TokenBucket(max(policy.retries_per_minute / 60, 1e-9), policy.retries_per_minute, now_s)

    def requested(self, now_s: float) -> None:
        """A request is sent; its share is put in."""
        self._bucket.settle(now_s, self._share, 0.0)

    def spend(self, now_s: float) -> bool:
        """Take one repetition; False when none is left, and the error should surface at once."""
        if self._bucket.level(now_s) < 1:
            return False
        self._bucket.take(now_s)
        return True


class Limiter:
    """The state of one endpoint's and key's limits."""

    def __init__(self, policy: LimitPolicy, now_s: float = 0.0) -> None:
        self.policy = policy
        self.far = False
        """Whether others send the requests."""
        self._status_s = self._lasted_s = 0.0
        self.window = ConcurrencyWindow(policy.concurrency)
        self.retries = RetryBudget(policy, now_s)
        self._rate = TokenBucket(policy.requests_per_s, policy.burst, now_s) if policy.requests_per_s else None
        self._allowances: dict[str, Allowance] = {}
        self._answered: dict[int, bool | None] = {}  # running requests: not yet, accepted, refused
        self._next_number = 0
        self._frozen_until_s = -math.inf
        self._since_thaw = 0
        self._refusals = 0
        self._accepted_in_a_row = 0
        self._broken_until_s = -math.inf
        self._why_broken: Message | str = ""

    def blocked(self, now_s: float) -> Message | str | None:
        """Why no request makes sense at the moment (balance or quota used up), in the server's words; else None."""
        return self._why_broken if now_s < self._broken_until_s else None

    def may_start(self, now_s: float, tokens: float = 0.0, *, waiting: float = math.inf) -> Pause | None:
        """None: go. Else how long to wait, and why; ask again then, or when a call has ended or was answered. ``waiting``
        requests, this one included, want to start."""
        unanswered = sum(state is None for state in self._answered.values())
        share = math.ceil(self.window.cap / UNANSWERED_SHARE)
        if self.far and self._lasted_s:
            even = min(1.0, self._status_s / self._lasted_s) * self.window.size
            share = max(share, math.ceil(EVEN_SHARE * even))
        most_unanswered = max(UNANSWERED_MIN, share, self._accepted_in_a_row // ACCEPTED_SHARE)
        if self._refusals or any(allowance.presumed for allowance in self._allowances.values()):
            # After a refusal, or a budget that ran low, one request asks for all, until it is accepted.
            most_unanswered = 1
        if len(self._answered) >= self.window.size or unanswered >= most_unanswered:
            return Pause(seconds=None, reason="concurrency")
        frozen_s = max(0.0, self._frozen_until_s - now_s)
        waits: list[tuple[float, WaitReason]] = [
            (frozen_s, "retry_after"),
            (self._ramp_s(now_s) if not frozen_s else 0.0, "rate"),
            (self._rate.wait_s(now_s) if self._rate else 0.0, "rate"),
            *((self._budget_s(name, now_s, tokens, waiting), "rate") for name in self._allowances),
        ]
        seconds, reason = max(waits, key=lambda wait: wait[0])
        return Pause(seconds=seconds, reason=reason) if seconds > 0 else None

    def _budget_s(self, name: str, now_s: float, tokens: float, waiting: float) -> float:
        wanted = math.inf if "token" in name else waiting  # what the others in line will cost is not summed up
        return self._allowances[name].wait_s(now_s, _cost(name, tokens), wanted=wanted)

    def _ramp_s(self, now_s: float) -> float:
        if now_s >= self._frozen_until_s + RAMP_S:
            return 0.0
        beyond = self._since_thaw - math.ceil(self.window.size / RAMP_SHARE)
        if beyond < 0:
            return 0.0
        step_s = (RAMP_S - RAMP_FIRST_S) / self.window.size
        return max(0.0, self._frozen_until_s + RAMP_FIRST_S + beyond * step_s - now_s)

    def started(self, now_s: float, tokens: float = 0.0) -> Slot:
        """A request is sent; ``tokens`` is its estimated cost. The slot stays taken until ``ended``."""
        self._next_number += 1
        self._answered[self._next_number] = None
        self._since_thaw += 1
        self.retries.requested(now_s)
        for name, allowance in self._allowances.items():
            allowance.take(now_s, _cost(name, tokens))
        if self._rate:
            self._rate.take(now_s)
        return Slot(self._next_number, now_s, tokens)

    def observe(
        self,
        slot: Slot,
        now_s: float,
        *,
        status: int,
        headers: Headers = (),
        error: APIStatusError | None = None,
        now_epoch_s: float,
        u: float = 0.0,
    ) -> None:
        """A response has begun. ``u`` is uniform in [0, 1) and spreads what waits for the same moment."""
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        if status >= 400:
            self._accepted_in_a_row = 0
        if slot.number in self._answered:
            self._answered[slot.number] = status < 400
        used_up = False
        for budget in read_budgets(pairs, now_epoch_s):
            used_up = used_up or budget.remaining == 0
            if budget.dimension not in self._allowances:
                own_per_s = None if "token" in budget.dimension else self.policy.requests_per_s
                self._allowances[budget.dimension] = Allowance(self.policy.low_water, now_s, own_per_s)
            self._allowances[budget.dimension].update(budget, now_s)
        if (quota_exhausted(error) or status == 402) and not is_class_rule(error):
            self._broken_until_s, self._why_broken = now_s + BREAK_S, error.message if error is not None else ""
        elif status == 429:
            self._refused(slot, now_s, error, u, used_up=used_up)
        elif status == 503:
            self.window.overloaded(now_s, sent_at_s=slot.sent_at_s)
        elif status < 400:
            self._broken_until_s = -math.inf
            self._accepted_in_a_row += 1
            self._status_s = _learnt(self._status_s, now_s - slot.sent_at_s)
            if slot.sent_at_s > self.window.decreased_s:
                self._refusals = 0
        if status in (429, 503) and (told_s := retry_after_s(pairs, now_epoch_s)):
            self._freeze_until(now_s + min(told_s, TOLD_MAX_S) * (1 + SPREAD * u))

    def _refused(
        self, slot: Slot, now_s: float, error: APIStatusError | None, u: float, *, used_up: bool = False
    ) -> None:
        told = concurrency_limit(error.said) if error is not None else None
        if used_up and told is None:  # by its own headers it counts requests in a time, not those at once
            self._refusals += 1
            return
        accepted = sum(state is True for state in self._answered.values())
        news = self.window.refused(now_s, sent_at_s=slot.sent_at_s, accepted=accepted, told=told)
        # A stated number closes the gate by itself. Without one, back off by chance, longer with each epoch in a row.
        if news and told is None:
            self._freeze_until(now_s + u * min(FREEZE_MAX_S, FREEZE_BASE_S * 2.0 ** min(self._refusals, 16)))
        self._refusals += news

    def _freeze_until(self, at_s: float) -> None:
        if at_s > self._frozen_until_s:
            self._frozen_until_s, self._since_thaw = at_s, 0

    def ended(self, slot: Slot, now_s: float, outcome: SlotEnd, *, tokens: float | None = None) -> None:
        """The request is over and its slot free; a second time changes nothing. ``tokens`` is the real cost, None where
        nobody said."""
        if slot.number not in self._answered:
            return
        full = len(self._answered) >= self.window.size
        del self._answered[slot.number]
        if outcome == "done":
            self._lasted_s = _learnt(self._lasted_s, now_s - slot.sent_at_s)
            self.window.succeeded(now_s, sent_at_s=slot.sent_at_s, full=full)
        used = 0.0 if outcome == "refused" else tokens
        if used is not None:
            for name, allowance in self._allowances.items():
                allowance.settle(now_s, _cost(name, slot.tokens), _cost(name, used))

    def standing(self, now_s: float) -> Standing:
        """The state of the limiter."""
        fractions = [f for a in self._allowances.values() if (f := a.fraction(now_s)) is not None]
        return Standing(
            running=len(self._answered),
            window=self.window.size,
            frozen_s=max(0.0, self._frozen_until_s - now_s),
            fraction=min(fractions, default=None),
        )


def _learnt(known_s: float, seen_s: float) -> float:
    return known_s + LEARNT * (seen_s - known_s) if known_s else seen_s


def _cost(dimension: str, tokens: float) -> float:
    return tokens if "token" in dimension else 1.0
