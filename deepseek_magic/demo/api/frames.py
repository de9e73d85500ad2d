"""A checked body → the frames of its answer: chunks in the order, and with the fields, in which DeepSeek sends them.

Pure but for the id and the clock, which come in as arguments. Source: the page "create chat completion" and DeepSeek's
published protocol code; usage rides on the finish chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from .checks import CONTEXT_TOKENS, is_prefix
from .inquiry import Inquiry, asked_for, prompt_tokens
from .replies import Reply, continuation, reply
from .shapes import Refused
from .sums import Draws
from .tokens import CACHE_UNIT_TOKENS, PrefixCache, tokenize

FINGERPRINT: Final = "fp_demo_2026"
_JSON: Final = msgspec.json.Encoder()
_DEFAULT_MAX_TOKENS: Final = 8_192
_THINKING_MAX_TOKENS: Final = 65_536
_EFFORT_MAX_MAX_TOKENS: Final = 131_072

Phase = Literal["start", "reasoning", "content", "tool", "finish", "done"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One event of the stream, as its ``data`` payload, with the phase that it belongs to."""

    phase: Phase
    payload: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedReply:
    """An answer before it is sent: its pieces, how it ends, and what it counts."""

    asked: Inquiry
    reasoning: Sequence[str]
    content: Sequence[str]
    calls: Sequence[tuple[str, str, Sequence[str]]]  # id, name, pieces of the arguments
    finish_reason: str
    prompt_tokens: int
    cached_tokens: int
    starts_in_reasoning: bool
    logprobs: bool

    @property
    def usage(self) -> dict[str, Any]:
        """The token counts, in the API's terms."""
        return self.usage_after(
            len(self.reasoning) + len(self.content) + sum(len(pieces) for _, _, pieces in self.calls)
        )

    def usage_after(self, written: int) -> dict[str, Any]:
        """The token counts when so many tokens are written."""
        prompt, hit = self.prompt_tokens, self.cached_tokens
        usage: dict[str, Any] = {
            "prompt_tokens": prompt,
            "completion_tokens": written,
            "total_tokens": prompt + written,
            "prompt_tokens_details": {"cached_tokens": hit},
        }
        if self.asked.thinking:
            usage["completion_tokens_details"] = {"reasoning_tokens": min(written, len(self.reasoning))}
        return {**usage, "prompt_cache_hit_tokens": hit, "prompt_cache_miss_tokens": prompt - hit}


