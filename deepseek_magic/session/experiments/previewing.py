"""What a plan would ask and cost, before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ...engine.trials.store import SweepStore, units_of
from ...metrics.tables import text_table
from ...policy.pricing import Cost
from ...protocol.experiments.plan import Plan
from ...text.messages import Message, localized, say
from .showing import extent

if TYPE_CHECKING:
    from ..state import Session
    from .running import PreparedSweep


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPreview:
    """It shows itself. ``calls`` are to be sent, ``most`` is what they may cost at most; None where that is unknown."""

    plan: Plan
    calls: int
    kept: int
    most: Cost | None
    unknown: int
    notices: Sequence[Message | str] = ()

    @property
    def lines(self) -> list[str]:
        """What is to be said, in the reader's language."""
        plan = self.plan
        said = [
            say("{extent}: {count} trials.", extent=extent(plan), count=f"{len(plan):,}"),
            say("{count} calls would be sent.", count=f"{self.calls:,}"),
        ]
        if self.kept:
            said.append(say("The journal has {count} of the answers already.", count=f"{self.kept:,}"))
        if self.most is not None:
            said.append(say("They cost at most {cost}.", cost=self.most.rounded))
        if self.unknown:
            said.append(say("The price of {count} calls is unknown.", count=f"{self.unknown:,}"))
        return [*said, *map(localized, self.notices)]

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        names = [axis.name for axis in self.plan.axes]
        rows = [list(setting.names.values()) for setting in self.plan.settings[:20]]
        table = text_table(names, rows, "") if names else ""
        text = "\n".join([say("Not sent."), *self.lines, *table.splitlines()[1:]])
        return {"text/plain": text}


def preview(session: Session, prepared: PreparedSweep) -> PlanPreview:
    """What would be sent now: the journal's answers are not asked again."""
    plan, store = prepared.plan, SweepStore(session.journal)
    seeds = list(prepared.seeds)
    known = {row.trial: row.state for row in store.trials(prepared.sweep_id)}
    units = units_of(seeds, each=plan.each, wanted=lambda number: known.get(number) != "done")
    held = store.held({(unit.digest, unit.base_url) for unit in units})
    left = [unit for unit in units if unit.place >= held.get((unit.digest, unit.base_url), 0)]
    rows, most, unknown = len(plan.rows), Decimal(0), 0
    currency = "USD"
    for unit in left:
        seed = seeds[unit.trials[0]]
        cost = prepared.cells[seed.setting * rows + seed.row].most
        if cost is None:
            unknown += 1
        else:
            most, currency = most + cost.amount, cost.currency
    return PlanPreview(
        plan=plan,
        calls=len(left),
        kept=len(units) - len(left) + sum(state == "done" for state in known.values()),
        most=None if unknown == len(left) and left else Cost(amount=most, currency=currency),
        unknown=unknown,
        notices=prepared.notices,
    )
