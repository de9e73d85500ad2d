"""What a response says about limits: header dialects, Retry-After, and the words of a 429.

One reader for all hosts, driven by a table: header names are read by pattern, and a reset's own syntax says what it
means. DeepSeek itself sends no such headers; the number of its limit is in the 429's message alone.
Sources: the hosts' pages on rate limits and the IETF drafts "RateLimit header fields" 03 to 11 (November 2026).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal

Headers = Mapping[str, str] | Iterable[tuple[str, str]]
"""Header names in any case; pairs where the transport keeps repeated lines apart."""

Kind = Literal["bucket", "window"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One limit as a response states it; None is what it did not say.

    ``dimension``: what is counted, in the host's word (requests, tokens, requests-day, ...). ``reset_s``: seconds until
    a "bucket" is full again, or until a new "window" begins. ``window_s``: the window's length, where stated.
    """

    dimension: str
    limit: float | None = None
    remaining: float | None = None
    reset_s: float | None = None
    kind: Kind = "window"
    window_s: float | None = None

    @property
    def refill_per_s(self) -> float | None:
        """What a token bucket gains a second, visible in one response: what is missing, over the time to fill it."""
        if self.kind != "bucket" or self.limit is None or self.remaining is None or not self.reset_s:
            return None
        missing = self.limit - self.remaining
        return missing / self.reset_s if missing > 0 else None


_FIELDS: Final = r"(?P<field>limit|remaining|reset)"
_NAMES: Final = (
    (re.compile(rf"anthropic-ratelimit-(?P<dimension>[a-z-]+)-{_FIELDS}"), ""),
    (re.compile(rf"x-ratelimit-{_FIELDS}-(?P<dimension>[a-z0-9_-]+)"), ""),  # OpenAI
    (re.compile(rf"x-ratelimit-{_FIELDS}(?P<dimension>)"), "requests"),  # GitHub
    (re.compile(rf"x-tokenlimit-{_FIELDS}(?P<dimension>)"), "tokens"),
    (re.compile(rf"ratelimit-{_FIELDS}(?P<dimension>)"), "requests"),  # IETF
)
"""The names of each dialect, and what it counts where the name does not say."""
_WINDOWS_S: Final = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86_400.0}

_EPOCH_MS_ABOVE: Final = 1e12
_EPOCH_S_ABOVE: Final = 1e9
_LONGEST_RESET_S: Final = 366 * 86_400.0
"""A reset further away than a year is a misread unit, not a limit."""

_UNITS_S: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:h|ms|m|s|us|µs|ns))+")
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)")
_ITEM: Final = re.compile(r'\s*(?P<name>"(?:[^"\\]|\\.)*"|[^;,=\s]+)\s*(?P<params>(?:;[^;,]*)*)\s*(?:,|$)')


def read_budgets(headers: Headers, now_epoch_s: float) -> list[Budget]:
    """Every budget that the headers state with at least its remainder or its limit, in order of appearance.

    ``now_epoch_s`` is the local wall clock; absolute resets are measured by the response's own ``Date`` where it has one.
    Where a line is repeated the smaller remainder counts. Negative numbers, NaN and infinities mean "not stated".
    """
    lines = _lower(headers)
    if not any("limit" in name for name, _ in lines):  # as at most hosts: no date need be read
        return []
    server_now_s = _server_now_s(lines, now_epoch_s)
    found: dict[tuple[re.Pattern[str], str], Budget] = {}
    for name, value in lines:
        for pattern, usual in _NAMES:
            if match := pattern.fullmatch(name):
                dimension = match["dimension"] or usual
                empty = Budget(dimension=dimension, window_s=_WINDOWS_S.get(dimension.split("-")[-1]))
                known = found.get((pattern, dimension), empty)
                found[pattern, dimension] = _with_field(known, match["field"], value, server_now_s)
                break
    budgets = [*found.values(), *_structured(lines)]
    return [b for b in budgets if b.remaining is not None or b.limit is not None]


def _lower(headers: Headers) -> list[tuple[str, str]]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [(name.lower(), value.strip()) for name, value in pairs]


def _server_now_s(lines: list[tuple[str, str]], now_epoch_s: float) -> float:
    return next((t for t in (_http_date(v) for n, v in lines if n == "date") if t is not None), now_epoch_s)


def _with_field(budget: Budget, field: str, value: str, server_now_s: float) -> Budget:
    if field == "reset":
        read = _reset(value.split(",")[0] if not _http_date(value) else value, server_now_s)
        if read is None:
            return budget
        seconds, kind = read
        return replace(budget, reset_s=seconds, kind=kind)
    if field == "remaining":
        others = [n for n in (budget.remaining, *map(_number, value.split(","))) if n is not None]
        return replace(budget, remaining=min(others, default=None))
    # Draft 03 to 06 puts the policy here: "10, 10;w=1".
    window = re.search(r";\s*w=(\d+)", value)
    number = _number(value.split(",")[0].split(";")[0])
    return replace(budget, limit=number, window_s=float(window[1]) if window else budget.window_s)


