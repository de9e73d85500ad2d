"""``%deepseek_cost``: what a notebook would cost, before it is run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class
from IPython.display import display

from ...protocol.errors import ConfigurationError
from ...text.messages import Message
from ..frontend import notebook_path
from ..magic.manuals import helped


@magics_class
class CostMagics(Magics):
    """Shows what a notebook would cost; what finds it out is imported when it is used."""

    shell: Any

    @line_magic
    def deepseek_cost(self, line: str) -> None:
        """Show what running all cells of a notebook would cost: at least, about and at most. Nothing is run or sent.

        ::

          %deepseek_cost               this notebook, as it was saved
          %deepseek_cost FILE.ipynb    another one

        Cells that the journal will answer cost nothing. What cannot be known before (loops, computed prompts, variables that
        do not exist yet) is listed with the reason. In Python: ds.cost("FILE.ipynb").
        """
        if helped(self, "deepseek_cost", line):
            return
        from .calls import cost

        display(cost(self._path(line)))

    def _path(self, line: str) -> Path:
        """The notebook that is meant. Raises ConfigurationError."""
        hint = Message("Give its path: %deepseek_cost FILE.ipynb")
        try:
            words = shlex.split(line)
        except ValueError as error:
            said = Message("The line cannot be read: {error}.", error=error)
            raise ConfigurationError(said, hint=Message("Close the quotation mark.")) from None
        if len(words) > 1:
            raise ConfigurationError(Message("%deepseek_cost takes one notebook, not {count}.", count=len(words)))
        if words:
            return Path(words[0])
        own = notebook_path(self.shell)
        if not own:
            raise ConfigurationError(Message("This front end does not tell where its notebook is."), hint=hint)
        if not Path(own).is_file():
            raise ConfigurationError(Message("This notebook is not at {path}.", path=own), hint=hint)
        return Path(own)
