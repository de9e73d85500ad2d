"""P14: a server that admits so many calls in each window, and says so."""

from __future__ import annotations

import math
from typing import Any, Final

from deepseek_magic.demo.api.ratelimit import RateLimit
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.state import Seen
from deepseek_magic.demo.wire.pace import Pace

from ..measuring import Bench, title
from ..report import Goal, Table

ANSWER_S: Final = 0.3
_TIME: Final = "time / the least possible"
_REFUSED: Final = "refused, % of the calls"
_FAILED: Final = "failed"


def admitted(bench: Bench) -> Table:
    """P14."""
    count, limit, window_s = (20, 5, 1.0) if bench.short else (200, 50, 5.0)
    peers = ("ours",) if bench.short else ("ours", "httpx", "aiohttp", "openai")
    pace = Pace(first_token_s=ANSWER_S, thinking_s=0.0, tokens_per_s=math.inf)

    def figures_of(peer: str) -> Any:
        limits = RateLimit(limit=limit, window_s=window_s)
        with DemoServer(pace=pace, rate_limit=limits, keep=10 * count) as demo:
            found = bench.one(peer, "calls", demo.base_url, most=count, count=count)
            seen = [each for each in demo.requests if each.method == "POST"]
        if "missing" in found:
            return found
        least_s = (math.ceil(count / limit) - 1) * window_s + ANSWER_S
        return {
            _TIME: took_s(seen) / least_s,
            _REFUSED: sum(each.status == 429 for each in seen) / count * 100,
            _FAILED: found["failed"],
        }

    found, missing = bench.turns(peers, figures_of)
    ours = found.get("ours", {})
    return Table(
        id="P14",
        title=f"{count} calls to a server that admits {limit} in each {window_s:g} s",
        how=f"The demo answers after {ANSWER_S:g} s and says in its headers, as OpenAI does, how many calls are left and when the next "
        "window begins; beyond that it answers 429 and says when to come again. All calls are begun together. The least possible "
        "time is that of the windows before the last one, and an answer.",
        columns=(_TIME, _REFUSED, _FAILED),
        rows={title(peer): figures for peer, figures in found.items()},
        missing={title(peer): why for peer, why in missing.items()},
        goals=(
            Goal(says=_TIME, value=ours.get(_TIME), limit=1.1),
            Goal(says=_REFUSED, value=ours.get(_REFUSED), limit=6),
            Goal(says=_FAILED, value=ours.get(_FAILED), limit=0),
        ),
    )


def took_s(seen: list[Seen]) -> float:
    """From the first request to the end of the last answer."""
    return max(each.ended_at_s or 0.0 for each in seen) - min(each.at_s for each in seen)
