"""What the figures of a record mean, each from a stream of a few events with its times."""

from __future__ import annotations

import statistics
import tracemalloc
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_magic.metrics.quantiles import EXACT_COUNT, RELATIVE_ERROR, DurationSketch, quantile
from deepseek_magic.metrics.record import PriceOf, StreamMeter, StreamRecord
from deepseek_magic.policy.pricing import PRICES
from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.completion import Accumulator
from deepseek_magic.protocol.errors import DeepSeekError, RateLimited
from deepseek_magic.protocol.events import (
    AttemptStarted,
    Event,
    Finish,
    Heartbeat,
    ReasoningDelta,
    ResponseStarted,
    Seam,
    Strategy,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
    Waiting,
)

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)  # a Saturday: never peak
PEAK_EDGE = datetime(2026, 11, 23, 3, 59, 59, tzinfo=UTC)  # a Monday, one second before noon in Beijing
Step = tuple[float, Event | str]
OPENED = "opened"


def measure(
    steps: Sequence[Step],
    *,
    end_s: float | None = None,
    started_at: datetime = AT,
    price: PriceOf | None = PRICES.cost_of,
    error: DeepSeekError | None = None,
    prompt: str = "hi there",
    timeline: bool = False,
) -> StreamRecord:
    """The record of a call whose events came at these seconds after its start."""
    zero = 1000.0  # a monotonic clock begins anywhere
    meter = StreamMeter(call_id="c1", started_at=started_at, now_s=zero, endpoint="demo", timeline=timeline)
    answer = Accumulator(Request.of(prompt))
    for at_s, step in steps:
        if isinstance(step, str):
            meter.opened(zero + at_s, connect_s=0.125)
        else:
            meter.add([step], zero + at_s)
            answer.add(step)
    end_s = steps[-1][0] if end_s is None else end_s
    return meter.record(answer.completion(error=error), now_s=zero + end_s, price=price)


def words(start_s: float, count: int, gap_s: float = 0.02) -> list[Step]:
    return [(start_s + i * gap_s, TextDelta(text="word ")) for i in range(count)]


def thoughts(start_s: float, count: int, gap_s: float = 0.02) -> list[Step]:
    return [(start_s + i * gap_s, ReasoningDelta(text="hm ")) for i in range(count)]


def attempt(at_s: float, number: int, strategy: Strategy = "first") -> Step:
    return (at_s, AttemptStarted(attempt=number, strategy=strategy))


def ended(at_s: float, prompt: int, completion: int, reasoning: int = 0) -> list[Step]:
    usage = Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        reasoning_tokens=reasoning,
        cache_hit_tokens=0,
        cache_miss_tokens=prompt,
    )
    return [(at_s, UsageReport(usage=usage)), (at_s, Finish(reason="stop"))]


QUEUED = [
    attempt(0.0, 1),
    (0.2, OPENED),
    (0.2, Heartbeat(comment="keep-alive")),
    (0.7, Heartbeat(comment="keep-alive")),
    (1.2, ResponseStarted(id="id-1", model="deepseek-flash")),
    *thoughts(1.5, 101),  # two seconds of thinking at 50 a second
    *words(3.5, 51),  # one second of answer
    *ended(4.5, prompt=10, completion=152, reasoning=101),
]


def test_times_are_told_apart_queue_thinking_first_token_and_answer() -> None:
    record = measure(QUEUED, end_s=4.6)
    assert record.ttfb_s == pytest.approx(0.2)
    assert record.connect_s == pytest.approx(0.125)
    assert record.queue_s == pytest.approx(1.0)
    assert record.ttft_s == pytest.approx(1.5)
    assert record.answer_s == pytest.approx(3.5)
    assert record.thinking_s == pytest.approx(2.0)
    assert record.generation_s == pytest.approx(3.0)
    assert record.total_s == pytest.approx(4.6)
    assert record.waited_s == 0.0
    assert record.heartbeats == 2


def test_rates_are_the_inverse_of_the_mean_gap_while_generating() -> None:
    record = measure(QUEUED)
    assert record.chunks == 152
    assert record.chunks_per_s == pytest.approx(151 / 3.0)
    assert record.tokens_per_s == pytest.approx(151 / 3.0)


