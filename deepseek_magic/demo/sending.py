"""Whole answers onto the wire, and the headers that every answer has."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping

from .api.errors import NO_KEY
from .api.shapes import Refused
from .state import Seen
from .wire.http import Answer


def common_headers(seen: Seen) -> dict[str, str]:
    """What DeepSeek's gateway puts on every answer, and what a web page needs that may read it (CORS)."""
    own = {"server": "openresty", "x-ds-trace-id": seen.trace_id, "x-content-type-options": "nosniff"}
    shared = {"access-control-allow-origin": seen.allowed, "access-control-expose-headers": "*", "vary": "origin"}
    return {**own, **shared} if seen.allowed else own


def preflight_headers(seen: Seen) -> dict[str, str]:
    """The answer to a browser's question whether a page may send its request. "*" would leave out the key's header.

    Sources: https://fetch.spec.whatwg.org/#http-cors-protocol, https://wicg.github.io/private-network-access.
    """
    wanted = {"access-control-allow-methods": seen.headers.get("access-control-request-method", "")}
    wanted["access-control-allow-headers"] = seen.headers.get("access-control-request-headers", "")
    private = {"access-control-allow-private-network": "true", "access-control-max-age": "600"}
    return {name: value for name, value in {**wanted, **private}.items() if value}


async def reply(answer: Answer, seen: Seen, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> bool:
    """Send one body with its length; True: the connection may be used again."""
    seen.status = status
    named = {"content-type": "application/json", **common_headers(seen), **(headers or {})}
    await answer.head(status, {**named, "content-length": str(len(body))}, framing="length")
    await answer.send(body)
    return True


async def refuse(answer: Answer, seen: Seen, refused: Refused, headers: Mapping[str, str] | None = None) -> bool:
    """Send an error."""
    if refused.status == 401 and not refused.message:
        return await reply(answer, seen, 401, NO_KEY, {"content-type": "text/plain"})
    body = json.dumps(refused.body, ensure_ascii=False).encode()
    return await reply(answer, seen, refused.status, body, {**refused.headers, **(headers or {})})


async def refuse_unread(answer: Answer, status: int, message: str) -> None:
    """Answer a request that could not be read, and close."""
    body = json.dumps(Refused(message, status=status).body).encode()
    headers = {"content-type": "application/json", "x-ds-trace-id": uuid.uuid4().hex}
    await answer.head(status, headers, framing="close")
    await answer.end(last=body)
