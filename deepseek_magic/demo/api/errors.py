"""The error answers in DeepSeek's own words, as far as they are known; what is raised here is sent as it is."""

from __future__ import annotations

import uuid
from typing import Final

from .shapes import Refused

NO_KEY: Final = b"Authentication Fails (governor)"
"""The gateway's answer to a request without any key: plain text, not JSON."""

HTML: Final = (
    b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>\n"
)


def bad_key(key: str) -> Refused:
    """401: like the API, it tells the last four characters of the key."""
    message = f"Authentication Fails, Your api key: ****{key[-4:]} is invalid (request_id: {uuid.uuid4()})"
    return Refused(message, status=401, type="authentication_error", code="invalid_request_error")


def no_money() -> Refused:
    """402."""
    return Refused("Insufficient Balance", status=402, type="unknown_error", code="invalid_request_error")


def too_many(now: int, limit: int, *, balance: bool = False) -> Refused:
    """429: only the text names the limit."""
    purse = " based on your remaining balance. Please top up your balance to restore your concurrency"
    return Refused(
        f"Too many requests. Your current concurrency is {now}, which exceeds your concurrency limit of {limit}"
        f"{purse if balance else ''}.",
        status=429,
        type="rate_limit_error",
        code="invalid_request_error",
    )
