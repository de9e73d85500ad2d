"""What holds for every test: nothing is read from or written to this machine's user."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepseek_magic.engine import gate, relay, stream

KEY_VARIABLES = ("DEEPSEEK_API_KEY", "DEEPSEEK_BASE_URL", "OPENROUTER_API_KEY")


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests last: quick failures come first, and Playwright keeps a loop running in the main thread."""
    items.sort(key=lambda item: (Path(__file__).parent / "browser") in item.path.parents)
