"""A cell of ``%%deepseek_sweep``: what was typed → a plan, permission, the sweep and its view, the variable."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.display import display

from ...engine.loop import CLOSE_S, HEARTBEAT_S
from ...policy.budget import CURRENCY
from ...policy.pricing import PLAY_MONEY, Cost
from ...protocol.errors import BudgetExceeded, ConfigurationError, DeepSeekError
from ...protocol.experiments import score
from ...protocol.experiments.plan import Plan
from ...protocol.options import closest
from ...session import session
from ...session.experiments.outlook import looked_at
from ...session.experiments.planning import plan_of
from ...session.experiments.running import HOW, PreparedSweep, SweepCall, prepare_again, prepare_sweep, start_sweep
from ...session.experiments.sweep import Sweep
from ...text.messages import Message, numbered, say
from ..frontend import Stopped, notebook_path
from ..magic.flags import Line, check_output, refuse_key
from ..magic.magics import DeepSeekMagics
from ..magic.past import variables
from .flags import grid_of, read_sweep_line, split, sweep_help
from .live import BackgroundSweep, SweepView

if TYPE_CHECKING:
    from ...session.state import Session


class SweepFailed(DeepSeekError):
    """A sweep ended, and trials of it have no answer. Raised so that the cell fails and Run All does not go on over it."""


@dataclass(slots=True, kw_only=True)
class SweepOrder:
    """A sweep that is being asked, and what the cell wants of it."""

    call: SweepCall
    view: SweepView
    how: Mapping[str, Any]
    made: Callable[[Sweep], Any]
    interrupted: bool = False


def check_cell(line: str, body: str | None, typed: Line) -> None:
    """Raise ConfigurationError for a cell that cannot be asked, whatever its flags mean."""
    below, output = body or "", typed.options.get("output")
    refuse_key(line, below)
    if typed.rest:
        raise ConfigurationError(
            Message('"{text}" on the first line was not understood.', text=typed.rest[:40]),
            hint=Message("Write the prompt below the first line, and put a value with spaces in quotation marks."),
        )
    if not below.strip() and "template" not in typed.options:
        raise ConfigurationError(
            Message("There is nothing to ask."), hint=Message("Write the prompt below the first line.")
        )
    check_output(output)


def typed_plan(here: Session, prompt: str, asked: Mapping[str, Any], known: Mapping[str, Any]) -> Plan:
    """The plan of a cell's text and flags over the variables that are ``known``. Raises ConfigurationError."""
    asked = dict(asked)
    over = asked.pop("over", None)
    scores = [score.read(typed, known) for typed in asked.pop("scores", ())]
    return plan_of(
        prompt,
        over=None if over is None else typed_table(over, known),
        grid=grid_of(asked.pop("vary", ())),
        defaults=here.in_force({}),
        variables=known,
        scores=scores,
        **asked,
    )


def typed_table(name: str, known: Mapping[str, Any]) -> Any:
    """The table of that name, or the path of a file. Raises ConfigurationError."""
    if name in known:
        return known[name]
    if not Path(name).suffix:
        raise ConfigurationError(
            Message("There is no table {name}.", name=name),
            hint=Message("It is a variable (a DataFrame, a list), or a CSV or JSONL file."),
        )
    return name


