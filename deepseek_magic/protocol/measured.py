"""What a call was like and what it cost, as values: the record that its completion carries and the log keeps.

Here, below the floors that fill them in, because a completion names their types: ``policy.pricing`` makes a ``Cost``,
``metrics.record`` the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final, Literal

import msgspec

from ..text.messages import localized, words
from .events import Usage
from .outcome import WHOLE

WaitKind = Literal["wait_concurrency", "wait_rate", "wait_retry_after", "wait_backoff"]
PhaseKind = Literal[WaitKind, "request", "queue", "first_token", "thinking", "answer", "silence", "seam"]


_CURRENCIES: Final = words("demo USD")
"""Those with a name in the reader's language: money of the demo, which is nobody's."""


def currency_name(currency: str) -> str:
    """A currency as the reader calls it."""
    return localized(_CURRENCIES.get(currency, currency))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """An amount of money. ``estimated``: a part of the tokens, or the tariff, was not reported and had to be estimated.

    ``peak`` is None where parts at both tariffs were added; ``price_date`` is the day from which the price holds.
    """

    amount: Decimal
    currency: str
    peak: bool | None = None
    price_date: date | None = None
    estimated: bool = False

    def __str__(self) -> str:
        return self._said(self.amount, self.currency)

    @property
    def rounded(self) -> str:
        """To three digits, or to the cent, in the reader's language, for a line that is read in passing."""
        return self._said(round(self.amount, max(2, 2 - self.amount.adjusted())), currency_name(self.currency))

    def _said(self, amount: Decimal, currency: str) -> str:
        return f"{'≈ ' if self.estimated else ''}{amount.normalize():f} {currency}"


