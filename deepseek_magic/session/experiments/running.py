"""A plan on its way: each cell of it made a request once, the sweep written into the journal, the loop on the engine.

The same clients, limits, budget and journal as for single calls; the loop itself is ``engine.trials.sweeping``.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from ...engine.batched import Batched
from ...engine.calls import UNREAD_S
from ...engine.home import engine
from ...engine.loop import CLOSE_S, HEARTBEAT_S
from ...engine.trials.accounts import Payer
from ...engine.trials.scores import ScoreStore
from ...engine.trials.standing import Shut
from ...engine.trials.store import SweepHead, SweepStore
from ...engine.trials.sweeping import SweepRun, SweepWork
from ...engine.trials.till import TrialPurse
from ...engine.trials.units import OPEN, TrialSeed, TrialUnit, units_of
from ...metrics.billing import most_of
from ...metrics.row import Origin
from ...metrics.spending import Hold
from ...policy.limits.leading import Beginning, beginning
from ...policy.limits.limiter import LimitPolicy
from ...policy.pricing import Cost
from ...policy.schedule import MOST_OPEN, PER_SLOT, Schedule, window
from ...protocol.completion import Completion
from ...protocol.errors import ConfigurationError
from ...protocol.experiments.judging import is_judging
from ...protocol.experiments.plan import Plan
from ...protocol.experiments.scoring import Scorer
from ...protocol.options import OPTIONS_BY_NAME, Option
from ...text.messages import Message
from .. import watched
from ..prepared import Prepared
from .judged import Judging
from .off_peak import shutter
from .planning import missing_values
from .scores import JUDGES, Scoring, in_thread
from .sweep import Sweep

if TYPE_CHECKING:
    from ...engine.client import Addressed
    from ...engine.cluster.crew import Crew
    from ...engine.cluster.marking import FarMarker
    from ..state import Session

HOW: Final = ("budget", "concurrency", "fresh", "retry", "at", "name", "on", "limits")
"""What says how a plan is asked, and is no part of it; see ``start_sweep``."""

_STAYS: Final = Message(
    "The score {name} is given in this kernel: with what its function refers to it is too large for the workers, or cannot be sent."
)
LIMITS: Final = Option(
    name="limits",
    kind="choice",
    flags=("--limits",),
    choices=("cluster",),
    help=Message("with --dask: one limit for all who ask on this cluster"),
)
ID_CHARS: Final = 32
NAME_CHARS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRequest:
    """One input of one setting: the request as it is sent, and what its prompt begins with if that is long."""

    addressed: tuple[Addressed, ...]
    digest: str
    beginning: Beginning | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedSweep:
    """A plan with every request made; nothing is sent. ``first`` has for each setting what its calls share."""

    plan: Plan
    cells: Sequence[CellRequest]
    first: Sequence[Prepared]
    notices: tuple[Message | str, ...]

    @property
    def seeds(self) -> Iterator[TrialSeed]:
        """The trials, in the plan's own order."""
        rows = len(self.plan.rows)
        for trial in self.plan.trials:
            cell = self.cells[trial.setting * rows + trial.row]
            base_url = self.first[trial.setting].endpoint.address
            yield TrialSeed(trial.number, trial.setting, trial.row, trial.repeat, cell.digest, base_url)

    @property
    def sweep_id(self) -> str:
        """A digest of the plan, of all that is sent, and of where it goes."""
        digest = hashlib.sha256(self.plan.digest.encode())
        for cell, first in zip(self.cells, self._each_first, strict=True):
            digest.update(f"{cell.digest} {first.endpoint.address}\n".encode())
        return digest.hexdigest()[:ID_CHARS]

    @property
    def _each_first(self) -> Iterator[Prepared]:
        for first in self.first:
            for _ in self.plan.rows:
                yield first


def prepare_sweep(session: Session, plan: Plan, *, dry: bool = False, on: Any = None, **given: Any) -> PreparedSweep:
    """Make every request of a plan. ``given``: what ``Session.prepare`` takes besides options (``api_key``, ``timeouts``).
    ``dry``: it will not be sent, so no key is needed; nor is one ``on`` a cluster, whose workers have their own.

    Raises ConfigurationError, and MissingKey and without a journal, but not for a dry run; nothing is sent.
    """
    if not dry:
        SweepStore(session.journal).check()
    cells, first = [], []
    notices: dict[str, Message | str] = {}
    key = given.pop("api_key", None)
    if on is not None and key is not None:
        raise ConfigurationError(
            Message("A key is not sent to a cluster, so api_key and on do not go together."),
            hint=Message("Set it in the environment of every worker."),
        )
    for setting in plan.settings:
        shared: Prepared | None = None
        for row in range(len(plan.rows)):
            made = session.prepare(
                setting.template.text,
                variables=plan.variables(row),
                schema=plan.schema,
                api_key=key,
                like=shared,
                cells=False,
                **{**given, **setting.options, "dry_run": dry or on is not None or None},
            )
            shared = shared or made
            notices |= {str(said): said for said in made.notices}
            begins = beginning(made.request, made.endpoint.base_url)
            bare = _bare(made.addressed, shared.addressed)
            cells.append(CellRequest(addressed=bare, digest=made.request.digest(), beginning=begins))
        assert shared is not None
        first.append(shared)
    notices |= {str(said): said for said in missing_values(plan)}
    if plan.repeats > 1 and any(setting.options.get("temperature") == 0 for setting in plan.settings):
        said = Message("At temperature 0 repeats differ little: more inputs tell more than more repeats.")
        notices[str(said)] = said
    return PreparedSweep(plan=plan, cells=tuple(cells), first=tuple(first), notices=tuple(notices.values()))


