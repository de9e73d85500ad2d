from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from deepseek_magic.demo.server import DemoServer
from tests.relay.running import RunningRelay

pytest.importorskip("uvicorn", reason="the extra relay is not installed")


@pytest.fixture
def demo() -> Iterator[DemoServer]:
    with DemoServer(pace=0.05) as server:
        yield server


@pytest.fixture
def relay(demo: DemoServer, tmp_path: Path) -> Iterator[RunningRelay]:
    with RunningRelay(tmp_path / "relay", demo) as running:
        yield running


@pytest.fixture
def start(demo: DemoServer, tmp_path: Path) -> Iterator[Callable[..., RunningRelay]]:
    """Start a relay with rules and settings of the test's own."""
    with ExitStack() as all_of_them:

        def started(*args: Any, **settings: Any) -> RunningRelay:
            return all_of_them.enter_context(RunningRelay(tmp_path / "relay", demo, *args, **settings))

        yield started
