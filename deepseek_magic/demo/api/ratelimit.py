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
        left = max(0, remaining)
        match self.dialect:
            case "openai":
                names, reset = "x-ratelimit-{}-requests", _go(left_s, fine=False)
            case "groq":
                names, reset = "x-ratelimit-{}-requests", _go(left_s, fine=True)
            case "github":
                names, reset = "x-ratelimit-{}", f"{end_s:.0f}"
            case "openrouter":
                names, reset = "x-ratelimit-{}", f"{end_s * 1000:.0f}"
            case "anthropic":
                until = datetime.fromtimestamp(end_s, UTC)
                names, reset = "anthropic-ratelimit-requests-{}", until.strftime("%Y-%m-%dT%H:%M:%SZ")
            case "ietf-06":
                names, reset = "ratelimit-{}", f"{left_s:.0f}"
            case "ietf":
                return {
                    "ratelimit": f'"default";r={left};t={left_s:.0f}',
                    "ratelimit-policy": f'"default";q={self.limit};w={self.window_s:.0f}',
                }
        told = {"limit": str(self.limit), "remaining": str(left), "reset": reset}
        return {names.format(part): value for part, value in told.items()}


def _go(seconds: float, *, fine: bool) -> str:
    """Seconds as Go writes a duration: 12ms, 1.5s, 6m0s."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    minutes, rest = divmod(seconds, 60)
    shown = f"{rest:.2f}" if fine else f"{rest:.0f}"
    return f"{minutes:.0f}m{shown}s" if minutes else f"{shown}s"