def test_what_the_request_and_the_answer_were_is_in_the_record() -> None:
    record = measure(QUEUED)
    assert (record.call_id, record.endpoint, record.started_at) == ("c1", "demo", AT)
    assert (record.model, record.response_model, record.completion_id) == ("deepseek-flash", "deepseek-flash", "id-1")
    assert (record.outcome, record.finish_reason, record.error_type, record.status) == ("complete", "stop", None, None)
    assert record.prompt_sha256 == Request.of("hi there").digest()
    assert (record.chars, record.reasoning_chars) == (51 * 5, 101 * 3)
    assert (record.prompt_tokens, record.completion_tokens, record.reasoning_tokens) == (10, 152, 101)
    assert (record.cache_hit_tokens, record.cache_miss_tokens, record.tokens_estimated) == (0, 10, False)
    assert record.cost == (10 * Decimal("0.15") + 152 * Decimal("0.60")) / 1_000_000
    assert (record.currency, record.peak, record.cost_estimated) == ("USD", False, False)


def test_no_queue_was_seen_where_no_comment_came() -> None:
    record = measure([attempt(0, 1), (0.2, OPENED), *words(0.9, 2), *ended(1, 1, 2)])
    assert record.queue_s == 0.0
    assert measure([attempt(0, 1)], end_s=3).queue_s is None


def test_a_comment_during_the_answer_is_no_queue() -> None:
    record = measure([attempt(0, 1), (0.2, OPENED), *words(0.9, 2), (2.0, Heartbeat()), *words(3, 2), *ended(3, 1, 4)])
    assert record.queue_s == 0.0
    assert record.heartbeats == 1


def test_each_wait_is_counted_under_its_cause_and_ends_with_the_next_attempt() -> None:
    record = measure(
        [
            (0.0, Waiting(reason="concurrency")),
            (0.1, Waiting(reason="concurrency")),  # said again: the same wait
            (0.5, Waiting(reason="rate")),
            attempt(0.75, 1),
            (1.0, OPENED),
            (1.0, Waiting(reason="retry_after", seconds=2)),
            attempt(3.0, 2, "retry"),
            (3.1, OPENED),
            (3.1, Waiting(reason="backoff", seconds=1)),
        ],
        end_s=4.1,
    )
    assert record.wait_concurrency_s == pytest.approx(0.5)
    assert record.wait_rate_s == pytest.approx(0.25)
    assert record.wait_retry_after_s == pytest.approx(2.0)
    assert record.wait_backoff_s == pytest.approx(1.0)
    assert record.waited_s == pytest.approx(3.75)
    assert (record.attempts, record.retries) == (2, 1)


def test_a_gap_is_between_two_pieces_and_a_recovery_is_part_of_it() -> None:
    steps = [*words(1, 3, 0.1), attempt(2, 2, "continue"), *words(3.2, 2, 0.3)]
    record = measure([attempt(0, 1), *steps])
    assert record.gap_n == 4
    assert record.gap_max_s == pytest.approx(2.0)
    assert record.gap_p50_s == pytest.approx(0.2)
    assert record.generation_s == pytest.approx(0.5)


def test_pieces_that_arrive_together_have_no_gap_between_them() -> None:
    meter = StreamMeter(call_id="c", started_at=AT, now_s=0.0)
    meter.add([TextDelta(text="a"), TextDelta(text="b"), TextDelta(text="c")], 1.0)
    meter.add([TextDelta(text="d")], 3.0)
    record = meter.record(Accumulator(Request.of("x")).completion(), now_s=3.0)
    assert (record.gap_n, record.gap_p50_s, record.gap_max_s) == (3, 0.0, 2.0)


def test_nothing_measured_is_unknown_and_not_zero() -> None:
    record = measure([attempt(0, 1)], end_s=0.5)
    unknown = (record.ttft_s, record.answer_s, record.thinking_s, record.generation_s, record.chunks_per_s)
    assert unknown == (None,) * 5
    assert (record.gap_p50_s, record.gap_max_s, record.gap_n) == (None, None, 0)
    assert (record.tokens_per_s, record.prompt_tokens, record.body_bytes, record.wire_bytes) == (None,) * 4


