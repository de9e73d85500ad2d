"""``--run ask``: the code of an answer is shown, and whoever looks on has it run, takes it into a cell, or leaves it.

Only a whole answer's code is offered, every time anew, and what is run is the text that was shown.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any, Final

from IPython.display import display

from ...protocol.completion import Completion
from ...protocol.errors import ConfigurationError, NotConfirmed
from ...protocol.outcome import OUTCOME_WORDS
from ...session.confirming.question import RUN, WAIT_S, Choice, ToConfirm
from ...text.characters import visible
from ...text.extract import ends_in_code, other_language
from ...text.messages import Message, say
from ..frontend import Stopped, ViewName
from ..gate.gate import ConfirmGate
from ..view.formats import offer_code
from ..view.printing import print_somewhere
from ..view.settled import METADATA_KEY, as_output, small
from . import running
from .beyond import beyond_python
from .shown import MAX_CODE_CHARS, Proposal

EDIT: Final = Choice(name="edit", label=Message("Edit"), key="e", icon="pencil")
DISCARD: Final = Choice(name="discard", label=Message("Discard"), key="d", icon="trash")
_LEFT: Final[Mapping[str, Message]] = {
    "edit": Message("Not run: the code is in the next cell."),
    "discard": Message("Not run: the code was discarded."),
    "none": Message("Not run: nobody chose."),
}


def asks(options: Mapping[str, Any]) -> bool:
    """Whether the code of the answer is to be offered so."""
    return options.get("run") == "ask" and options.get("format") == "code"


def check(options: Mapping[str, Any], *, quiet: bool, watched: bool) -> None:
    """Raise ConfigurationError where nobody could be asked; before anything is sent."""
    if not asks(options):
        return
    if not watched:
        said = Message("--run ask needs somebody who looks on, and nobody does here, so nothing was sent.")
        raise ConfigurationError(said, hint=Message("Without it the code is printed, and not run."))
    if quiet or options.get("background"):
        flag = "--background" if options.get("background") else "--quiet"
        said = Message(
            "--run ask asks below the answer, before the cell ends; {flag} leaves no place for that.", flag=flag
        )
        raise ConfigurationError(said, hint=Message("Leave out one of the two."))


def offered(
    shell: Any,
    options: Mapping[str, Any],
    completion: Completion,
    *,
    replaces: str | None,
    view: ViewName,
    awaited: bool,
) -> Offer | None:
    """What there is to ask about the code of an answer. None where nothing is: without ``--run ask`` the code is the next
    cell, and so it is where it must not be run."""
    code = completion.code if options.get("format") == "code" else None
    if code is None:
        return None
    why = _not_to_be_run(completion, code) if asks(options) else None
    if why is not None:
        print_somewhere(why.localized())
    if why is not None or not asks(options):
        offer_code(shell, code, watched=view != "silent")
        return None
    said = list(beyond_python(code, shell))
    if language := other_language(completion.text):
        said.append(Message("The answer calls it {language}, not Python.", language=visible(language)))
    if completion.seams:
        said.append(Message("The answer broke off and was joined: look at the code with care."))
    proposal = Proposal(code=code, replaces=replaces, remarks=tuple(said))
    gate = ConfirmGate(shell, view=view, awaited=awaited, wait_s=float(options.get("confirm_wait", WAIT_S)))
    return Offer(shell, proposal, gate, can_run=awaited or not _is_stuck(shell, code))


def _not_to_be_run(completion: Completion, code: str) -> Message | None:
    """Why this code is not offered to be run; None where it is."""
    if completion.outcome != "complete":
        outcome = OUTCOME_WORDS[completion.outcome]
        return Message("The answer is not whole ({outcome}), so its code is not offered to be run.", outcome=outcome)
    if ends_in_code(completion.text):
        return Message("The answer ends inside of its code, so that is not offered to be run.")
    if len(code) > MAX_CODE_CHARS:
        chars, most = f"{len(code):,}", f"{MAX_CODE_CHARS:,}"
        said = Message("The code has {chars} characters; more than {most} are not offered to be run.")
        return said.filled(chars=chars, most=most)
    return None


def _is_stuck(shell: Any, code: str) -> bool:
    """Whether code awaits where a loop runs already, which a blocking call cannot wait for."""
    if not running.needs_await(shell, code):
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class Offer:
    """One piece of code, and the question about it. ``can_run``: whether it can be run from here at all."""

    def __init__(self, shell: Any, proposal: Proposal, gate: ConfirmGate, *, can_run: bool) -> None:
        self._shell = shell
        self._proposal = proposal
        self._gate = gate
        self._choices = (RUN, EDIT, DISCARD) if can_run else (EDIT, DISCARD)
        self._can_run = can_run

    def settle(self) -> None:
        """Show it, ask, and do what is chosen. Raises NotConfirmed, Stopped, and CodeFailed."""
        question = self._shown()
        try:
            chosen = self._gate.ask(question)
        except (KeyboardInterrupt, NotConfirmed) as error:
            raise self._unanswered(error) from None
        if self._leave(chosen):
            try:
                running.run(self._shell, self._proposal.code)
            except KeyboardInterrupt:
                raise Stopped(say("The code was stopped.")) from None

    async def asettle(self) -> None:
        """The same inside of a cell that is awaited."""
        question = self._shown()
        try:
            chosen = await self._gate.aask(question)
        except (KeyboardInterrupt, asyncio.CancelledError, NotConfirmed) as error:
            raise self._unanswered(error) from None
        if self._leave(chosen):
            try:
                await running.arun(self._shell, self._proposal.code)
            except (KeyboardInterrupt, asyncio.CancelledError):
                raise Stopped(say("The code was stopped.")) from None

    def _shown(self) -> ToConfirm:
        proposal = self._proposal
        said = [each.localized() for each in proposal.said]
        if not self._can_run:
            said.append(say("It awaits, and this kernel cannot wait for it here: Edit makes it a cell of its own."))
        title = proposal.title.localized()
        data = {
            "text/markdown": f"{small(title)}\n\n{proposal.markdown}\n\n{small(*said) if said else ''}".rstrip(),
            "text/plain": "\n".join((f"{title}:", proposal.text, *(f"({line})" for line in said))),
        }
        display(data, raw=True)
        return ToConfirm(said=Message("Run this code?"), what=Message("the code"), choices=self._choices)

    def _unanswered(self, error: BaseException) -> BaseException:
        self._put("none", _LEFT["none"])
        return error if isinstance(error, NotConfirmed) else Stopped(say("Stopped. The code was not run."))

    def _leave(self, chosen: str) -> bool:
        """Say below the code what was chosen, and do it; whether it is to be run now."""
        if chosen == RUN.name:
            self._put(chosen, Message("Run as In[{number}].", number=running.number(self._shell)))
            return True
        self._put(chosen, _LEFT[chosen])
        if chosen == EDIT.name:
            self._shell.set_next_input(self._proposal.code)
        return False

    def _put(self, chosen: str, said: Message) -> None:
        digest = hashlib.sha256(self._proposal.code.encode("utf-8", "surrogatepass")).hexdigest()
        kept = {METADATA_KEY: {"code": {"chosen": chosen, "sha256": digest}}}
        self._gate.leave(as_output(said.localized()), kept)
