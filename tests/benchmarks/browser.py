"""What a person feels: P9, in a real JupyterLab in headless Chromium.

The lag of a word is the time from the server's writing it to the first frame of the page that has it. Tasks that hold up
the page's main thread are those that Chromium itself reports, which are the ones of 50 ms and more.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import nbformat

from .measuring import Bench
from .report import Goal, Table, median
from .screen import CLEARED, OURS, UPDATED, WAYS, lags_s, tokens_of
from .wire import Ask, is_mark

LATEST_S: Final = 60
COLUMNS: Final = ("lag median, ms", "lag worst, ms", "longest task, ms", "in tasks of 50 ms and more, %")
AFTERWARDS_S: Final = 5.0
"""A way that is late has so long to catch up; what is not seen by then counts as this late."""

_WATCH: Final = """index => {
  const watched = window.watched = {seen: [], tasks: []};
  new PerformanceObserver(list => {
    for (const task of list.getEntries()) watched.tasks.push([performance.timeOrigin + task.startTime, task.duration]);
  }).observe({type: 'longtask'});
  let newest = -1;
  const look = () => {
    const area = document.querySelectorAll('.jp-Notebook .jp-CodeCell')[index].querySelector('.jp-Cell-outputArea');
    const marks = (area?.textContent.match(/k\\d{5}/g) ?? []).map(mark => Number(mark.slice(1)));
    const last = marks.reduce((a, b) => Math.max(a, b), -1);
    if (last > newest) { newest = last; watched.seen.push([newest, performance.timeOrigin + performance.now()]); }
    requestAnimationFrame(look);
  };
  look();
}"""


@contextmanager
def pages(bench: Bench) -> Iterator[Any]:
    """``open(cells)`` opens a notebook in the browser. Raises ImportError or RuntimeError where that cannot be."""
    from playwright.sync_api import sync_playwright

    from ..browser.conftest import CHROMIUM, CHROMIUM_FLAGS, Lab, Page, clean_environment

    if not CHROMIUM.exists():
        raise RuntimeError("Chromium is not installed")
    with tempfile.TemporaryDirectory(prefix="lab") as folder, sync_playwright() as playwright:
        root, home = Path(folder, "notebooks"), Path(folder, "home")
        root.mkdir()
        home.mkdir()
        lab = Lab(root, home, {**bench.environment, **clean_environment(home), "PYTHONWARNINGS": "ignore"})
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_FLAGS)

        def open_one(cells: list[str]) -> Page:
            path = root / f"{time.monotonic_ns()}.ipynb"
            notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
            notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
            nbformat.write(notebook, path)
            page = chromium.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(60_000)
            return lab.open(page, path)

        try:
            yield open_one
        finally:
            chromium.close()
            lab.stop()


def watch(bench: Bench, open_one: Any, name: str, ask: Ask) -> dict[str, float]:
    """Show an answer on a fresh page. The figures; raises RuntimeError when the page no longer answers."""
    from playwright.sync_api import Error

    way = WAYS[name]
    cells = [way.cell.format(url=bench.http, prompt=each.prompt) for each in (Ask(chunks=20, per_s=100, prose=1), ask)]
    notebook = open_one([way.setup.format(url=bench.http), *cells])
    try:
        notebook.run(0)
        notebook.run(1)
        notebook.page.evaluate(_WATCH, 2)
        notebook.start(2)
        _wait_for_the_last_word(bench, ask)  # nothing is asked of the page meanwhile
        time.sleep(AFTERWARDS_S)
        watched = notebook.page.evaluate("window.watched")
    except (Error, AssertionError) as error:
        raise RuntimeError(f"the page no longer answered ({str(error).splitlines()[0]})") from None
    finally:
        notebook.page.close()
    return figures(watched, {int(mark): at for mark, at in bench.told()["marks_sent_s"].items()})


def _wait_for_the_last_word(bench: Bench, ask: Ask) -> None:
    last = max(index for index in range(ask.chunks) if is_mark(ask, index))
    deadline_s = time.monotonic() + ask.chunks / ask.per_s + LATEST_S
    while str(last) not in bench.told()["marks_sent_s"]:
        if time.monotonic() > deadline_s:
            raise RuntimeError("the answer did not come to its end")
        time.sleep(0.5)


def figures(watched: dict[str, Any], sent_s: dict[int, float]) -> dict[str, float]:
    """The lags of all marks and the tasks while they came. Pages tell the time of day, servers the monotonic one."""
    offset_s = time.time() - time.monotonic()
    seen_s = {int(mark): at_ms / 1e3 - offset_s for mark, at_ms in watched["seen"]}
    began_s, ended_s = min(sent_s.values()), max(sent_s.values())
    late_s = ended_s + AFTERWARDS_S
    lags = lags_s(
        sent_s, {**seen_s, max(sent_s): max(late_s, *seen_s.values())} if max(sent_s) not in seen_s else seen_s
    )
    tasks_ms = [ms for at_ms, ms in watched["tasks"] if began_s <= at_ms / 1e3 - offset_s <= ended_s]
    share = sum(tasks_ms) / 1e3 / (ended_s - began_s) * 100
    return dict(zip(COLUMNS, (median(lags) * 1e3, max(lags) * 1e3, max(tasks_ms, default=0.0), share), strict=True))


def feeling(bench: Bench) -> Table:
    """P9."""
    ask = Ask(chunks=tokens_of(0.6 if bench.short else 12), per_s=100, prose=1)
    rows: dict[str, dict[str, float]] = {}
    missing: dict[str, str] = {}
    try:
        with pages(bench) as open_one:
            for name in (OURS,) if bench.short or bench.alone else (OURS, UPDATED, CLEARED):
                try:
                    rows[name] = watch(bench, open_one, name, ask)
                except RuntimeError as error:
                    missing[name] = str(error)
    except (ImportError, RuntimeError) as error:
        missing["all"] = f"{type(error).__name__}: {error}"
    ours = rows.get(OURS, {})
    limits = zip(COLUMNS, (60, 250, 120), strict=False)
    return Table(
        id="P9",
        title="What a person feels while an answer comes",
        how="JupyterLab in headless Chromium on this machine, 12 kB at 100 tokens a second. Lag: from the server's writing a word "
        f"to the frame that shows it; what is not seen {AFTERWARDS_S:g} s after the end counts as so late.",
        columns=COLUMNS,
        rows=rows,
        missing=missing,
        goals=tuple(Goal(says=column, value=ours.get(column), limit=limit) for column, limit in limits),
    )
