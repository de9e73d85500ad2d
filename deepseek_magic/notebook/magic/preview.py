"""``--dry-run``: the request as it would be sent, about how many tokens it has, and what it may cost."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Final

from ...engine.journal.reader import Entry
from ...policy.estimates import Estimate, estimate
from ...policy.pricing import Cost
from ...protocol.markdown import safe
from ...protocol.measured import currency_name
from ...protocol.template import before_sending
from ...session.prepared import Prepared
from ...text.fences import fenced
from ...text.language import MOMENT
from ...text.messages import Message, localized, say

SHOWN_IMAGE_CHARS: Final = 24
_IMAGE: Final = re.compile(r"(data:image/\w+;base64,)([\w+/=]+)")


def preview(prepared: Prepared, *, kept: Entry | None = None, now: datetime | None = None) -> dict[str, str]:
    """The preview as Markdown with a plain twin. The key is not in it. ``kept``: where the journal has the answer."""
    address = f"POST {prepared.endpoint.chat_url}"
    body = _IMAGE.sub(_shortened, json.dumps(prepared.request.body(), indent=2, ensure_ascii=False))
    prices, place = prepared.client.prices, prepared.endpoint.price_list
    guess = estimate(prepared.request, now or datetime.now(UTC), prices=prices, endpoint=place)
    notices = map(before_sending, prepared.notices)
    said = [Message("Not sent."), *_from_the_journal(prepared, kept), *_figures(guess), *notices]
    lines = [localized(sentence) for sentence in said]
    plain = "\n".join([address, body, "", *lines])
    small = "\n".join(f"- {line}" for line in lines)
    return {"text/plain": plain, "text/markdown": safe(f"{fenced(address)}\n{fenced(body, 'json')}\n{small}\n")}


def _shortened(image: re.Match[str]) -> str:
    begun = f"{image[1]}{image[2][:SHOWN_IMAGE_CHARS]}"
    return say("{image}… ({count} characters)", image=begun, count=f"{len(image[2]):,}")


def _from_the_journal(prepared: Prepared, kept: Entry | None) -> list[Message]:
    """What ``--cache`` does with this request, or would do."""
    if kept is None:
        return [Message("The journal does not have this answer: the request would be sent.")] if prepared.cached else []
    when = kept.started_at.astimezone().strftime(MOMENT)
    if prepared.cached:
        return [Message("The journal has this answer from {when}: nothing would be sent or paid.", when=when)]
    return [Message("The journal has this answer from {when}: --cache would use it at no cost.", when=when)]


def _figures(guess: Estimate) -> list[Message]:
    tokens = Message("About {tokens} tokens in.", tokens=f"{guess.prompt_tokens:,}")
    if guess.max_tokens is not None:
        most = f"{guess.max_tokens:,}"
        tokens = Message("About {tokens} tokens in, at most {most} out.", tokens=f"{guess.prompt_tokens:,}", most=most)
    if guess.least is None or guess.most is None:
        return [tokens, Message("Price: unknown.")]
    price = Message(
        "Price: from {least} (all of the prompt cached, no answer) to {most} (nothing cached, the longest answer), "
        "at the peak tariff of this hour."
        if guess.most.peak
        else "Price: from {least} (all of the prompt cached, no answer) to {most} (nothing cached, the longest answer).",
        least=_money(guess.least),
        most=_money(guess.most),
    )
    return [tokens, price]


def _money(cost: Cost) -> str:
    """Two digits, and never as a power of ten."""
    return f"{float(f'{cost.amount:.2g}'):.10f}".rstrip("0") + f" {currency_name(cost.currency)}"
