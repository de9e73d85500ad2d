"""``%deepseek_fix``: the last error, explained and repaired."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from IPython.core.magic import Magics, line_magic, magics_class, no_var_expand

from ...protocol import template
from ...protocol.chat import ChatMessage
from ...protocol.completion import Completion
from ...protocol.errors import ConfigurationError
from ...session import session
from ...text.fences import fenced
from ...text.messages import Message, say
from ..view.formats import offer_code
from .flags import Order, read_order
from .magics import Answer, DeepSeekMagics
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
        repaired code is offered as the next cell, to be read and run by you; with --run ask its changes are shown, and you
        choose to run, edit or discard it; with -o NAME it goes into that variable as text instead. The flags are those of
        %deepseek.
        """
        order = self._order(line)
        if order is not None:
            self._give(order, self._magics.answer(replace(order, output=None)))

    async def awaited(self, line: str, _body: None) -> None:
        """The same for a cell that the input transformer turned into an ``await``."""
        order = self._order(line)
        if order is not None:
            self._give(order, await self._magics.answer_awaited(replace(order, output=None)))

    def _order(self, line: str) -> Order | None:
        """What is asked; None when the manual was, which is printed. Raises ConfigurationError."""
        order = read_order(line or "--", None)
        if order is None:
            print(plain(FixMagics.deepseek_fix))
            return None
        if order.options.pop("background", False):
            sentence = Message("%deepseek_fix cannot run in the background: its code is for the next cell.")
            raise ConfigurationError(sentence)
        failure = self._magics.last_error.known()
        words = template.fill(str(order.prompt), variables(self.shell, self._magics.last_error)).text
        asking = session().in_force(order.options).get("run") == "ask" and not order.output
        alone = {} if "chat" in order.options else {"no_history": True}
        options = {"format": "markdown", **alone, **order.options, "run": "never"}
        if asking:
            options |= {"format": "code", "run": "ask"}
        return replace(
            order,
            prompt=(ChatMessage(role="user", content=_prompt(failure, words)),),
            options=options,
            replaces=failure.source,
        )

    def _give(self, order: Order, completion: Answer | None) -> None:
        """Leave the code where it is wanted, unless it was asked about."""
        if not isinstance(completion, Completion):
            return
        code = completion.code
        if order.output:
            self.shell.push({order.output: code})
        if order.options["run"] == "ask":
            return
        if code is None:
            print(say("The answer contains no code, so there is nothing to run."))
        elif not order.output:
            offer_code(self.shell, code, watched=self._magics.watched)


def _prompt(failure: Failure, words: str) -> str:
    parts = [TASK, "The cell:", fenced(failure.source, "python"), "The error:", fenced(failure.error)]
    return "\n\n".join([*parts, words] if words.strip() else parts)
