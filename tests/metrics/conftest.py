"""Every test here plays both ends of a network against short deadlines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.steady import LOOPS


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], Any]]:
    """Deadlines pass by what the loop waited, not by what the machine did meanwhile."""
    return LOOPS
