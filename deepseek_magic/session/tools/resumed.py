"""Which answer still waits for its functions: one that asked for them when its process died, or one that was ended at a question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...policy.tools.approval import asks_for_tools
from ...protocol.completion import Completion, ToolCall
from ...protocol.errors import ConfigurationError
from ...protocol.outcome import RESUMABLE
from ...text.messages import Message
from .box import Toolbox


def waiting_of(before: Completion, box: Toolbox | None) -> Completion | None:
    """The answer whose calls are still to be run, with what is known of them in its ``tool_runs``; None where there is none.

    Raises ConfigurationError where nobody gave the functions.
    """
    waiting = before if asks_for_tools(before) else _ended_at_a_call(before)
    if waiting is not None and box is None:
        names = ", ".join(dict.fromkeys(call.name for call in waiting.tool_calls))
        raise ConfigurationError(
            Message("This answer asked for functions that are still to be run ({names}).", names=names),
            hint=Message("Give them: --tool NAME, or in Python tools=[…]."),
        )
    return waiting


def asks_again(before: Completion, box: Toolbox | None) -> bool:
    """Whether an answer is had by asking the same again: what its functions gave is in the question, so none is run twice."""
    return box is not None and before.outcome in RESUMABLE


def _ended_at_a_call(before: Completion) -> Completion | None:
    if not any(run.state == "stopped" for run in before.tool_runs):
        return None
    messages = before.request.messages
    place = next((n for n in reversed(range(len(messages))) if messages[n].role == "assistant"), None)
    if place is None or not messages[place].tool_calls:
        return None
    answer = messages[place]
    return replace(
        before,
        request=replace(before.request, messages=messages[:place]),
        text=answer.text,
        reasoning=answer.reasoning_content or "",
        outcome="complete",
        finish_reason="tool_calls",
        tool_calls=tuple(_call(number, raw) for number, raw in enumerate(answer.tool_calls)),
        tool_runs=tuple(run for run in before.tool_runs if run.state != "stopped"),
        error=None,
    )


def _call(number: int, raw: Mapping[str, Any]) -> ToolCall:
    function = raw["function"]
    return ToolCall(index=number, id=raw["id"], name=function["name"], arguments=function["arguments"])
