"""Which path does what: the key first, then the chat, the two small GETs, and the switch for faults."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from ..protocol.errors import ConfigurationError
from ..protocol.models import MODELS
from .api.errors import bad_key
from .api.shapes import Refused
from .chat import Chat
from .faults.kinds import KINDS
from .sending import preflight_headers, refuse, reply
from .state import CONTROL_PATH, DemoState, Seen
from .wire.http import Answer, HTTPRequest

CHAT: Final = ("/chat/completions", "/v1/chat/completions", "/beta/chat/completions")
_LOCAL_HOST: Final = re.compile(r"(127\.0\.0\.1|(.*\.)?localhost|\[::1\])(:\d+)?", re.IGNORECASE)


async def respond(state: DemoState, request: HTTPRequest, answer: Answer, seen: Seen) -> bool:
    """Answer one request; whether the connection may be used again."""
    path = request.path.removesuffix("/") or "/"
    switch = path.startswith(CONTROL_PATH)
    try:
        _refuse_web_pages(request, asks=not switch, allowed=bool(seen.allowed))
        if request.method == "OPTIONS" and seen.allowed:
            return await reply(answer, seen, 200, b"", preflight_headers(seen))
        if switch:
            return await reply(answer, seen, 200, json.dumps(_switch(state, request)).encode())
        if request.method == "HEAD":  # somebody warms a connection up; a body would end it
            return await reply(answer, seen, 200, b"")
        _authorise(state, request)
        if request.method == "GET" and path.removeprefix("/v1") in ("/models", "/user/balance"):
            body = _models() if path.endswith("models") else _balance(state.balance)
            return await reply(answer, seen, 200, json.dumps(body).encode())
        if request.method != "POST" or path not in CHAT:
            raise Refused(f"There is nothing at {request.method} {request.path}", status=404, type="not_found_error")
        return await Chat(state=state, request=request, answer=answer, seen=seen).give()
    except Refused as refused:
        return await refuse(answer, seen, refused)


def _refuse_web_pages(request: HTTPRequest, *, asks: bool, allowed: bool) -> None:
    """Refuse a page that reaches this machine by a name of its own (DNS rebinding), or that writes from another origin.

    One that is ``allowed`` may ask the model; to switch faults for all others it may not.
    """
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    if host and not _LOCAL_HOST.fullmatch(host):
        raise Refused("The demo answers only as localhost; this request names another host.", status=403)
    if origin is not None and origin != f"http://{host}" and not (asks and allowed):
        said = "The demo answers programs on this machine, not web pages of another origin"
        how = f"; deepseek-magic serve --allow-origin {origin} lets this one ask" if asks and origin != "null" else ""
        raise Refused(f"{said}{how}.", status=403)


def _authorise(state: DemoState, request: HTTPRequest) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Refused("", status=401)
    if state.key is not None and key.strip() != state.key:
        raise bad_key(key.strip())


def _models() -> dict[str, Any]:
    return {"object": "list", "data": [{"id": model.id, "object": "model", "owned_by": "deepseek"} for model in MODELS]}


def _balance(amount: float) -> dict[str, Any]:
    shown = f"{amount:.2f}"
    info = {"currency": "CNY", "total_balance": shown, "granted_balance": "0.00", "topped_up_balance": shown}
    return {"is_available": amount > 0, "balance_infos": [info]}


def _switch(state: DemoState, request: HTTPRequest) -> dict[str, Any]:
    """What is set, for ``GET /_demo``, and after the change that ``POST /_demo/fault`` wants. Raises Refused."""
    if request.method == "POST" and request.path == "/_demo/fault":
        try:
            if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
                raise ConfigurationError("The switch takes application/json.")
            wanted = json.loads(request.body)
            spec = wanted.get("fault") if isinstance(wanted, dict) else wanted
            if not isinstance(spec, str | None):
                raise ConfigurationError("A fault is text, or null for none.")
            state.fault = spec
        except (ConfigurationError, ValueError) as error:
            raise Refused(str(error)) from None
    elif request.method != "GET" or request.path != "/_demo":
        raise Refused("There are GET /_demo and POST /_demo/fault here.", status=404)
    return {
        "fault": state.fault,
        "legend": [str(fault.legend) for fault in state.faults.faults],
        "kinds": {kind.name: str(kind.legend) for kind in KINDS.values()},
        "requests": len(state.requests),
        "running": state.running,
    }
