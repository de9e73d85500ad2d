"""The words of the status line, from its values."""

from __future__ import annotations

import html
from typing import Final

from .live import Status

__all__ = ["reasoning_title", "status_html", "status_text"]

_STATES: Final = {
    "connecting": "Connecting",
    "waiting": "Waiting",
    "thinking": "Thinking",
    "writing": "Writing",
    "stopping": "Stopping",
}


def status_text(status: Status) -> str:
    """One line: state, why it waits, model, seconds, speed, attempt."""
    said = [_STATES[status.state] + (f": {status.detail}" if status.detail else "…"), status.model]
    said.append(f"{status.elapsed_s:.0f} s")
    if status.deltas_per_s is not None and status.state in ("thinking", "writing"):
        said.append(f"{status.deltas_per_s:.0f} tokens/s")
    if status.attempt > 1:
        said.append(f"attempt {status.attempt}" + (f" of {status.of_attempts}" if status.of_attempts else ""))
    if status.seams:
        said.append(f"joined {status.seams}×")
    return " · ".join(part for part in said if part)


def status_html(status: Status) -> str:
    """The same for a widget."""
    colour = "var(--jp-warn-color1)" if status.state == "waiting" else "var(--jp-ui-font-color2)"
    return f'<span style="color:{colour}" role="status">{html.escape(status_text(status))}</span>'


def reasoning_title(status: Status) -> str:
    """The heading of the folded reasoning, with its own counter."""
    return f"Reasoning · {status.reasoning_deltas:,} tokens · {status.thinking_s:.0f} s"
