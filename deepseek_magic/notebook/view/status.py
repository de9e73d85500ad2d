"""The words of the status line, from its values, which ``LiveView`` takes from the events of the call."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from ...text.messages import Message, say, words

STATES: Final[Mapping[str, Message]] = {
    "connecting": Message("Connecting"),
    "waiting": Message("Waiting"),
    "thinking": Message("Thinking"),
    "writing": Message("Writing"),
    "stopping": Message("Stopping"),
}
WAIT_WORDS: Final = {**words("concurrency", "rate", "backoff", "queue"), "retry_after": Message("retry after")}
"""Why it waits, where the event does not say it in a sentence."""

State = Literal["connecting", "waiting", "thinking", "writing", "stopping"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What the status line says while an answer is on its way. Tokens are counted by pieces, long ones estimated."""

    state: State = "connecting"
    model: str = ""
    place: str = ""
    """The host that is asked, where it is not DeepSeek's own."""
    elapsed_s: float = 0.0
    tokens_per_s: float | None = None
    attempt: int = 1
    of_attempts: int | None = None
    detail: Message | str = ""
    """Why it waits: the ``Waiting`` event's own sentence, of ``policy.recovery``, ``engine.segment`` or a failover."""
    because: Message | str = ""
    """What the last attempt failed of, as long as nothing of the next one has come: the ``what`` of such a sentence."""
    seams: int = 0
    reasoning_tokens: int = 0
    thinking_s: float = 0.0


def _said(status: Status) -> Iterator[tuple[str, bool]]:
    """State and seconds, why it waits, speed, attempt and what the one before failed of, model; whether each has to be noticed.

    A wait's own sentence names the attempt that comes next, so the one that failed is not counted beside it.
    """
    state, seconds = STATES[status.state], f"{status.elapsed_s:.0f}"
    if status.detail:
        yield say("{state}: {detail}", state=state, detail=status.detail), True
        yield say("{seconds} s", seconds=seconds), False
    else:
        yield say("{state}… {seconds} s", state=state, seconds=seconds), status.state == "waiting"
    if status.tokens_per_s is not None and status.state in ("thinking", "writing"):
        yield say("{rate} tokens/s", rate=f"{status.tokens_per_s:.0f}"), False
    if status.attempt > 1 and status.of_attempts and not status.detail:
        yield say("attempt {attempt} of {of}", attempt=status.attempt, of=status.of_attempts), True
    elif status.attempt > 1 and not status.detail:
        yield say("attempt {attempt}", attempt=status.attempt), True
    if status.because and status.state == "connecting":
        yield say("because: {why}", why=status.because), True
    if status.seams:
        yield say("joined {count}×", count=status.seams), True
    if status.model:
        yield status.model, False
    if status.place:
        yield say("at {place}", place=status.place), False


def status_text(status: Status) -> str:
    """One line."""
    return " · ".join(text for text, _ in _said(status))


def status_html(status: Status) -> str:
    """The same for a widget, whose style sheet makes it quiet, but for what a reader has to notice. Its lines break between
    the parts, and in those that are sentences."""
    parts = (f"<b>{html.escape(text)}</b>" if news else f"<i>{html.escape(text)}</i>" for text, news in _said(status))
    return f'<span role="status">{" · ".join(parts)}</span>'


def reasoning_title(status: Status) -> str:
    """The heading of the folded reasoning, with its own counter."""
    seconds = f"{status.thinking_s:.0f}"
    if status.reasoning_tokens == 1:
        return say("Reasoning · 1 token · {seconds} s", seconds=seconds)
    return say("Reasoning · {tokens} tokens · {seconds} s", tokens=f"{status.reasoning_tokens:,}", seconds=seconds)
