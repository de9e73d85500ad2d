"""The time by which rules are applied: it never goes back, whatever is done to the machine's clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from ..policy.rules import never_back
from .file import RelayFile


class RulesClock:
    """The wall clock, or the latest time that the relay's file knows plus what has passed since, whichever is later."""

    def __init__(self, file: RelayFile) -> None:
        self._file = file
        with file.transaction() as connection:
            row = connection.execute("SELECT latest FROM clock").fetchone()
        self._latest = datetime.fromtimestamp(row[0] if row is not None else 0.0, UTC)
        self._seen_s = time.monotonic()

    def now(self) -> datetime:
        """The time, in UTC."""
        passed = timedelta(seconds=time.monotonic() - self._seen_s)
        self._latest, self._seen_s = never_back(datetime.now(UTC), self._latest, passed), time.monotonic()
        return self._latest

    async def keep(self) -> None:
        """Write it down, for the next start."""
        latest = self.now().timestamp()

        def work() -> None:
            with self._file.transaction() as connection:
                connection.execute("DELETE FROM clock")
                connection.execute("INSERT INTO clock (latest) VALUES (?)", (latest,))

        await self._file.apart(work)
