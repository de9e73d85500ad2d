"""The teacher's live table: the figures of the class each second, to every page that is open."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any, Final

from ...policy.budget import dollars
from ...text.language import Language
from ...text.messages import Message
from ..figures import Snapshot, snapshot, tightest
from ..service import ClassService

EVERY_S: Final = 1.0

_STATES: Final = {
    "waiting": Message("waiting {time}"),
    "reading": Message("reading {time}"),
    "idle": Message("{time} ago"),
}
_PERIODS: Final = {
    "day": Message("of {cap} today"),
    "week": Message("of {cap} this week"),
    "course": Message("of {cap} in this course"),
}
_UNITS: Final = ((3600, Message("{count} h")), (60, Message("{count} min")), (1, Message("{count} s")))


class Watching:
    """The pages that are open. One snapshot a second serves all of them."""

    def __init__(self, service: ClassService) -> None:
        self._service = service
        self._over = asyncio.Event()
        self._lock = asyncio.Lock()
        self._latest: Snapshot | None = None
        self._taken_s = 0.0

    def end(self) -> None:
        """End every page's stream, so that the server can stop."""
        self._over.set()

    def response(self, language: Language) -> Any:
        """The stream of one page, as an ASGI response."""

        async def give(_scope: Any, receive: Any, send: Any) -> None:
            headers = [
                (b"content-type", b"text/event-stream"),
                (b"cache-control", b"no-store"),
                (b"x-accel-buffering", b"no"),
            ]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            left = asyncio.get_running_loop().create_task(_left(receive))
            try:
                while not (left.done() or self._over.is_set()):
                    told = json.dumps(shown(await self._snapshot(), language), ensure_ascii=False)
                    await send({"type": "http.response.body", "body": f"data: {told}\n\n".encode(), "more_body": True})
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(EVERY_S):
                            await self._over.wait()
            finally:
                left.cancel()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        return give

    async def _snapshot(self) -> Snapshot:
        async with self._lock:
            if self._latest is None or time.monotonic() - self._taken_s >= 0.9 * EVERY_S:
                self._latest, self._taken_s = await snapshot(self._service), time.monotonic()
            return self._latest


async def _left(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def shown(found: Snapshot, language: Language) -> dict[str, Any]:
    """The figures as the page shows them, in a language: texts are made here, so that the page only places them."""

    def say(template: Message) -> str:
        return template.localized(language)

    real = found.currency == "USD"

    def ago(seconds: float | None) -> Message:
        whole = round(seconds or 0)
        size, unit = next(((size, unit) for size, unit in _UNITS if whole >= size), _UNITS[-1])
        return unit.filled(count=whole // size)

    used = found.account.used
    tight = tightest(found.account)
    label = say(Message("spent") if real else Message("spent, demo"))
    budget: dict[str, Any] = {"label": label, "share": None, "amount": dollars(used["course"]), "text": ""}
    if tight is not None:
        period, spent, cap = tight
        share = min(1.0, float(spent / cap)) if cap else 1.0
        budget |= {"share": share, "amount": dollars(spent), "text": say(_PERIODS[period].filled(cap=dollars(cap)))}
    saved = found.alone - used["course"]
    return {
        "stopped": found.stopped,
        "waiting": found.waiting,
        "reading": found.reading,
        "failed": found.failed,
        "refused": found.refused,
        "asked": found.asked,
        "upstream": found.upstream,
        "budget": budget,
        "saved": dollars(saved) if saved > 0 else "",
        "students": [
            {
                "name": line.name,
                "state": line.state,
                "said": say(_STATES[line.state].filled(time=ago(line.for_s))),
                "asked": line.asked,
                "shared": line.shared,
                "trouble": line.failed,
                "refused": line.refused,
                "rule": line.rule,
                "spent": dollars(found.spent[line.name]) if line.name in found.spent else "",
                "left": found.left.get(line.name),
            }
            for line in found.lines
        ],
    }
