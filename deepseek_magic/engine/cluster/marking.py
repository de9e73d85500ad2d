"""Scores that are given by the workers: those of functions that can be sent there.

A function of a notebook is sent with what it refers to. Where that is a table, or what no other process can have, it stays.
"""

from __future__ import annotations

import functools
import re
import uuid
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from typing import Any, Final

from distributed import wait

from ...protocol.experiments.rows import Row
from ...protocol.experiments.rules import Score
from ...protocol.experiments.scoring import Scorer
from ..trials.marking import Marker

LARGEST_BYTES: Final = 256 * 1024
"""A function that is larger with what it refers to is not sent."""
LOOK_S: Final = 0.2
Job = tuple[Hashable, Scorer, str, Row]


class FarMarker:
    """Has the scores of ``client``'s workers; ``label`` is for the dashboard. Of one thread."""

    def __init__(self, client: Any, label: str) -> None:
        self._client = client
        self._label = re.sub(r"[^A-Za-z0-9]+", "-", label).strip("-")
        self._packed: dict[str, bytes | None] = {}
        self._given: dict[Hashable, Any] = {}
        self._found: dict[Hashable, dict[str, Score]] = {}

    def travels(self, scorer: Scorer) -> bool:
        """Whether the workers can give its scores."""
        if scorer.kind != "function" or scorer.runs is None:
            return False
        if scorer.version not in self._packed:
            self._packed[scorer.version] = _packed(scorer.runs)
        return self._packed[scorer.version] is not None

    def ahead(self, jobs: Iterable[Job]) -> None:
        """Have these scored, each under its own name, from now on."""
        for job, scorer, answer, row in jobs:
            if self.travels(scorer) and job not in self._given:
                self._given[job] = self._client.submit(
                    mark,
                    self._packed[scorer.version],
                    replace(scorer, runs=None),
                    answer,
                    dict(row),
                    key=f"deepseek-{self._label}-score-{scorer.name}-{uuid.uuid4().hex[:8]}",
                    pure=False,
                )

    def scores(self, job: Hashable, stopped: Callable[[], bool]) -> dict[str, Score] | None:
        """The scores of a job by column, once they are there; None where it was not given out, could not be done there, or
        all is stopped."""
        while (future := self._given.get(job)) is not None and not stopped():
            try:
                # Not by a result with a time-out: where that passes while the result is fetched, the connection breaks.
                wait([future], timeout=LOOK_S)
            except TimeoutError:
                continue
            except Exception:  # a client that was closed
                self._given.pop(job)
                return None
            self._collect()
        return self._found.pop(job, None)

    def _collect(self) -> None:
        """Take all that is ready at once: a worker that computes takes as long to hand over one score as many."""
        ready = [job for job, future in self._given.items() if future.status != "pending"]
        futures = [self._given.pop(job) for job in ready]
        try:
            found = self._client.gather(futures)
        except Exception:  # a worker without a module of the user's, or none at all
            found = [_result(future) for future in futures]
        self._found |= {job: each for job, each in zip(ready, found, strict=True) if each is not None}

    def close(self) -> None:
        """Let go of what is under way."""
        self._given.clear()
        self._found.clear()


def _result(future: Any) -> dict[str, Score] | None:
    try:
        found: dict[str, Score] = future.result()
    except Exception:
        return None
    return found


def _packed(function: Any) -> bytes | None:
    import cloudpickle

    try:
        packed: bytes = cloudpickle.dumps(function)
    except Exception:  # locks, connections, whatever it refers to
        return None
    return packed if len(packed) <= LARGEST_BYTES else None


def mark(function: bytes, scorer: Scorer, answer: str, row: Row) -> dict[str, Score]:
    """The task: the scores of one answer."""
    marker = Marker()
    try:
        return marker.mark([replace(scorer, runs=_unpacked(function))], answer, row)
    finally:
        marker.close()


@functools.lru_cache(maxsize=32)
def _unpacked(function: bytes) -> Any:
    import cloudpickle

    return cloudpickle.loads(function)
