"""The sweep tab: a sweep is put together by clicks, its plan is seen meanwhile, and the cell that asks it is written.

What is shown is the plan of that cell, read as the cell reads it: the tab has no other way to make one. It is worked out
beside the cells, a moment after the last change, and sends nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import ipywidgets

from ....engine.home import engine
from ....protocol.errors import ConfigurationError, DeepSeekError
from ....protocol.experiments.plan import Plan
from ....protocol.experiments.rows import columns_of
from ....session import session
from ....session.experiments.outlook import with_outlook
from ....session.experiments.planning import table_rows
from ....session.experiments.running import HOW
from ....text.messages import Message, say
from ...experiments.sweep_cell import no_permission, typed_table
from ...magic.magics import DeepSeekMagics
from ...magic.past import variables
from ...view.parts import Output
from .as_magic import Cell
from .controls import explanation
from .sections import button, fold, sentence_html, source_html
from .sweep_draft import AXES, MAGIC, SweepDraft, fields, planned
from .sweep_parts import Field, Part, Prompts, TableChooser
from .sweep_rows import Axes, ScoreList

SETTLE_S: Final = 0.3
"""So long after the last change the plan is made."""

MOST_REQUESTS: Final = 2_000
"""Of a plan with more, the price is left to a dry run of the cell: it would take more than a second after every click."""


class _NotYetError(ConfigurationError):
    """Something is still missing, which is no mistake."""


class SweepTab:
    """``box`` is the tab, ``help`` explains its controls. ``calls`` gives the settings of the panel, which hold for every
    call; ``write`` is given the cell, and whether to run it."""

    def __init__(
        self,
        magics: DeepSeekMagics,
        calls: Callable[[], Mapping[str, Any]],
        write: Callable[[Cell, bool], None],
        copy: Callable[[str], None],
    ) -> None:
        self._magics, self._calls, self._write, self._copy = magics, calls, write, copy
        self._lock = threading.RLock()
        self._changes, self._looking = 0, True
        self.help = {f"sweep-{option.name}": explanation(option) for group in fields() for option in group} | {
            "sweep-over": say("the table whose rows are asked"),
            "sweep-prompt": say("what is asked of every row; several prompts are compared"),
        }
        self.box = ipywidgets.VBox()
        self.box.add_class("deepseek-magic-sweep")

    def _build(self) -> None:
        """Make what is in the tab, when it is first looked at: most panels never do."""
        first, others = fields()
        self._prompts = Prompts(self.changed)
        self._table = TableChooser(self._namespace, self._columns, self.changed, self._prompts.offer)
        self._axes = Axes(AXES, self._namespace, self.changed)
        self._scores = ScoreList(self._namespace, self._unused, self.changed)
        self._fields = [Field(option, self.changed) for option in (*first, *others)]
        self._fields[0].control.value = "results"
        self._plan, self._note, self._source = Output(), ipywidgets.HTML(), ipywidgets.HTML()
        self._source.add_class("deepseek-magic-source")
        self._plan.add_class("deepseek-magic-plan")
        pairs = ipywidgets.Box(tuple(field.box for field in self._fields[: len(first)]))
        pairs.add_class("deepseek-magic-pairs")
        folded = ipywidgets.Box(tuple(field.box for field in self._fields[len(first) :]))
        folded.add_class("deepseek-magic-group")
        self.box.children = (
            *(part.box for part in (self._table, self._prompts, self._axes, self._scores)),
            pairs,
            fold(say("More"), folded),
            folded,
            self._plan,
            self._note,
            self._source,
            self._buttons(),
        )
        self._looking = False

    def _buttons(self) -> Any:
        below, running = say("put this cell below the panel"), say("put this cell below the panel and run it")
        row = ipywidgets.HBox(
            (
                button(say("Write cell"), below, self._act, lambda: self._write(self._cell(), False)),
                button(say("Write and run"), running, self._act, lambda: self._write(self._cell(), True)),
                button(
                    say("Copy"),
                    say("copy this cell to the clipboard"),
                    self._act,
                    lambda: self._copy(self._cell().source),
                ),
            )
        )
        row.add_class("deepseek-magic-write")
        row.children[0].button_style = "primary"
        return row

    def _namespace(self) -> Mapping[str, Any]:
        hidden = self._magics.shell.user_ns_hidden
        return {name: value for name, value in list(self._magics.shell.user_ns.items()) if name not in hidden}

    def _known(self, scope: Mapping[str, Any]) -> Mapping[str, Any]:
        return variables(self._magics.shell, self._magics.last_error, scope)

    def _columns(self, over: str) -> tuple[str, ...]:
        return columns_of(table_rows(typed_table(over, self._known({}))))

    def refresh(self) -> None:
        """The variables of the notebook or the settings of the panel may have changed."""
        if not self.box.children:
            self._build()
        self._table.refresh()
        self._scores.refresh()
        self.changed()

    def changed(self) -> None:
        """Look at the plan a moment later."""
        with self._lock:
            self._changes += 1
            if self._looking:
                return
            self._looking = True
        engine.beside(self._look(), name="plan")

    async def _look(self) -> None:
        seen = -1
        while True:
            with self._lock:
                if seen == self._changes:
                    self._looking = False
                    return
                seen = self._changes
            await engine.pause(SETTLE_S)
            if seen == self._changes:
                self._show()

    def _act(self, do: Callable[[], None]) -> None:
        """Do what a button says; what is missing for it is said above it."""
        try:
            do()
        except ConfigurationError as error:
            self._say(error.localized(), failed=True)

    def _say(self, text: str, *, failed: bool = False) -> None:
        self._note.value = sentence_html(text, failed=failed)

    def _unused(self) -> str:
        """The first column that no prompt takes, else the last one: perhaps the expected answer."""
        self._prompts.check()
        texts = "".join(text for _, text in self._prompts.value)
        names = [f"{{{column}}}" for column in self._table.columns]
        return next((name for name in names if name not in texts), names[-1] if names else "")

    def _cell(self) -> Cell:
        """The cell of what is set. Raises ConfigurationError where something is wrong or missing."""
        with self._lock:
            parts: tuple[Part, ...] = (self._table, self._prompts, self._axes, self._scores, *self._fields)
            wrong = [part for part in parts if not part.check()]
            if wrong:
                raise _NotYetError(Message("Something above is not right, and is marked."))
            if not any(text.strip() for _, text in self._prompts.value):
                raise _NotYetError(Message("Write a prompt, and the plan is shown here. Nothing is sent."))
            for part in (*self._prompts.parts, *self._axes.parts, *self._scores.parts):
                if not part.said:
                    raise _NotYetError(
                        Message("{name} says nothing yet: fill it in, or take it away.", name=part.title)
                    )
            draft = SweepDraft(
                over=self._table.value,
                prompts=self._prompts.value,
                vary=self._axes.value,
                scores=self._scores.value,
                options={field.option.name: field.value for field in self._fields if field.value is not None},
                calls=self._calls(),
            )
        return draft.cell()

    def _show(self) -> None:
        """The cell and its plan, as far as they can be made."""
        cell: Cell | None = None
        plan: Plan | None = None
        try:
            cell = self._cell()
            line, _, body = cell.source.removeprefix(MAGIC).partition("\n")
            plan, how = planned(line, body, self._known(cell.variables))
            plan, said = self._with_price(plan, how)
            failed = False
        except DeepSeekError as error:
            said, failed = error.localized(), not isinstance(error, _NotYetError)
        except Exception as failure:  # tables are objects of all kinds
            said, failed = say("The plan could not be made: {why}.", why=f"{type(failure).__name__}: {failure}"), True
        shown = (
            () if plan is None else ({"output_type": "display_data", "data": plan._repr_mimebundle_(), "metadata": {}},)
        )
        self._plan.outputs = shown
        self._source.value = "" if cell is None else source_html(cell)
        self._say(said, failed=failed)

    def _with_price(self, plan: Plan, how: Mapping[str, Any]) -> tuple[Plan, str]:
        """The plan with what it would take, and what there is to say about that."""
        if len(plan.settings) * len(plan.rows) > MOST_REQUESTS:
            return plan, say("For so many calls the cell works out the price, with --dry-run.")
        plan = with_outlook(session(), plan, {name: how[name] for name in HOW if name in how})
        refused = no_permission(plan, how, self._magics.pocket)
        return plan, "" if refused is None else say("The cell would say: {sentence}", sentence=refused.localized())
