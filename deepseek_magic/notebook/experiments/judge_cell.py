"""A cell of ``%%deepseek_judge``: a question about the answers of a sweep, asked of a model for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from IPython.display import display

from ...protocol.errors import ConfigurationError
from ...session import session
from ...session.experiments.judged import Judging
from ...session.experiments.listing import sweeps
from ...session.experiments.sweep import Sweep
from ...text.messages import Message
from ..frontend import notebook_path
from ..magic.past import variables
from .judge_flags import judge_help, judge_of, read_judge_line
from .live import BackgroundSweep
from .sweep_cell import SweepCells, SweepFailed, SweepOrder, check_cell


class JudgeCells(SweepCells):
    """Has the answers of sweeps judged by cells."""

    def _begin(self, line: str, body: str | None, scope: Mapping[str, Any], *, button: bool) -> SweepOrder | None:
        name, typed = read_judge_line(line)
        if typed.help:
            print(judge_help())
            return None
        check_cell(line, body, typed)
        session().chats.notebook = notebook_path(self.shell)
        if not name:
            raise ConfigurationError(
                Message("%%deepseek_judge needs the name of a sweep."),
                hint=Message("Write it first: %%deepseek_judge SWEEP. %deepseek_sweeps lists them."),
            )
        known = variables(self.shell, self._magics.last_error, scope)
        sweep = sweep_named(name, known)
        scorer = judge_of((body or "").strip(), typed.options)
        scorer.check(sweep.plan.columns, len(sweep.plan.settings))
        if not sweep.states.get("done"):
            said = Message("The sweep {name} has no answers to judge.", name=sweep.name)
            raise ConfigurationError(said, hint=Message("%deepseek_sweeps resume NAME asks what one has open"))
        judging, how = Judging.of(sweep, scorer), typed.options

        def made(replies: Sweep | None) -> Sweep:
            if replies is not None and not replies.states.get("done"):
                return sweep  # a model that does not exist leaves no column behind
            sweep.rescored([scorer])
            return judging.keep(replies)

        if judging.plan is None:
            self._bind(how.get("output"), made(None))
            if not how.get("quiet"):
                display(sweep)
            return None
        self._shown = sweep
        return self._ask(judging.plan, {**how, "name": judging.title}, button=button, made=made)

    def _failed(self, failed: int, of_all: Message, order: SweepOrder) -> SweepFailed:
        return SweepFailed(
            Message("Of the judge's calls {count} of {trials} failed.", count=f"{failed:,}", trials=of_all),
            hint=Message(
                'ds.sweeps["{name}"].failed says why; the same cell asks for them again.', name=order.call.sweep.name
            ),
        )


def sweep_named(name: str, known: Mapping[str, Any]) -> Sweep:
    """The sweep in a variable of that name, or else of that name in the journal. Raises ConfigurationError."""
    value = known.get(name)
    if isinstance(value, BackgroundSweep):
        return value.sweep
    return value if isinstance(value, Sweep) else sweeps[name]
