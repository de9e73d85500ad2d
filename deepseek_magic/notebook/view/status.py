"""The words of the status line, from its values."""

from __future__ import annotations

import html

from ...text.messages import localized, say
from .live import State, Status


def status_text(status: Status) -> str:
    """One line: state, why it waits, model, seconds, speed, attempt and what the one before failed of."""
    state = _state(status.state)
    if status.detail:
        said = [say("{state}: {detail}", state=state, detail=localized(status.detail))]
    else:
        said = [say("{state}…", state=state)]
    said += [
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
        said.append(say("because: {why}", why=localized(status.because)))
    if status.seams:
        said.append(say("joined {count}×", count=status.seams))
    return " · ".join(part for part in said if part)


def _state(state: State) -> str:
    match state:
        case "connecting":
            return say("Connecting")
        case "waiting":
            return say("Waiting")
        case "thinking":
            return say("Thinking")
        case "writing":
            return say("Writing")
        case "stopping":
            return say("Stopping")


def status_html(status: Status) -> str:
    """The same for a widget."""
    colour = "var(--jp-warn-color1)" if status.state == "waiting" else "var(--jp-ui-font-color2)"
    return f'<span style="color:{colour}" role="status">{html.escape(status_text(status))}</span>'


def reasoning_title(status: Status) -> str:
    """The heading of the folded reasoning, with its own counter."""
    seconds = f"{status.thinking_s:.0f}"
    if status.reasoning_tokens == 1:
        return say("Reasoning · 1 token · {seconds} s", seconds=seconds)
    return say("Reasoning · {tokens} tokens · {seconds} s", tokens=f"{status.reasoning_tokens:,}", seconds=seconds)
