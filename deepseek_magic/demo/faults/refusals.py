"""The error answers that a fault asks for, in the API's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..api.errors import bad_key, no_money, too_many
from ..api.shapes import Refused
from .spec import Fault

ERROR_FAULTS: Final = frozenset(("400", "401", "402", "404", "413", "429", "429-balance", "500", "502", "503"))
_BUSY: Final = "Service is too busy. We advise users to temporarily switch to alternative LLM API service providers."
_SHOWN_LIMIT: Final = 5


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
