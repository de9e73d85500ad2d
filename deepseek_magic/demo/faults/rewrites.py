"""Faults that are told in the frames themselves: another ending, another dialect, damaged payloads. Pure.

Frames go in, frames come out; what needs the socket is in delivery.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ..api.frames import Frame, frame
from .spec import Fault, Trigger

__all__ = ["rewrite"]

Payload = dict[str, Any]
_OTHER_TEXT: Final = ("Now", " that", " you", " ask", " again", ":", " this", " is", " another", " answer", "。")


def rewrite(frames: Sequence[Frame], fault: Fault, *, prefix: str = "") -> list[Frame]:
    """The frames as this fault makes them; unchanged when it is not told in frames."""
    how = _REWRITES.get(fault.kind)
    if how is not None:
        return how(frames)
    match fault.kind:
        case "insufficient_system_resource" | "aborted" | "content_filter":
            return _given_up(frames, fault)
        case "whitespace":
            return _before_content(frames, [" " * 64] * max(1, int(fault.number("bytes") or 0) // 64))
        case "echo-prefix" if prefix:
            return _before_content(frames, [prefix])
    return list(frames)


def _payload(one: Frame) -> Payload:
    payload: Payload = json.loads(one.payload)
    return payload


def _change(frames: Sequence[Frame], change: Callable[[Payload], None], *phases: str) -> list[Frame]:
    changed = []
    for one in frames:
        if one.phase in phases:
            payload = _payload(one)
            change(payload)
            changed.append(frame(one.phase, payload))
        else:
            changed.append(one)
    return changed


def _without(*phases: str) -> Callable[[Sequence[Frame]], list[Frame]]:
    return lambda frames: [one for one in frames if one.phase not in phases]


def _given_up(frames: Sequence[Frame], fault: Fault) -> list[Frame]:
    trigger, kept = Trigger(fault), []
    for one in frames:
        if one.phase in ("finish", "done") or trigger.due(one.phase):
            break
        kept.append(one)

    def finish(payload: Payload) -> None:
        payload["choices"][0]["finish_reason"] = fault.kind
        payload["usage"]["completion_tokens"] = len(kept) - 1
        payload["usage"]["total_tokens"] = payload["usage"]["prompt_tokens"] + len(kept) - 1

    return [*kept, *_change(frames[-2:], finish, "finish")]


def _before_content(frames: Sequence[Frame], pieces: Sequence[str]) -> list[Frame]:
    at = next((i for i, one in enumerate(frames) if one.phase in ("content", "finish")), len(frames))
    return [*frames[:at], *_content(frames, pieces), *frames[at:]]


def _content(frames: Sequence[Frame], pieces: Sequence[str]) -> list[Frame]:
    model = _payload(frames[0])
    thinking = "reasoning_content" in model["choices"][0]["delta"]
    made = []
    for piece in pieces:
        delta = {"content": piece, "reasoning_content": None} if thinking else {"content": piece}
        made.append(frame("content", {**model, "choices": [{**model["choices"][0], "delta": delta}]}))
    return made


def _diverged(frames: Sequence[Frame]) -> list[Frame]:
    rest = [one for one in frames if one.phase != "content"]
    return _before_content(rest, _OTHER_TEXT)


def _no_delta(frames: Sequence[Frame]) -> list[Frame]:
    return _change(frames, lambda payload: payload["choices"][0].pop("delta"), "finish")


def _usage_chunk(frames: Sequence[Frame]) -> list[Frame]:
    finish = _payload(frames[-2])
    usage = frame("finish", {**finish, "choices": []})
    return [*_change(frames[:-1], lambda payload: payload.update(usage=None), "finish"), usage, frames[-1]]


def _usage_every(frames: Sequence[Frame]) -> list[Frame]:
    final: Mapping[str, int] = _payload(frames[-2])["usage"]
    written = 0

    def count(payload: Payload) -> None:
        nonlocal written
        payload["usage"] = {**final, "completion_tokens": written, "total_tokens": final["prompt_tokens"] + written}
        written += 1

    return _change(frames, count, "start", "reasoning", "content", "tool")


def _reasoning_field(frames: Sequence[Frame]) -> list[Frame]:
    def rename(payload: Payload) -> None:
        delta = payload["choices"][0]["delta"]
        if "reasoning_content" in delta:
            delta["reasoning"] = delta.pop("reasoning_content")

    return _change(frames, rename, "start", "reasoning", "content", "finish")


_REWRITES: Final[Mapping[str, Callable[[Sequence[Frame]], list[Frame]]]] = {
    "empty": _without("reasoning", "content", "tool"),
    "reasoning-only": _without("content", "tool"),
    "no-done": _without("done"),
    "no-finish": _without("finish"),
    "no-delta": _no_delta,
    "usage-chunk": _usage_chunk,
    "usage-every": _usage_every,
    "reasoning-field": _reasoning_field,
    "diverge": _diverged,
}