def with_client(how: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same with the client that --dask names. Raises ConfigurationError."""
    name = how.get("on")
    if name is None:
        return how
    if name not in known:
        raise ConfigurationError(
            Message("There is no variable {name}{near}.", name=name, near=closest(name, list(known))),
            hint=Message("--dask takes the name of one with a distributed.Client."),
        )
    return {**how, "on": known[name]}


def no_permission(plan: Plan, how: Mapping[str, Any], pocket: float) -> ConfigurationError | None:
    """The error for a sweep that may cost more than may be spent without a word (``pocket``, US dollars)."""
    allowed = Decimal(str(pocket))
    most = None if plan.outlook is None else plan.outlook.cost.most
    if how.get("go") or "budget" in how or most is None or most.amount <= allowed:
        return None
    said = Message("Nothing was sent: the sweep may cost up to {most}, and {pocket} may be spent unasked.")
    unasked = Cost(amount=allowed, currency=PLAY_MONEY if most.currency == PLAY_MONEY else CURRENCY)
    return ConfigurationError(
        said.filled(most=most.rounded, pocket=unasked.rounded),
        hint=Message("--budget USD sends it up to that amount, --go whatever it costs."),
    )


class SweepCells:
    """Has the sweeps of cells asked; their defaults are those of ``%%deepseek``."""

    _shown: Sweep | None = None
    """Whose table is left, if that is another sweep than the one that is asked."""

    def __init__(self, shell: Any, magics: DeepSeekMagics) -> None:
        self.shell = shell
        self._magics = magics

    def blocking(self, line: str, body: str | None, scope: Mapping[str, Any]) -> None:
        """Ask, and wait for all of it."""
        order = self._begin(line, body, scope, button=False)
        if order is not None:
            self._wait(order)

    def _wait(self, order: SweepOrder) -> None:
        try:
            order.call.wait(order.view.look)
        except KeyboardInterrupt:
            order.interrupted = True
        except DeepSeekError:
            pass  # raised again at the end, when what has come is bound
        self._end(order)

    async def awaited(self, line: str, body: str | None) -> None:
        """The same for an async cell."""
        order = self._begin(line, body, {}, button=True)
        if order is None:
            return
        call = order.call
        ended = asyncio.wrap_future(call.future)
        try:
            while not ended.done():
                # In short steps: the kernel's loop notices an interrupt only when it wakes.
                await asyncio.wait((ended,), timeout=HEARTBEAT_S)
                order.view.look()
        except (asyncio.CancelledError, KeyboardInterrupt):
            order.interrupted = True
            call.stop(wait_s=CLOSE_S)
        self._end(order)

    def _begin(self, line: str, body: str | None, scope: Mapping[str, Any], *, button: bool) -> SweepOrder | None:
        """Send what was typed; None when there is nothing to wait for."""
        typed = read_sweep_line(line)
        if typed.help:
            print(sweep_help())
            return None
        check_cell(line, body, typed)
        session().chats.notebook = notebook_path(self.shell)
        asked, how = split(typed.options)
        known = variables(self.shell, self._magics.last_error, scope)
        plan = typed_plan(session(), (body or "").strip("\n"), asked, known)
        return self._ask(plan, with_client(how, known), button=button)

    def _ask(
        self,
        plan: Plan,
        how: Mapping[str, Any],
        *,
        button: bool,
        made: Callable[[Sweep], Any] = lambda sweep: sweep,
    ) -> SweepOrder | None:
        """Have a plan asked, if that may be; a dry run leaves the plan. ``made``: what becomes of the sweep."""
        here = session()
        prepared = prepare_sweep(here, plan, dry=bool(how.get("dry_run")), on=how.get("on"))
        asked = {name: how[name] for name in HOW if name in how}
        plan = replace(plan, outlook=looked_at(here, prepared, **asked), how=asked)
        if how.get("dry_run"):
            self._bind(how.get("output"), plan)
            display(plan)
            return None
        self._allow(plan, how)
        return self._start(prepared, how, button=button, made=made)

    def again(self, sweep: Sweep, how: Mapping[str, Any]) -> None:
        """Ask what a sweep of the journal has open, or with ``retry`` only what failed; blocks."""
        here, how = session(), with_client(how, variables(self.shell, self._magics.last_error, {}))
        prepared = prepare_again(here, sweep.sweep_id, sweep.plan, on=how.get("on"))
        asked = {name: how[name] for name in HOW if name in how}
        self._allow(replace(sweep.plan, outlook=looked_at(here, prepared, **asked)), how)
        order = self._start(prepared, {"name": sweep.name, **how}, button=False)
        assert order is not None
        self._wait(order)

    def _allow(self, plan: Plan, how: Mapping[str, Any]) -> None:
        """Raise ConfigurationError where the sweep may cost more than may be spent without a word."""
        error = no_permission(plan, how, self._magics.pocket)
        if error is not None:
            display(plan)
            raise error

    def _start(
        self,
        prepared: PreparedSweep,
        how: Mapping[str, Any],
        *,
        button: bool,
        made: Callable[[Sweep], Any] = lambda sweep: sweep,
    ) -> SweepOrder | None:
        given = {name: how[name] for name in HOW if name in how}
        call = start_sweep(session(), prepared, **given)
        detached = bool(how.get("background")) and self._magics.watched
        front_end = self._magics.view_name
        quiet = bool(how.get("quiet"))
        view = SweepView(call, front_end, button=button or detached, quiet=quiet, shown=self._shown)
        order = SweepOrder(call=call, view=view, how=how, made=made)
        if detached:
            self._bind(how.get("output"), BackgroundSweep(call, view, self.shell, made))
            return None
        return order

    def _bind(self, output: str | None, value: Any) -> None:
        self.shell.push({output: value} if output else {})
        self.shell.displayhook.update_user_ns(value)

    def _end(self, order: SweepOrder) -> None:
        """Bind and settle. Raises what ended the sweep early, or that trials have no answer."""
        call, name = order.call, order.how.get("output")
        with contextlib.suppress(concurrent.futures.TimeoutError, concurrent.futures.CancelledError):
            call.future.exception(CLOSE_S)
        made = order.made(call.sweep)
        self._bind(name, made)
        order.view.settle()
        self._show(order.how, made)
        states = call.sweep.states
        done, count = states.get("done", 0), len(call.sweep)
        of_all = numbered(count, Message("1 trial"), Message("{count} trials"))
        kept = Message(
            "Done and kept: {done} of {trials}; running the cell again asks the rest.", done=f"{done:,}", trials=of_all
        )
        if order.interrupted or call.run.stopping:
            raise Stopped(say("Stopped. {kept}", kept=kept))
        try:
            call.result()
        except DeepSeekError as error:
            error.add_note(kept.localized())
            raise
        if unpaid := states.get("unpaid", 0):
            raise BudgetExceeded(
                Message("Over the budget, and not asked: {count} of {trials}.", count=f"{unpaid:,}", trials=of_all),
                hint=Message(
                    "A higher --budget asks them, and nothing twice; a lower --max-tokens lets each call count for less."
                ),
            )
        if (waiting := states.get("waiting", 0)) and order.how.get("retry"):
            raise SweepFailed(
                Message(
                    "Never asked: {count} of {trials}; --retry asks only what failed.",
                    count=f"{waiting:,}",
                    trials=of_all,
                ),
                hint=Message("The same cell without --retry asks them, too."),
            )
        failed = states.get("failed", 0)
        if failed > order.how.get("allow_failed", 0) * count:
            raise self._failed(failed, of_all, order)

    def _failed(self, failed: int, of_all: Message, order: SweepOrder) -> SweepFailed:
        """The error of a sweep of which too many trials failed."""
        return SweepFailed(
            Message("{count} of {trials} failed.", count=f"{failed:,}", trials=of_all),
            hint=Message(
                "{where} says why; the same cell with --retry asks them again, --allow-failed lets a share pass.",
                where=self._where(order.how.get("output") or "_", order),
            ),
        )

    def _show(self, how: Mapping[str, Any], made: Any) -> None:
        """Show what was made, where nothing else does: the table of a sweep is its view's."""

    def _where(self, name: str, order: SweepOrder) -> str:
        """Where the reasons of failed trials are."""
        return f"{name}.failed"
