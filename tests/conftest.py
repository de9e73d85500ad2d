"""What holds for every test: nothing is read from or written to this machine's user."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from deepseek_magic.demo import routes
from deepseek_magic.demo.server import DemoServer
from deepseek_magic.engine import failover as relay
from deepseek_magic.engine import gate, stream
from deepseek_magic.policy import pricing
from deepseek_magic.session.state import Session

# The session of a process keeps the home that it first saw, which may be while tests are collected.
_HOME = tempfile.TemporaryDirectory(prefix="deepseek-magic-tests-")
os.environ["DEEPSEEK_MAGIC_HOME"] = _HOME.name

# The same examples every time, so that a failure is about the change at hand, and no example is too slow for a busy
# machine. New ones are drawn by `bash .ci/test tests/policy --hypothesis-profile=chance`.
settings.register_profile("same", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("chance", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# Under a tracer a few examples are enough: it is asked what the tests reach, not what they find.
settings.register_profile("few", settings.get_profile("same"), max_examples=10)
settings.load_profile("same")

KEY_VARIABLES = ("DEEPSEEK_API_KEY", "DEEPSEEK_BASE_URL", "OPENROUTER_API_KEY", "DEEPSEEK_MAGIC_CLASSROOM")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal in a folder of the test, and no key or address from outside."""
    monkeypatch.setenv("DEEPSEEK_MAGIC_HOME", str(tmp_path / "deepseek-magic"))
    for variable in KEY_VARIABLES:
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(autouse=True)
def new_servers() -> None:
    """A port that a server of an earlier test had may be given to another: what was learnt of the first is forgotten."""
    relay._DOWN._until_s.clear()
    stream._REFUSED._until_s.clear()
    gate._GATES.clear()


@pytest.fixture
def session() -> Iterator[Session]:
    """A session of the test's own."""
    session = Session()
    yield session
    session.close()


@pytest.fixture
def off_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no peak hour, whenever the test runs: twice the price would be other numbers of calls within a budget."""
    monkeypatch.setattr(pricing, "is_peak", lambda *_: False)


KERNELS = frozenset(("kernel", "run_headless", "environment"))
"""Fixtures that start a kernel, or are what one is started with."""
PROGRAMS = frozenset(
    (
        "test_cli.py",
        "test_exit.py",
        "test_hostile_terminal.py",
        "test_kernel.py",
        "test_loading.py",
        "test_terminal.py",
        "test_tmux.py",
        "test_stop.py",
    )
)
"""Files whose tests start programs, kernels among them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests start programs; browser tests last: quick failures come first, and Playwright keeps a loop running.

    Whoever starts programs is tried a second time where it fails: how the machine shares its time among them is nobody's
    choice. The end of the run shows each first failure."""
    here = Path(__file__).parent
    for item in items:
        fixtures = KERNELS.intersection(getattr(item, "fixturenames", ()))
        if fixtures or item.path.name in PROGRAMS or {here / "chaos", here / "servers"} & set(item.path.parents):
            item.add_marker(pytest.mark.programs)
        if item.get_closest_marker("programs") or item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=1))
    items.sort(key=lambda item: here / "browser" in item.path.parents)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Why a test was tried a second time."""
    for report in terminalreporter.stats.get("rerun", ()):
        terminalreporter.section(f"failed at first: {report.nodeid}", sep="_")
        terminalreporter.write_line(report.longreprtext)


@pytest.fixture
def elsewhere(demo: DemoServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The demo at an address that counts as another machine's, though it means this one; the demo accepts it here."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(routes, "_LOCAL_HOST", re.compile(".*"))
    return demo.base_url.replace("127.0.0.1", "0.0.0.0")
