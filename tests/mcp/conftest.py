"""Real kernels whose notebooks have MCP servers."""

from __future__ import annotations

import pytest

from tests.notebook.conftest import demo as demo
from tests.notebook.conftest import environment as environment
from tests.notebook.conftest import kernel as kernel
from tests.notebook.conftest import run_headless as run_headless
from tests.notebook.conftest import shell as shell

pytest.importorskip("mcp", reason="mcp is not installed")
