"""What holds for every test: nothing is read from or written to this machine's user."""

from __future__ import annotations

from pathlib import Path

import pytest

KEY_VARIABLES = ("DEEPSEEK_API_KEY", "DEEPSEEK_BASE_URL", "OPENROUTER_API_KEY")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal in a folder of the test, and no key or address from outside."""
    monkeypatch.setenv("DEEPSEEK_MAGIC_HOME", str(tmp_path / "deepseek-magic"))
    for variable in KEY_VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests last: quick failures come first, and Playwright keeps a loop running in the main thread."""
    items.sort(key=lambda item: (Path(__file__).parent / "browser") in item.path.parents)
