"""A script that asks and ends leaves nothing open and says nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import LIKE_A_MODEL

ASKED = "import deepseek_magic as ds; print(ds.ask('echo one', think='off').text)"
AWAITED = "import asyncio, deepseek_magic as ds; print(asyncio.run(ds.aask('echo one', think='off')).text)"
UNDER_WAY = """
import deepseek_magic as ds
from deepseek_magic.session import session
call = session().start(session().prepare("long 40", think="off"))
while not any(getattr(event, "text", "") for event in call.drain()):
    call.wait()
print("one")
"""
UNFINISHED = "import deepseek_magic as ds; [entry] = ds.journal.resumable(); print(entry.completion.outcome, len(entry.completion.text) > 0)"


@pytest.fixture
def demo() -> Iterator[DemoServer]:
    with DemoServer(pace=0) as server:
        yield server


def run(script: str, demo: DemoServer) -> str:
    """What a script prints under warnings as errors; nothing may be said of what was left open."""
    given = {"DEEPSEEK_BASE_URL": demo.base_url, "DEEPSEEK_API_KEY": "sk-test-1234"}
    ran = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Warning" not in ran.stderr
    assert "Exception ignored" not in ran.stderr
    assert "Traceback" not in ran.stderr
    return ran.stdout.strip()


@pytest.mark.parametrize("script", [ASKED, AWAITED], ids=["ask", "aask"])
def test_a_script_that_asks_and_ends_leaves_no_connection_open(script: str, demo: DemoServer) -> None:
    assert "one" in run(script, demo)


def test_an_answer_that_is_under_way_at_exit_is_ended_and_waits_in_the_journal(
    demo: DemoServer, tmp_path: Path
) -> None:
    demo.pace = LIKE_A_MODEL
    assert run(UNDER_WAY, demo) == "one"
    assert run(UNFINISHED, demo) == "interrupted True"
