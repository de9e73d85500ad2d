"""Rate-limit headers in the dialects that hosts speak, over one counted window; DeepSeek itself sends none.

The dialects are those that the engine reads: OpenAI's Go durations, Groq's, GitHub's epoch seconds, OpenRouter's epoch
milliseconds, Anthropic's RFC 3339, and two generations of the IETF draft.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

Dialect = Literal["openai", "groq", "github", "openrouter", "anthropic", "ietf-06", "ietf"]


@dataclass(slots=True, kw_only=True)
class RateLimit:
    """``limit`` requests in each window of ``window_s`` seconds; above it 429. ``limit`` may be changed while it runs."""

    limit: int
    window_s: float = 60.0
    dialect: Dialect = "openai"
    retry_after: bool = True
    _start_s: float = field(default=0.0, init=False)
    _used: int = field(default=0, init=False)

    def admit(self, now_s: float) -> tuple[bool, dict[str, str]]:
        """Count one request at ``now_s`` (epoch seconds): whether it may pass, and the headers to send with the answer."""
        if now_s >= self._start_s + self.window_s:
            self._start_s, self._used = now_s, 0
        passes = self._used < self.limit
        self._used += passes
        left_s = self._start_s + self.window_s - now_s
        headers = self._headers(self.limit - self._used, left_s, now_s + left_s)
        if not passes and self.retry_after:
            headers["retry-after"] = str(max(1, round(left_s)))
        return passes, headers

    def _headers(self, remaining: int, left_s: float, end_s: float) -> dict[str, str]:
        limit, left = str(self.limit), str(max(0, remaining))
        until = datetime.fromtimestamp(end_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        match self.dialect:
            case "openai" | "groq":
                shown = _go(left_s, fine=self.dialect == "groq")
                names = ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests")
                return dict(zip(names, (limit, left, shown), strict=True))
            case "github":
                return {"x-ratelimit-limit": limit, "x-ratelimit-remaining": left, "x-ratelimit-reset": f"{end_s:.0f}"}
            case "openrouter":
                return {
                    "x-ratelimit-limit": limit,
                    "x-ratelimit-remaining": left,
                    "x-ratelimit-reset": f"{end_s * 1000:.0f}",
                }
            case "anthropic":
                base = "anthropic-ratelimit-requests"
                return {f"{base}-limit": limit, f"{base}-remaining": left, f"{base}-reset": until}
            case "ietf-06":
                return {"ratelimit-limit": limit, "ratelimit-remaining": left, "ratelimit-reset": f"{left_s:.0f}"}
            case "ietf":
                return {
                    "ratelimit": f'"default";r={left};t={left_s:.0f}',
                    "ratelimit-policy": f'"default";q={limit};w={self.window_s:.0f}',
                }


def _go(seconds: float, *, fine: bool) -> str:
    """Seconds as Go writes a duration: 12ms, 1.5s, 6m0s."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    minutes, rest = divmod(seconds, 60)
    shown = f"{rest:.2f}" if fine else f"{rest:.0f}"
    return f"{minutes:.0f}m{shown}s" if minutes else f"{shown}s"
