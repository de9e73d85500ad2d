"""httpx2 in the place of httpx: a switch that is thrown before anything is imported, so each test asks a new Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def python(*words: str, backend: str) -> subprocess.CompletedProcess[str]:
    surroundings = {**os.environ, "DEEPSEEK_MAGIC_BACKEND": backend}
    surroundings.pop("PYTEST_XDIST_WORKER", None)
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=surroundings, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("backend", "others"), [("httpx", "httpx2 httpcore2"), ("httpx2", "httpx httpcore")])
def test_the_transport_imports_the_chosen_backend_and_not_the_other(backend: str, others: str) -> None:
    pytest.importorskip(backend)
    code = f"import sys, deepseek_magic.engine.transport as t; print(t.httpx.__name__, {{*{others.split()}}} & {{*sys.modules}})"
    said = python("-c", code, backend=backend)
    assert said.stdout.split() == [backend, "set()"], said.stderr


def test_a_backend_that_there_is_not_is_said_in_one_sentence() -> None:
    said = python("-c", "import deepseek_magic.engine.transport", backend="requests")
    assert "DEEPSEEK_MAGIC_BACKEND cannot be 'requests': it takes httpx or httpx2." in said.stderr.splitlines()[-1]


@pytest.mark.slow
def test_the_transport_keeps_all_its_rules_on_httpx2() -> None:
    pytest.importorskip("httpx2")
    rooms = [f"tests/engine/test_{name}.py" for name in ("transport", "http2", "fast_path")]
    said = python("-m", "pytest", "-q", "-p", "no:cacheprovider", *rooms, backend="httpx2")
    assert said.returncode == 0, said.stdout