def _bare(addressed: Sequence[Addressed], like: Sequence[Addressed] = ()) -> tuple[Addressed, ...]:
    """The same requests without their bodies, and with the options of ``like`` where these are equal: a sweep keeps ten
    thousand, and only those under way need their bodies."""
    options = [each.request.options for each in like or addressed]
    return tuple(
        replace(each, request=each.request.bare(kept if kept == each.request.options else None))
        for each, kept in zip(addressed, options, strict=True)
    )


def prepare_again(session: Session, sweep_id: str, plan: Plan, *, on: Any = None) -> PreparedSweep:
    """The requests of a sweep of the journal. Raises ConfigurationError where they would be others now: that would be another
    sweep, paid for anew, and this one would stay as it is."""
    prepared = prepare_sweep(session, plan, on=on)
    if prepared.sweep_id != sweep_id:
        raise ConfigurationError(
            Message("This sweep cannot be asked from the journal, because its requests would be others now."),
            hint=Message(
                "Run the cell or the call that made it: a key in its inputs was masked, or another endpoint or default is set."
            ),
        )
    return prepared


class SweepCall:
    """A sweep that is being asked, seen from any thread."""

    def __init__(
        self,
        sweep: Sweep,
        run: SweepRun,
        plan: Plan,
        notices: tuple[Message | str, ...],
        judge: Callable[[str, Plan], SweepCall],
        far: FarMarker | None = None,
    ) -> None:
        self.sweep = sweep
        self.plan = plan
        self.run = run
        self.notices = notices
        self._judge = judge
        self.judging: SweepCall | None = None
        """The sweep of the judge that is asked now."""
        self._asked = threading.Event()
        self.scoring = Scoring(sweep.journal, sweep.sweep_id, plan, far)
        self.future: concurrent.futures.Future[None] = engine.submit(self._whole(plan))

    async def _whole(self, plan: Plan) -> None:
        """Ask, and score in a thread what is answered: a slow scorer holds up no stream."""
        scored = in_thread(lambda: self._score(plan)) if plan.scorers else None
        try:
            await self.run.run()
        finally:
            self._asked.set()
            if scored is not None:
                await asyncio.wrap_future(scored)

    def _score(self, plan: Plan) -> None:
        self.scoring.follow(self._asked, stopped=lambda: self.run.stopping)
        for scorer in plan.scorers:
            if scorer.kind not in JUDGES or self.run.stopping or self.run.error is not None:
                continue
            judging = Judging.of(self.sweep, scorer)
            if judging.plan is not None:
                self.judging = self._judge(judging.title, judging.plan)
            judging.keep(None if self.judging is None or judging.plan is None else self.judging.ended())

    def ended(self) -> Sweep:
        """The sweep once it has ended, however that was. Blocks, and never on the engine's loop."""
        concurrent.futures.wait([self.future])
        return self.sweep

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.future.done()

    def stop(self, *, wait_s: float = 0.0) -> None:
        """End it now; what has come is kept. Waits at most ``wait_s`` seconds for its connections to be closed."""
        self.run.stop()
        if self.judging is not None:
            self.judging.stop()
        with contextlib.suppress(Exception):
            self.future.result(wait_s)

    def wait(self, look: Callable[[], None] = lambda: None) -> Sweep:
        """Block until it has ended, looking around all the while; an interrupt stops it. See ``result``."""
        try:
            while not self.done:
                with contextlib.suppress(concurrent.futures.TimeoutError):
                    self.future.result(HEARTBEAT_S)
                look()
        except BaseException:
            self.stop(wait_s=CLOSE_S)
            raise
        return self.result()

    def result(self) -> Sweep:
        """The sweep, once it has ended. Raises what no trial could get past: a refused key, no money, a host that is down."""
        self.future.result()
        if self.run.error is not None:
            raise self.run.error
        return self.sweep


