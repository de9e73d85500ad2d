"""``%deepseek_fix``: the last error, explained and repaired."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from IPython.core.magic import Magics, line_magic, magics_class, no_var_expand

from ...protocol import template
from ...protocol.chat import ChatMessage
from ...protocol.completion import Completion
from ...protocol.errors import ConfigurationError
from ...text.fences import fenced
from ...text.messages import Message, say
from ..view.formats import offer_code
from .flags import read_order
from .magics import DeepSeekMagics
from .manuals import plain
from .past import Failure, variables

TASK: Final = """\
A cell of a Jupyter notebook has failed. Say in two or three sentences why, then give the whole cell, repaired, in one
Python code block. Change no more than the repair needs."""


@magics_class
class FixMagics(Magics):
    """Repairs what failed."""

    shell: Any

    def __init__(self, shell: Any, magics: DeepSeekMagics) -> None:
        super().__init__(shell)
        self._magics = magics

    @no_var_expand
    @line_magic
    def deepseek_fix(self, line: str) -> None:
        """Explain and repair the last error.

        ::

          %deepseek_fix [flags] [words]

        The cell that failed, its error and your words (what else the model should know) are sent, outside of any conversation unless --chat names one. The
        repaired code is offered as the next cell, to be read and run by you; with -o NAME it goes into that variable as
        text instead. The flags are those of %deepseek.
        """
        order = read_order(line or "--", None)
        if order is None:
            print(plain(FixMagics.deepseek_fix))
            return
        if order.options.pop("background", False):
            sentence = Message("%deepseek_fix cannot run in the background: its code is for the next cell.")
            raise ConfigurationError(sentence)
        failure = self._magics.last_error.known()
        words = template.fill(str(order.prompt), variables(self.shell, self._magics.last_error)).text
        alone = {} if "chat" in order.options else {"no_history": True}
        asked = replace(
            order,
            prompt=(ChatMessage(role="user", content=_prompt(failure, words)),),
            options={"format": "markdown", **alone, **order.options},
            output=None,
        )
        completion = self._magics.answer(asked)
        if not isinstance(completion, Completion):
            return
        code = completion.code
        if order.output:
            self.shell.push({order.output: code})
        if code is None:
            print(say("The answer contains no code, so there is nothing to run."))
        elif not order.output:
            offer_code(self.shell, code, watched=self._magics.watched)


def _prompt(failure: Failure, words: str) -> str:
    parts = [TASK, "The cell:", fenced(failure.source, "python"), "The error:", fenced(failure.error)]
    return "\n\n".join([*parts, words] if words.strip() else parts)
