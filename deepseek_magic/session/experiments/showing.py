"""How far a sweep is, and what came of it: a table with a row a setting, as Markdown, as text, and as HTML while it grows.

Whatever stands in it was typed by somebody or comes from a server: every cell is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from ...engine.trials.standing import SweepStanding
from ...metrics.row import Cell, Row
from ...metrics.tables import UNKNOWN, cell, html_table, spent_on, text_table
from ...protocol.experiments.outlook import lasting
from ...protocol.experiments.plan import Plan
from ...protocol.measured import currency_name
from ...text.inline import plain_html
from ...text.messages import Message, localized, numbered, say, words
from .judged import spent_with_judges
from .scores import JUDGES, SoFar
from .summary import SettingSummary, SweepSummary

if TYPE_CHECKING:
    from .sweep import Sweep

SHOWN_WORKERS: Final = 20
SHOWN_SETTINGS: Final = 50
"""More rows are neither read nor drawn in time; the frame has them all."""

_MARKS: Final = frozenset("\\`*_{}[]<>()#|~$&!@^\n\r")
_PARTED: Final = {sign: plain_html(sign) for sign in "$\\"}
"""MathJax reads the finished page: an entity alone does not keep these two from it."""
_OPEN: Final = words("failed", "unpaid", "waiting")


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepTable:
    """Heads, rows, and the sentences above and below, in the reader's language."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int = 1
    """So many columns, the first ones, hold names; the others hold figures."""
    foot: Sequence[str] = ()

    @property
    def markdown(self) -> str:
        """As Markdown that needs no kernel."""
        lines = [
            f"**{_inert(self.caption)}**",
            "",
            f"| {' | '.join(map(_inert, self.heads))} |",
            f"|{'|'.join('---' if place < self.names else '--:' for place in range(len(self.heads)))}|",
            *(f"| {' | '.join(map(_inert, row))} |" for row in self.rows),
        ]
        return "\n".join([*lines, *(f"\n<sub>{_inert(line)}</sub>" for line in self.foot)])

    @property
    def text(self) -> str:
        """As plain text."""
        return "\n".join([text_table(self.heads, self.rows, self.caption, names=self.names), *self.foot])

    @property
    def html(self) -> str:
        """As HTML."""
        return html_table(self.heads, self.rows, self.caption)

    @property
    def body(self) -> str:
        """As HTML without the sentence above."""
        return html_table(self.heads, self.rows, "")


def _inert(text: str) -> str:
    return "".join(_PARTED.get(sign) or (f"&#{ord(sign)};" if sign in _MARKS else sign) for sign in text)


def growing(plan: Plan, standing: SweepStanding, scores: Mapping[tuple[int, str], SoFar], caption: str) -> SweepTable:
    """The table of a sweep that is being asked. Scores are told as they are so far, without an interval: who looks at one until
    it pleases, and stops then, is deceived."""
    columns = list(dict.fromkeys(column for _, column in scores))
    heads = [*_axes(plan), say("done"), say("failed"), say("waiting")]
    heads += [say("{score} so far", score=column) for column in columns]
    rows = [
        [
            *setting.names.values(),
            cell(standing.count("done", setting.index)),
            cell(standing.count("failed", setting.index)),
            cell(standing.count("waiting", setting.index) + standing.count("running", setting.index)),
            *(_so_far(scores.get((setting.index, column))) for column in columns),
        ]
        for setting in plan.settings[:SHOWN_SETTINGS]
    ]
    return SweepTable(caption=caption, heads=heads, rows=rows, names=len(_axes(plan)))


def working(standing: SweepStanding) -> SweepTable | None:
    """What each worker of a cluster does; None where there is none."""
    if not standing.workers:
        return None
    rows = [[each.name, cell(each.running), cell(each.done)] for each in standing.workers[:SHOWN_WORKERS]]
    caption = numbered(len(standing.workers), Message("1 worker"), Message("{count} workers")).localized()
    return SweepTable(caption=caption, heads=[say("worker"), say("running"), say("done")], rows=rows)


def _so_far(score: SoFar | None) -> str:
    if score is None:
        return UNKNOWN
    return say("{score}, {count} scored", score=f"{score.mean:.2f}", count=f"{score.answers:,}")


