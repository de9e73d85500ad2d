"""A demo whose log is the judge, and a session of the test's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deepseek_magic.demo.api import frames
from deepseek_magic.demo.api.inquiry import Inquiry
from deepseek_magic.demo.api.replies import Reply
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine.hosts.endpoints import DEMO_VARIABLE
from deepseek_magic.session.calls import Session
from deepseek_magic.session.experiments.calls import begun
from deepseek_magic.session.experiments.sweep import Sweep

Run = Callable[..., Sweep]
HANG_S = 60.0


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for a condition; give up only where it will never hold."""
    deadline = time.monotonic() + HANG_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> Iterator[DemoServer]:
    with DemoServer(pace=0, keep=100_000) as server:
        monkeypatch.setenv("DEEPSEEK_BASE_URL", server.base_url)
        monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-test-1234")
        yield server


@pytest.fixture
def priced(demo: DemoServer, off_peak: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo under its own name, whose answers have a price."""
    monkeypatch.setenv(DEMO_VARIABLE, demo.base_url)


@pytest.fixture
def run(session: Session) -> Run:
    """A sweep from its beginning to its end; without thinking, which the demo's answers are shorter for."""

    def sweep(prompt: Any = None, **options: Any) -> Sweep:
        return begun(session, prompt, {"think": "off", **options} if isinstance(prompt, str) else options).wait()  # type: ignore[typeddict-item]

    return sweep


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's n-th answer to a question says which one it is."""
    seen: dict[str, int] = {}

    def reply(asked: Inquiry) -> Reply:
        seen[asked.prompt] = seen.get(asked.prompt, 0) + 1
        return Reply(text=f"answer {seen[asked.prompt]} to {asked.prompt}")

    monkeypatch.setattr(frames, "reply", reply)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Dask cluster whose workers are threads of this process."""
    distributed = pytest.importorskip("distributed", reason="it is in the extra dask, which .ci installs")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None, silence_logs=50
    ) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: Any) -> Iterator[Any]:
    import distributed

    with distributed.Client(cluster) as client:
        yield client