class Phase(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A phase, in seconds since the call began.

    ============= ===========================================================================================
    wait_*        this side waits, for the cause of the column of that name
    request       from sending to the response's headers, opening a connection included
    queue         from the headers to the first chunk, where keep-alive comments came
    first_token   from the headers, or the end of the queue, to the first piece
    thinking      reasoning comes, until the first piece of the answer
    answer        the answer comes
    silence       nothing came: a stall of ``STALL_S`` or more, or the time from the last piece to a break or the end
    seam          two segments were joined; a moment, without length
    ============= ===========================================================================================
    """

    kind: PhaseKind
    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """How long it was."""
        return self.end_s - self.start_s


TAPE: Final = "tape"
"""The ``endpoint`` of a call that a tape answered."""
TYPED: Final = "custom"
"""The ``endpoint`` of a call that went to an address without a name."""


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event of a call: seconds since the call began, and since the event before it."""

    at_s: float
    gap_s: float
    kind: str
    chars: int = 0
    text: str = ""


class StreamRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One call, flat. None = unknown, 0 = measured zero. Times are seconds; ``started_at`` is UTC.

    Tokens and cost are the billable ones: the segments of a resumed answer add up. ``tokens_estimated`` is true where a
    segment broke before it reported and its part was estimated; a cost that rests on it is an estimate too.

    ============== ==========================================================================================
    run_id         the kernel's run: calls of one session have the same
    notebook       the path of the notebook, where its front end tells it
    host           where ``endpoint`` is, with its port, also of an address without a name; None of a tape
    mode           how the answer was shown: realtime, balanced, sentence; None when it was not shown
    outcome        as in a completion, and cached: taken from the journal, nothing was sent
    think          the thinking setting that was sent; None when the host's default was left alone
    purpose        why it was sent: ask, tool, trial, judge, hedge, ahead; None in records of older versions
    ahead_s        seconds by which it had begun before its cell's turn came; None: it began in its turn, or was not used
    used           False: nobody was given its answer. It counts as spent, and not in summaries
    waited_s       all waiting on this side: the ``wait_*`` columns
    connect_s      opening connections, summed; 0 when a pooled one was used
    ttfb_s         from the start to the first response's headers
    queue_s        in the host's queue: from a response's headers to its first chunk, if keep-alive comments came
    ttft_s         from the start to the first piece of reasoning, answer or tool call
    answer_s       from the start to the first piece of the answer itself (text or tool call)
    thinking_s     from the first piece of reasoning to the first piece of answer after it, summed
    generation_s   from the first to the last piece of a segment, summed over segments
    chunks         pieces of text, reasoning and tool calls that arrived, those of void segments included
    chars          characters of the final answer; ``reasoning_chars`` of its reasoning
    chunks_per_s   (chunks - segments) / generation_s: the inverse of the mean gap while generating
    tokens_per_s   (completion_tokens - segments) / generation_s: the inverse of vLLM's time per output token
    gap_*_s        between two successive pieces, a recovery's pause included; ``gap_n`` of them were counted.
    read_every_s   how finely gaps were measured: at most so long what had come was left unread, because nobody watched; 0.0: as it came
                   Quantiles are exact up to 4,096 gaps and within 1 % beyond
    cost           in ``currency``; 0 when nothing answered, None when the price or the tokens are unknown
    recorded_cost  what an answer from a tape cost when it was recorded; its ``cost`` is 0, its ``endpoint`` tape
    peak           whether DeepSeek's peak tariff applied; None when unknown or mixed
    phases         the course of the call, see ``phases.Phase``; no column, and empty in records of older versions
    timeline       every event with its time, where ``timeline=True`` asked for it; no column
    ============== ==========================================================================================
    """

    run_id: str | None = None
    notebook: str | None = None
    call_id: str
    started_at: datetime
    endpoint: str | None = None
    host: str | None = None
    model: str
    response_model: str | None = None
    completion_id: str | None = None
    mode: str | None = None
    think: str | None = None
    purpose: str | None = None
    outcome: str
    used: bool = True
    ahead_s: float | None = None
    finish_reason: str | None = None
    error_type: str | None = None
    status: int | None = None
    prompt_sha256: str | None = None
    attempts: int = 0
    retries: int = 0
    resumes: int = 0
    continuations: int = 0
    restarts: int = 0
    seams: int = 0
    waited_s: float = 0.0
    wait_concurrency_s: float = 0.0
    wait_rate_s: float = 0.0
    wait_retry_after_s: float = 0.0
    wait_backoff_s: float = 0.0
    connect_s: float | None = None
    ttfb_s: float | None = None
    queue_s: float | None = None
    ttft_s: float | None = None
    answer_s: float | None = None
    thinking_s: float | None = None
    generation_s: float | None = None
    total_s: float
    chunks: int = 0
    chars: int = 0
    reasoning_chars: int = 0
    body_bytes: int | None = None
    wire_bytes: int | None = None
    heartbeats: int = 0
    chunks_per_s: float | None = None
    tokens_per_s: float | None = None
    gap_p50_s: float | None = None
    gap_p99_s: float | None = None
    gap_max_s: float | None = None
    gap_n: int = 0
    read_every_s: float = 0.0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    cache_hit_tokens: int | None = None
    cache_miss_tokens: int | None = None
    tokens_estimated: bool = False
    cost: Decimal | None = None
    currency: str | None = None
    cost_estimated: bool | None = None
    peak: bool | None = None
    price_date: date | None = None
    recorded_cost: Decimal | None = None
    phases: tuple[Phase, ...] = ()
    timeline: tuple[TimelineEntry, ...] | None = None

    @property
    def recovered(self) -> bool:
        """Whether the call needed more than one attempt and came to a proper end."""
        return self.attempts > 1 and self.has_proper_end

    @property
    def has_proper_end(self) -> bool:
        """Whether the model came to an end, be it its token limit; neither an error nor the user cut it off."""
        return self.outcome in WHOLE

    @property
    def usage(self) -> Usage:
        """The tokens of all segments."""
        prompt, completion = self.prompt_tokens, self.completion_tokens
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=None if prompt is None or completion is None else prompt + completion,
            reasoning_tokens=self.reasoning_tokens,
            cache_hit_tokens=self.cache_hit_tokens,
            cache_miss_tokens=self.cache_miss_tokens,
            estimated=self.tokens_estimated,
        )

    @property
    def shown_cost(self) -> Decimal | None:
        """The price of the answer, whoever paid it when."""
        return self.cost if self.recorded_cost is None else self.recorded_cost

    @property
    def paid(self) -> Cost | None:
        """The price as one value, of a replayed answer that of its recording; None when it is unknown, or nothing answered."""
        cost = self.shown_cost
        if cost is None or self.currency is None:
            return None
        return Cost(
            amount=cost,
            currency=self.currency,
            peak=self.peak,
            price_date=self.price_date,
            estimated=bool(self.cost_estimated),
        )