def progress(standing: SweepStanding, trials: int) -> str:
    """One line: how many of how many, what failed, cost, rate, and the time that is left at this rate."""
    done = standing.count("done")
    said = [_done(done, trials)]
    if failed := standing.count("failed"):
        said.append(say("{count} failed", count=f"{failed:,}"))
    if unpaid := standing.count("unpaid"):
        said.append(say("{count} over the budget", count=f"{unpaid:,}"))
    if standing.reused:
        said.append(say("{count} from the journal", count=f"{standing.reused:,}"))
    if standing.running:
        said.append(say("{count} running", count=f"{standing.running:,}"))
    said.append(say("{seconds} s", seconds=f"{standing.elapsed_s:.0f}"))
    if standing.cost:
        said.append(spent_on(standing.cost, 0))
    rate = standing.asked / standing.elapsed_s if standing.elapsed_s > 1 else 0.0
    if rate and not standing.ended and standing.shut is None:
        left = trials - done - failed - unpaid
        said.append(say("{rate} calls/s", rate=f"{rate:.2g}"))
        said.append(say("about {time} left", time=lasting(left / rate)))
    if standing.pause_s is not None:
        said.append(say("pausing before the next calls"))
    if standing.shut is not None and not standing.ended:
        begins = standing.shut.until.astimezone().strftime("%H:%M")
        said.append(
            say("waiting for the half tariff at {hour}, {time} left", hour=begins, time=lasting(standing.shut.left_s))
        )
    if standing.stopping and not standing.ended:
        said.insert(0, say("Stopping…"))
    return " · ".join(said)


def _done(done: int, count: int) -> str:
    trials = numbered(count, Message("1 trial"), Message("{count} trials"))
    return say("{done} of {trials}", done=f"{done:,}", trials=trials)


def settled(sweep: Sweep, notices: Sequence[Message | str] = ()) -> SweepTable:
    """The table that lasts: the figures of ``sweep.summary()``."""
    plan = sweep.plan
    trials, summary = sweep.with_summary()
    names = dict.fromkeys(name for setting in summary.settings for name in setting.scores)
    scorers = {name: not _is_of_all(plan, summary, name) for name in names}
    open_ones = [name for name in _OPEN if any(s.figures[name] for s in summary.settings)]
    heads = [*_axes(plan), say("answered"), *(_OPEN[name].localized() for name in open_ones)]
    judged = any(setting.figures["words_p50"] is not None for setting in summary.settings)
    heads += [*scorers, *([say("median words")] if judged else ()), say("cost"), say("median, s")]
    rows = [_row(setting, open_ones, scorers, judged=judged) for setting in summary.settings[:SHOWN_SETTINGS]]
    foot = [localized(said) for said in (*notices, *summary.notes)]
    if len(summary.settings) > SHOWN_SETTINGS:
        foot.append(
            say(
                "{shown} of {count} settings are shown; summary() has them all.",
                shown=SHOWN_SETTINGS,
                count=f"{len(summary.settings):,}",
            )
        )
    return SweepTable(caption=_result(sweep, trials), heads=heads, rows=rows, names=len(_axes(plan)), foot=foot)


def _is_of_all(plan: Plan, summary: SweepSummary, name: str) -> bool:
    """Whether each setting has the score for every input, as often as the caption says: then no cell says it again."""
    scores = [setting.scores[name] for setting in summary.settings]
    return all((score.n_inputs, score.repeats) == (len(plan.rows), plan.repeats) for score in scores)


def _row(setting: SettingSummary, open_ones: Sequence[str], scorers: Mapping[str, bool], *, judged: bool) -> list[str]:
    figures: Mapping[str, Cell] = setting.figures
    spent = figures["cost"]
    cost = UNKNOWN if spent is None else f"{cell(spent)} {currency_name(str(figures['currency'] or ''))}".strip()
    return [
        *setting.names.values(),
        *(cell(figures[each]) for each in ("answered", *open_ones)),
        *(setting.scores[each].told(counted=counted).localized() for each, counted in scorers.items()),
        *([cell(figures["words_p50"])] if judged else ()),
        cost,
        cell(figures["total_s_p50"]),
    ]


def _result(sweep: Sweep, rows: Sequence[Row]) -> str:
    states = [row["state"] for row in rows]
    said = [
        say("Sweep {name}", name=sweep.name),
        _done(states.count("done"), len(rows)),
        extent(sweep.plan),
    ]
    if reused := sum(row["reused"] is True for row in rows):
        said.append(say("{count} from the journal", count=f"{reused:,}"))
    costs: dict[str, Decimal] = {}
    for row in rows:
        if row["cost"] and row["currency"]:
            costs[str(row["currency"])] = costs.get(str(row["currency"]), Decimal(0)) + Decimal(str(row["cost"]))
    if costs:
        said.append(spent_on(costs, 0))
    if any(scorer.kind in JUDGES for scorer in sweep.plan.scorers) and (whole := spent_with_judges(sweep)):
        said.append(say("with its judges {amount}", amount=spent_on(whole, 0)))
    return " · ".join(said)


def extent(plan: Plan) -> str:
    """How many inputs, settings and repeats a plan has."""
    inputs = numbered(len(plan.rows), Message("1 input"), Message("{count} inputs")).localized()
    settings = numbered(len(plan.settings), Message("1 setting"), Message("{count} settings")).localized()
    said = f"{inputs} × {settings}"
    return said if plan.repeats == 1 else f"{said} × {plan.repeats:,}"


def _axes(plan: Plan) -> list[str]:
    """The heads of the columns that name a setting; none where there is one setting alone."""
    return [axis.name for axis in plan.axes]
