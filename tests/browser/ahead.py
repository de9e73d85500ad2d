"""How long *Run All* of ten prompts takes in JupyterLab with look-ahead, and without, on ipykernel 6 and 7.

python -m tests.browser.ahead --cells 10 --ahead 3 --seconds 1.5

Times are a person's, from the click to the last cell's output; one cell's is taken the same way, in the same notebook.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from dataclasses import dataclass

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import Pace

from .conftest import Lab, Page, install_old_kernel, lab_and_browser
from .sweep_page import notebook_of

ALLOWED = 1.15


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAll:
    """Of one kernel, in seconds: one cell, and all cells with so many ahead; the most that the server answered at once."""

    kernel: str
    one_s: float
    all_s: float
    without_s: float
    requests: int
    most_running: int

    def bound_s(self, cells: int, ahead: int) -> float:
        """What it may take."""
        return ALLOWED * math.ceil(cells / (ahead + 1)) * self.one_s


def cells_of(count: int, ahead: int) -> list[str]:
    """A cell that loads and sets, so many that ask, and one that says that all have run."""
    first = f"%load_ext deepseek_magic\n%config DeepSeekMagics.look_ahead = {ahead}"
    asks = [f"%%deepseek --no-history --think off -o a{n}\necho number {n}" for n in range(count)]
    return [first, *asks, "print('all')"]


def took_s(page: Page, count: int) -> float:
    """Run all cells of a notebook whose extension is loaded."""
    page.menu("Edit", "Clear Outputs of All Cells")
    page.wait_until(lambda: page.text(count + 1) == "")
    began_s = time.monotonic()
    page.menu("Run", "Run All Cells")
    page.wait_until(lambda: page.text(count + 1).strip() == "all", timeout_s=300, every_s=0.02)
    return time.monotonic() - began_s


def run_all(lab: Lab, chromium: object, demo: DemoServer, kernel: str, cells: int, ahead: int, times: int) -> RunAll:
    """Three notebooks, each run so many times; their medians."""
    found = {}
    for name, count, early in (("one", 1, 0), ("without", cells, 0), ("all", cells, ahead)):
        page = chromium.new_page(viewport={"width": 1280, "height": 900})  # type: ignore[attr-defined]
        path = notebook_of(cells_of(count, early), lab.root / f"{kernel}_{name}.ipynb", kernel)
        opened = lab.open(page, path)
        opened.run(0)
        took_s(opened, count)  # what is imported at the first answer counts for none of them
        before, demo.most_running = len(demo.requests), 0
        found[name] = statistics.median(took_s(opened, count) for _ in range(1 if name == "without" else times))
        requests, most = len(demo.requests) - before, demo.most_running
        page.close()
    return RunAll(
        kernel=kernel,
        one_s=found["one"],
        all_s=found["all"],
        without_s=found["without"],
        requests=requests // times,
        most_running=most,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.ahead", description=__doc__)
    parser.add_argument("--cells", type=int, default=10)
    parser.add_argument("--ahead", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="how long one answer takes")
    parser.add_argument("--times", type=int, default=3)
    asked = parser.parse_args()
    pace = Pace(first_token_s=asked.seconds - 0.2, tokens_per_s=100.0, jitter=0.0)
    well = True
    with DemoServer(pace=pace, keep=10_000) as demo, lab_and_browser(demo) as (lab, chromium):
        for kernel in ("python3", install_old_kernel(lab, lab.home / "ipykernel_6")):
            found = run_all(lab, chromium, demo, kernel, asked.cells, asked.ahead, asked.times)
            bound_s = found.bound_s(asked.cells, asked.ahead)
            well = well and found.all_s <= bound_s and found.requests == asked.cells
            print(found, f"{found.all_s:.2f} s of at most {bound_s:.2f} s", flush=True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
