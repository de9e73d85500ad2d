"""Take the pictures of what a person stumbled over, on an older commit and on this one, side by side.

    .venv/bin/python docs/before_after.py [--against COMMIT] [--points 1,4] [--out build/before_after]

One picture for each point, in the light theme and in the dark one, at 1280 × 800 and at 150 % zoom; ``index.html`` in the
folder shows them in pairs. A control that only one of the two sides has is told there, and the picture is taken without it.
Needs what ``docs/record.py`` needs, and takes about three minutes a side.
"""

from __future__ import annotations

import argparse
import html
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playwright.sync_api import Error

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from deepseek_magic.demo.server import DemoServer  # noqa: E402  the checkout's own
from docs.record import notebook_in_lab  # noqa: E402
from tests.benchmarks.against import checkout  # noqa: E402
from tests.browser.conftest import CHROMIUM, CHROMIUM_FLAGS, Page  # noqa: E402
from tests.browser.panel_page import Panel  # noqa: E402

BEFORE: Final = "5979fba"
"""Version 0.1, where the points were found."""
EXTENSION: Final = "deepseek-magic"
VIEWS: Final = {"100": ({"width": 1280, "height": 800}, 1.0), "150": ({"width": 853, "height": 533}, 1.5)}
"""A zoom of 150 % on 1280 × 800 is a page of 853 × 533 that is drawn larger."""
SLOW: Final = 1.0
FAST: Final = 0.05
SHORT_MS: Final = 3000
"""For a control that one side may not have."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What a point is played on: the notebook in the browser, the place of its cell, the demo."""

    page: Page
    cell: int
    demo: DemoServer

    @property
    def panel(self) -> Panel:
        return Panel(self.page, self.cell)

    def top(self, wait_ms: int = 300) -> None:
        """The cell's first line at the top of the page."""
        self.page.cell(self.cell).evaluate("node => node.scrollIntoView({block: 'start'})")
        self.page.page.wait_for_timeout(wait_ms)


@dataclass(frozen=True, kw_only=True)
class Point:
    """A point of the list: what it says, the cell that it needs, and what a person does there."""

    numbers: str
    says: str
    source: str
    play: Callable[[Stage], None]


def _runs(stage: Stage) -> None:
    stage.page.run(stage.cell)
    stage.top()


def _only_typed(stage: Stage) -> None:
    stage.top()


def _grows(stage: Stage) -> None:
    stage.demo.pace = SLOW
    stage.page.start(stage.cell)
    stage.page.wait_until(lambda: len(stage.page.text(stage.cell)) > 500, timeout_s=60)


def _stopped(stage: Stage) -> None:
    _grows(stage)
    stage.page.interrupt()
    stage.page.wait_until(lambda: not stage.page.running(stage.cell))
    stage.top()


def _seam(stage: Stage) -> None:
    stage.demo.fault = "cut at=content after=25 times=1"
    stage.page.run(stage.cell)
    for fold in stage.page.output(stage.cell).locator("summary").all():
        fold.click()
    stage.top()


def _over_code(stage: Stage) -> None:
    stage.page.run(stage.cell)
    stage.page.output(stage.cell).locator("pre").first.hover()
    stage.page.page.wait_for_timeout(300)


def _opened(stage: Stage) -> None:
    stage.page.run(stage.cell)
    stage.page.wait_until(lambda: stage.panel.prompt.count() > 0)
    stage.top()


def _escaped(stage: Stage) -> None:
    """What is typed after Escape goes to the notebook: ``b`` makes a cell, and ``x`` takes it away again."""
    stage.panel.prompt.fill("A question, half typed")
    stage.panel.prompt.press("Escape")
    stage.page.page.keyboard.press("b")
    stage.top()


def _asked(stage: Stage) -> None:
    stage.panel.ask("Explain in three sentences how streaming works, with code")
    stage.panel.ready()
    stage.top()


def _refused(stage: Stage) -> None:
    stage.demo.fault = "401 times=1"
    stage.panel.ask("Who are you?")
    stage.page.page.wait_for_timeout(500)
    stage.panel.ready()
    stage.top()


def _tab(name: str) -> Callable[[Stage], None]:
    def play(stage: Stage) -> None:
        stage.panel.tab(name)
        stage.page.page.wait_for_timeout(1500)
        stage.panel.root.get_by_role("tab", name=name).evaluate("node => node.scrollIntoView({block: 'start'})")
        stage.page.page.wait_for_timeout(300)

    return play


def _chat_menu(stage: Stage) -> None:
    stage.top()
    stage.panel.root.get_by_text("…", exact=True).click(timeout=SHORT_MS)


