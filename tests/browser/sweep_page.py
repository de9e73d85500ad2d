"""A sweep of hundreds of trials in JupyterLab: how much of it reaches the page, and how long it holds the page up.

python -m tests.browser.sweep_page --trials 1000

The page of ``measured`` is one that its caller has opened: what goes over its socket is counted by ``Wire``, which must be
there before the notebook is opened.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import nbformat

from deepseek_magic.demo.server import DemoServer

from .conftest import Page, lab_and_browser

__all__ = ["Measured", "Wire", "measured", "notebook_of", "sweep_cells"]

_WATCH: Final = """() => {
  window.heldUp = [];
  new PerformanceObserver(list => { for (const task of list.getEntries()) window.heldUp.push(task.duration); })
    .observe({type: 'longtask'});
}"""
SETTINGS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """``received_bytes`` in ``messages`` over the kernel's socket while the cell ran; tasks are those that Chromium
    reports, which are the ones of 50 ms and more."""

    trials: int
    took_s: float
    received_bytes: int
    messages: int
    longest_task_ms: float
    tasks: int


class Wire:
    """What a page receives from its kernel, from now on."""

    def __init__(self, page: Any) -> None:
        self.bytes = self.messages = 0
        page.on("websocket", self._opened)

    def _opened(self, socket: Any) -> None:
        if "/channels" in socket.url:
            socket.on("framereceived", self._received)

    def _received(self, payload: str | bytes) -> None:
        self.bytes += len(payload if isinstance(payload, bytes) else payload.encode())
        self.messages += 1


def sweep_cells(trials: int) -> list[str]:
    """A cell that loads, and one that runs a sweep of ``trials`` in four settings."""
    rows = f"rows = [{{'question': f'item {{number}}'}} for number in range({trials // SETTINGS})]"
    flags = "-o s --over rows --vary temperature=0,1 --vary model=flash,pro --go --think off"
    return [f"%load_ext deepseek_magic\n{rows}", f"%%deepseek_sweep {flags}\n{{question}} stream"]


def notebook_of(cells: Sequence[str], path: Path, kernel: str = "python3") -> Path:
    """A notebook of these cells, written to ``path``."""
    spec = {"name": kernel, "display_name": kernel, "language": "python"}
    made = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata={"kernelspec": spec}
    )
    nbformat.write(made, path)
    return path


def measured(page: Page, wire: Wire, cell: int, trials: int, timeout_s: float = 600) -> Measured:
    """Run a cell with a sweep to its end, and what that took. Nothing is asked of the page meanwhile but whether it has ended."""
    page.page.evaluate(_WATCH)
    before, messages, began_s = wire.bytes, wire.messages, time.monotonic()
    page.start(cell)
    page.wait_until(lambda: not page.running(cell), timeout_s, every_s=0.5)
    took_s = time.monotonic() - began_s
    page.page.wait_for_timeout(1_000)
    tasks_ms = page.page.evaluate("window.heldUp")
    return Measured(
        trials=trials,
        took_s=took_s,
        received_bytes=wire.bytes - before,
        messages=wire.messages - messages,
        longest_task_ms=max(tasks_ms, default=0.0),
        tasks=len(tasks_ms),
    )


def alone(trials: int, pace: float) -> Measured:
    """The same with a server, a JupyterLab and a browser of its own."""
    with DemoServer(pace=pace, keep=trials) as demo, lab_and_browser(demo) as (lab, chromium):
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        wire = Wire(page)
        opened = lab.open(page, notebook_of(sweep_cells(trials), lab.root / "sweep.ipynb"))
        opened.run(0)
        found = measured(opened, wire, 1, trials)
        if f"{trials:,} of {trials:,} trials" not in opened.text(1):
            raise RuntimeError(f"the sweep did not end: {opened.text(1)[:300]}")
        return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.sweep_page", description=__doc__)
    parser.add_argument("--trials", type=int, default=1_000)
    parser.add_argument("--pace", type=float, default=0.0, help="times as slow as a real model")
    asked = parser.parse_args()
    print(json.dumps(asdict(alone(asked.trials // SETTINGS * SETTINGS, asked.pace)), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