def sweep_of(session: Session, sweep_id: str, scorers: Sequence[Scorer] = ()) -> Sweep:
    """A sweep of the session's journal, which the session can ask again. ``scorers``: those at hand, with what they run."""
    return Sweep(session.journal, sweep_id, asker=_Asking(session), scorers=scorers)


@dataclass(frozen=True, slots=True)
class _Asking:
    """The session, as sweeps ask it."""

    session: Session

    def again(self, sweep: Sweep) -> Sweep:
        """Ask what failed in a sweep, and wait."""
        prepared = prepare_again(self.session, sweep.sweep_id, sweep.plan)
        return start_sweep(self.session, prepared, name=sweep.name, retry=True).wait()

    def anew(self, plan: Plan, notices: Sequence[Message], **how: Any) -> Sweep:
        """Ask a plan, and wait."""
        prepared = prepare_sweep(self.session, plan, on=how.get("on"))
        call = start_sweep(self.session, replace(prepared, notices=(*prepared.notices, *notices)), **how)
        with watched.watching(call) as look:
            return call.wait(look)


def check_how(
    *,
    concurrency: int | None = None,
    budget: float | None = None,
    name: str | None = None,
    on: Any = None,
    limits: str | None = None,
) -> None:
    """Raise ConfigurationError for what says how a sweep is asked, and cannot be."""
    whole = isinstance(concurrency, int) and not isinstance(concurrency, bool)
    if concurrency is not None and not (whole and 1 <= concurrency <= MOST_OPEN):
        said = Message("it takes a whole number from {low} to {high}", low=1, high=f"{MOST_OPEN:,}")
        raise ConfigurationError.of_setting("concurrency", repr(concurrency), said)
    if budget is not None:
        OPTIONS_BY_NAME["budget"].check(budget)
    if limits is not None:
        LIMITS.check(limits)
        if on is None:
            said = Message("it goes with on, a cluster that several share")
            raise ConfigurationError.of_setting("limits", limits, said)
    if name is not None and not (isinstance(name, str) and name.strip()):
        raise ConfigurationError.of_setting("name", repr(name), Message("it takes text that is not empty"))


def crew_of(client: Any) -> Crew:
    """The workers of a ``distributed.Client``. May wait for the cluster. Raises ConfigurationError."""
    try:
        from ...engine.cluster import crew
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            Message("A sweep on a cluster needs Dask ({error}).", error=str(error)),
            hint=Message("pip install 'deepseek-magic[dask]', here and where the workers run."),
        ) from None
    return crew.crew_of(client)


