"""DeepSeek in a notebook: ``%load_ext deepseek_magic``, then ``%%deepseek``.

The same engine serves Python: ``import deepseek_magic as ds; ds.ask("...")``. Names are loaded at first use, so that
importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import moved as moved

if TYPE_CHECKING:
    from .engine.client import Client as Client
    from .engine.hosts.endpoints import Endpoint as Endpoint
    from .engine.journal.reader import Journal
    from .metrics.log import MetricsLog
    from .metrics.stats.compare import Comparison as Comparison
    from .notebook.cost.calls import cost as cost
    from .notebook.panel.magic import panel as panel
    from .policy.buffering import BufferPolicy as BufferPolicy
    from .policy.deadlines import Timeouts as Timeouts
    from .policy.limits.limiter import LimitPolicy as LimitPolicy
    from .policy.recovery import RecoveryPolicy as RecoveryPolicy
    from .protocol.chat import ChatMessage
    from .protocol.chat import Request as Request
    from .protocol.completion import Completion as Completion
    from .protocol.completion import ToolCall as ToolCall
    from .protocol.errors import APIStatusError as APIStatusError
    from .protocol.errors import AuthenticationError as AuthenticationError
    from .protocol.errors import BudgetExceeded as BudgetExceeded
    from .protocol.errors import ConfigurationError as ConfigurationError
    from .protocol.errors import ConnectTimeout as ConnectTimeout
    from .protocol.errors import DeepSeekError as DeepSeekError
    from .protocol.errors import Disconnected as Disconnected
    from .protocol.errors import IncompleteStream as IncompleteStream
    from .protocol.errors import InsufficientBalance as InsufficientBalance
    from .protocol.errors import InvalidRequest as InvalidRequest
    from .protocol.errors import MissingKey as MissingKey
    from .protocol.errors import NotConfirmed as NotConfirmed
    from .protocol.errors import NotOnTape as NotOnTape
    from .protocol.errors import ProtocolError as ProtocolError
    from .protocol.errors import RateLimited as RateLimited
    from .protocol.errors import ReadTimeout as ReadTimeout
    from .protocol.errors import RuleBroken as RuleBroken
    from .protocol.errors import ServerError as ServerError
    from .protocol.errors import ToolsEnded as ToolsEnded
    from .protocol.errors import TransportError as TransportError
    from .protocol.experiments.plan import Plan as Plan
    from .protocol.experiments.plan import Trial as Trial
    from .protocol.experiments.rules import Score as Score
    from .protocol.tools.tool import Tool as Tool
    from .protocol.tools.tool import ToolRun as ToolRun
    from .session.calls import aask as aask
    from .session.calls import ask as ask
    from .session.calls import resume as resume
    from .session.experiments.calls import asweep as asweep
    from .session.experiments.calls import plan as plan
    from .session.experiments.calls import score as score
    from .session.experiments.calls import sweep as sweep
    from .session.experiments.listing import sweeps as sweeps
    from .session.experiments.mapping import map as map
    from .session.experiments.sweep import Sweep as Sweep
    from .session.tapes import record as record
    from .session.tapes import replay as replay

    Message = ChatMessage
    journal: Journal
    log: MetricsLog

__version__ = "0.1.0"

_NAMES = {
    "engine.client": "Client",
    "engine.hosts.endpoints": "Endpoint",
    "metrics.stats.compare": "Comparison",
    "notebook.cost.calls": "cost",
    "notebook.panel.magic": "panel",
    "policy.buffering": "BufferPolicy",
    "policy.deadlines": "Timeouts",
    "policy.limits.limiter": "LimitPolicy",
    "policy.recovery": "RecoveryPolicy",
    "protocol.chat": "Message Request",
    "protocol.completion": "Completion ToolCall",
    "protocol.errors": "APIStatusError AuthenticationError BudgetExceeded ConfigurationError ConnectTimeout DeepSeekError "
    "Disconnected IncompleteStream InsufficientBalance InvalidRequest MissingKey NotConfirmed NotOnTape "
    "ProtocolError RateLimited ReadTimeout RuleBroken ServerError ToolsEnded TransportError",
    "protocol.experiments.plan": "Plan Trial",
    "protocol.experiments.rules": "Score",
    "protocol.tools.tool": "Tool ToolRun",
    "session.calls": "aask ask journal log resume",
    "session.experiments.calls": "asweep plan score sweep",
    "session.experiments.listing": "sweeps",
    "session.experiments.mapping": "map",
    "session.experiments.sweep": "Sweep",
    "session.tapes": "record replay",
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), "ChatMessage" if name == "Message" else name)
    globals()[name] = value
    return value


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext deepseek_magic``: registers the magics. Prints nothing, needs no network, writes no file."""
    from .notebook import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext deepseek_magic``: takes away what loading added."""
    from .notebook import unload

    unload(shell)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