def test_a_call_that_nobody_answered_costs_nothing() -> None:
    error = RateLimited("too many", status=429)
    record = measure([attempt(0, 1)], error=error, price=None)
    assert (record.cost, record.currency) == (Decimal(0), None)
    assert (record.error_type, record.status, record.outcome) == ("RateLimited", 429, "incomplete")


def test_an_answer_without_a_price_costs_an_unknown_amount() -> None:
    assert measure(QUEUED, price=None).cost is None
    assert measure(QUEUED, price=lambda *_: None).cost is None


def test_an_answer_without_thinking_thought_for_zero_seconds() -> None:
    assert measure([attempt(0, 1), *words(1, 3), *ended(2, 1, 3)]).thinking_s == 0.0


def test_thinking_that_was_cut_lasted_until_its_last_piece() -> None:
    record = measure([attempt(0, 1), *thoughts(1, 11, 0.1), attempt(9, 2, "restart"), *thoughts(10, 6, 0.1)], end_s=20)
    assert record.thinking_s == pytest.approx(1.5)


def test_segments_of_a_continued_answer_add_up_and_the_broken_one_is_estimated() -> None:
    record = measure(
        [
            attempt(0, 1),
            *words(1, 20),
            attempt(2, 2, "continue"),
            (3, Seam(kind="continued", at_chars=95)),
            *words(3, 31),
            *ended(4, prompt=8 + 20, completion=31),
        ]
    )
    assert (record.prompt_tokens, record.completion_tokens) == (8 + 28, 20 + 31)
    assert record.tokens_estimated
    assert record.cost_estimated
    assert (record.continuations, record.seams, record.attempts) == (1, 1, 2)
    assert record.chars == 95 + 31 * 5
    assert record.cache_hit_tokens is None
    assert record.recovered


def test_two_segments_that_both_reported_are_summed_exactly() -> None:
    first = [attempt(0, 1), *words(1, 4), *ended(1.1, 10, 4)]
    record = measure([*first, attempt(2, 2, "continue"), *words(3, 6), *ended(3.2, 14, 6)])
    assert (record.prompt_tokens, record.completion_tokens, record.cache_miss_tokens) == (24, 10, 24)
    assert not record.tokens_estimated
    assert record.cost == (24 * Decimal("0.15") + 10 * Decimal("0.60")) / 1_000_000


def test_a_resumed_response_is_still_one_response_and_its_report_counts_all_of_it() -> None:
    record = measure([attempt(0, 1), *words(1, 4), attempt(2, 2, "resume"), *words(3, 6), *ended(3.2, 10, 10)])
    assert (record.prompt_tokens, record.completion_tokens, record.tokens_estimated) == (10, 10, False)
    assert record.resumes == 1
    assert record.generation_s == pytest.approx(3 * 0.02 + 5 * 0.02)


def test_an_attempt_that_failed_before_it_answered_is_not_billed() -> None:
    record = measure([attempt(0, 1), (0.1, OPENED), attempt(1, 2, "retry"), *words(2, 3), *ended(2.1, 10, 3)])
    assert (record.prompt_tokens, record.completion_tokens, record.tokens_estimated) == (10, 3, False)
    assert record.recovered


def test_pieces_that_bundle_tokens_are_estimated_by_their_length() -> None:
    record = measure([attempt(0, 1), (1, TextDelta(text="x" * 1000))])
    assert (record.completion_tokens, record.tokens_estimated) == (300, True)


def test_an_interrupted_answer_is_estimated_from_its_texts() -> None:
    record = measure([attempt(0, 1), *words(1, 40)], prompt="x" * 100)
    assert (record.prompt_tokens, record.completion_tokens, record.tokens_estimated) == (30, 40, True)
    assert record.cost is not None
    assert record.cost_estimated


def test_a_later_report_of_one_response_replaces_the_earlier() -> None:
    record = measure([attempt(0, 1), *words(1, 3), *ended(1, 10, 1), *ended(2, 10, 3)])
    assert record.completion_tokens == 3


