"""Records → a picture: how latency is distributed, how the speed went, and the waterfall of one call."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Any, Final

from ..protocol.measured import PhaseKind, StreamRecord
from ..protocol.outcome import OUTCOME_WORDS
from ..text.design.tokens import BLUE, GREEN, INK, OLIVE, ORANGE, PINK, SERIES, VIOLET
from ..text.messages import Message, say
from .canvas import NOTE, Plot, legend, paper, word
from .phases import PHASES
from .summary import Quantiles, ServiceLevels
from .tables import cell, counted

LANES: Final[Mapping[PhaseKind, tuple[str, Message]]] = {
    "wait_concurrency": (OLIVE, Message("waiting: other calls")),
    "wait_rate": (OLIVE, Message("waiting: rate limit")),
    "wait_retry_after": (PINK, Message("waiting: retry after")),
    "wait_backoff": (PINK, Message("waiting: back-off")),
    "request": (INK, Message("request")),
    "queue": (ORANGE, Message("queue")),
    "first_token": (ORANGE, Message("first token")),
    "thinking": (VIOLET, Message("thinking")),
    "answer": (BLUE, Message("answer")),
    "silence": (PINK, Message("silence")),
    "seam": (GREEN, Message("joined")),
}
"""The colour of each kind of phase, and its name."""

HEIGHT_IN: Final = 2.8
LANE_IN: Final = 0.28
WIDE_RANGE: Final = 30
"""Latencies further apart than this are drawn on a logarithmic axis."""
THINNEST: Final = 1 / 500
"""The share of a call that is one pixel of its waterfall."""
MOST_VECTORS: Final = 500
"""More marks than this are pixels in a vector picture too: each would be an element of the page."""
TREND_CALLS: Final = 5
"""The trend is the running median of so many calls."""


def draw_latency(records: Sequence[StreamRecord], levels: ServiceLevels | None, *, width_in: float) -> Plot:
    """The share of calls that had their first token, and their end, within so many seconds.

    A cumulative curve and no histogram: it needs no choice of bins, shows each of a few calls, and its quantiles are read
    off it. The end to end curve counts calls with a proper end.
    """
    promised = levels or ServiceLevels()
    curves = [
        (Message("first token"), BLUE, [r.ttft_s for r in records if r.ttft_s is not None]),
        (Message("end to end"), ORANGE, [r.total_s for r in records if r.has_proper_end]),
    ]
    figure, axes = paper(HEIGHT_IN, width_in)
    said = [say("Latency of {calls}.", calls=counted(len(records)))]
    seen = [value for _, _, values in curves for value in values]
    if seen and min(seen) > 0 and max(seen) / min(seen) > WIDE_RANGE:
        axes.set_xscale("log")
        from matplotlib.ticker import LogLocator

        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    for name, colour, values in curves:
        found = Quantiles.of(values)
        if found.p50 is None or found.p99 is None:
            continue
        pixels = len(values) > MOST_VECTORS
        axes.ecdf(values, color=colour, linewidth=1.8, rasterized=pixels, label=f"{word(name)}, n = {found.n:,}")
        axes.plot([found.p50, found.p99], [0.5, 0.99], "o", color=colour, markersize=4)
        line = Message("{name}: p50 {median} s, p90 {most_calls} s, p99 {nearly_all} s (n = {n}).")
        shown = {"median": cell(found.p50), "most_calls": cell(found.p90), "nearly_all": cell(found.p99)}
        said.append(line.filled(name=name, n=f"{found.n:,}", **shown).localized())
    if (most_s := promised.p99_total_s) is not None:
        axes.axvline(most_s, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate(f"{word(Message('level'))} {most_s:g} s", (most_s, 0.02), xytext=(4, 0), **NOTE)
    axes.set(xlabel=word(Message("seconds")), ylabel=word(Message("share of calls")), ylim=(0, 1.02))
    if axes.get_xscale() == "linear":
        axes.set_xlim(left=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    legend(axes)
    return Plot(figure=figure, text=" ".join(said), kind="latency", n=len(records))


def draw_speed(records: Sequence[StreamRecord], *, width_in: float) -> Plot:
    """Tokens a second of each call, over the time at which it began, and the running median.

    Hollow marks rest on estimated tokens; a cross is a call that was stopped or broke off.
    """
    known = [(r, r.tokens_per_s) for r in records if r.tokens_per_s is not None]
    figure, axes = paper(HEIGHT_IN, width_in)
    here = datetime.now().astimezone().tzinfo
    models = sorted({r.model for r, _ in known})
    for i, model in enumerate(models):
        colour = SERIES[i % len(SERIES)]
        for marker, hollow in (_PLAIN, *_SIGNS):
            shown = [(r.started_at, v) for r, v in known if r.model == model and _sign(r) == (marker, hollow)]
            face, pixels, xy = "none" if hollow else colour, len(shown) > MOST_VECTORS, _columns(shown)
            axes.scatter(
                *xy, marker=marker, s=26, facecolors=face, edgecolors=colour, linewidths=1.2, rasterized=pixels
            )
        count = sum(r.model == model for r, _ in known)
        axes.scatter([], [], color=colour, s=26, label=f"{model}, n = {count:,}")
    for sign, meaning in _SIGNS.items():
        if any(_sign(r) == sign for r, _ in known):
            marker, hollow = sign
            face = "none" if hollow else INK
            axes.scatter([], [], marker=marker, facecolors=face, edgecolors=INK, label=word(meaning))
    by_time = sorted((r.started_at, v) for r, v in known)
    if len(by_time) >= TREND_CALLS:
        runs = [by_time[i : i + TREND_CALLS] for i in range(len(by_time) - TREND_CALLS + 1)]
        trend = [(run[TREND_CALLS // 2][0], median(v for _, v in run)) for run in runs]
        label = f"{word(Message('running median'))}, n = {TREND_CALLS}"
        axes.plot(*_columns(trend), color=INK, linewidth=1.4, rasterized=len(trend) > MOST_VECTORS, label=label)
    if known:
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        locator = AutoDateLocator(tz=here, minticks=3, maxticks=8)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=here))
        legend(axes)
    axes.set(ylabel=word(Message("tokens per second")), ylim=(0, 1.15 * max((v for _, v in known), default=1.0)))
    found = Quantiles.of(v for _, v in known)
    if not found.n:
        said = say("The speed of these calls is not known.")
    else:
        speeds = {"median": cell(found.p50), "most_calls": cell(found.p90), "most": cell(found.max)}
        line = Message("Tokens per second of {calls}: p50 {median}, p90 {most_calls}, most {most}.")
        said = line.filled(calls=counted(found.n), **speeds).localized()
    return Plot(figure=figure, text=said, kind="speed", n=found.n)


def draw_waterfall(record: StreamRecord, *, width_in: float) -> Plot:
    """Where the time of one call went: one lane a kind of phase, in the order in which a call meets them.

    Seams are lines across all lanes; a lane that would be thinner than a line is left out. Raises ValueError for a record
    without phases, as older versions wrote them.
    """
    if not record.phases:
        raise ValueError(
            Message("This call has no phases: it was answered from the journal, or noted by an older version.")
        )
    spans = [phase for phase in record.phases if phase.kind != "seam"]
    sums_s = {kind: math.fsum(p.length_s for p in spans if p.kind == kind) for kind in PHASES}
    lanes = [kind for kind in PHASES if sums_s[kind] > THINNEST * record.total_s]
    figure, axes = paper(0.9 + LANE_IN * len(lanes), width_in)
    total, outcome = cell(record.total_s), OUTCOME_WORDS[record.outcome]
    said = [say("One call of {model}, {seconds} s, {outcome}.", model=record.model, seconds=total, outcome=outcome)]
    for row, kind in enumerate(lanes):
        bars = [(p.start_s, p.length_s) for p in spans if p.kind == kind]
        (colour, lane), seconds = LANES[kind], cell(sums_s[kind])
        axes.broken_barh(bars, (row - 0.32, 0.64), facecolors=colour)
        right = ("axes fraction", "data")
        axes.annotate(f"{seconds} s", (1, row), xycoords=right, xytext=(6, 0), va="center", **NOTE)
        if len(bars) > 1:
            said.append(say("{phase}: {seconds} s in {count} parts.", phase=lane, seconds=seconds, count=len(bars)))
        else:
            said.append(say("{phase}: {seconds} s.", phase=lane, seconds=seconds))
    for at_s in (phase.start_s for phase in record.phases if phase.kind == "seam"):
        axes.axvline(at_s, color=GREEN, linewidth=1.4, linestyle=(0, (4, 2)))
        axes.annotate(word(LANES["seam"][1]), (at_s, -0.6), xytext=(0, 2), ha="center", **{**NOTE, "color": GREEN})
        said.append(say("joined at {seconds} s.", seconds=cell(at_s)))
    axes.set_yticks(range(len(lanes)), [word(LANES[kind][1]) for kind in lanes])
    axes.set(xlabel=word(Message("seconds")), xlim=(0, record.total_s or 1), ylim=(len(lanes) - 0.4, -0.6))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    return Plot(figure=figure, text=" ".join(said), kind="waterfall", n=1)


_PLAIN: Final = ("o", False)
_SIGNS: Final = {("o", True): Message("estimated"), ("X", False): Message("broke off")}
"""A marker, and whether it is hollow → what it says."""


def _sign(record: StreamRecord) -> tuple[str, bool]:
    if not record.has_proper_end:
        return "X", False
    return "o", record.tokens_estimated


def _columns(pairs: Sequence[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    return [x for x, _ in pairs], [y for _, y in pairs]
