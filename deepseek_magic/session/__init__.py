"""What a person is in the middle of: calls, conversations, prompts, a project.

The session is made at first use, because a saved prompt or a project's settings need no engine.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .calls import aask, ask, journal, log, resume
    from .state import Session

__all__ = ["Session", "aask", "ask", "journal", "log", "resume", "session"]


def session() -> Session:
    """This process's session."""
    from . import calls

    return calls.session()


def session_in_use() -> Session | None:
    """This process's session; None if nothing has needed it so far, which a look is not to change."""
    return session() if f"{__name__}.calls" in sys.modules else None


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import calls

    return getattr(calls, name)
