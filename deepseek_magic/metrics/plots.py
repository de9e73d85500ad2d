"""Records → a picture: how latency is distributed, how the speed went, and the waterfall of one call.

matplotlib draws it (an extra, imported here and only when a plot is asked for) onto a transparent ground, in colours
that read on white and on black, so that one picture serves both themes, a saved notebook and an exported page. pyplot is
not used: it would touch the user's own figures and settings.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final, Literal

from .phases import PHASES, PhaseKind
from .record import StreamRecord
from .summary import Quantiles, ServiceLevels
from .tables import cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import Locator

__all__ = ["COLOURS", "KINDS", "Plot", "PlotKind", "draw_latency", "draw_speed", "draw_waterfall"]

PlotKind = Literal["latency", "speed", "waterfall"]
KINDS: Final[tuple[PlotKind, ...]] = PlotKind.__args__  # type: ignore[attr-defined]

INK: Final = "#787878"
"""Text and axes: as far from white as from JupyterLab's black, 4.3 : 1 from either, which is the most there is."""
BLUE: Final = "#2e7ebf"
ORANGE: Final = "#cf6a1f"
GREEN: Final = "#159a74"
PINK: Final = "#c0587e"
VIOLET: Final = "#8f7ae0"
OLIVE: Final = "#9a8a2a"
SERIES: Final = (BLUE, ORANGE, GREEN, PINK, VIOLET, OLIVE)
"""One a model; from the seventh on they come again."""

COLOURS: Final[Mapping[PhaseKind, str]] = {
    "wait_concurrency": OLIVE,
    "wait_rate": OLIVE,
    "wait_retry_after": PINK,
    "wait_backoff": PINK,
    "request": INK,
    "queue": ORANGE,
    "first_token": ORANGE,
    "thinking": VIOLET,
    "answer": BLUE,
    "silence": PINK,
    "seam": GREEN,
}

LANES: Final[Mapping[PhaseKind, str]] = {
    "wait_concurrency": "waiting: other calls",
    "wait_rate": "waiting: rate limit",
    "wait_retry_after": "waiting: as told",
    "wait_backoff": "waiting: back-off",
    "request": "request",
    "queue": "queue",
    "first_token": "first token",
    "thinking": "thinking",
    "answer": "answer",
    "silence": "silence",
    "seam": "seam",
}

DPI: Final = 96
SCALE: Final = 2
"""Twice the pixels that are shown: sharp on screens that have them."""
WIDTH_IN: Final = 7.0
HEIGHT_IN: Final = 2.8
LANE_IN: Final = 0.28
WIDE_RANGE: Final = 30
"""Latencies further apart than this are drawn on a logarithmic axis."""
TREND_CALLS: Final = 5
"""The trend is the running median of so many calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A picture that shows itself. ``figure`` is matplotlib's, to change or to save; ``text`` says the same in words."""

    figure: Figure
    text: str
    kind: PlotKind
    n: int = field(default=0)
    """The calls it shows."""

    def save(self, path: str | Path) -> None:
        """Write it to a file; its ending says the format: png, svg, pdf. An existing file is replaced."""
        self.figure.savefig(path, dpi=DPI * SCALE, transparent=True)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, str], dict[str, Any]]:
        pixels = io.BytesIO()
        self.figure.savefig(pixels, format="png", dpi=DPI * SCALE, transparent=True)
        width, height = (round(inches * DPI) for inches in self.figure.get_size_inches())
        data = {"image/png": base64.b64encode(pixels.getvalue()).decode("ascii"), "text/plain": self.text}
        return data, {"image/png": {"width": width, "height": height, "alt": self.text}}


