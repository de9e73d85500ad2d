"""What a plan would take if it were asked now: its requests made, the journal looked at, nothing sent."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from ...engine.trials.store import SweepStore
from ...engine.trials.units import TrialSeed, TrialUnit, units_of
from ...metrics.stats.intervals import visible_difference
from ...policy.attempts import RecoveryPolicy
from ...policy.estimates import tokens_at_most
from ...policy.plan_costs import PlannedRequest, Usual, outlook, usual_lengths
from ...protocol.chat import Request
from ...protocol.experiments.judging import Case, is_judging, judge_plan
from ...protocol.experiments.outlook import Outlook
from ...protocol.experiments.plan import Plan
from ...protocol.options import OPTIONS_BY_NAME, Options
from ...text.messages import Message
from .judged import open_cases
from .off_peak import beginning
from .running import PreparedSweep, check_how, prepare_sweep
from .scores import JUDGES

if TYPE_CHECKING:
    from ..state import Session

LEARNT_FROM: Final = 1_000
"""So many of the newest answers say how long answers are."""
FEW: Final = 3
"""So many calls are asked as soon as priced."""
_FIRST: Final = Message(
    "No earlier answer tells how long these will be. Ask a few rows first (in a sweep: --limit 3), and the plan says about what all will cost."
)
_NONE: Final[Mapping[tuple[str, str], int]] = MappingProxyType({})


def with_outlook(session: Session, plan: Plan, how: Mapping[str, Any] | None = None, **given: Any) -> Plan:
    """The plan with what it would take, see ``Outlook``. ``how`` it is to be asked as for ``start_sweep``, ``given`` as for
    ``prepare_sweep``; no key is needed.

    Raises ConfigurationError where one of its requests cannot be made.
    """
    prepared = prepare_sweep(session, plan, dry=True, **given)
    return replace(plan, outlook=looked_at(session, prepared, **(how or {})), how=how or {})


def looked_at(
    session: Session,
    prepared: PreparedSweep,
    *,
    fresh: bool = False,
    retry: bool = False,
    at: str | None = None,
    soon: Mapping[tuple[str, str], int] = _NONE,
    **others: Any,
) -> Outlook:
    """The outlook of a prepared sweep that is asked as ``start_sweep`` would be told to: with ``fresh`` no answer of the journal
    is used, with ``retry`` only what failed is asked. ``soon``: how many answers to a request at an address the journal will
    have by then. Raises as ``check_how`` does for ``others``."""
    check_how(**others)
    plan, seeds, store = prepared.plan, list(prepared.seeds), SweepStore(session.journal)
    now = session.wall()
    begins = beginning(session, prepared, now, at)
    states = {row.trial: row.state for row in store.trials(prepared.sweep_id)}
    done = {trial for trial, state in states.items() if state == "done" and not fresh}
    failed = {trial for trial, state in states.items() if state == "failed"}
    units = units_of(seeds, each=plan.each, wanted=lambda number: number in failed if retry else number not in done)
    kept = {} if fresh else store.whole_answers({unit.digest for unit in units})
    by_then = _NONE if fresh else soon

    def is_kept(unit: TrialUnit) -> bool:
        request = (unit.digest, unit.base_url)
        return unit.place < max(kept.get(request, 0), by_then.get(request, 0))

    reused = [unit for unit in units if is_kept(unit)]
    known = set(reused)
    asked = [unit for unit in units if unit not in known]
    places = {first.endpoint.name for first in prepared.first}
    usual = usual_lengths(store.lengths(places, limit=LEARNT_FROM))
    made = outlook(
        [
            *_requests(prepared, seeds, asked),
            *_judges(session, prepared, usual, done, failed if retry else set(range(len(plan))) - done),
        ],
        usual,
        begins,
        prices=session.log.prices,
        reused=len(done) + sum(len(unit.trials) for unit in reused),
        shared=sum(len(unit.trials) - 1 for unit in asked),
        visible=visible_difference(_inputs(plan)) if len(plan.settings) > 1 else None,
        waits_s=None if at is None else (begins - now).total_seconds(),
        notices=prepared.notices,
    )
    unlearnt = made.cost.expected is None and made.cost.most is not None and not is_judging(plan)
    return replace(made, notices=(*made.notices, _FIRST)) if unlearnt and made.calls > FEW else made


def _requests(prepared: PreparedSweep, seeds: list[TrialSeed], asked: list[TrialUnit]) -> Iterator[PlannedRequest]:
    rows = len(prepared.plan.rows)
    calls = Counter((seed := seeds[unit.trials[0]]).setting * rows + seed.row for unit in asked)
    for cell, times in calls.items():
        first = prepared.first[cell // rows]
        continued = RecoveryPolicy().continuations if first.options.get("continue_on_length") else 0
        request = prepared.cells[cell].addressed[0].request
        yield PlannedRequest(request, first.endpoint.price_list, times, continued)


def _judges(
    session: Session,
    prepared: PreparedSweep,
    usual: Mapping[tuple[str, str | None], Usual],
    done: Collection[int],
    coming: Collection[int],
) -> Iterator[PlannedRequest]:
    """The calls of judges on answers that are not there yet, and on those that they have not judged.

    Of an answer nobody knows how long it will be: at most as long as any setting lets it, and as expected.
    """
    plan = prepared.plan
    met = Counter((trial.row, trial.repeat) for trial in map(plan.trial, done))
    more = Counter((trial.row, trial.repeat) for trial in map(plan.trial, coming))
    pairs_to_come = sum(math.comb(met[at] + count, 2) - math.comb(met[at], 2) for at, count in more.items())
    firsts = [first.request for first in prepared.first]
    longest = max(tokens_at_most(request, 0, 0)[1] for request in firsts)
    known = [usual.get((request.model, request.options.get("think"))) for request in firsts]
    expected = None if None in known else max(each.tokens for each in known if each is not None)
    for scorer in plan.scorers:
        if scorer.kind not in JUDGES:
            continue
        pairs = scorer.kind == "prefer"
        left = len(open_cases(session.journal, prepared.sweep_id, plan, scorer))
        # For each answer a call, or for each pair of settings two.
        calls = 2 * (left + pairs_to_come) if pairs else left + len(coming)
        asked = max((scorer.wanted(row) or "" for row in plan.rows), key=len)
        made = judge_plan(scorer, [Case("", {"question": asked}, "" if pairs else None)], plan.options)
        assert made is not None
        text = made.templates[0].text.replace("{question}", asked)
        options = {name: value for name, value in made.options.items() if OPTIONS_BY_NAME[name].scope == "request"}
        request = Request.asking(text, Options(**options), system=str(made.options["system"]))
        quoted = (longest * (1 + pairs), None if expected is None else expected * (1 + pairs))
        place = prepared.first[0].endpoint.price_list
        yield PlannedRequest(request, place, calls * made.repeats, quoted=quoted)


def _inputs(plan: Plan) -> int:
    """The inputs as the statistics count them."""
    if plan.cluster is None:
        return len(plan.rows)
    return len({str(row.get(plan.cluster)) for row in plan.rows})
