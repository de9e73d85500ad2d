"""Hundreds of answers leave the memory of the process flat, but for the row that each leaves in the log."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.hosts.endpoints import resolve
from deepseek_magic.session.calls import Session

WARM_UP = 60
ANSWERS = 200
ROW_BYTES = 6_000
"""A row of the log takes 2 kB; the rest is what the allocator and the caches need to breathe."""


@pytest.mark.slow
def test_hundreds_of_answers_leave_the_memory_flat() -> None:
    session = Session()
    try:
        with DemoServer(pace=0, keep=10) as server:
            place = resolve("demo", server.base_url)

            def ask(times: int) -> int:
                for _ in range(times):
                    session.ask("Tell me of streams.", endpoint=place, think="off", max_tokens=60)
                session.journal.flush()
                gc.collect()
                return tracemalloc.get_traced_memory()[0]

            tracemalloc.start()
            try:
                before = ask(WARM_UP)
                grown = ask(ANSWERS) - before
            finally:
                tracemalloc.stop()
    finally:
        session.close()
    assert len(session.log) == WARM_UP + ANSWERS
    assert grown / ANSWERS < ROW_BYTES
