"""Through a notebook as it would run: each request is made and priced, and nothing is sent."""

from __future__ import annotations

import ast
import glob
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from ...engine.trials.store import SweepStore
from ...policy.attempts import RecoveryPolicy
from ...policy.budget import COUNTED
from ...policy.plan_costs import PlannedRequest, outlook
from ...protocol.completion import Completion
from ...protocol.errors import DeepSeekError
from ...protocol.experiments import score
from ...protocol.experiments.outlook import CostRange
from ...protocol.experiments.plan import Plan
from ...protocol.measured import Cost
from ...session.experiments.judged import Judging
from ...session.experiments.mapping import TableMap
from ...session.experiments.outlook import looked_at
from ...session.experiments.planning import plan_of
from ...session.experiments.running import HOW, prepare_sweep
from ...session.prepared import Prepared
from ...session.state import MAX_HISTORY_TOKENS
from ...text.messages import Message
from ..experiments.flags import read_map_line, read_sweep_line, split
from ..experiments.judge_cell import sweep_named
from ..experiments.judge_flags import judge_of, read_judge_line
from ..experiments.map_cell import typed_map
from ..experiments.sweep_cell import check_cell, no_permission, typed_plan
from ..magic.flags import HELP_FLAGS, Line, read_order
from .names import Computed, Names, NotYet
from .single import SecondRequestCosts, free, wherever
from .situation import NOTHING, Situation, Unsaid
from .source import COMPUTED, Reader
from .steps import AnyBound, Bound, Changed, FoundCall, FoundMagic, NotebookCell, Played
from .table import CellCost

_NO_PART: Final = ("api_key", "timeouts", "on", "limits")
"""What says how a call is made, and nothing of what it costs."""
_WHY: Final = {
    "deepseek_resume": Message("it continues an earlier answer"),
    "deepseek_fix": Message("it asks about the error before it"),
    "deepseek_sweeps": Message("it asks what an earlier sweep has open"),
    "run": Message("what the other file asks is not looked at"),
    "Client": Message("what a client is asked is not looked at"),
    "resume": Message("it continues an earlier answer"),
    "retry": Message("it asks only what failed"),
    "confirm": Message("which settings it asks depends on their scores"),
}


_ANY: Final = Message("names that it uses may be bound by a cell that cannot be followed")


class _Unknown(Exception):
    """It cannot be known what a place asks."""

    def __init__(self, why: Message) -> None:
        super().__init__(str(why))
        self.why = why


