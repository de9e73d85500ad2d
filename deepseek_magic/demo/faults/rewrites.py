"""Faults that show in the frames themselves: another ending, another dialect, damaged payloads. Pure.

Frames go in, frames come out; what needs the socket is in delivery.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ..api.frames import Frame, Phase, frame
from .spec import Fault, Trigger

Payload = dict[str, Any]
_OTHER_TEXT: Final = ("Now", " that", " you", " ask", " again", ":", " this", " is", " another", " answer", "。")


def rewrite(frames: Sequence[Frame], fault: Fault, *, prefix: str = "", thought: str = "") -> list[Frame]:
    """The frames as this fault makes them; unchanged when it does not show in frames.

    ``prefix`` and ``thought`` are what the request gives to be continued.
    """
    how = _REWRITES.get(fault.kind)
    if how is not None:
        return how(frames)
    match fault.kind:
        case "insufficient_system_resource" | "aborted" | "content_filter":
            return _given_up(frames, fault)
        case "finish-early":
            return _finish_early(frames, fault)
        case "finish-every":
            return _finish_every(frames, fault)
        case "whitespace":
            return _before(frames, "content", [" " * 64] * max(1, int(fault.number("bytes") or 0) // 64))
        case "echo-prefix" if prefix:
            return _before(frames, "content", [prefix])
        case "echo-prefix" if thought:
            return _before(frames, "reasoning", [thought])
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


def _before(frames: Sequence[Frame], phase: Phase, pieces: Sequence[str]) -> list[Frame]:
    """``pieces`` before all others of this phase."""
    at = next((i for i, one in enumerate(frames) if one.phase in (phase, "content", "finish")), len(frames))
    model = _payload(frames[0])
    silent = dict.fromkeys(model["choices"][0]["delta"].keys() - {"role"})
    name = "reasoning_content" if phase == "reasoning" else "content"
    made = [_with_delta(phase, model, {**silent, name: piece}) for piece in pieces]
    return [*frames[:at], *made, *frames[at:]]


def _with_delta(phase: Phase, model: Payload, delta: Payload, finish: str | None = None) -> Frame:
    choice = {**model["choices"][0], "delta": delta, "finish_reason": finish}
    return frame(phase, {**model, "choices": [choice]})


def _reason(frames: Sequence[Frame]) -> str:
    return str(_payload(frames[-2])["choices"][0]["finish_reason"])


def _split(frames: Sequence[Frame], fault: Fault) -> int:
    """The first frame at or after the place of a fault, the finish at the latest."""
    trigger = Trigger(fault)
    return next(i for i, one in enumerate(frames) if trigger.due(one.phase) or one.phase == "finish")


def _finish_early(frames: Sequence[Frame], fault: Fault) -> list[Frame]:
    at = _split(frames, fault)
    early = _with_delta(frames[max(0, at - 1)].phase, _payload(frames[0]), {}, _reason(frames))
    return [*frames[:at], early, *frames[at:]]


def _finish_every(frames: Sequence[Frame], fault: Fault) -> list[Frame]:
    at, reason = _split(frames, fault), _reason(frames)
    marked = [
        _with_delta(one.phase, _payload(one), _payload(one)["choices"][0]["delta"], reason) for one in frames[at:-2]
    ]
    return [*frames[:at], *marked, *frames[-2:]]


def _full_message(frames: Sequence[Frame]) -> list[Frame]:
    """The finish chunk with all that was said as a message, in the place of its delta."""
    message: Payload = {"role": "assistant"}
    calls: dict[int, Payload] = {}
    for one in frames[:-2]:
        for name, value in _payload(one)["choices"][0]["delta"].items():
            if name in ("content", "reasoning_content"):
                message[name] = message.get(name, "") + (value or "")
            for call in value if name == "tool_calls" else ():
                whole = calls.setdefault(call["index"], {**call, "function": {**call["function"], "arguments": ""}})
                whole["function"]["arguments"] += call["function"]["arguments"]
    if calls:
        message["tool_calls"] = list(calls.values())

    def tell(payload: Payload) -> None:
        del payload["choices"][0]["delta"]
        payload["choices"][0]["message"] = message

    return _change(frames, tell, "finish")


def _usage_chunk(frames: Sequence[Frame]) -> list[Frame]:
    finish = _payload(frames[-2])
    usage = frame("finish", {**finish, "choices": []})
    return [*_change(frames[:-1], lambda payload: payload.update(usage=None), "finish"), usage, frames[-1]]


def _usage_every(frames: Sequence[Frame]) -> list[Frame]:
    final: Mapping[str, int] = _payload(frames[-2])["usage"]
    counted = itertools.count()

    def count(payload: Payload) -> None:
        written = next(counted)
        payload["usage"] = {**final, "completion_tokens": written, "total_tokens": final["prompt_tokens"] + written}

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
    "no-blank-line": _without("done"),
    "finish-twice": lambda frames: [*frames[:-1], *frames[-2:]],
    "full-message": _full_message,
    "no-delta": lambda frames: _change(frames, lambda payload: payload["choices"][0].pop("delta"), "finish"),
    "usage-chunk": _usage_chunk,
    "usage-every": _usage_every,
    "reasoning-field": _reasoning_field,
    "diverge": lambda frames: _before(_without("content")(frames), "content", _OTHER_TEXT),
}
