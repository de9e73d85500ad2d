"""What OpenTelemetry gets of a call: the real SDK's exporters in memory, fed by real calls to the demo."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.hosts.endpoints import resolve
from deepseek_magic.protocol.errors import DeepSeekError
from deepseek_magic.session.calls import Session

KEY = "sk-test-1234"
PROMPT = f"Say hello to the key {KEY}."


class Collected:
    """A session whose log is exported into memory."""

    def __init__(self, server: DemoServer, *, content: bool = False) -> None:
        self.spans = InMemorySpanExporter()
        self.metrics = InMemoryMetricReader()
        tracers = TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        self.session = Session()
        self.server = server
        self.stop = self.session.log.export_to(tracers, MeterProvider([self.metrics]), content=content)

    def ask(self, **options: Any) -> None:
        self.session.ask(PROMPT, endpoint=resolve("demo", self.server.base_url), api_key=KEY, **options)

    @property
    def span(self) -> ReadableSpan:
        (span,) = self.spans.get_finished_spans()
        return span

    def points(self, name: str) -> list[Any]:
        data = self.metrics.get_metrics_data()
        assert data is not None
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
        found = [metric for scope in scopes for metric in scope.metrics if metric.name == name]
        return [point for metric in found for point in metric.data.data_points]


@pytest.fixture
def server() -> Iterator[DemoServer]:
    with DemoServer(pace=0) as server:
        yield server


def test_a_call_is_a_span_by_the_conventions_for_generative_ai(server: DemoServer) -> None:
    collected = Collected(server)
    collected.ask(temperature=0.5, think="off", max_tokens=500, stop=["###"])
    span, record = collected.span, collected.session.log.records[-1]
    told = dict(span.attributes or {})
    assert (span.name, span.kind) == ("chat deepseek-flash", SpanKind.CLIENT)
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "deepseek",
        "gen_ai.request.model": "deepseek-flash",
        "gen_ai.request.stream": True,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 500,
        "gen_ai.request.stop_sequences": ("###",),
        "gen_ai.response.id": record.completion_id,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.time_to_first_chunk": record.ttft_s,
        "gen_ai.usage.input_tokens": record.prompt_tokens,
        "gen_ai.usage.output_tokens": record.completion_tokens,
        "deepseek_magic.call_id": record.call_id,
        "deepseek_magic.attempts": 1,
    }
    assert {name: told.get(name) for name in expected} == expected
    assert span.start_time is not None
    assert span.end_time is not None
    assert (span.end_time - span.start_time) / 1e9 == pytest.approx(record.total_s, abs=1e-5)
    assert span.start_time / 1e9 == pytest.approx(record.started_at.timestamp(), abs=1e-5)
    phases = [(event.attributes or {})["deepseek_magic.phase"] for event in span.events]
    assert phases == [phase.kind for phase in record.phases]
    assert span.status.status_code is StatusCode.UNSET


def test_every_name_is_one_that_the_conventions_know(server: DemoServer) -> None:
    conventions = pytest.importorskip("opentelemetry.semconv._incubating.attributes.gen_ai_attributes")
    known = {value for name, value in vars(conventions).items() if name.startswith("GEN_AI_")}
    if "gen_ai.response.time_to_first_chunk" not in known:
        pytest.skip("the installed list of names is older than the conventions that are followed")
    collected = Collected(server, content=True)
    collected.ask(system="Be brief.")
    used = {name for name in collected.span.attributes or {} if name.startswith("gen_ai.")}
    assert used <= known
    assert {"gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions"} <= used


def test_no_text_leaves_unless_it_was_asked_for(server: DemoServer) -> None:
    collected = Collected(server)
    collected.ask(system="A secret system.")
    told = str(collected.span.to_json())
    assert "hello" not in told
    assert "secret" not in told
    assert KEY not in told


def test_with_content_the_conversation_goes_along_and_the_key_does_not(server: DemoServer) -> None:
    collected = Collected(server, content=True)
    collected.ask(system="Be brief.")
    told = dict(collected.span.attributes or {})
    (asked,) = json.loads(str(told["gen_ai.input.messages"]))
    (answer,) = json.loads(str(told["gen_ai.output.messages"]))
    assert asked["role"] == "user"
    assert asked["parts"][0]["content"].startswith("Say hello to the key")
    assert [part["type"] for part in answer["parts"]] == ["reasoning", "text"]
    assert json.loads(str(told["gen_ai.system_instructions"])) == [{"type": "text", "content": "Be brief."}]
    assert KEY not in str(collected.span.to_json())


def test_durations_and_tokens_are_metrics_with_the_recommended_buckets(server: DemoServer) -> None:
    collected = Collected(server)
    collected.ask()
    collected.ask()
    records = collected.session.log.records
    (duration,) = collected.points("gen_ai.client.operation.duration")
    assert (duration.count, duration.sum) == (2, pytest.approx(sum(record.total_s for record in records)))
    assert duration.explicit_bounds[:3] == (0.01, 0.02, 0.04)
    collected.ask()
    tokens = {point.attributes["gen_ai.token.type"]: point for point in collected.points("gen_ai.client.token.usage")}
    assert set(tokens) == {"input", "output"}
    assert tokens["output"].sum == sum(record.completion_tokens or 0 for record in collected.session.log.records)
    (first,) = collected.points("gen_ai.client.operation.time_to_first_chunk")
    assert first.count == 3


def test_an_answer_that_nobody_was_given_is_a_span_with_tokens_and_no_latency(server: DemoServer) -> None:
    collected = Collected(server)
    collected.ask()
    (used,) = collected.session.log.records
    collected.session.log.add(msgspec.structs.replace(used, purpose="hedge", used=False))
    told = [(span.attributes or {}).get("deepseek_magic.used") for span in collected.spans.get_finished_spans()]
    assert told == [True, False]
    for name in ("duration", "time_to_first_chunk"):
        assert collected.points(f"gen_ai.client.operation.{name}")[0].count == 1
    assert {point.count for point in collected.points("gen_ai.client.token.usage")} == {2}


def test_a_failed_call_is_an_error_of_its_type(server: DemoServer) -> None:
    server.fault = "400"
    collected = Collected(server)
    with pytest.raises(DeepSeekError):
        collected.ask()
    assert collected.span.status.status_code is StatusCode.ERROR
    assert (collected.span.attributes or {})["error.type"] == "InvalidRequest"
    (duration,) = collected.points("gen_ai.client.operation.duration")
    assert duration.attributes["error.type"] == "InvalidRequest"


def test_nothing_is_exported_before_it_is_asked_for_nor_after_it_was_ended(server: DemoServer) -> None:
    collected = Collected(server)
    collected.stop()
    collected.ask()
    assert not collected.spans.get_finished_spans()


def test_an_exporter_that_fails_costs_no_answer(server: DemoServer, caplog: pytest.LogCaptureFixture) -> None:
    collected = Collected(server)
    collected.session.log._exports[0]._tracer = None  # type: ignore[assignment]
    collected.ask()
    assert len(collected.session.log) == 1
    assert "could not be exported" in caplog.text


def test_without_opentelemetry_the_way_to_get_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "opentelemetry.metrics", None)
    with pytest.raises(ImportError, match=r"deepseek-magic\[otel\]"):
        Session().log.export_to()
