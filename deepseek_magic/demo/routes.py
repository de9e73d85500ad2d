"""Which path does what: the key first, then the chat, the two small GETs, and the switch for faults."""

from __future__ import annotations

import json
from typing import Any, Final

from ..protocol.errors import ConfigurationError
from ..protocol.models import MODELS
from .api.errors import bad_key
from .api.shapes import Refused
from .chat import Chat
from .faults.kinds import KINDS
from .sending import refuse, reply
from .state import CONTROL_PATH, DemoState, Seen
from .wire.http import Answer, HTTPRequest

__all__ = ["respond"]

CHAT: Final = ("/chat/completions", "/v1/chat/completions", "/beta/chat/completions")


async def respond(state: DemoState, request: HTTPRequest, answer: Answer, seen: Seen) -> bool:
    """Answer one request; whether the connection may be used again."""
    path = request.path.removesuffix("/") or "/"
    if path.startswith(CONTROL_PATH):
        return await _switch(state, request, answer, seen)
    if request.method == "HEAD":  # somebody warms a connection up; a body would end it
        return await reply(answer, seen, 200, b"")
    try:
        _authorise(state, request)
        if request.method == "GET" and path.removeprefix("/v1") in ("/models", "/user/balance"):
            body = _models() if path.endswith("models") else _balance(state.balance)
            return await reply(answer, seen, 200, json.dumps(body).encode())
        if request.method != "POST" or path not in CHAT:
            raise Refused(f"There is nothing at {request.method} {request.path}", status=404, type="not_found_error")
        return await Chat(state=state, request=request, answer=answer, seen=seen).give()
    except Refused as refused:
        return await refuse(answer, seen, refused)


def _authorise(state: DemoState, request: HTTPRequest) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Refused("", status=401)
    if state.key is not None and key.strip() != state.key:
        raise bad_key(key.strip())


def _models() -> dict[str, Any]:
    return {
        "object": "list",
        "data": [{"id": model.id, "object": "model", "owned_by": "deepseek"} for model in MODELS],
    }


def _balance(amount: float) -> dict[str, Any]:
    shown = f"{amount:.2f}"
    info = {"currency": "CNY", "total_balance": shown, "granted_balance": "0.00", "topped_up_balance": shown}
    return {"is_available": amount > 0, "balance_infos": [info]}


# the switch


async def _switch(state: DemoState, request: HTTPRequest, answer: Answer, seen: Seen) -> bool:
    """``GET /_demo`` tells what is set; ``POST /_demo/fault`` changes it. JSON only, so no web page can do it unasked."""
    if request.method == "POST" and request.path == "/_demo/fault":
        try:
            if "application/json" not in request.headers.get("content-type", ""):
                raise ConfigurationError("The switch takes application/json.")
            wanted = json.loads(request.body)
            spec = wanted.get("fault") if isinstance(wanted, dict) else wanted
            if not isinstance(spec, str | None):
                raise ConfigurationError("A fault is text, or null for none.")
            state.fault = spec
        except (ConfigurationError, ValueError) as error:
            return await refuse(answer, seen, Refused(str(error)))
    elif request.method != "GET" or request.path != "/_demo":
        return await refuse(answer, seen, Refused("There are GET /_demo and POST /_demo/fault here.", status=404))
    said = {
        "fault": state.fault,
        "legend": [fault.legend for fault in state.faults.faults],
        "kinds": {kind.name: kind.legend for kind in KINDS.values()},
        "requests": len(state.requests),
        "running": state.running,
    }
    return await reply(answer, seen, 200, json.dumps(said).encode())
