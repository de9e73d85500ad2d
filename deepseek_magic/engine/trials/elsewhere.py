"""What other kernels do with the same sweep: the units that they took, and those whose kernel died."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from .standing import States
from .store import SweepStore
from .units import TrialState, TrialUnit


class Elsewhere:
    """The units that others have. True as long as there are any."""

    def __init__(self, store: SweepStore, sweep_id: str, units: Iterable[TrialUnit], states: States) -> None:
        self._store = store
        self._sweep_id = sweep_id
        self._of = {unit.trials[0]: unit for unit in units}
        self._states = states
        self._theirs: set[int] = set()
        self.returned: deque[TrialUnit] = deque()
        """Those that are to be asked here after all."""

    def __bool__(self) -> bool:
        return bool(self._theirs)

    def leave(self, unit: TrialUnit, state: TrialState) -> None:
        """Another process has it, or has had it."""
        if state == "running":
            self._theirs.add(unit.trials[0])
        self._states[unit] = state

    async def look(self) -> None:
        """See what became of them; one whose process died is this one's now."""
        if not self._theirs:
            return
        for row in await asyncio.to_thread(self._store.trials, self._sweep_id):
            if row.trial not in self._theirs or row.runs:
                continue
            self._theirs.discard(row.trial)
            unit = self._of[row.trial]
            if row.state in ("running", "waiting"):
                self._states[unit] = "waiting"
                self.returned.append(unit)
            else:
                self._states[unit] = row.state