class Reckoning:
    """Goes through cells, each once and in order. ``rows`` are the places that ask something."""

    def __init__(self, situation: Situation, names: Names, reader: Reader) -> None:
        self.rows: list[CellCost] = []
        self._situation, self._names, self._reader = situation, names, reader
        self._session = situation.session
        self._answer: Completion | None = None
        """That of the call before, where the journal has it."""
        self._turn = 0
        self._seconds = SecondRequestCosts()
        self._sweeps: dict[str, Plan] = {}
        """Those that will be there by then, by variable and by name."""

    def cell(self, cell: NotebookCell) -> None:
        """Go on with a cell."""
        self._turn = 0
        place = CellCost(cell=cell.number, cell_id=cell.id, asks="", prompt="")
        for step in self._reader.steps(cell):
            match step:
                case Bound(answer=True):
                    self._names.answer(step.name, self._answer)
                case Bound():
                    self._names.bind(step.name, step.node, function=step.function)
                case Changed():
                    self._names.change(step.name)
                case AnyBound():
                    self._names.any_bound()
                case Played():
                    self._situation.tape = step.tape
                case FoundMagic():
                    self._magic(place, step)
                case FoundCall():
                    text = ast.unparse(step.node.args[0]) if step.node is not None and step.node.args else step.text
                    self._at(replace(place, asks=step.shown, prompt=text), self._call, step)

    def _at(self, place: CellCost, read: Callable[[CellCost, Any], CellCost | None], step: Any) -> None:
        """Add what a place costs, or why that is not known."""
        self._answer = None
        made: CellCost | None
        try:
            made = read(place, step)
        except _Unknown as error:
            made = replace(place, unknown=error.why)
        except NotYet as error:
            made = replace(place, unknown=Message("{name} has no value yet", name=error.args[0]))
        except Computed:
            made = replace(place, unknown=COMPUTED)
        except DeepSeekError as error:
            sure = not self._names.anything  # else what is missing may be there by then
            made = replace(place, calls=0, error=error.whole) if sure else replace(place, unknown=_ANY)
        except (TypeError, ValueError, LookupError, OSError) as error:  # what takes no such value
            made = replace(place, unknown=Message("its request cannot be made ({error})", error=f"{error}"[:80]))
        if made is not None:
            self.rows.append(made)

    # magics

    def _magic(self, place: CellCost, step: FoundMagic) -> None:
        situation, known = self._situation, step.why is None
        match step.name:
            case "config" if known:
                situation.configure(step.line)
            case "deepseek_demo" if known:
                situation.demo(step.line)
            case "deepseek_replay" if known:
                situation.replay(step.line)
            case "deepseek_chat" if known:
                situation.chat(step.line)
            case "deepseek" | "deepseek_sweep" | "deepseek_map" | "deepseek_sweeps" | "run":
                self._asking(place, step)
            case "deepseek_judge" | "deepseek_resume" | "deepseek_fix":
                self._asking(place, step)

    def _asking(self, place: CellCost, step: FoundMagic) -> None:
        read = {"": self._deepseek, "_sweep": self._sweep, "_map": self._map, "_judge": self._judge}
        shown = f"%{step.name}" if step.body is None else f"%%{step.name}"
        place = replace(place, asks=shown, prompt=step.body or step.line)
        self._at(place, read.get(step.name.removeprefix("deepseek"), self._unknown), step)
        for name in re.findall(r"(?:^|\s)(?:-o|--output)[ =](\w+)", step.line):
            self._names.answer(name, self._answer)

    def _unknown(self, place: CellCost, step: FoundMagic) -> CellCost | None:
        """What nobody can know, unless it asks nothing."""
        words = step.line.split()
        if {"--list", *HELP_FLAGS} & set(words) or (
            step.name == "deepseek_sweeps" and words[:1] not in (["resume"], ["retry"])
        ):
            return None
        if step.name == "deepseek_fix":
            self._situation.lose(self._session.chat)
        raise _Unknown(step.why or _WHY[step.name])

    def _deepseek(self, place: CellCost, step: FoundMagic) -> CellCost | None:
        order = read_order(step.line, step.body)
        if order is None or order.options.get("dry_run"):
            return None
        options = {"chat": self._session.chat, **order.options}
        return self._ask(replace(place, prompt=str(order.prompt)), order.prompt, options, self._names, why=step.why)

    def _sweep(self, place: CellCost, step: FoundMagic) -> CellCost | None:
        typed = read_sweep_line(step.line)
        if not _sends(step, typed):
            return None
        asked, how = split(typed.options)
        functions = self._names.functions  # they ask nothing
        asked["scores"] = [each for each in asked.get("scores", ()) if each.strip() not in functions]
        plan = typed_plan(self._session, (step.body or "").strip("\n"), asked, self._names)
        made = self._plan(place, plan, how, unasked=True)
        self._sweeps |= {how[name]: plan for name in ("output", "name") if name in how}
        return made

    def _map(self, place: CellCost, step: FoundMagic) -> CellCost | None:
        table, typed = read_map_line(step.line)
        if not _sends(step, typed):
            return None
        asked, how = split(typed.options)
        made = typed_map(self._session, table, (step.body or "").strip("\n"), asked, self._names)
        return self._plan(place, made.plan, how, unasked=True)

    def _judge(self, place: CellCost, step: FoundMagic) -> CellCost | None:
        name, typed = read_judge_line(step.line)
        if not _sends(step, typed):
            return None
        scorer = judge_of((step.body or "").strip(), typed.options)
        if (plan := self._sweeps.get(name)) is None:
            judging = Judging.of(sweep_named(name, self._names), scorer)
            return replace(self._plan(place, judging.plan, typed.options, unasked=True), prompt=place.prompt)
        scorer.check(plan.columns, len(plan.settings))
        return self._plan(place, replace(plan, scorers=(scorer,)), typed.options, unasked=True, judged=True)

    # calls in Python

    def _call(self, place: CellCost, step: FoundCall) -> CellCost | None:
        if step.why is not None or step.node is None or step.name in _WHY:
            raise _Unknown(step.why or _WHY.get(step.name, COMPUTED))
        named = {each.arg: each.value for each in step.node.keywords if each.arg not in (None, *_NO_PART)}
        scores = self._scores(named.pop("scores", None))
        parts = [self._names.value(each) for each in step.node.args]
        options = {str(name): self._names.value(value) for name, value in named.items()}
        for each in step.node.keywords:
            if each.arg is None:
                options |= self._names.value(each.value)
        scores = options.pop("scores", scores)
        options = {name: value for name, value in options.items() if value is not None}
        if step.name in ("ask", "aask"):
            prompt = parts[0] if parts else options.pop("prompt", "")
            variables = options.pop("variables", None)
            return self._ask(replace(place, prompt=str(prompt)), prompt, options, variables)
        how: dict[str, Any] = {name: options.pop(name) for name in HOW if name in options}
        if step.name == "map":
            table, prompt = (*parts, options.pop("prompt", None))[:2]
            return self._plan(place, TableMap.of(self._session, table, prompt, **options).plan, how)
        prompt = parts[0] if parts else options.pop("prompt", None)
        if not isinstance(prompt, Plan):
            prompt = plan_of(prompt, defaults=self._session.in_force({}), scores=scores, **options)
        return self._plan(place, prompt, how)

    def _scores(self, node: ast.expr | None) -> Any:
        """The scores of a call, if they ask something: rules and functions do not."""
        if node is None:
            return None
        names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
        attributes = {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}
        if not names - self._reader.modules - self._names.functions and not attributes & {"judge", "prefer"}:
            return None

        def call(node: ast.Call) -> Any:
            match node.func:
                case ast.Attribute(value=ast.Attribute(value=module, attr="score"), attr=name) if (
                    self._reader.is_module(module) and name in score.__all__
                ):
                    named = {str(each.arg): self._names.value(each.value, call) for each in node.keywords}
                    return getattr(score, name)(*(self._names.value(each, call) for each in node.args), **named)
            raise Computed

        return self._names.value(node, call)

    # what it costs

    def _ask(
        self,
        place: CellCost,
        prompt: Any,
        options: Mapping[str, Any],
        variables: Mapping[str, Any] | None,
        why: Message | None = None,
    ) -> CellCost:
        """A single call."""
        self._turn += 1
        turn = f"{place.cell_id or place.cell}:{self._turn}"
        situation, here, chat = self._situation, self._session, options.get("chat")
        try:
            if why is not None:
                raise _Unknown(why)
            _check_along(options)
            made = here.prepare(prompt, variables=variables, turn=turn, **{**options, "dry_run": True})
        except (_Unknown, NotYet, Computed):
            if chat is not None and not here.in_force(options).get("no_history"):
                situation.lose(chat)
            raise
        before = NOTHING if options.get("new") else situation.unsaid(made.chat)
        # What a tape answers is kept apart, for nothing but this tape.
        key, exact = (made.request.digest(), made.endpoint.address), before == NOTHING and situation.tape is None
        kept = here.kept(made) if exact and made.cached else None
        priced = self._priced(place, made, before)
        if kept is not None:
            priced = replace(place, calls=0, journal=1, cost=free(made))
        elif exact and made.cached and key in situation.soon:
            # Unless the answer that will be there by then reaches its length: the journal gives out whole ones only.
            priced = replace(place, calls=0, journal=1, cost=replace(free(made), most=priced.cost.most))
        elif exact:
            situation.soon[key] = max(1, situation.soon.get(key, 0))
        if kept is not None:
            self._answer = replace(kept.completion, request=made.request, schema=made.schema)
        if made.chat is not None:
            situation.said(made, self._answer, before)
        return priced

    def _priced(self, place: CellCost, made: Prepared, before: Unsaid) -> CellCost:
        situation, here, tape = self._situation, self._session, self._situation.tape
        if tape is not None and not tape.asks:
            return replace(place, calls=0, tape=1, tape_name=tape.name, cost=free(made))
        limit, at = made.options.get("max_history", MAX_HISTORY_TOKENS), here.wall()
        continued = RecoveryPolicy().continuations if made.options.get("continue_on_length") else 0
        quoted = (min(before.most, limit), None if before.expected is None else min(before.expected, limit))
        found = []
        for each in made.addressed:
            planned = PlannedRequest(each.request, each.endpoint.price_list, 1, continued, quoted)
            usual = situation.usual(each.request, each.endpoint)
            known = {} if usual is None else {(each.request.model, each.request.options.get("think")): usual}
            found.append(outlook([planned], known, at, prices=here.log.prices))
        told, dearest = found[0], wherever(found).cost.most
        if made.options.get("prefer") == "fastest":
            told = wherever(found)
        cost, second = told.cost, Decimal(0)
        if tape is not None:  # which of them it holds is known when they are asked
            cost = replace(cost, least=free(made).least, expected=None)
        elif dearest is not None and cost.most is not None:
            second = self._seconds.most(made, dearest, at)
            cost = replace(cost, most=replace(cost.most, amount=cost.most.amount + second))
        return replace(place, calls=1, cost=cost, answers=told.earlier, unpriced=told.unpriced, hedged=second > 0)

    def _plan(
        self, place: CellCost, plan: Plan | None, how: Mapping[str, Any], *, unasked: bool = False, judged: bool = False
    ) -> CellCost:
        """All calls of a sweep or a map; ``unasked``: beyond the pocket it needs permission. ``judged``: its answers will be
        there by then, and only its judge is asked."""
        if plan is None:  # a map of no rows
            return replace(place, calls=0)
        prompt = place.prompt if judged else " / ".join(each.text for each in plan.templates)
        here, tape = self._session, self._situation.tape
        soon = self._situation.soon if tape is None else {}  # what a tape answers is kept apart
        how = {**plan.how, **how}
        prepared = prepare_sweep(here, plan, dry=True)
        if tape is not None and not tape.asks:
            answers, cost = len(plan), free(prepared.first[0])
            return replace(place, prompt=prompt, calls=0, tape=answers, tape_name=tape.name, cost=cost)
        asked = {name: how[name] for name in HOW if how.get(name) is not None}
        found = looked_at(here, prepared, soon=soon, **asked)
        refused = no_permission(replace(plan, outlook=found), how, self._situation.pocket) if unasked else None
        if refused is not None:
            raise refused
        cost, store = found.cost if found.calls else free(prepared.first[0]), SweepStore(here.journal)
        requests = [((seed.digest, seed.base_url), seed.repeat + 1) for seed in prepared.seeds]
        if not judged and any(
            request in soon for request, _ in requests
        ):  # as of a single call: unless they reach their length
            alone = looked_at(here, prepared, **asked)
            cost = replace(cost, most=alone.cost.most) if alone.calls else cost
        for request, answers in requests:
            soon[request] = max(answers, soon.get(request, 0))
        if how.get("budget") is not None and cost.most is not None and cost.most.currency in COUNTED:
            spent = store.spent(prepared.sweep_id).get(cost.most.currency, Decimal(0))
            cost = _capped(cost, max(Decimal(str(how["budget"])) - spent, Decimal(0)))
        if tape is not None:
            cost = replace(cost, least=free(prepared.first[0]).least, expected=None)
        return replace(
            place,
            prompt=prompt,
            calls=found.calls,
            journal=0 if judged else found.reused + found.shared,
            cost=cost,
            answers=found.earlier,
            unpriced=found.unpriced,
        )


