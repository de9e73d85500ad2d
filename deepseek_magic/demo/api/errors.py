"""The error answers in DeepSeek's own words, as far as they are known; what is raised here is sent as it is."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Final

from ..faults.spec import Fault
from .shapes import Refused

__all__ = ["ERROR_FAULTS", "HTML", "NO_KEY", "bad_key", "error_of", "headers_of", "no_money", "too_many"]

NO_KEY: Final = b"Authentication Fails (governor)"
"""The gateway's answer to a request without any key: plain text, not JSON."""

HTML: Final = (
    b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>\n"
)
ERROR_FAULTS: Final = frozenset(("400", "401", "402", "404", "413", "429", "429-balance", "500", "502", "503"))
_BUSY: Final = "Service is too busy. We advise users to temporarily switch to alternative LLM API service providers."
_SHOWN_LIMIT: Final = 5


def bad_key(key: str) -> Refused:
    """401: like the API, it tells the last four characters of the key."""
    message = f"Authentication Fails, Your api key: ****{key[-4:]} is invalid (request_id: {uuid.uuid4()})"
    return Refused(message, status=401, type="authentication_error", code="invalid_request_error")


def no_money() -> Refused:
    """402."""
    return Refused("Insufficient Balance", status=402, type="unknown_error", code="invalid_request_error")


def too_many(now: int, limit: int, *, balance: bool = False) -> Refused:
    """429: the text is the only place where the limit is told."""
    purse = " based on your remaining balance. Please top up your balance to restore your concurrency"
    return Refused(
        f"Too many requests. Your current concurrency is {now}, which exceeds your concurrency limit of {limit}"
        f"{purse if balance else ''}.",
        status=429,
        type="rate_limit_error",
        code="invalid_request_error",
    )


def error_of(fault: Fault, *, key: str, limit: int | None) -> Refused:
    """The error that a fault of ``ERROR_FAULTS`` asks for."""
    shown = limit or _SHOWN_LIMIT
    match fault.kind:
        case "401":
            return bad_key(key)
        case "402":
            return no_money()
        case "404":
            return Refused("Not Found", status=404, type="not_found_error")
        case "413":
            return Refused("The request body is too large", status=413)
        case "429" | "429-balance":
            return too_many(shown + 1, shown, balance=fault.kind == "429-balance")
        case "500" | "502":
            return Refused("Internal Server Error", status=int(fault.kind), type="server_error")
        case "503":
            return Refused(_BUSY, status=503, type="service_unavailable_error")
    return Refused("The request was refused by the demo's fault 400")


def headers_of(fault: Fault) -> Mapping[str, str]:
    """The headers that a fault of ``ERROR_FAULTS`` asks for."""
    html = fault.word("type") == "html" or fault.kind == "502"
    kind = "text/html" if html else "application/octet-stream" if fault.word("type") == "octet" else "application/json"
    headers = {"content-type": kind}
    if wait := fault.word("retry-after"):
        headers["retry-after"] = wait.replace("_", " ")
    if (wait_ms := fault.number("retry-after-ms")) is not None:
        headers["retry-after-ms"] = f"{wait_ms:g}"
    return headers