def draw_latency(records: Sequence[StreamRecord], levels: ServiceLevels | None = None) -> Plot:
    """The share of calls that had their first token, and their end, within so many seconds.

    A cumulative curve and no histogram: it needs no choice of bins, shows each of a few calls, and its quantiles are read
    off it. The end to end curve counts calls with a proper end.
    """
    promised = levels or ServiceLevels()
    curves = [
        ("first token", BLUE, [r.ttft_s for r in records if r.ttft_s is not None]),
        ("end to end", ORANGE, [r.total_s for r in records if r.has_proper_end]),
    ]
    figure, axes = _figure(HEIGHT_IN)
    said = [f"Latency of {len(records):,} calls."]
    seen = [value for _, _, values in curves for value in values]
    if seen and min(seen) > 0 and max(seen) / min(seen) > WIDE_RANGE:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(_log_locator())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    for name, colour, values in curves:
        found = Quantiles.of(values)
        if found.p50 is None or found.p99 is None:
            continue
        axes.ecdf(values, color=colour, linewidth=1.8, label=f"{name}, n = {found.n:,}")
        axes.plot([found.p50, found.p99], [0.5, 0.99], "o", color=colour, markersize=4)
        said.append(
            f"{name}: p50 {cell(found.p50)} s, p90 {cell(found.p90)} s, p99 {cell(found.p99)} s (n = {found.n:,})."
        )
    axes.axvline(promised.p99_total_s, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    level = (promised.p99_total_s, 0.02)
    axes.annotate(f"level {promised.p99_total_s:g} s", level, xytext=(4, 0), **_NOTE)
    axes.set(xlabel="seconds", ylabel="share of calls", ylim=(0, 1.02))
    if axes.get_xscale() == "linear":
        axes.set_xlim(left=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    _legend(axes)
    return Plot(figure=figure, text=" ".join(said), kind="latency", n=len(records))


def draw_speed(records: Sequence[StreamRecord]) -> Plot:
    """Tokens a second of each call, over the time at which it began, and the running median.

    Hollow marks rest on estimated tokens; a cross is a call that was stopped or broke off.
    """
    known = [(r, r.tokens_per_s) for r in records if r.tokens_per_s is not None]
    figure, axes = _figure(HEIGHT_IN)
    here = datetime.now().astimezone().tzinfo
    models = sorted({r.model for r, _ in known})
    for i, model in enumerate(models):
        colour = SERIES[i % len(SERIES)]
        for marker, hollow in (_PLAIN, *_SIGNS):
            shown = [(r.started_at, v) for r, v in known if r.model == model and _sign(r) == (marker, hollow)]
            face = "none" if hollow else colour
            axes.scatter(*_columns(shown), marker=marker, s=26, facecolors=face, edgecolors=colour, linewidths=1.2)
        count = sum(r.model == model for r, _ in known)
        axes.scatter([], [], color=colour, s=26, label=f"{model}, n = {count:,}")
    for sign, meaning in _SIGNS.items():
        if any(_sign(r) == sign for r, _ in known):
            marker, hollow = sign
            axes.scatter([], [], marker=marker, facecolors="none" if hollow else INK, edgecolors=INK, label=meaning)
    by_time = sorted((r.started_at, v) for r, v in known)
    if len(by_time) >= TREND_CALLS:
        runs = [by_time[i : i + TREND_CALLS] for i in range(len(by_time) - TREND_CALLS + 1)]
        trend = [(run[TREND_CALLS // 2][0], median(v for _, v in run)) for run in runs]
        axes.plot(*_columns(trend), color=INK, linewidth=1.4, label=f"median of {TREND_CALLS}")
    if known:
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        locator = AutoDateLocator(tz=here, minticks=3, maxticks=8)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=here))
        _legend(axes)
    axes.set(ylabel="tokens per second", ylim=(0, 1.15 * max((v for _, v in known), default=1.0)))
    found = Quantiles.of(v for _, v in known)
    said = f"Tokens per second of {found.n:,} calls"
    said += (
        f": p50 {cell(found.p50)}, p90 {cell(found.p90)}, most {cell(found.max)}." if found.n else ": none is known."
    )
    return Plot(figure=figure, text=said, kind="speed", n=found.n)


def draw_waterfall(record: StreamRecord) -> Plot:
    """Where the time of one call went: one lane a kind of phase, in the order of their first appearance.

    Seams are lines across all lanes. Raises ValueError for a record without phases, as older versions wrote them.
    """
    if not record.phases:
        raise ValueError("This call has no phases: it was answered from the journal, or noted by an older version.")
    spans = [phase for phase in record.phases if phase.kind != "seam"]
    lanes = sorted({p.kind for p in spans}, key=PHASES.index)
    figure, axes = _figure(0.9 + LANE_IN * len(lanes))
    said = [f"One call of {record.model}, {cell(record.total_s)} s, {record.outcome}."]
    for row, kind in enumerate(lanes):
        bars = [(p.start_s, p.length_s) for p in spans if p.kind == kind]
        axes.broken_barh(bars, (row - 0.32, 0.64), facecolors=COLOURS[kind])
        sum_s = sum(length for _, length in bars)
        times = f" in {len(bars)} parts" if len(bars) > 1 else ""
        beside = (1, row)
        axes.annotate(f"{cell(sum_s)} s", beside, xycoords=_RIGHT, xytext=(6, 0), va="center", **_NOTE)
        said.append(f"{LANES[kind]}: {cell(sum_s)} s{times}.")
    seams = [phase.start_s for phase in record.phases if phase.kind == "seam"]
    for at_s in seams:
        axes.axvline(at_s, color=COLOURS["seam"], linewidth=1.4, linestyle=(0, (4, 2)))
        axes.annotate("seam", (at_s, -0.6), xytext=(0, 2), ha="center", **{**_NOTE, "color": COLOURS["seam"]})
        said.append(f"seam at {cell(at_s)} s.")
    axes.set_yticks(range(len(lanes)), [LANES[kind] for kind in lanes])
    axes.set(xlabel="seconds", xlim=(0, record.total_s or 1), ylim=(len(lanes) - 0.4, -0.6))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    return Plot(figure=figure, text=" ".join(said), kind="waterfall", n=1)


_PLAIN: Final = ("o", False)
_SIGNS: Final = {("o", True): "estimated", ("X", False): "cut off"}
"""A marker, and whether it is hollow → what it says."""
_NOTE: Final[Mapping[str, Any]] = {"color": INK, "fontsize": 9, "textcoords": "offset points"}
_RIGHT: Final = ("axes fraction", "data")


def _sign(record: StreamRecord) -> tuple[str, bool]:
    if not record.has_proper_end:
        return "X", False
    return "o", record.tokens_estimated


def _columns(pairs: Sequence[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    return [x for x, _ in pairs], [y for _, y in pairs]


def _figure(height_in: float) -> tuple[Figure, Axes]:
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "matplotlib is not installed, and plots need it: pip install 'deepseek-magic[plots]'."
        ) from error
    style: dict[Any, Any] = {  # matplotlib's own type is a literal of 300 names, newer than the oldest release we take
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
        **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
        **dict.fromkeys(("axes.facecolor", "figure.facecolor"), "none"),
        **dict.fromkeys(("axes.grid", "axes.axisbelow"), True),
        "font.family": "sans-serif",
        "font.size": 9,
        "grid.color": INK,
        "grid.alpha": 0.25,
        "grid.linewidth": 0.6,
    }
    with rc_context(style):
        figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI, layout="constrained")
        return figure, figure.add_subplot()


def _log_locator() -> Locator:
    from matplotlib.ticker import LogLocator

    return LogLocator(subs=(1, 2, 5))


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, labelcolor=INK, loc="best", fontsize=9)
