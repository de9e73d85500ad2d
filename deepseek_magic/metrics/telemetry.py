"""Records → OpenTelemetry: a span and the metrics of each call, by the conventions for generative AI.

Off until ``MetricsLog.export_to`` is called, and imported no earlier. Names follow the GenAI conventions as of October
2026 (github.com/open-telemetry/semantic-conventions-genai: "Inference client span", "GenAI client metrics"); what they do not
know is under ``deepseek_magic.``. Prompts and answers leave this process only when ``content`` asks for it, and then with
every known key masked.

``gen_ai.client.operation.time_per_output_chunk`` is not sent: it wants every single gap, and a record holds their quantiles.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from ..protocol.completion import Completion
from ..protocol.measured import StreamRecord
from ..text.messages import Message

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

SCOPE: Final = "deepseek_magic"
SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS: Final = tuple(4**power for power in range(14))
"""The bucket bounds that the conventions recommend."""

_HISTOGRAMS: Final = (
    ("operation.duration", "s", "GenAI operation duration.", SECONDS),
    ("operation.time_to_first_chunk", "s", "Time to receive the first chunk, from the request on.", SECONDS),
    ("token.usage", "{token}", "Number of input and output tokens used.", TOKENS),
)

_OPTIONS: Final = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "max_tokens": "gen_ai.request.max_tokens",
    "stop": "gen_ai.request.stop_sequences",
    "seed": "gen_ai.request.seed",
}
_DEEPSEEKS: Final = (None, "deepseek", "demo", "custom")
"""Endpoints where DeepSeek's own API is spoken; any other is its own provider."""


class Export:
    """Sends each call to the providers, or to the global ones. Raises ImportError when the extra is not installed."""

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        *,
        content: bool = False,
        mask: Callable[[str], str] = str,
    ) -> None:
        try:
            from opentelemetry.metrics import get_meter
            from opentelemetry.trace import get_tracer
        except ImportError as error:
            raise ImportError(
                Message("OpenTelemetry is not installed, and this export needs it: pip install 'deepseek-magic[otel]'.")
            ) from error
        self.content = content
        self._mask = mask
        self._tracer = get_tracer(SCOPE, tracer_provider=tracer_provider)
        meter = get_meter(SCOPE, meter_provider=meter_provider)
        self._duration, self._first_chunk, self._tokens = (
            meter.create_histogram(
                f"gen_ai.client.{name}", unit=unit, description=says, explicit_bucket_boundaries_advisory=bounds
            )
            for name, unit, says, bounds in _HISTOGRAMS
        )

    def __call__(self, record: StreamRecord, completion: Completion | None) -> None:
        """Send one call that has ended. An answer from the journal was no call."""
        if record.outcome != "cached":
            self._send_span(record, completion)
            self._send_metrics(record)

    def _send_span(self, record: StreamRecord, completion: Completion | None) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode

        start_ns = _ns(record, 0.0)
        span = self._tracer.start_span(f"chat {record.model}", kind=SpanKind.CLIENT, start_time=start_ns)
        span.set_attributes(_known(_attributes(record) | _span_attributes(record)))
        if completion is not None:
            options = completion.request.options
            span.set_attributes({name: options[option] for option, name in _OPTIONS.items() if option in options})
            if self.content:
                span.set_attributes({name: self._mask(text) for name, text in _texts(completion)})
        for phase in record.phases:
            told = {"deepseek_magic.phase": phase.kind, "deepseek_magic.phase.duration": phase.length_s}
            span.add_event("deepseek_magic.phase", told, timestamp=_ns(record, phase.start_s))
        if record.outcome == "incomplete":
            span.set_status(Status(StatusCode.ERROR))
        span.end(end_time=_ns(record, record.total_s))

    def _send_metrics(self, record: StreamRecord) -> None:
        attributes = _known(_attributes(record))
        if record.used:  # nobody waited for the others
            self._duration.record(record.total_s, attributes)
        if record.used and record.ttft_s is not None:
            self._first_chunk.record(record.ttft_s, attributes)
        for kind, tokens in (("input", record.prompt_tokens), ("output", record.completion_tokens)):
            if tokens is not None and not record.tokens_estimated:
                self._tokens.record(tokens, {**attributes, "gen_ai.token.type": kind})


def _ns(record: StreamRecord, at_s: float) -> int:
    whole = record.started_at + timedelta(seconds=at_s)
    return int(whole.timestamp()) * 1_000_000_000 + whole.microsecond * 1_000


def _known(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def _attributes(record: StreamRecord) -> dict[str, Any]:
    """What spans and metrics both carry: few values, so that a metric has few series."""
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "deepseek" if record.endpoint in _DEEPSEEKS else record.endpoint,
        "gen_ai.request.model": record.model,
        "gen_ai.response.model": record.response_model,
        "error.type": (record.error_type or "incomplete") if record.outcome == "incomplete" else None,
    }


def _span_attributes(record: StreamRecord) -> dict[str, Any]:
    return {
        "gen_ai.request.stream": True,
        "gen_ai.response.id": record.completion_id,
        "gen_ai.response.finish_reasons": None if record.finish_reason is None else (record.finish_reason,),
        "gen_ai.response.time_to_first_chunk": record.ttft_s,
        "gen_ai.usage.input_tokens": record.prompt_tokens,
        "gen_ai.usage.output_tokens": record.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": record.cache_hit_tokens,
        "gen_ai.usage.reasoning.output_tokens": record.reasoning_tokens,
        "deepseek_magic.call_id": record.call_id,
        "deepseek_magic.outcome": record.outcome,
        "deepseek_magic.purpose": record.purpose,
        "deepseek_magic.used": record.used,
        "deepseek_magic.attempts": record.attempts,
        "deepseek_magic.seams": record.seams,
        "deepseek_magic.waited": record.waited_s,
        "deepseek_magic.tokens_estimated": record.tokens_estimated,
        "deepseek_magic.cost": None if record.cost is None else float(record.cost),
        "deepseek_magic.currency": record.currency,
    }


def _texts(completion: Completion) -> Iterator[tuple[str, str]]:
    """The conversation, in the conventions' JSON; system prompts stand apart there."""
    system, asked = [], []
    for message in completion.request.messages:
        content = message.content if isinstance(message.content, str) else json.dumps(message.content)
        part = {"type": "text", "content": content}
        if message.role == "system":
            system.append(part)
        else:
            asked.append({"role": message.role, "parts": [part]})
    parts = [{"type": "reasoning", "content": completion.reasoning}] if completion.reasoning else []
    parts += [{"type": "text", "content": completion.text}] if completion.text else []
    answer = {"role": "assistant", "parts": parts, "finish_reason": completion.finish_reason or "error"}
    if system:
        yield "gen_ai.system_instructions", json.dumps(system, ensure_ascii=False)
    yield "gen_ai.input.messages", json.dumps(asked, ensure_ascii=False)
    yield "gen_ai.output.messages", json.dumps([answer], ensure_ascii=False)