def plan(body: Mapping[str, Any], *, beta: bool, cache: PrefixCache, draws: Draws | None = None) -> PlannedReply:
    """What will be answered. Raises Refused when the context overflows or a prefix is sent to another path than /beta."""
    asked = asked_for(body)
    last = body["messages"][-1]
    prefixed = is_prefix(last)
    if prefixed and not beta:
        raise Refused(
            "The prefix parameter is a Beta feature: set base_url to https://api.deepseek.com/beta to use it."
        )
    asked = (draws or Draws()).drawn(asked, again=prefixed, seed=body.get("seed"))
    text, thought = (last["content"], last.get("reasoning_content")) if prefixed else ("", None)
    text = text if isinstance(text, str) else "\n\n".join(part.get("text", "") for part in text)
    whole = continuation(asked, text, thought) if prefixed else reply(asked)
    prompt = [*prompt_tokens(asked), *tokenize(thought or ""), *tokenize(text)]
    budget = _budget(body, asked, len(prompt))
    user = str(body.get("user_id") or "")
    hit = min(cache.hit_tokens(prompt, user), (len(prompt) - 1) // CACHE_UNIT_TOKENS * CACHE_UNIT_TOKENS)
    reasoning, content, calls, finish_reason = _spend(whole, budget, body.get("stop") or ())
    # A turn without tools is later rendered without its reasoning: only then can prompt and answer be a prefix.
    cache.store([*prompt, *content], user)
    return PlannedReply(
        asked=asked,
        reasoning=reasoning,
        content=content,
        calls=calls,
        finish_reason=finish_reason,
        prompt_tokens=len(prompt),
        cached_tokens=hit,
        starts_in_reasoning=asked.thinking and not text,
        logprobs=bool(body.get("logprobs")),
    )


def _budget(body: Mapping[str, Any], asked: Inquiry, prompt: int) -> int:
    wanted = body.get("max_tokens")
    if prompt + (wanted or 0) > CONTEXT_TOKENS:
        raise Refused(
            f"This model's maximum context length is {CONTEXT_TOKENS} tokens. However, you requested "
            f"{prompt + (wanted or 0)} tokens ({prompt} in the messages, {wanted or 0} in the completion). "
            "Please reduce the length of the messages or completion."
        )
    if wanted:
        return int(wanted)
    thinking = _EFFORT_MAX_MAX_TOKENS if asked.effort == "max" else _THINKING_MAX_TOKENS
    return max(1, min(thinking if asked.thinking else _DEFAULT_MAX_TOKENS, CONTEXT_TOKENS - prompt))


def _spend(
    whole: Reply, budget: int, stop: str | Sequence[str]
) -> tuple[list[str], list[str], list[tuple[str, str, list[str]]], str]:
    """The reply's reasoning, content and calls in tokens, and its finish reason: ended by the first stop string or by
    the budget, whichever comes first."""
    reasoning = tokenize(whole.reasoning)
    content = tokenize(_until_stop(whole.text, (stop,) if isinstance(stop, str) else stop))
    calls = [(call.id, call.name, tokenize(call.arguments)) for call in whole.calls]
    finish_reason = "tool_calls" if calls else "stop"
    left = budget - len(reasoning)
    if left < len(content) + sum(len(pieces) for _, _, pieces in calls):
        finish_reason = "length"
        reasoning, content = reasoning[:budget], content[: max(0, left)]
        calls = [(i, name, pieces[: max(0, left)]) for i, name, pieces in calls if left > 0]
    return reasoning, content, calls, finish_reason


def _until_stop(text: str, stops: Sequence[str]) -> str:
    return text[: min((text.find(stop) for stop in stops if stop in text), default=len(text))]


def frame(phase: Phase, payload: Mapping[str, Any]) -> Frame:
    """A frame with its payload as compact JSON."""
    return Frame(phase=phase, payload=_JSON.encode(payload).decode())


def frames(made: PlannedReply, *, id: str, created: int, include_usage: bool) -> list[Frame]:
    """All events of a streamed answer, ``[DONE]`` included."""
    thinking = made.asked.thinking
    head = {"id": id, "object": "chat.completion.chunk", "created": created, "model": made.asked.model}
    head["system_fingerprint"] = FINGERPRINT

    def chunk(phase: Phase, delta: dict[str, Any], *, finish: str | None = None, logprobs: Any = None) -> Frame:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        usage = {"usage": made.usage} if finish else {"usage": None} if include_usage else {}
        return frame(phase, {**head, "choices": [choice], **usage})

    def said(content: str | None, reasoning: str | None = None) -> dict[str, Any]:
        return {"content": content, "reasoning_content": reasoning} if thinking else {"content": content}

    first = said(None, "") if made.starts_in_reasoning else said("")
    sent = [chunk("start", {"role": "assistant", **first})]
    sent += [
        chunk("reasoning", said(None, piece), logprobs=_logprobs(made, "reasoning_content", piece))
        for piece in made.reasoning
    ]
    sent += [chunk("content", said(piece), logprobs=_logprobs(made, "content", piece)) for piece in made.content]
    sent += _tool_frames(made, chunk)
    sent.append(chunk("finish", said(""), finish=made.finish_reason))
    return [*sent, Frame(phase="done", payload="[DONE]")]


def _tool_frames(made: PlannedReply, chunk: Callable[[Phase, dict[str, Any]], Frame]) -> list[Frame]:
    sent = []
    for index, (id, name, pieces) in enumerate(made.calls):
        opening = {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}
        sent.append(chunk("tool", {"tool_calls": [opening]}))
        sent += [
            chunk("tool", {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}) for piece in pieces
        ]
    return sent


def _logprobs(made: PlannedReply, channel: str, piece: str) -> dict[str, Any] | None:
    """A believable number for each piece, the same every time; the demo has no probabilities."""
    if not made.logprobs:
        return None
    entry = {"token": piece, "logprob": -0.01 * (1 + len(piece)), "bytes": list(piece.encode()), "top_logprobs": []}
    return {"content": None, "reasoning_content": None, channel: [entry]}


def whole_body(made: PlannedReply, *, id: str, created: int) -> bytes:
    """The answer to a request without ``stream``."""
    message: dict[str, Any] = {"role": "assistant", "content": "".join(made.content)}
    if made.asked.thinking:
        message["reasoning_content"] = "".join(made.reasoning)
    if made.calls:
        message["tool_calls"] = [
            {"index": index, "id": i, "type": "function", "function": {"name": name, "arguments": "".join(pieces)}}
            for index, (i, name, pieces) in enumerate(made.calls)
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": made.finish_reason}
    body = {"id": id, "object": "chat.completion", "created": created, "model": made.asked.model, "choices": [choice]}
    return _JSON.encode({**body, "usage": made.usage, "system_fingerprint": FINGERPRINT})
