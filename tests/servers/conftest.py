"""Fixtures for servers that others wrote, started on 127.0.0.1 with files of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.servers.proxies import KINDS, Proxy


@pytest.fixture(params=KINDS, ids=[kind.__name__.lower() for kind in KINDS])
async def proxy(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Proxy]:
    """Each of them in turn, not started; ended with the test, whatever state that left it in."""
    one = request.param(tmp_path)
    try:
        yield one
    finally:
        await one.kill()
