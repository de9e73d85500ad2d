"""The words of the status line, from its values, which ``LiveView`` takes from the events of the call."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from ...text.design.tokens import value
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


def status_text(status: Status) -> str:
    """One line: state, why it waits, model, seconds, speed, attempt and what the one before failed of."""
    state = STATES[status.state]
    said = [
        say("{state}: {detail}", state=state, detail=status.detail) if status.detail else say("{state}…", state=state),
        status.model,
        say("at {place}", place=status.place) if status.place else "",
        say("{seconds} s", seconds=f"{status.elapsed_s:.0f}"),
    ]
    if status.tokens_per_s is not None and status.state in ("thinking", "writing"):
        said.append(say("{rate} tokens/s", rate=f"{status.tokens_per_s:.0f}"))
    if status.attempt > 1 and status.of_attempts:
        said.append(say("attempt {attempt} of {of}", attempt=status.attempt, of=status.of_attempts))
    elif status.attempt > 1:
        said.append(say("attempt {attempt}", attempt=status.attempt))
    if status.because and status.state == "connecting":
        said.append(say("because: {why}", why=status.because))
    if status.seams:
        said.append(say("joined {count}×", count=status.seams))
    return " · ".join(part for part in said if part)


def status_html(status: Status) -> str:
    """The same for a widget. What a reader has to notice, a wait or another attempt, is not grey."""
    colour = value("text" if status.state == "waiting" or status.attempt > 1 else "quiet")
    return f'<span style="color:{colour}" role="status">{html.escape(status_text(status))}</span>'


def reasoning_title(status: Status) -> str:
    """The heading of the folded reasoning, with its own counter."""
    seconds = f"{status.thinking_s:.0f}"
    if status.reasoning_tokens == 1:
        return say("Reasoning · 1 token · {seconds} s", seconds=seconds)
    return say("Reasoning · {tokens} tokens · {seconds} s", tokens=f"{status.reasoning_tokens:,}", seconds=seconds)
