"""Which path does what: authorisation, limits, the chat itself, the two small GETs, and the switch for faults."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Mapping
from typing import Any, Final

from ..protocol.errors import ConfigurationError
from ..protocol.models import MODELS
from .api import Frame, Plan, frames, plan, whole_body
from .checks import Refused, check
from .delivery import Delivery, error_headers, head_of
from .faults import KINDS, Fault
from .http import Answer, HTTPRequest
from .rewrites import rewrite
from .service import CONTROL_PATH, Seen, Service

__all__ = ["refuse_body", "respond"]

CHAT: Final = ("/chat/completions", "/v1/chat/completions", "/beta/chat/completions")
_NO_KEY: Final = b"Authentication Fails (governor)"
_HTML: Final = (
    b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>\n"
)
_LOGIN_PAGE: Final = (
    b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in to this network.</body></html>\n"
)
_CONCURRENCY: Final = (
    "Too many requests. Your current concurrency is {now}, which exceeds your concurrency limit of {limit}"
)
_BALANCE: Final = " based on your remaining balance. Please top up your balance to restore your concurrency"
_PIECES_OF_A_BODY: Final = 16


async def respond(service: Service, request: HTTPRequest, answer: Answer, seen: Seen) -> bool:
    """Answer one request; whether the connection may be used again."""
    path = request.path.removesuffix("/") or "/"
    if path.startswith(CONTROL_PATH):
        return await _switch(service, request, answer, seen)
    try:
        _authorise(service, request)
        if request.method == "GET" and path.removeprefix("/v1") in ("/models", "/user/balance"):
            body = _models() if path.endswith("models") else _balance(service.balance)
            return await _reply(answer, seen, 200, json.dumps(body).encode())
        if request.method != "POST" or path not in CHAT:
            raise Refused(f"There is nothing at {request.method} {request.path}", status=404, type="not_found_error")
        return await _chat(service, request, answer, seen)
    except _RateRefused as refused:
        return await _refuse(answer, seen, refused, refused.headers)
    except Refused as refused:
        return await _refuse(answer, seen, refused)


async def refuse_body(answer: Answer, status: int, message: str) -> None:
    """Answer a request that could not be read."""
    body = json.dumps(Refused(message, status=status).body).encode()
    headers = {"content-type": "application/json", "x-ds-trace-id": uuid.uuid4().hex}
    await answer.head(status, headers, framing="close")
    await answer.end(last=body)


async def _reply(
    answer: Answer, seen: Seen, status: int, body: bytes, headers: Mapping[str, str] | None = None
) -> bool:
    seen.status = status
    named = {"content-type": "application/json", **_common(seen), **(headers or {}), "content-length": str(len(body))}
    await answer.head(status, named, framing="length")
    await answer.send(body)
    return True


def _common(seen: Seen) -> dict[str, str]:
    return {"server": "openresty", "x-ds-trace-id": seen.trace_id, "x-content-type-options": "nosniff"}


async def _refuse(answer: Answer, seen: Seen, refused: Refused, headers: Mapping[str, str] | None = None) -> bool:
    if refused.status == 401 and not refused.args[0]:
        return await _reply(answer, seen, 401, _NO_KEY, {"content-type": "text/plain"})
    return await _reply(answer, seen, refused.status, json.dumps(refused.body, ensure_ascii=False).encode(), headers)


def _authorise(service: Service, request: HTTPRequest) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Refused("", status=401)
    if service.key is not None and key.strip() != service.key:
        raise _bad_key(key.strip())


def _bad_key(key: str) -> Refused:
    return Refused(
        f"Authentication Fails, Your api key: ****{key[-4:]} is invalid (request_id: {uuid.uuid4()})",
        status=401,
        type="authentication_error",
        code="invalid_request_error",
    )


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


async def _switch(service: Service, request: HTTPRequest, answer: Answer, seen: Seen) -> bool:
    """``GET /_demo`` tells what is set; ``POST /_demo/fault`` changes it. JSON only, so no web page can do it unasked."""
    if request.method == "POST" and request.path == "/_demo/fault":
        try:
            if "application/json" not in request.headers.get("content-type", ""):
                raise ConfigurationError("The switch takes application/json.")
            wanted = json.loads(request.body)
            spec = wanted.get("fault") if isinstance(wanted, dict) else wanted
            if not isinstance(spec, str | None):
                raise ConfigurationError("A fault is text, or null for none.")
            service.fault = spec
        except (ConfigurationError, ValueError) as error:
            return await _refuse(answer, seen, Refused(str(error)))
    elif request.method != "GET" or request.path != "/_demo":
        return await _refuse(answer, seen, Refused("There are GET /_demo and POST /_demo/fault here.", status=404))
    state = {
        "fault": service.fault,
        "legend": [fault.legend for fault in service.faults.faults],
        "kinds": {kind.name: kind.legend for kind in KINDS.values()},
        "requests": len(service.requests),
        "running": service.running,
    }
    return await _reply(answer, seen, 200, json.dumps(state).encode())


# the chat


async def _chat(service: Service, request: HTTPRequest, answer: Answer, seen: Seen) -> bool:
    limits = _limits(service)
    if service.concurrency is not None and service.running >= service.concurrency:
        raise _too_many(service.running + 1, service.concurrency)
    with service.counted():
        body = seen.body = _read_json(request.body)
        check(body)
        if service.balance <= 0:
            raise _NO_MONEY
        last = body["messages"][-1]
        prefixed = last["role"] == "assistant" and bool(last.get("prefix"))
        beta = request.path.startswith("/beta")
        made = plan(body, beta=beta, cache=service.cache)
        fault = service.faults.take(_phases(made), prefixed=prefixed)
        seen.fault = str(fault) if fault else ""
        if fault is not None and fault.kind.partition("-")[0] in _ERRORS:
            seen.ended = "fault"
            return await _fail(answer, seen, fault, request, service)
        if fault is not None and fault.at == "before-headers":
            if fault.kind in ("cut", "reset"):
                seen.ended = "fault"
                await answer.close(rst=fault.kind == "reset")
                return False
            await answer.until_client_leaves(fault.number("s" if fault.kind == "latency" else "for"))
            if answer.client_left:
                raise ConnectionResetError("the client did not wait")
            fault = None
        if not body.get("stream"):
            return await _whole(service, request, answer, seen, made, fault, limits)
        return await _stream(service, request, answer, seen, made, fault, limits)


_NO_MONEY: Final = Refused("Insufficient Balance", status=402, type="unknown_error", code="invalid_request_error")


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


def _limits(service: Service) -> dict[str, str]:
    if service.rate_limit is None:
        return {}
    passes, headers = service.rate_limit.admit(time.time())
    if not passes:
        raise _RateRefused(headers)
    return headers


class _RateRefused(Refused):
    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__(
            "Rate limit reached for requests", status=429, type="rate_limit_error", code="invalid_request_error"
        )
        self.headers = headers


def _too_many(now: int, limit: int, *, balance: bool = False) -> Refused:
    message = _CONCURRENCY.format(now=now, limit=limit) + (_BALANCE if balance else "") + "."
    return Refused(message, status=429, type="rate_limit_error", code="invalid_request_error")


def _phases(made: Plan) -> set[str]:
    return {
        name
        for name, there in (("reasoning", made.reasoning), ("content", made.content), ("tool", made.calls))
        if there
    }


_ERRORS: Final = frozenset(("400", "401", "402", "404", "413", "429", "500", "502", "503"))
_BUSY: Final = "Service is too busy. We advise users to temporarily switch to alternative LLM API service providers."


async def _fail(answer: Answer, seen: Seen, fault: Fault, request: HTTPRequest, service: Service) -> bool:
    """An error answer on request."""
    headers = error_headers(fault)
    if headers["content-type"] == "text/html":
        return await _reply(answer, seen, int(fault.kind[:3]), _HTML, headers)
    limit = service.concurrency or 5
    known = {
        "400": Refused("The request was refused by the demo's fault 400"),
        "401": _bad_key(request.headers["authorization"].rpartition(" ")[2]),
        "402": _NO_MONEY,
        "404": Refused("Not Found", status=404, type="not_found_error"),
        "413": Refused("The request body is too large", status=413),
        "429": _too_many(limit + 1, limit),
        "429-balance": _too_many(limit + 1, limit, balance=True),
        "500": Refused("Internal Server Error", status=500, type="server_error"),
        "503": Refused(_BUSY, status=503, type="service_unavailable_error"),
    }
    return await _refuse(answer, seen, known[fault.kind], headers)


async def _whole(
    service: Service,
    request: HTTPRequest,
    answer: Answer,
    seen: Seen,
    made: Plan,
    fault: Fault | None,
    limits: dict[str, str],
) -> bool:
    """An answer in one piece: empty lines while it is queued, nothing while it is written, then the body."""
    sent = whole_body(made, id=str(uuid.uuid4()), created=int(time.time()))
    pace = service.pace
    framing, gzip, version = head_of(fault, version=request.version, gzip=False)
    seen.status = 200
    head = {"content-type": "application/json", **_common(seen), **limits}
    if framing == "length" and fault is not None:
        head["content-length"] = str(max(0, len(sent) + int(fault.number("by") or 0)))
    await answer.head(200, head, framing=framing, gzip=gzip, version=version)
    arrived_s = asyncio.get_running_loop().time()
    lines = int(pace.queue_s / pace.keepalive_s + 0.999)
    for _ in range(lines if framing != "length" else 0):
        await answer.send(b"\n")
        await asyncio.sleep(pace.keepalive_s)
    phases = ["start", *("reasoning" for _ in made.reasoning), *("content" for _ in made.content), "finish"]
    ready_s = pace.schedule(phases)[-1]
    await asyncio.sleep(max(0.0, arrived_s + ready_s - asyncio.get_running_loop().time()))
    if fault is not None and fault.kind in ("cut", "reset", "eof-chunked", "eof-close", "stall"):
        seen.ended = "fault"
        await answer.send(sent[: len(sent) // 2])
        match fault.kind:
            case "reset":
                await answer.reset()
            case "eof-chunked":
                await answer.end()
            case "stall":
                await answer.until_client_leaves(fault.number("for"))
                answer.cut()
            case _:
                answer.cut()
        return False
    await answer.send(sent)
    await answer.end()
    return not answer.closed


async def _stream(
    service: Service,
    request: HTTPRequest,
    answer: Answer,
    seen: Seen,
    made: Plan,
    fault: Fault | None,
    limits: dict[str, str],
) -> bool:
    arrived_s = asyncio.get_running_loop().time()
    id, sent, first = _frames_for(service, request, seen, made, fault)
    delivery = Delivery(answer=answer, pace=service.pace, fault=fault, retry_ms=service.retry_ms, first=first)
    if service.ids is not None:
        delivery.event_id = lambda place: f"{id}:{place + 1}"
    framing, gzip, version = head_of(fault, version=request.version, gzip=service.gzip and request.takes_gzip)
    kind = fault.kind if fault else ""
    head = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", **_common(seen), **limits}
    if kind == "wrong-type":
        head["content-type"] = "text/plain"
    if kind == "html":
        return await _reply(answer, seen, 200, _LOGIN_PAGE, {"content-type": "text/html"})
    if framing == "length" and fault is not None:
        size = sum(map(len, delivery.encode(sent)[first:]))
        head["content-length"] = str(max(0, size + int(fault.number("by") or 0)))
    seen.status = 200
    await answer.head(200, head, framing=framing, gzip=gzip, version=version)
    try:
        reusable = await delivery.run(sent, arrived_s)
    finally:
        seen.events = delivery.sent
        if fault is not None and (delivery.fired or kind in _IN_THE_FRAMES):
            seen.ended = "fault"
    if framing == "length":
        answer.cut()
        return False
    return reusable


_IN_THE_FRAMES: Final = frozenset(KINDS) - _ERRORS


def _frames_for(
    service: Service, request: HTTPRequest, seen: Seen, made: Plan, fault: Fault | None
) -> tuple[str, list[Frame], int]:
    """The id of the answer, its frames and the first one to send: 0, or where a resumed stream goes on."""
    last, _, place = request.headers.get("last-event-id", "").rpartition(":")
    known = service.streams.get(last) if service.ids not in (None, "ignore") else None
    if known is not None and place.isdecimal():
        first = {"resume": int(place), "inclusive": int(place) - 1}.get(str(service.ids), 0)
        return last, known, min(first, len(known))
    id = str(uuid.uuid4())
    options = seen.body.get("stream_options") or {}
    sent = frames(made, id=id, created=int(time.time()), include_usage=bool(options.get("include_usage")))
    if service.ids is not None:
        service.remember(id, sent)
    prefix = str(seen.body["messages"][-1].get("content") or "") if fault and fault.kind == "echo-prefix" else ""
    return id, rewrite(sent, fault, prefix=prefix) if fault else sent, 0
