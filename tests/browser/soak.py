"""A long day in one notebook, in fast motion: hundreds of answers by two panels and by cells, and what they leave behind.

python -m tests.browser.soak --answers 500

After each round the garbage of both sides is collected and what is left is measured: of the tab its heap, its DOM nodes
and its listeners, of the kernel its memory, its objects, its widgets and its threads. Cells are run again and again, so
that their outputs replace each other; what an answer may leave are its turn in the conversation, its completion in
IPython's ``Out`` and its row in the log.

JupyterLab itself never forgets that another cell became the active one: the cell's tool bar leaves some 100 kB, 260 nodes
and 800 listeners each time, whatever the cells do. So the page is opened without that tool bar, and what is measured
is what the answers leave.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Final

import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import LIKE_A_MODEL

from .conftest import Page
from .panel_page import Panel

__all__ = ["ANSWERS_VARIABLE", "CELLS", "ROUND", "TOOL_BAR", "Soak", "growth"]

ANSWERS_VARIABLE: Final = "DEEPSEEK_MAGIC_SOAK_ANSWERS"
TOOL_BAR: Final = "@jupyterlab/cell-toolbar-extension"
ROUND: Final = 10
"""Answers a round."""

CELLS: Final = (
    """
%load_ext deepseek_magic
import deepseek_magic as ds
import deepseek_magic.notebook.panel.answers as shown
shown.SHOWN_TURNS = 5  # so that the first round fills the panel, and nothing that is seen grows after it
ds.panel(think='low')
""".strip(),
    "ds.panel(chat='second', think='off')",
    "%%deepseek --think low --no-history\nA table and code",
    "%%deepseek -b --no-history -o later\nlong 2",
    """
import ctypes, gc, ipywidgets, json, threading
if "later" in globals():
    later.wait(60)
for _ in range(3):
    gc.collect()
ctypes.CDLL(None).malloc_trim(0)
rss = next(line for line in open("/proc/self/status") if line.startswith("VmRSS"))
print(json.dumps({
    "kernel_kb": int(rss.split()[1]),
    "kernel_objects": len(gc.get_objects()),
    "kernel_widgets": len(ipywidgets.widgets.widget._instances),
    "kernel_threads": threading.active_count(),
    "answers": len(ds.log),
}))
""".strip(),
)
PANEL, OTHER_PANEL, CELL, BACKGROUND, LEFT = range(len(CELLS))

QUICK: Final = LIKE_A_MODEL.scaled(0.02)
WATCHABLE: Final = LIKE_A_MODEL.scaled(0.3)


class Soak:
    """One notebook that is used for long. ``measured`` is what was left after each round."""

    def __init__(self, page: Page, demo: DemoServer) -> None:
        self.page = page
        self.demo = demo
        self._cdp = page.page.context.new_cdp_session(page.page)
        self._cdp.send("Performance.enable")
        demo.pace, demo.fault = QUICK, None
        for cell in (PANEL, OTHER_PANEL):
            page.run(cell)
        self._panels = [Panel(page, cell) for cell in (PANEL, OTHER_PANEL)]

    def round(self) -> None:
        """Ten answers, as a person asks: to their end, stopped, continued, regenerated, cut, in cells and beside them."""
        panel, other = self._panels
        self._ask(panel, "A table and code")
        self._ended(panel)
        self.demo.pace = WATCHABLE
        self._ask(panel, "long 2")
        panel.reads("Writing")  # earlier answers to this question stand in the transcript, too
        panel.button("Stop").click()
        self._ended(panel)
        self.demo.pace = QUICK
        self._click(panel, "Continue")
        self._click(panel, "Regenerate")
        self.demo.fault = "cut at=content after=10 times=1"
        self._ask(other, "A formula")
        self._ask(panel, "Say a few words")
        self._ended(panel)
        self._ended(other)
        self.demo.fault = None
        panel.tab("History")
        self.page.start(BACKGROUND)
        self.page.run(CELL)
        self.page.run(CELL)
        panel.tab("Metrics")
        self._ask(panel, "A code")
        self._ended(panel)
        panel.tab("Settings")

    def _ask(self, panel: Panel, text: str) -> None:
        panel.ask(text)
        self.page.wait_until(lambda: panel.prompt.input_value() == "")

    def _click(self, panel: Panel, name: str) -> None:
        """Begin another answer in the place of the last one, and let it come to its end."""
        calls = len(self.demo.requests)

        def asked() -> bool:
            if len(self.demo.requests) == calls and panel.button(name).is_enabled():
                panel.button(name).click()  # as long as the panel still waits for the end of the last one, it says so
            return len(self.demo.requests) > calls

        self.page.wait_until(asked, every_s=0.5)
        self._ended(panel)

    def _ended(self, panel: Panel) -> None:
        self.page.wait_until(lambda: not panel.button("Stop").is_visible() and panel.button("Send").is_enabled())

    def measure(self) -> Mapping[str, float]:
        """Collect the garbage of both sides and note what is left."""
        told = json.loads(self.page.run(LEFT))
        for _ in range(3):
            self._cdp.send("HeapProfiler.collectGarbage")
        metrics = {one["name"]: one["value"] for one in self._cdp.send("Performance.getMetrics")["metrics"]}
        told |= {
            "tab_kb": metrics["JSHeapUsedSize"] / 1024,
            "tab_nodes": metrics["Nodes"],
            "tab_listeners": metrics["JSEventListeners"],
        }
        return told


def growth(measured: Sequence[Mapping[str, float]], name: str) -> float:
    """How much ``name`` grows a round: the median of the slopes between any two measurements (Theil and Sen), which one
    bad measurement in five does not move."""
    numbered = list(enumerate(each[name] for each in measured))
    return statistics.median((b - a) / (j - i) for (i, a), (j, b) in combinations(numbered, 2))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.soak", description=__doc__)
    parser.add_argument("--answers", type=int, default=500)
    asked = parser.parse_args()
    os.environ[ANSWERS_VARIABLE] = str(asked.answers)
    # With the fixtures of the tests: the same server, the same browser, the same rule.
    return int(pytest.main(["-q", "-s", "-p", "no:cacheprovider", str(Path(__file__).with_name("test_soak.py"))]))


if __name__ == "__main__":
    sys.exit(main())
