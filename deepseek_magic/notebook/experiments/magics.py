"""The magics of experiments, as light as they can be: what they do is imported when one is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, needs_local_scope, no_var_expand

from ..magic.magics import DeepSeekMagics

if TYPE_CHECKING:
    from .sweep_cell import SweepCells


@magics_class
class ExperimentMagics(Magics):
    """Sweeps, and the list of them."""

    shell: Any

    def __init__(self, shell: Any, magics: DeepSeekMagics) -> None:
        super().__init__(shell)
        self._magics = magics

    @property
    def _cells(self) -> SweepCells:
        from .sweep_cell import SweepCells

        return SweepCells(self.shell, self._magics)

    @no_var_expand  # braces are the columns'
    @needs_local_scope
    @line_cell_magic
    def deepseek_sweep(self, line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None) -> None:
        """Ask a prompt of every row of a table, in every setting of a grid, and get a table of all answers.

        ::

          %%deepseek_sweep -o NAME --over TABLE --vary temperature=0,1    the prompt is the body; {column} takes the row's value
          %%deepseek_sweep --dry-run ...                                   what would be asked, and what it would cost
          %%deepseek_sweep --help                                          all flags

        Run again, it asks only what is missing. The variable has all answers: NAME.to_pandas().
        """
        self._cells.blocking(line, cell, local_ns or {})

    async def awaited(self, line: str, body: str | None, name: str = "deepseek_sweep") -> None:
        """The same for a cell that the input transformer turned into an ``await``."""
        cells = {"deepseek_map": self._maps, "deepseek_judge": self._judges}.get(name, self._cells)
        await cells.awaited(line, body)

    @property
    def _maps(self) -> SweepCells:
        from .map_cell import MapCells

        return MapCells(self.shell, self._magics)

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    def deepseek_map(self, line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None) -> None:
        """Ask a prompt of every row of a table, and get the table with the answers beside its rows.

        ::

          %%deepseek_map TABLE -o NAME --into COLUMN    the prompt is the body; {column} takes the row's value
          %%deepseek_map --help                         all flags

        A row that got no answer has the reason in COLUMN_error. Run again, it asks only what is missing.
        """
        self._maps.blocking(line, cell, local_ns or {})

    @property
    def _judges(self) -> SweepCells:
        from .judge_cell import JudgeCells

        return JudgeCells(self.shell, self._magics)

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    def deepseek_judge(self, line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None) -> None:
        """Have a model judge the answers of a sweep, and get their scores in its table.

        ::

          %%deepseek_judge SWEEP --name NAME       the question is the body, like: Is this a polite answer to {question}?
          %%deepseek_judge SWEEP --prefer          which answer of two settings is better, asked in both orders
          %%deepseek_judge SWEEP --dry-run         what would be asked, and what it would cost
          %%deepseek_judge --help                  all flags

        Each verdict is a call. Run again, it asks only for those that are missing.
        """
        self._judges.blocking(line, cell, local_ns or {})

    @line_magic
    def deepseek_sweeps(self, line: str) -> None:
        """List the sweeps of this machine, and look after them.

        ::

          %deepseek_sweeps                       list them
          %deepseek_sweeps show NAME             show one as a table
          %deepseek_sweeps side NAME             show the answers of its settings side by side
          %deepseek_sweeps compare NAME          say which settings are better by their score
          %deepseek_sweeps compare NAME NAME     compare two sweeps of the same inputs, the second against the first
          %deepseek_sweeps resume NAME           ask what is missing; --go or --budget USD as for %%deepseek_sweep
          %deepseek_sweeps retry NAME            ask what failed, with the same flags
          %deepseek_sweeps export NAME FILE      write its table to FILE.csv, .jsonl or .parquet; --overwrite replaces one
          %deepseek_sweeps delete NAME           forget it; its answers stay in the journal
        """
        from .managing import manage

        manage(self.shell, self._magics, self, line)
