"""What has come to a worker and not gone home: where its driver is gone it is left on this machine, for ``ds.journal.merge``."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ...protocol.chat import Request
from ...protocol.completion import Accumulator
from ...protocol.events import Event, has_pieces
from ..hosts import keys
from ..journal.reader import Journal
from .travel import Errand


class Brought:
    """What the open requests of a task have brought, until it is on its way home."""

    def __init__(self, driver: str) -> None:
        self.driver = driver
        self._events: dict[str, tuple[Errand, list[Event]]] = {}

    def begun(self, errand: Errand) -> list[Event]:
        """Where the events of a request are to be put."""
        return self._events.setdefault(errand.attempt, (errand, []))[1]

    def on_its_way(self, errand: Errand) -> None:
        """A request has ended, and its end is told."""
        self._events.pop(errand.attempt, None)

    def leave(self) -> None:
        """Write it into this machine's own journal: nobody takes it home."""
        for errand, events in self._events.copy().values():
            _leave(errand, events)


def _leave(errand: Errand, events: Sequence[Event]) -> None:
    """Write what has come of an answer into this machine's own journal, for ``ds.journal.merge``: nobody took it home. Not of the
    rest of one, whose beginning is elsewhere."""
    if errand.strategy not in ("first", "retry") or not has_pieces(events) or errand.call.body is None:
        return
    body = json.loads(errand.call.body)
    request = Request.of([*body["messages"]], model=body["model"])
    answer = Accumulator(request)
    for event in events:
        answer.add(event)
    journal = Journal(mask=keys.mask_content)
    journal.begin(errand.call_id, request, errand.endpoint.name, base_url=errand.endpoint.base_url)
    journal.end(errand.call_id, answer.completion(interrupted=True))
    journal.close()