def test_a_request_over_the_edge_of_the_peak_costs_at_most_the_dearer_tariff() -> None:
    record = measure([attempt(0, 1), *words(0.5, 2, gap_s=2.0), *ended(2.5, 1_000_000, 0)], started_at=PEAK_EDGE)
    assert record.cost == Decimal("0.30")
    assert record.cost_estimated


def test_bytes_are_counted_only_when_they_are_told() -> None:
    meter = StreamMeter(call_id="c", started_at=AT, now_s=0.0)
    meter.received(body_bytes=100, wire_bytes=40)
    meter.received(body_bytes=50)
    record = meter.record(Accumulator(Request.of("x")).completion(), now_s=1.0)
    assert (record.body_bytes, record.wire_bytes) == (150, 40)


def test_tool_calls_are_pieces_of_the_answer() -> None:
    record = measure([attempt(0, 1), *thoughts(1, 2, 0.5), (2.0, ToolCallDelta(index=0, id="t", name="f"))])
    assert (record.chunks, record.answer_s, record.thinking_s) == (3, 2.0, 1.0)


def test_a_timeline_is_kept_only_on_request() -> None:
    assert measure(QUEUED).timeline is None
    timeline = measure(QUEUED, timeline=True).timeline
    assert timeline is not None
    assert [e.kind for e in timeline[:5]] == ["attempt", "heartbeat", "heartbeat", "response", "reasoning"]
    first = timeline[4]
    assert (first.at_s, first.gap_s, first.chars, first.text) == (pytest.approx(1.5), pytest.approx(0.3), 3, "hm ")


def test_a_start_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        StreamMeter(call_id="c", started_at=datetime(2026, 1, 1), now_s=0.0)


def test_a_start_in_another_zone_is_told_in_utc() -> None:
    from datetime import timezone

    there = AT.astimezone(timezone(timedelta(hours=8)))
    record = measure(QUEUED, started_at=there)
    assert record.started_at.tzinfo is UTC
    assert record.started_at == AT


def test_the_meter_takes_no_memory_for_the_length_of_an_answer() -> None:
    meter = StreamMeter(call_id="c", started_at=AT, now_s=0.0)
    batch = [TextDelta(text="word ")] * 20

    def grow(batches: int) -> int:
        before = tracemalloc.get_traced_memory()[0]
        for i in range(batches):
            meter.add(batch, 1.0 + 0.001 * (i % 977) + i)
        return tracemalloc.get_traced_memory()[0] - before

    tracemalloc.start()
    try:
        grow(EXACT_COUNT + 1000)  # past the exact part, every bucket made
        assert grow(5000) < 2000
    finally:
        tracemalloc.stop()


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99]))
def test_few_gaps_have_exact_quantiles(values: list[float], q: float) -> None:
    sketch = DurationSketch()
    for value in values:
        sketch.add(value)
    assert sketch.quantile_s(q) == pytest.approx(quantile(sorted(values), q), abs=1e-6)


def test_many_gaps_have_quantiles_within_one_percent() -> None:
    values = [0.001 * 1.0009**i for i in range(3 * EXACT_COUNT)]
    sketch = DurationSketch()
    for i in range(len(values)):
        sketch.add(values[i * 7919 % len(values)])
    assert sketch.n == len(values)
    for q in (0.01, 0.5, 0.9, 0.99):
        assert sketch.quantile_s(q) == pytest.approx(quantile(values, q), rel=RELATIVE_ERROR * 1.1)
    assert sketch.quantile_s(1.0) == pytest.approx(max(values), rel=RELATIVE_ERROR * 1.1)


def test_the_quantiles_of_mostly_nothing_are_zero() -> None:
    sketch = DurationSketch()
    sketch.add_zeros(2 * EXACT_COUNT)
    for _ in range(EXACT_COUNT + 1):
        sketch.add(1.0)
    assert sketch.quantile_s(0.5) == 0.0
    assert sketch.quantile_s(0.99) == pytest.approx(1.0, rel=RELATIVE_ERROR)


def test_a_quantile_is_what_the_statistics_module_calls_inclusive() -> None:
    values = [1.0, 2.0, 4.0, 8.0, 16.0]
    assert [quantile(values, q / 4) for q in (1, 2, 3)] == statistics.quantiles(values, n=4, method="inclusive")
