"""The lesson recorded with the demo, and played in a network namespace without interfaces, without a key."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deepseek_magic.demo.server import DemoServer

from .kernel import play
from .lesson import CELLS, KEY, RECORD, REPLAY, TAPE, WATCH, WATCHED

ROOT: Final = Path(__file__).parents[2]
_WAYS: Final = (("unshare", "--net"), ("unshare", "--map-root-user", "--net"))


@functools.cache
def alone() -> tuple[str, ...]:
    """The command that runs another one in a network namespace of its own, where not even the loopback is up."""
    for way in _WAYS:
        if subprocess.run([*way, "true"], capture_output=True, check=False).returncode == 0:
            return way
    raise RuntimeError("This machine lets nobody make a network namespace.")


@dataclass
class Lesson:
    """What the twenty cells left, and what the engine saw of each call."""

    outputs: list[list[dict[str, Any]]]
    calls: list[dict[str, Any]]
    cells_s: float = 0.0
    """How long the twenty cells took."""


def _of(left: list[list[dict[str, Any]]], seconds: list[float]) -> Lesson:
    head, *outputs, watched = left
    assert all(each["kind"] != "error" for each in head), head
    return Lesson(outputs[1:], json.loads("".join(each["text"] for each in watched)), sum(seconds[2:-1]))


def _cells(first: str) -> list[str]:
    return [first, WATCH, *(cell.source for cell in CELLS), WATCHED]


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "VIRTUAL_ENV", "HOME") if name in os.environ}
    kept |= {"IPYTHONDIR": str(folder / "ipython"), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    return kept | {"DEEPSEEK_MAGIC_HOME": str(folder / "journal"), "PYTHONPATH": str(ROOT)} | more


def record(folder: Path, *, pace: float = 0.1) -> Lesson:
    """Record the lesson; its tape is in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with DemoServer(pace=pace) as server:

        def before(place: int) -> None:
            place -= 2
            if 0 <= place < len(CELLS) and (fault := CELLS[place].fault) is not None:
                server.fault = fault

        settings = environment(folder, DEEPSEEK_BASE_URL=server.base_url, DEEPSEEK_API_KEY=KEY)
        seconds: list[float] = []
        return _of(play(_cells(RECORD), folder, before, seconds.append, settings), seconds)


def replay(
    folder: Path, tape: Path, *, pace: float, python: str = sys.executable, change: dict[str, str] | None = None
) -> Lesson:
    """Play the lesson alone; ``change`` puts other words into its cells."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(tape, folder / TAPE)
    cells = _cells(REPLAY.format(pace=pace))
    for old, new in (change or {}).items():
        cells = [cell.replace(old, new) for cell in cells]
    given, out = folder / "cells.json", folder / "out.json"
    given.write_text(json.dumps(cells), "utf-8")
    command = [*alone(), python, "-m", "tests.lessons.kernel", str(given), str(out), str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(folder), capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    return _of(**json.loads(out.read_text("utf-8")))


def tape_of(folder: Path) -> Path:
    """Where ``record`` has put it."""
    return folder / TAPE
