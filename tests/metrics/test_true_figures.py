"""The figures are true: what the meter says of a real stream is what the demo's script prescribed.

The script's times hold for the server; the tolerance is what a loaded machine may add on the way.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from deepseek_magic.demo.pace import Pace
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.client import Client
from deepseek_magic.metrics.record import StreamMeter, StreamRecord
from deepseek_magic.protocol.events import AttemptStarted, TextDelta

TOLERANCE_S = 0.15
SCRIPT = Pace(queue_s=0.5, keepalive_s=0.1, first_token_s=0.0, thinking_s=0.6, tokens_per_s=50, jitter=0)


async def measure(server: DemoServer) -> tuple[StreamRecord, int]:
    """The record of one call and the number of its text pieces, counted apart."""
    pieces = 0
    async with Client(server.base_url, api_key="sk-test-1234") as client:
        stream = client.stream("Say a few words about streams.", max_tokens=120)
        meter = StreamMeter(call_id="c1", started_at=datetime.now(UTC), now_s=time.monotonic())
        async for batch in stream.batches():
            now_s = time.monotonic()
            if meter.ttfb_s is None and not isinstance(batch[0], AttemptStarted):
                meter.opened(now_s)  # the first comment comes with the headers
            meter.add(batch, now_s)
            pieces += sum(isinstance(event, TextDelta) for event in batch)
        return meter.record(stream.completion, now_s=time.monotonic()), pieces


async def test_the_record_of_a_call_says_what_the_script_prescribed() -> None:
    with DemoServer(pace=SCRIPT) as server:
        record, pieces = await measure(server)
    assert record.queue_s == pytest.approx(SCRIPT.queue_s, abs=TOLERANCE_S)
    assert record.ttft_s == pytest.approx(SCRIPT.queue_s, abs=TOLERANCE_S)
    assert record.thinking_s == pytest.approx(SCRIPT.thinking_s, abs=TOLERANCE_S)
    assert pieces > 10
    writing_s = (pieces - 1) / SCRIPT.tokens_per_s
    assert record.generation_s == pytest.approx(SCRIPT.thinking_s + writing_s, abs=TOLERANCE_S)
    assert record.gap_p50_s == pytest.approx(1 / SCRIPT.tokens_per_s, abs=0.02)
    assert record.chunks == record.gap_n + 1
    assert record.heartbeats >= SCRIPT.queue_s / SCRIPT.keepalive_s - 1
    assert record.completion_tokens is not None
    assert not record.tokens_estimated
    assert record.total_s >= record.ttft_s + record.generation_s - TOLERANCE_S
