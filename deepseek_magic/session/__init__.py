"""What a person is in the middle of: calls, conversations, prompts, a project.

The names of ``calls`` are loaded at first use, because a saved prompt or a project's settings need no engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .calls import aask, ask, journal, log, resume, session
    from .state import Session

__all__ = ["Session", "aask", "ask", "journal", "log", "resume", "session"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import calls

    return getattr(calls, name)