def _structured(lines: list[tuple[str, str]]) -> list[Budget]:
    """The one-line forms: ``limit=10, remaining=5, reset=3`` (draft 07) and ``"name";r=5;t=3`` (from draft 08 on)."""
    text = ", ".join(v for n, v in lines if n == "ratelimit")
    if not text:
        return []
    members = {_LETTERS[n]: v for n, v in re.findall(r"(limit|remaining|reset)\s*=\s*([^,;\s]+)", text)}
    items = [("requests", members)] if members else _items(text)
    policies = dict(items if members else _items(", ".join(v for n, v in lines if n == "ratelimit-policy")))
    budgets = []
    for name, said in items:
        policy = policies.get(name) or (next(iter(policies.values())) if len(policies) == 1 else {})
        limit, window_s = (_number(policy.get(letter, "")) for letter in "qw")
        remaining, reset_s = (_number(said.get(letter, "")) for letter in "rt")
        budgets.append(Budget(dimension=name, limit=limit, remaining=remaining, reset_s=reset_s, window_s=window_s))
    return budgets


_LETTERS: Final = {"limit": "q", "remaining": "r", "reset": "t"}


def _items(text: str) -> list[tuple[str, dict[str, str]]]:
    """Names with their parameters. Hugging Face sends two names in a row ('"fixed window";"api";q=1'): the last counts."""
    items = []
    for match in _ITEM.finditer(text):
        name, params = match["name"].strip('"'), {}
        for part in match["params"].split(";")[1:]:
            key, equals, value = part.strip().partition("=")
            if equals:
                params[key] = value.strip('"')
            elif key.startswith('"'):
                name = key.strip('"')
        items.append((name, params))
    return items


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _reset(text: str, server_now_s: float, *, longest_s: float = _LONGEST_RESET_S) -> tuple[float, Kind] | None:
    """Seconds from now, never negative, and the kind of budget whose reset is written so; None for what is no time."""
    text = text.strip()
    if _DURATION.fullmatch(text):
        return sum(float(n) * _UNITS_S[unit] for n, unit in _DURATION_PART.findall(text)), "bucket"
    at_s: float | None
    number = _number(text)
    if number is not None:
        if number <= _EPOCH_S_ABOVE:
            return (number, "window") if number <= longest_s else None
        at_s = number / 1000 if number > _EPOCH_MS_ABOVE else number
    else:
        at_s = _rfc3339(text) or _http_date(text)
    if at_s is None or at_s - server_now_s > longest_s:
        return None
    return max(0.0, at_s - server_now_s), "window"


def _rfc3339(text: str) -> float | None:
    if not re.match(r"\d{4}-\d\d-\d\d[Tt ]", text):
        return None
    try:
        at = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _http_date(text: str) -> float | None:
    try:
        at = parsedate_to_datetime(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def retry_after_s(headers: Headers, now_epoch_s: float) -> float | None:
    """The seconds that the server asks to wait; 0 for "now" and for a date that has passed, None when it does not say.

    Milliseconds (OpenAI's retry-after-ms, Azure's x-ms-retry-after-ms) win over Retry-After, which is read as seconds,
    HTTP date (RFC 9110, section 10.2.3) or duration ("20s"); of a list the longest counts. A time of years is one that is
    too long to wait, not one that was not named.
    """
    lines = _lower(headers)
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        waits = [n for n in (_number(v) for key, v in lines if key == name) if n is not None]
        if waits:
            return max(waits) / 1000
    server_now_s = _server_now_s(lines, now_epoch_s)
    read: list[tuple[float, Kind] | None] = []
    for value in (v for n, v in lines if n == "retry-after"):
        whole = _reset(value, server_now_s, longest_s=math.inf)
        read += [whole] if whole else [_reset(part, server_now_s, longest_s=math.inf) for part in value.split(",")]
    return max((seconds for seconds, _ in filter(None, read)), default=None)


def should_retry(headers: Headers) -> bool | None:
    """The server's own word (x-should-retry); None when it says nothing."""
    said = next((v.lower() for n, v in _lower(headers) if n == "x-should-retry"), None)
    return {"true": True, "false": False}.get(said or "")


def headers_in_body(body: str) -> dict[str, str]:
    """Limit headers that a 429 carries inside its JSON (OpenRouter: ``error.metadata.headers``)."""
    try:
        found = json.loads(body)["error"]["metadata"]["headers"]
        return {str(name): str(value) for name, value in found.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def concurrency_limit(message: str) -> int | None:
    """The number in DeepSeek's 429: "... which exceeds your concurrency limit of 25 ..."."""
    match = re.search(r"concurrency limit of (\d+)", message)
    return int(match[1]) if match else None
