"""One chat: limits, checks and the fault of this request first, then the answer, streamed or in one piece."""

from __future__ import annotations

import asyncio
import json
import math
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Final

from .api.checks import check, is_prefix, text_of
from .api.errors import HTML, no_money, too_many
from .api.frames import Frame, PlannedReply, frames, plan, whole_body
from .api.shapes import Refused
from .faults.delivery import Delivery, head_of
from .faults.refusals import ERROR_FAULTS, error_of, headers_of
from .faults.rewrites import rewrite
from .faults.spec import Fault
from .sending import common_headers, refuse, reply
from .state import DemoState, Seen
from .wire.http import Answer, HTTPRequest

_LOGIN_PAGE: Final = (
    b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in to this network.</body></html>\n"
)
_LABELS: Final = {
    "stream": "text/event-stream; charset=utf-8",
    "plain": "text/plain",
    "json": "application/json",
    "html": "text/html; charset=utf-8",
    "octet": "application/octet-stream",
}
_TOKENS: Final = frozenset(("reasoning", "content", "tool"))
_BREAKS_A_BODY: Final = frozenset(("cut", "reset", "eof-chunked", "eof-close", "stall"))


@dataclass(slots=True, kw_only=True)
class Chat:
    """A request for a chat and the answer to it. ``give`` returns whether the connection may be used again."""

    state: DemoState
    request: HTTPRequest
    answer: Answer
    seen: Seen
    fault: Fault | None = None
    headers: dict[str, str] = field(default_factory=dict)

    async def give(self) -> bool:
        """Answer. Raises Refused for what the API refuses, ConnectionError when the client leaves."""
        state, seen = self.state, self.seen
        self.headers = {**common_headers(seen), **_admit(state)}
        with state.counted():
            body = seen.body = _read_json(self.request.body)
            check(body)
            if state.balance <= 0:
                raise no_money()
            made = plan(body, beta=self.request.path.startswith("/beta"), cache=state.cache, draws=state.draws)
            self.fault = state.faults.take(_phases(made), prefixed=is_prefix(body["messages"][-1]))
            seen.fault = str(self.fault) if self.fault else ""
            if self.fault is not None and self.fault.kind in ERROR_FAULTS:
                return await self._fail(self.fault)
            if self.fault is not None and self.fault.at == "before-headers" and await self._fault_first(self.fault):
                return False
            return await (self._stream(made) if body.get("stream") else self._whole(made))

    async def _fail(self, fault: Fault) -> bool:
        """An error answer on request."""
        self.seen.ended = "fault"
        headers = headers_of(fault)
        if headers["content-type"] == "text/html":
            return await reply(self.answer, self.seen, int(fault.kind[:3]), HTML, headers)
        key = self.request.headers["authorization"].rpartition(" ")[2]
        return await refuse(self.answer, self.seen, error_of(fault, key=key, limit=self.state.concurrency), headers)

    async def _fault_first(self, fault: Fault) -> bool:
        """A fault before the headers; True when there will be no answer."""
        self.seen.ended = "fault"
        if fault.kind in ("cut", "reset"):
            await self.answer.close(rst=fault.kind == "reset")
            return True
        await self.answer.until_client_leaves(fault.number("s" if fault.kind == "latency" else "for"))
        if self.answer.client_left:
            raise ConnectionResetError("the client did not wait")
        self.fault = None
        return False

    async def _whole(self, made: PlannedReply) -> bool:
        """An answer in one piece: empty lines while it is queued, nothing while it is written, then the body."""
        fault, answer = self.fault, self.answer
        self.seen.answer_id, self.seen.usage = str(uuid.uuid4()), made.usage
        sent = whole_body(made, id=self.seen.answer_id, created=int(time.time()))
        framing, gzip, version = head_of(fault, version=self.request.version, gzip=False)
        head = {"content-type": "application/json", **self.headers}
        if framing == "length" and fault is not None:
            head["content-length"] = str(max(0, len(sent) + int(fault.number("by") or 0)))
        self.seen.status = 200
        await answer.head(200, head, framing=framing, gzip=gzip, version=version)
        await self._wait(made, lines=framing != "length")
        if fault is not None and fault.kind in _BREAKS_A_BODY:
            self.seen.ended = "fault"
            await answer.send(sent[: len(sent) // 2])
            await self._break(fault)
            return False
        await answer.end(last=sent)
        if framing == "length":
            answer.cut()
        return not answer.closed

    async def _wait(self, made: PlannedReply, *, lines: bool) -> None:
        pace, began_s = self.state.pace, asyncio.get_running_loop().time()
        for _ in range(math.ceil(pace.queue_s / pace.keepalive_s) if lines else 0):
            await self.answer.send(b"\n")
            await asyncio.sleep(pace.keepalive_s)
        phases = ["start", *("reasoning" for _ in made.reasoning), *("content" for _ in made.content), "finish"]
        await asyncio.sleep(max(0.0, began_s + pace.schedule(phases)[-1] - asyncio.get_running_loop().time()))

    async def _break(self, fault: Fault) -> None:
        if fault.kind == "eof-chunked":
            await self.answer.end()
            return
        if fault.kind == "stall":
            await self.answer.until_client_leaves(fault.number("for"))
        await self.answer.close(rst=fault.kind == "reset")

    async def _stream(self, made: PlannedReply) -> bool:
        """An answer in events."""
        state, fault, answer, seen = self.state, self.fault, self.answer, self.seen
        arrived_s = asyncio.get_running_loop().time()
        kind = fault.kind if fault else ""
        if kind == "html":
            seen.ended = "fault"
            return await reply(answer, seen, 200, _LOGIN_PAGE, {"content-type": "text/html"})
        id, sent, first = self._frames(made)
        delivery = Delivery(answer=answer, pace=state.pace, fault=fault, retry_ms=state.retry_ms, first=first)
        if state.ids is not None:
            stream = "" if state.ids == "count" else f"{id}:"
            delivery.event_id = lambda place: f"{stream}{place + 1}"
        compress = state.gzip and self.request.takes_gzip
        framing, gzip, version = head_of(fault, version=self.request.version, gzip=compress)
        head = {**_label(fault), "cache-control": "no-cache", **self.headers}
        if framing == "length" and fault is not None:
            size = sum(map(len, delivery.encode(sent)[first:]))
            head["content-length"] = str(max(0, size + int(fault.number("by") or 0)))
        seen.status = 200
        await answer.head(200, head, framing=framing, gzip=gzip, version=version)
        try:
            reusable = await delivery.run(sent, arrived_s)
        finally:
            seen.events = delivery.sent
            written = sum(one.phase in _TOKENS for one in sent[first : first + delivery.sent])
            seen.answer_id, seen.usage = id, made.usage_after(min(written, made.usage["completion_tokens"]))
            if delivery.fired:
                seen.ended = "fault"
        if framing == "length":
            answer.cut()
        return reusable and not answer.closed

    def _frames(self, made: PlannedReply) -> tuple[str, list[Frame], int]:
        """The id of the answer, its frames and the first one to send: 0, or where a resumed stream goes on."""
        state, fault, body = self.state, self.fault, self.seen.body
        last, _, place = self.request.headers.get("last-event-id", "").rpartition(":")
        whose, known = state.streams.get(last, (None, []))
        if state.ids not in (None, "ignore", "count") and whose == body and place.isdecimal():
            first = {"resume": int(place), "inclusive": int(place) - 1}.get(str(state.ids), 0)
            return last, known, min(max(0, first), len(known))
        id = str(uuid.uuid4())
        usage = bool((body.get("stream_options") or {}).get("include_usage"))
        sent = frames(made, id=id, created=int(time.time()), include_usage=usage)
        if state.ids is not None:
            state.remember(id, body, sent)
        final = body["messages"][-1] if body["messages"][-1].get("prefix") else {}
        given = {"prefix": text_of(final.get("content")), "thought": str(final.get("reasoning_content") or "")}
        return id, rewrite(sent, fault, **given) if fault else sent, 0


def _label(fault: Fault | None) -> dict[str, str]:
    """The content type of a stream; the fault ``wrong-type`` may leave it out."""
    label = fault.word("type") if fault and fault.kind == "wrong-type" else "stream"
    kind = _LABELS.get(label)
    return {"content-type": kind} if kind else {}


def _admit(state: DemoState) -> dict[str, str]:
    """The rate-limit headers of this answer. Raises Refused with 429 above a limit."""
    headers: dict[str, str] = {}
    if state.rate_limit is not None:
        passes, headers = state.rate_limit.admit(time.time())
        if not passes:
            raise Refused(
                "Rate limit reached for requests",
                status=429,
                type="rate_limit_error",
                code="invalid_request_error",
                headers=headers,
            )
    if state.concurrency is not None and state.running >= state.concurrency:
        raise too_many(state.running + 1, state.concurrency)
    return headers


def _read_json(raw: bytes) -> Any:
    try:
        body = json.loads(raw, parse_constant=_no_constant)
        if b"\\ud" in raw.lower():  # half a surrogate pair is legal in JSON and impossible in an answer
            body = json.loads(json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise Refused(f"Failed to parse the request body as JSON: {error}") from None
    return body


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _phases(made: PlannedReply) -> set[str]:
    there = {"reasoning": made.reasoning, "content": made.content, "tool": made.calls}
    return {name for name, pieces in there.items() if pieces}
