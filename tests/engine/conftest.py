"""What every engine test starts from: no key, no base URL, no keyring and no proxy from outside, an empty folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from deepseek_magic.engine.hosts import keys
from deepseek_magic.engine.hosts.endpoints import ENDPOINTS
from tests.steady import LOOPS


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], Any]]:
    """Deadlines pass by what the loop waited, not by what the machine did meanwhile."""
    return LOOPS


@pytest.fixture(autouse=True)
def clean_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    variables = {v for e in ENDPOINTS.values() for v in e.key_variables} | {"DEEPSEEK_BASE_URL"}
    for variable in variables | {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"}:
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "keyring", None)  # none installed, whatever this machine has
    monkeypatch.setattr(keys, "_secrets", {})
    monkeypatch.setattr(keys, "_asked", {})
