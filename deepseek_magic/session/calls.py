"""Calls from Python: ``ask``, ``aask`` and ``resume`` on the one session of this process, its log and its journal."""

from __future__ import annotations

import atexit
from typing import Final, Unpack

from ..engine.journal.reader import Entry
from ..protocol.chat import Prompt
from ..protocol.completion import Completion
from .prepared import AskOptions, ResumeOptions, hide_key
from .state import Session

_SESSION: Final = Session()
# After the journal, which was made with the session and said the same: the last to be registered is the first to go.
atexit.register(_SESSION.leave)

log: Final = _SESSION.log
"""``ds.log``: the records of this session."""

journal: Final = _SESSION.journal
"""``ds.journal``: every call ever made from this machine's notebooks."""


def session() -> Session:
    """This process's session."""
    return _SESSION


def ask(prompt: Prompt, **options: Unpack[AskOptions]) -> Completion:
    """Ask, and wait for the answer; works in a cell, in a script, in a function, also where a loop runs.

    ``options`` are the flags of ``%%deepseek`` under their long names, and ``endpoint``, ``base_url``, ``api_key``. The
    call belongs to a conversation only when ``chat`` names one. An interrupt stops the answer. Raises the DeepSeekError
    that ended the call; its ``completion`` holds the part that arrived.
    """
    hide_key(options)
    return _SESSION.ask(prompt, **options)


def resume(what: Completion | Entry | str | None = None, **options: Unpack[ResumeOptions]) -> Completion:
    """Go on with an answer that was stopped, broke off or reached its length, and wait for the whole.

    ``what`` is its completion, an entry of the journal, or the beginning of a call's id; without it, the last call of
    this process, or the newest of the journal that waits. Usage and cost are those of the new call. Raises as ``ask``.
    """
    hide_key(options)
    return _SESSION.resume(what, **options)


async def aask(prompt: Prompt, **options: Unpack[AskOptions]) -> Completion:
    """The same as ``ask`` for ``await``, on any loop; many at once share the limits of their endpoint."""
    hide_key(options)
    return await _SESSION.aask(prompt, **options)
