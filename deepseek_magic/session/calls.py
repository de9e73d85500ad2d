"""Calls from Python: ``ask``, ``aask`` and ``resume`` on the one session of this process, its log and its journal."""

from __future__ import annotations

import atexit
from typing import Final

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


ask: Final = _SESSION.ask
aask: Final = _SESSION.aask
resume: Final = _SESSION.resume