def start_sweep(
    session: Session,
    prepared: PreparedSweep,
    *,
    name: str | None = None,
    budget: float | None = None,
    concurrency: int | None = None,
    fresh: bool = False,
    retry: bool = False,
    at: str | None = None,
    on: Any = None,
    limits: str | None = None,
    shut: Callable[[], Shut | None] | None = None,
    given: Mapping[str, Any] | None = None,
    payer: str | None = None,
) -> SweepCall:
    """Begin or go on with the sweep of a plan.

    ``budget``: the most that its calls may cost together, those of earlier runs and of its judges included (US dollars).
    ``fresh`` asks everything anew, ``retry`` only what failed. ``at`` "off-peak" begins calls only at DeepSeek's half tariff;
    ``shut`` is a sweep's own word for it. ``on`` a ``distributed.Client`` the workers of its cluster ask, with ``limits`` "cluster" within a limit that
    all its drivers share. ``given`` as for ``prepare_sweep``, for judges; ``payer`` is the sweep that a judge
    works for. Raises ConfigurationError.
    """
    check_how(concurrency=concurrency, budget=budget, on=on, limits=limits)
    if fresh and retry:
        said = Message("--fresh asks everything anew, --retry only what failed.")
        raise ConfigurationError(said, hint=Message("Leave one of them out."))
    shut = shut or shutter(session, prepared, at)
    store, seeds, plan = SweepStore(session.journal), list(prepared.seeds), prepared.plan
    session.rails.check_size(len(plan))
    sweep_id = prepared.sweep_id
    head = SweepHead(
        sweep_id=sweep_id,
        name=name or sweep_id[:NAME_CHARS],
        notebook=session.chats.notebook,
        run_id=session.chats.run_id,
        made_at=datetime.now(UTC).isoformat(),
        since=None,
        plan=plan.to_json(),
        rows=plan.rows_json(),
    )
    store.keep(head, seeds, fresh=fresh, renamed=name is not None).result()
    if plan.scorers:
        ScoreStore(session.journal).keep_plan(sweep_id, plan.to_json()).result()
    states = {row.trial: row.state for row in store.trials(sweep_id)}
    wanted = ("failed",) if retry else (*OPEN, "running", "done")
    units = units_of(seeds, each=plan.each, wanted=lambda number: states[number] in wanted)
    given_cap = None if budget is None else Decimal(str(budget))
    cap = session.rails.cap_of_sweep(payer or sweep_id, given_cap, session.wall())
    crew = None if on is None else crew_of(on)
    if crew is not None and limits is not None:
        crew.share()
    share = None if limits is None else concurrency or LimitPolicy().concurrency
    client = prepared.first[0].client
    gate = client.gate_for(None if crew is None else crew.at("", 0))
    gated = concurrency is not None and concurrency >= client.limits.concurrency
    work = SweepWork(
        sweep_id=sweep_id,
        store=store,
        payer=Payer(sweep_id=payer or sweep_id, cap=cap),
        order=Schedule(
            [unit for unit in units if states[unit.trials[0]] != "done"],
            lambda unit: plan.trial(unit.trials[0]),
            lambda unit: _cell(prepared, seeds, unit)[1].beginning,
            leading=session.leading,
        ),
        units=units,
        begin=functools.partial(_begin, session, prepared, seeds, None if crew is None else (crew, head.name, share)),
        most=functools.partial(_most, session, prepared, seeds),
        hold=functools.partial(_hold, session, prepared),
        window=lambda: window(gate.standing.window, concurrency, per_slot=PER_SLOT if shut is None else 1, gated=gated),
        at_once=lambda: gate.standing.running,
        workers=tuple if crew is None else lambda: crew.standing,
        shut=shut,
        widened=gate.widened(concurrency, far=crew is not None),
    )
    run = SweepRun(work, states)
    sweep = sweep_of(session, sweep_id, plan.scorers)

    def judge(title: str, asked: Plan) -> SweepCall:
        """The judge's calls are a sweep of their own, which this one pays for."""
        made = prepare_sweep(session, asked, on=on, **(given or {}))
        return start_sweep(
            session,
            made,
            name=title,
            budget=budget,
            on=on,
            limits=limits,
            shut=shut,
            given=given,
            payer=payer or sweep_id,
        )

    far = None if crew is None else crew.marker(head.name)
    kept = [each.name for each in plan.scorers if far is not None and each.kind == "function" and not far.travels(each)]
    stay = [_STAYS.filled(name=name) for name in kept]
    return SweepCall(sweep, run, plan, (*prepared.notices, *stay), judge, far)


def _cell(prepared: PreparedSweep, seeds: Sequence[TrialSeed], unit: TrialUnit) -> tuple[Prepared, CellRequest]:
    """What the calls of a unit's setting share, and its own request."""
    seed = seeds[unit.trials[0]]
    return prepared.first[seed.setting], prepared.cells[seed.setting * len(prepared.plan.rows) + seed.row]


def _begin(
    session: Session,
    prepared: PreparedSweep,
    seeds: Sequence[TrialSeed],
    crew: tuple[Crew, str, int | None] | None,
    unit: TrialUnit,
    before: Completion | None,
    purse: TrialPurse,
) -> Batched:
    first, cell = _cell(prepared, seeds, unit)
    addressed = _bare(cell.addressed)
    exchanges = None if crew is None else crew[0].at(crew[1], unit.trials[0], share=crew[2])
    return first.client.begin(
        addressed,
        before=None if before is None else replace(before, request=addressed[0].request),
        continue_on_length=first.options.get("continue_on_length"),
        timeline=first.options.get("timeline"),
        patience=first.patience if exchanges is None else lambda timeouts: exchanges.patience(first.patience(timeouts)),
        origin=Origin(
            run_id=session.chats.run_id,
            notebook=session.chats.notebook or None,
            purpose="judge" if is_judging(prepared.plan) else "trial",
        ),
        call_id=purse.call_id,
        purse=purse,
        exchanges=exchanges,
        unread_s=UNREAD_S,
        alone=seeds[unit.trials[0]].repeat > 0,  # or repeats would be one answer, behind a relay that shares
    )


def _most(session: Session, prepared: PreparedSweep, seeds: Sequence[TrialSeed], unit: TrialUnit) -> Cost | None:
    first, cell = _cell(prepared, seeds, unit)
    price = functools.partial(first.client.prices.cost_of, endpoint=first.endpoint.price_list)
    return most_of(cell.addressed[0].request, price, session.wall())


def _hold(session: Session, prepared: PreparedSweep, unit: TrialUnit, amounts: Mapping[str, Decimal]) -> Hold:
    """A unit's price set aside of the session's own budget, which holds for a sweep as for single calls."""
    hold = Hold(session.log.spending, prepared.first[unit.setting].options.get("budget"))
    hold.put(amounts)
    return hold
