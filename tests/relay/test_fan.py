"""The short form of ``python -m tests.relay.fan``: counts and bytes; times are the benchmark's."""

from __future__ import annotations

import sys

import pytest

from tests.relay.fan import EVENTS, run


@pytest.mark.slow
@pytest.mark.programs
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_hundred_readers_cost_one_call_and_little_memory_and_a_deaf_one_holds_up_nobody() -> None:
    found = run(100, deaf=1)
    assert found["calls"] == 1
    assert found["whole"] == found["readers"] == 100
    assert found["chunks"] >= 100 * (EVENTS - 30)
    assert found["kb_a_reader"] <= 100
