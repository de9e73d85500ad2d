"""The demo behind gRPC-Web: xAI's own servicer classes in this process and a real Envoy in front of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deepseek_magic.demo.grpcweb.server import GRPCWebDemo
from deepseek_magic.demo.server import DemoServer


@pytest.fixture(scope="module")
def state() -> Iterator[DemoServer]:
    """What both protocols of the demo share; each test sets its own fault."""
    with DemoServer(pace=0) as server:
        yield server


@pytest.fixture(scope="module")
def front(state: DemoServer) -> Iterator[GRPCWebDemo]:
    """The Envoy in front of it."""
    with GRPCWebDemo(state) as demo:
        yield demo


@pytest.fixture(autouse=True)
def well(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test finds the fault of another one."""
    yield
    if "state" in request.fixturenames:
        server = request.getfixturevalue("state")
        server.fault, server.pace, server.key, server.concurrency = None, 0, None, None
        server.requests.clear()
