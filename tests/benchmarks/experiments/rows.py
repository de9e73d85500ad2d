"""The rows about sweeps, by their names in the plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ..measuring import Bench
from ..report import Table
from .broken import faults, killed, limit
from .cost import cpu, many, memory
from .coverage import covered
from .live import on_the_websocket

ROWS: Final[Mapping[str, Callable[[Bench], Table]]] = {
    "E1": cpu,
    "E2": many,
    "E3": faults,
    "E4": limit,
    "E5": killed,
    "E7": covered,
    "E8": memory,
    "E9": on_the_websocket,
}
