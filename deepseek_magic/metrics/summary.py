"""Many records → how the service did: quantiles, rates, money, and whether the service levels were met.

Every figure carries the number of calls it rests on, and a level is called met or missed only when that number can tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

from ..protocol.measured import StreamRecord
from ..text.messages import say, words
from .quantiles import quantile
from .spending import TotalCost
from .tables import UNKNOWN, cell, counted, html_table, spent_on, text_table

Verdict = Literal["met", "missed", "too few samples", "no target"]

LEVEL_WORDS: Final = words(
    *("chunks per second, median call", "end to end, P99", "errors"), *("met", "missed", "too few samples", "no target")
)
"""How the name and the verdict of a level are shown."""

RATE_MIN_CALLS: Final = 5
"""Fewer chunk rates than this have no median worth a verdict."""

LATENCY_QUANTILE: Final = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLevels:
    """What is promised: more than so many chunks a second, P99 end to end below so many seconds, errors below a share.

    The defaults are alarm thresholds of the practice report that this project grew from, but for its P99 end to end of
    1.5 s: how long an answer takes depends on how long it is, so None, the default, is no target.
    """

    chunks_per_s: float = 5.0
    p99_total_s: float | None = None
    error_rate: float = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """Quantiles of ``n`` values, in the values' unit; None for no values."""

    n: int
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    max: float | None = None

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Quantiles:
        """Of the values that are known."""
        known = sorted(value for value in values if value is not None)
        if not known:
            return cls(n=0)
        p50, p90, p99 = (quantile(known, q) for q in (0.5, 0.9, LATENCY_QUANTILE))
        return cls(n=len(known), p50=p50, p90=p90, p99=p99, max=known[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """``count`` of ``n`` calls; ``value`` is their share, None for no calls."""

    count: int
    n: int

    @property
    def value(self) -> float | None:
        """The share, between 0 and 1."""
        return self.count / self.n if self.n else None


@dataclass(frozen=True, slots=True)
class Level:
    """One service level: what was promised, what was measured on ``n`` calls, and the verdict."""

    name: str
    target: str
    measured: float | None
    n: int
    verdict: Verdict

    @property
    def shown(self) -> str:
        """What was measured, as a person reads it."""
        share = self.name == "errors" and self.measured is not None
        return f"{self.measured:.2%}" if share else cell(self.measured)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How the calls of a window did. It shows itself as a table.

    ``errors``: calls that ended incomplete, of those that the user did not stop. ``recovered``: calls that came to a
    proper end, of those that needed more than one attempt. ``total_s`` counts calls with a proper end only.
    ``costs`` are the known amounts by currency; ``unknown_costs`` calls have an unknown one, so the sum is a lower
    bound when it is not 0. Token sums are over the ``counted_calls`` whose tokens are known. A call whose answer was not
    used counts in the costs alone.
    """

    calls: int
    window_s: float | None
    first: datetime | None
    last: datetime | None
    ttft_s: Quantiles
    total_s: Quantiles
    chunks_per_s: Quantiles
    tokens_per_s: Quantiles
    errors: Rate
    recovered: Rate
    interrupted: Rate
    waited_s: float
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cache_hit_tokens: int
    counted_calls: int
    tokens_estimated: bool
    costs: Mapping[str, Decimal] = field(default_factory=dict)
    unknown_costs: int = 0
    costs_estimated: bool = False
    levels: tuple[Level, ...] = ()

    @property
    def breaches(self) -> tuple[Level, ...]:
        """The levels that were missed."""
        return tuple(level for level in self.levels if level.verdict == "missed")

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        heads = ["", say("target"), say("measured"), "n", say("verdict")]
        levels = [
            [LEVEL_WORDS[x.name].localized(), x.target, x.shown, cell(x.n), LEVEL_WORDS[x.verdict].localized()]
            for x in self.levels
        ]
        figures = (["", "n", "p50", "p90", "p99", "max"], _figures(self), _caption(self))
        shares = (["", say("share"), say("calls"), say("of")], _shares(self), say("How calls ended"))
        tables = [figures, shares, (heads, levels, say("Service levels"))]
        return {
            "text/plain": "\n\n".join(text_table(*table) for table in tables),
            "text/html": "\n".join(html_table(*table) for table in tables),
        }

    def __str__(self) -> str:
        return self._repr_mimebundle_()["text/plain"]


def summarize(
    records: Sequence[StreamRecord], levels: ServiceLevels | None = None, window_s: float | None = None
) -> Summary:
    """The summary of these records; ``window_s`` only says how they were chosen."""
    spent = TotalCost.on((r.cost, r.currency) for r in records)
    spent_is_estimated = any(r.cost_estimated for r in records)
    # An answer from the journal was no call: its hundredths of a second would flatter the service. And nobody waited for
    # an answer that was not used.
    records = [r for r in records if r.outcome != "cached" and r.used]
    proper = [r for r in records if r.has_proper_end]
    stopped = sum(r.outcome == "interrupted" for r in records)
    counted = [r for r in records if r.completion_tokens is not None]
    promised = levels or ServiceLevels()
    rates = Quantiles.of(r.chunks_per_s for r in records)
    totals = Quantiles.of(r.total_s for r in proper)
    most_s = promised.p99_total_s
    slow = 0 if most_s is None else sum(r.total_s >= most_s for r in proper)
    errors = Rate(count=len(records) - stopped - len(proper), n=len(records) - stopped)
    return Summary(
        calls=len(records),
        window_s=window_s,
        first=min((r.started_at for r in records), default=None),
        last=max((r.started_at for r in records), default=None),
        ttft_s=Quantiles.of(r.ttft_s for r in records),
        total_s=totals,
        chunks_per_s=rates,
        tokens_per_s=Quantiles.of(r.tokens_per_s for r in records),
        errors=errors,
        recovered=Rate(count=sum(r.recovered for r in records), n=sum(r.attempts > 1 for r in records)),
        interrupted=Rate(count=stopped, n=len(records)),
        waited_s=sum(r.waited_s for r in records),
        prompt_tokens=sum(r.prompt_tokens or 0 for r in counted),
        completion_tokens=sum(r.completion_tokens or 0 for r in counted),
        reasoning_tokens=sum(r.reasoning_tokens or 0 for r in counted),
        cache_hit_tokens=sum(r.cache_hit_tokens or 0 for r in counted),
        counted_calls=len(counted),
        tokens_estimated=any(r.tokens_estimated for r in counted),
        costs=spent.costs,
        unknown_costs=spent.unknown_calls,
        costs_estimated=spent_is_estimated,
        levels=_judge(promised, rates, totals, slow, errors),
    )


def _judge(promised: ServiceLevels, rates: Quantiles, totals: Quantiles, slow: int, errors: Rate) -> tuple[Level, ...]:
    """The verdicts; ``slow`` of the ``totals`` took longer than is promised of all but a hundredth."""
    rate_verdict: Verdict = "too few samples"
    if rates.n >= RATE_MIN_CALLS and rates.p50 is not None:
        rate_verdict = "met" if rates.p50 > promised.chunks_per_s else "missed"
    few = bool(errors.n) and errors.count < promised.error_rate * errors.n
    total_verdict: Verdict = "no target"
    if (most_s := promised.p99_total_s) is not None:
        quick = totals.p99 is not None and totals.p99 < most_s
        total_verdict = _share_verdict(slow, totals.n, 1 - LATENCY_QUANTILE, met=quick)
    error_verdict = _share_verdict(errors.count, errors.n, promised.error_rate, met=few)
    return (
        Level("chunks per second, median call", f"> {promised.chunks_per_s:g}", rates.p50, rates.n, rate_verdict),
        Level("end to end, P99", UNKNOWN if most_s is None else f"< {most_s:g} s", totals.p99, totals.n, total_verdict),
        Level("errors", f"< {promised.error_rate:.2%}", errors.value, errors.n, error_verdict),
    )


def _share_verdict(bad: int, n: int, allowed: float, *, met: bool) -> Verdict:
    """A share can be judged from about 1 / ``allowed`` calls on; earlier only when the bad ones are already too many."""
    enough = 1 / allowed if allowed > 0 else 1.0
    if n >= round(enough):
        return "met" if met else "missed"
    return "missed" if bad > max(1.0, allowed * enough) else "too few samples"


def _caption(summary: Summary) -> str:
    calls = counted(summary.calls)
    window = summary.window_s
    parts = [calls if window is None else say("{calls} of the last {seconds} s", calls=calls, seconds=f"{window:g}")]
    about = "≈ " if summary.tokens_estimated else ""
    tokens_in, cached = f"{about}{summary.prompt_tokens:,}", f"{summary.cache_hit_tokens:,}"
    parts.append(say("{tokens} tokens in ({cached} cached)", tokens=tokens_in, cached=cached))
    out, reasoning = f"{summary.completion_tokens:,}", f"{summary.reasoning_tokens:,}"
    parts.append(say("{tokens} out ({reasoning} reasoning)", tokens=out, reasoning=reasoning))
    return " · ".join([*parts, spent_on(summary.costs, summary.unknown_costs, about=summary.costs_estimated)])


def _figures(summary: Summary) -> list[list[str]]:
    quantiles = [
        (say("first token, s"), summary.ttft_s),
        (say("end to end, s"), summary.total_s),
        (say("chunks per second"), summary.chunks_per_s),
        (say("tokens per second"), summary.tokens_per_s),
    ]
    return [[n, cell(q.n), cell(q.p50), cell(q.p90), cell(q.p99), cell(q.max)] for n, q in quantiles]


def _shares(summary: Summary) -> list[list[str]]:
    rates = [
        (say("errors"), summary.errors),
        (say("recovered"), summary.recovered),
        (say("stopped"), summary.interrupted),
    ]
    return [[n, UNKNOWN if r.value is None else f"{r.value:.1%}", cell(r.count), cell(r.n)] for n, r in rates]