def _check_along(options: Mapping[str, Any]) -> None:
    """Raise _Unknown where what goes along is known only when the cell runs."""
    if options.get("context"):
        raise _Unknown(Message("it sends cells along that have not run"))
    if any(word.startswith("mcp:") for word in options.get("tool") or ()):
        raise _Unknown(Message("the tools of its MCP server are known when that runs"))
    if options.get("url"):
        raise _Unknown(Message("it sends a page along that is fetched when it runs"))
    files = options.get("file") or ()
    for name in (files,) if isinstance(files, str | Path) else files:
        if not os.path.lexists(Path(name).expanduser()) and not glob.has_magic(str(name)):
            raise _Unknown(Message("the file {name} is not there yet", name=name))


def _sends(step: FoundMagic, typed: Line) -> bool:
    """Whether the cell will ask something. Raises what the cell will raise, and _Unknown where what it asks cannot be known."""
    if typed.help or typed.options.get("dry_run"):
        return False
    if step.why is not None:
        raise _Unknown(step.why)
    check_cell(step.line, step.body, typed)
    return True


def _capped(cost: CostRange, left: Decimal) -> CostRange:
    """A sweep's costs within what its budget leaves."""

    def of(known: Cost | None) -> Cost | None:
        return None if known is None else replace(known, amount=min(known.amount, left))

    return CostRange(least=of(cost.least), expected=of(cost.expected), most=of(cost.most))
