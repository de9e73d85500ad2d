"""The bridge from the engine's thread into an async cell."""

from __future__ import annotations

import asyncio

import pytest

from deepseek_magic.engine.loop import Call
from deepseek_magic.protocol.events import Heartbeat


@pytest.mark.parametrize("turns_later", range(8))
async def test_a_cancellation_that_comes_together_with_an_event_is_not_lost(turns_later: int) -> None:
    call = Call(asyncio.get_running_loop())
    waiting = asyncio.ensure_future(call.changed(5))
    await asyncio.sleep(0.01)
    call.put([Heartbeat()])
    for _ in range(turns_later):
        await asyncio.sleep(0)
    accepted = waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled() == accepted
