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

_STATES: Final = {"waiting": Message("waiting"), "reading": Message("reading"), "idle": Message("idle")}
_PERIODS: Final = {"day": Message("today"), "week": Message("this week"), "course": Message("in this course")}


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

    def money(amount: Any) -> str:
        return dollars(amount) if real else f"{dollars(amount)} {say(Message('demo'))}"

    used = found.account.used
    tight = tightest(found.account)
    budget: dict[str, Any] = {"share": None, "text": money(used["course"])}
    if tight is not None:
        period, spent, cap = tight
        said = Message("{spent} of {cap} {period}", spent=money(spent), cap=money(cap), period=_PERIODS[period])
        budget = {"share": min(1.0, float(spent / cap)) if cap else 1.0, "text": say(said)}
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
        "saved": money(saved) if saved > 0 else "",
        "students": [
            {
                "name": line.name,
                "state": line.state,
                "said": say(_STATES[line.state]),
                "for": None if line.for_s is None else round(line.for_s),
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
