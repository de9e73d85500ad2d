"""Sweeps from Python, on the one session of this process: ``sweep``, ``asweep``, ``plan`` and ``sweeps``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal, Unpack

from ...engine.loop import CLOSE_S, HEARTBEAT_S
from ...protocol.errors import ConfigurationError
from ...protocol.experiments import score as score
from ...protocol.experiments.plan import Plan
from ...protocol.experiments.score import Scores
from ...text.messages import Message
from .. import watched
from ..calls import session
from ..prepared import AskOptions, hide_key
from .outlook import with_outlook
from .planning import Grid, plan_of
from .running import HOW, SweepCall, prepare_sweep, start_sweep
from .sweep import Sweep

if TYPE_CHECKING:
    from ..state import Session

_GIVEN: Final = ("api_key", "timeouts")
"""What says how calls are made and is no part of a plan."""

Prompts = str | Mapping[str, str] | None


class PlanOptions(AskOptions, total=False):
    """What a plan is made of, besides its prompt; see ``sweep``."""

    over: Any
    grid: Grid
    repeats: int
    limit: int | None
    sample: int | None
    sample_seed: int
    each: bool
    cluster: str | None
    scores: Scores


class SweepOptions(PlanOptions, total=False):
    """And what else a sweep takes."""

    name: str | None
    retry: bool
    concurrency: int | None
    at: Literal["off-peak"] | None
    on: Any
    limits: Literal["cluster"] | None


def plan(prompt: Prompts = None, **options: Unpack[SweepOptions]) -> Plan:
    """The plan of a sweep, of what ``sweep`` takes: it sends nothing, and shows what would be asked and what it would cost.

    ``sweep(plan)`` asks it as it was planned: with its ``budget``, ``concurrency``, ``at`` and so on, unless it is given others.
    """
    hide_key(options)
    how: dict[str, Any] = {name: options[name] for name in HOW if options.get(name) is not None}
    given: dict[str, Any] = {name: options.get(name) for name in _GIVEN}
    return with_outlook(session(), planned(session(), prompt, options), how, **given)


def planned(here: Session, prompt: Prompts, options: SweepOptions) -> Plan:
    """The plan of a prompt and options, over the defaults of a session."""
    given: dict[str, Any] = {name: value for name, value in options.items() if name not in (*_GIVEN, *HOW)}
    return plan_of(prompt, defaults=here.in_force({}), **given)


def sweep(prompt: Plan | Prompts = None, **options: Unpack[SweepOptions]) -> Sweep:
    """Ask a prompt of every row of a table in every setting of a grid, and wait for all of it.

    ``over`` is a DataFrame, a list of dicts or of values, or the path of a CSV or JSONL file; ``{column}`` in the prompt takes
    the row's value. ``grid`` names options and their values: ``{"model": ["flash", "pro"], "temperature": [0, 1]}``; a dict
    of values names them. Each input is asked ``repeats`` times in each setting. Of the table the first ``limit`` rows are
    asked, or ``sample`` of them by chance (others with another ``sample_seed``). Equal rows are asked once, unless ``each``. Other ``options`` are
    those of ``ask``. ``scores`` are of ``ds.score``, or functions ``(answer, row)``; they say how good each answer is.

    Every answer is in the journal as soon as it is there. The same sweep again asks only what is missing, and answers that
    the journal has are used, repeat by repeat, unless ``fresh``; ``retry`` asks only what failed. ``budget`` is the most, in
    US dollars, that it may cost; what it does not allow is left unpaid. ``concurrency`` calls are open at once. ``at`` "off-peak"
    waits for DeepSeek's half tariff, and pauses at peak hours. ``name`` is what ``ds.sweeps`` finds it by. With a
    ``distributed.Client`` as ``on`` the workers of its cluster ask, with the keys of their own environments; ``limits`` "cluster" has all its drivers
    share one limit.

    A trial that failed is a row with its error, and no exception. Raises ConfigurationError for what does not go together,
    and the DeepSeekError that no trial could get past: a refused key, an empty account, a host that fails every call. An
    interrupt stops it, and all that has come is kept.
    """
    call = begun(session(), prompt, options)
    with watched.watching(call) as look:
        return call.wait(look)


async def asweep(prompt: Plan | Prompts = None, **options: Unpack[SweepOptions]) -> Sweep:
    """The same as ``sweep`` for ``await``, on any loop. Cancelling it stops the sweep."""
    call = begun(session(), prompt, options)
    ended = asyncio.wrap_future(call.future)
    with watched.watching(call) as look:
        try:
            while not ended.done():
                # In short steps: a kernel's loop notices an interrupt only when it wakes.
                await asyncio.wait((ended,), timeout=HEARTBEAT_S)
                look()
        except BaseException:
            call.stop(wait_s=CLOSE_S)
            raise
        return call.result()


def begun(here: Session, prompt: Plan | Prompts, options: SweepOptions) -> SweepCall:
    """The sweep of a plan, or of a prompt and options, on its way in a session."""
    hide_key(options)
    how: dict[str, Any] = {name: options[name] for name in HOW if options.get(name) is not None}
    given: dict[str, Any] = {name: options.get(name) for name in _GIVEN}
    asked: Any = {name: value for name, value in options.items() if name not in HOW}
    if not isinstance(prompt, Plan):
        prompt = planned(here, prompt, asked)
    else:
        how = {**prompt.how, **how}
        scores = asked.pop("scores", None)
        if scores is not None:  # they are no part of what is asked
            prompt = replace(prompt, scorers=score.scorers(scores))
        extra = sorted(name for name, value in asked.items() if value is not None and name not in _GIVEN)
        if extra:
            said = Message("The plan says already what is asked, so {names} cannot be given beside it.")
            raise ConfigurationError(said.filled(names=", ".join(extra)), hint=Message("Make another plan."))
    return start_sweep(here, prepare_sweep(here, prompt, on=how.get("on"), **given), given=given, **how)
