"""Going on from an answer of an earlier call: whether it can be, and from where.

The same rules as inside a call (``recovery.cannot_continue``); what differs is that nothing is running any more, so that
what cannot be done is an error instead of a step down.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..protocol.completion import Completion
from ..protocol.errors import ConfigurationError
from ..protocol.outcome import RESUMABLE, Outcome
from ..text.messages import Message
from .attempts import Abilities, Delivered
from .recovery import Continue, cannot_continue

_OVER: Final[Mapping[Outcome, Message]] = {
    "complete": Message("The answer is complete: there is nothing to continue."),
    "filtered": Message("The provider's content filter ended the answer, and would end it again."),
}


def going_on(completion: Completion, *, can: Abilities) -> Continue | None:
    """The step that resumes ``completion``; None when so little of it had arrived that it is restarted.

    Raises ConfigurationError with the reason when it can be neither.
    """
    if completion.outcome not in RESUMABLE:
        raise ConfigurationError(_OVER[completion.outcome], hint=Message("Ask again for another answer."))
    delivered = Delivered.of(text=completion.text, reasoning=completion.reasoning, new_chars=0, rewinding=can.rewind)
    if not delivered.text_kept_chars and not delivered.reasoning_kept_chars and not can.tools:
        return None
    obstacle = cannot_continue(delivered, can)
    if obstacle is not None:
        said = Message("This answer cannot be continued: {why}.", why=obstacle)
        raise ConfigurationError(said, hint=Message("Ask again."))
    chars = delivered.text_chars
    if not chars:
        why = Message("Continuing in the reasoning, where the answer ended.")
    elif chars == 1:
        why = Message("Continuing after 1 character, where the answer ended.")
    else:
        why = Message("Continuing after {chars} characters, where the answer ended.", chars=chars)
    return Continue.of(delivered, why=why)