PANEL: Final = "%deepseek_panel --think off"
POINTS: Final = (
    Point(numbers="4, 21", says="the status line of a growing answer", source="%%deepseek --no-history\nlong 6", play=_grows),
    Point(numbers="7", says="a prompt in its cell", source=(
        "%%deepseek --no-history --think off --dry-run\nHere is a list with 2000 entries and what is known of each of them: say in one or two"
        " sentences which of {planets} is the most like the earth, and why it is so, as you would for a **class**."
    ), play=_only_typed),
    Point(numbers="9", says="names that are no variables",
          source="%%deepseek --no-history --think off\nSummarize {dataset} in three lines: {rows}", play=_runs),
    Point(numbers="10", says="a dry run", source="%%deepseek --dry-run\nCount the {planet}", play=_runs),
    Point(numbers="11", says="code in an answer", source="%%deepseek --no-history --think off\nA table and code", play=_over_code),
    Point(numbers="16", says="the figures of the session", source="%deepseek_log", play=_runs),
    Point(numbers="17", says="one's own Stop", source="%%deepseek --no-history -o mine\nlong 6", play=_stopped),
    Point(numbers="22", says="a seam and its details",
          source="%%deepseek --no-history --think off\nExplain in five sentences how streaming works", play=_seam),
    Point(numbers="24, 13, 14, 15, 12, 19", says="the panel, just opened", source=PANEL, play=_opened),
    Point(numbers="1", says="Escape in the prompt box, then b", source=PANEL, play=_escaped),
    Point(numbers="13, 21", says="the panel after an answer", source=PANEL, play=_asked),
    Point(numbers="14", says="what can be done with a chat", source=PANEL, play=_chat_menu),
    Point(numbers="18", says="settings", source=PANEL, play=_tab("Settings")),
    Point(numbers="25", says="history", source=PANEL, play=_tab("History")),
    Point(numbers="24", says="metrics", source=PANEL, play=_tab("Metrics")),
    Point(numbers="20", says="as a cell", source=PANEL, play=_tab("As a cell")),
    Point(numbers="23", says="an answer that the server refused", source=PANEL, play=_refused),
)  # fmt: skip
FIRST: Final = "%load_ext deepseek_magic\nplanets = ['Venus', 'Mars']"


def main() -> None:
    """Both sides in turn, then the page that shows them in pairs."""
    asked = _arguments()
    asked.out.mkdir(parents=True, exist_ok=True)
    chosen = [point for point in POINTS if not asked.points or asked.points & _split(point.numbers)]
    with checkout(asked.against) as before:
        for side, root in (("before", before), ("after", ROOT)):
            for name, why in _take(side, root, chosen, asked.out):
                print(f"{name}: {why}", flush=True)
    (asked.out / "index.html").write_text(_page(chosen, asked.against, asked.out), "utf-8")
    print(f"{asked.out / 'index.html'}: {len(list(asked.out.glob('*.png')))} pictures")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", default=BEFORE, help=f"the older commit, or a folder; {BEFORE} unless told")
    parser.add_argument("--points", type=_split, default=frozenset(), help="only these numbers")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "before_after")
    return parser.parse_args()


def _split(numbers: str) -> frozenset[str]:
    return frozenset(number.strip() for number in numbers.split(","))


def _take(side: str, root: Path, points: list[Point], out: Path) -> Iterator[tuple[str, str]]:
    """Take all pictures of one side; what could not be done there, with its reason."""
    cells = [FIRST, *dict.fromkeys(point.source for point in points)]
    with DemoServer() as demo, notebook_in_lab(cells, demo, {"PYTHONPATH": str(root)}) as (playwright, lab, path):
        if side == "before":
            lab.disable(EXTENSION)  # the older side had none; JupyterLab would load this checkout's
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_FLAGS)
        for zoom, (size, scale) in VIEWS.items():
            context = browser.new_context(viewport=size, device_scale_factor=scale)
            for theme in ("light", "dark"):
                own = path.with_stem(f"{theme}_{zoom}")  # and so a kernel of its own, in which nothing was asked
                shutil.copy(path, own)
                page = lab.open(context.new_page(), own)
                if theme == "dark":
                    page.dark()
                page.run(0)
                for place, point in enumerate(points):
                    stage = Stage(page=page, cell=cells.index(point.source), demo=demo)
                    name = f"{place:02}_{side}_{theme}_{zoom}"
                    with _told(name) as troubles:
                        point.play(stage)
                    yield from troubles
                    page.page.screenshot(path=out / f"{name}.png")
                    _settle(stage)
                page.page.close()
            context.close()
        browser.close()


@contextmanager
def _told(name: str) -> Iterator[list[tuple[str, str]]]:
    troubles: list[tuple[str, str]] = []
    try:
        yield troubles
    except (Error, AssertionError) as trouble:
        troubles.append((name, str(trouble).splitlines()[0]))


def _settle(stage: Stage) -> None:
    """What the next point begins with: no fault, an answer at once, a cell that has ended."""
    stage.demo.fault, stage.demo.pace = None, FAST
    stage.page.page.keyboard.press("Escape")
    if stage.page.running(stage.cell):
        stage.page.interrupt()
        stage.page.wait_until(lambda: not stage.page.running(stage.cell))


def _page(points: list[Point], against: str, out: Path) -> str:
    """The pictures in pairs, each a link to itself."""
    parts = ["<!doctype html><meta charset='utf-8'><title>Before and after</title>"]
    parts.append("<style>body{font:16px sans-serif;margin:24px}img{width:100%;border:1px solid #999}")
    parts.append("div{display:grid;grid-template-columns:1fr 1fr;gap:12px;margin:6px 0 18px}</style>")
    parts.append(f"<h1>{html.escape(against)}, and now</h1>")
    for place, point in enumerate(points):
        parts.append(f"<h2>{html.escape(f'{point.numbers}: {point.says}')}</h2>")
        for zoom in VIEWS:
            for theme in ("light", "dark"):
                names = [f"{place:02}_{side}_{theme}_{zoom}.png" for side in ("before", "after")]
                shown = "".join(f"<a href='{name}'><img src='{name}' loading='lazy'></a>" for name in names)
                parts.append(f"<p>{theme}, {zoom} %</p><div>{shown}</div>")
    return "\n".join(parts)


if __name__ == "__main__":
    main()
