"""``--dry-run``: the request as it would be sent, about how many tokens it has, and what it may cost."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ..policy.estimates import Estimate, estimate
from ..protocol.extract import fenced
from ..protocol.language import translated
from ..protocol.markdown import safe

if TYPE_CHECKING:
    from ..session import Prepared

__all__ = ["preview"]

SHOWN_IMAGE_CHARS: Final = 24
_IMAGE: Final = re.compile(r"(data:image/\w+;base64,)([\w+/=]+)")


def preview(prepared: Prepared, now: datetime | None = None) -> dict[str, str]:
    """The preview as Markdown with a plain twin. The key is not in it."""
    address = f"POST {prepared.endpoint.base_url}/chat/completions"
    body = _IMAGE.sub(_shortened, json.dumps(prepared.request.body(), indent=2, ensure_ascii=False))
    prices, place = prepared.client.prices, prepared.endpoint.price_list
    guess = estimate(prepared.request, now or datetime.now(UTC), prices=prices, endpoint=place)
    lines = ["Not sent.", *_figures(guess), *map(translated, prepared.notices)]
    plain = "\n".join([address, body, "", *lines])
    small = "\n".join(f"- {line}" for line in lines)
    return {"text/plain": plain, "text/markdown": safe(f"{fenced(address)}\n{fenced(body, 'json')}\n{small}\n")}


def _shortened(image: re.Match[str]) -> str:
    return f"{image[1]}{image[2][:SHOWN_IMAGE_CHARS]}… ({len(image[2]):,} characters)"


def _figures(guess: Estimate) -> list[str]:
    tokens = f"About {guess.prompt_tokens:,} tokens in"
    tokens += f", at most {guess.max_tokens:,} out." if guess.max_tokens is not None else "."
    if guess.least is None or guess.most is None:
        return [tokens, "Price: unknown."]
    peak = ", at the peak tariff of this hour" if guess.most.peak else ""
    least, most = (f"{cost.amount:.2g}" for cost in (guess.least, guess.most))
    return [
        tokens,
        f"Price: from {float(least):.10f}".rstrip("0")
        + f" {guess.least.currency} (all of the prompt cached, no answer) to {float(most):.10f}".rstrip("0")
        + f" {guess.most.currency} (nothing cached, the longest answer){peak}.",
    ]
