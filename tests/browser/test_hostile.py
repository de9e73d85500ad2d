"""The hostile corpus on real screens: nothing of it runs, loads, or leaves an element that Markdown does not make.

Every payload is an answer of its own, so that none hides behind what another one opened; it is the reasoning and the
model's name as well. ``canary.js`` watches every change of the page, so what is there for one redraw only counts too.
"""

from __future__ import annotations

import functools
import http.server
import json
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import jupyter_server_mathjax
import nbformat
import pytest

from tests.text.hostile import PAYLOADS

from .conftest import SCREENSHOTS, STEP_MS, Lab, Page, clean_environment

CANARY: Final = Path(__file__).with_name("canary.js")
HERE: Final = re.compile(r"(?:https?|wss?)://127\.0\.0\.1:|data:|blob:|about:")
SETTLE_MS: Final = 3_000
IN_JUPYTER: Final = ("mjx-container", ".jp-RenderedMermaid img")
MATHJAX: Final = Path(jupyter_server_mathjax.__file__).parent / "static"

CONTROLS: Final = {"a-formula": "$e^{i\\pi} = -1$", "a-drawing": "```mermaid\ngraph TD; A-->B\n```"}
"""Without these nobody would notice that the page renders neither formulas nor drawings."""
ANSWERS: Final = {name: f"⟨{name}⟩\n\n{text}" for name, text in {**PAYLOADS, **CONTROLS}.items()}
NAMES: Final = list(ANSWERS)

VIEWS: Final = 40
"""JupyterLab folds the outputs of a cell from the fiftieth on, and does not render them."""
SURFACES: Final = 2
PIECES: Final = 6

SETUP: Final = f"""
import asyncio, json, pathlib
from IPython.display import display
from deepseek_magic.engine.loop import apump, engine
from deepseek_magic.notebook.view.handles import HandleSurface
from deepseek_magic.notebook.view.live import LiveView
from deepseek_magic.notebook.view.widgets import WidgetSurface
from deepseek_magic.policy.buffering import BufferPolicy
from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.completion import Accumulator, Completion
from deepseek_magic.protocol.events import Finish, ReasoningDelta, ResponseStarted, TextDelta

answers = json.loads(pathlib.Path("hostile.json").read_text("utf-8"))
request = Request.of("hostile")

def pieces(text):
    size = -(-len(text) // {PIECES})
    return [text[at : at + size] for at in range(0, len(text), size)]

async def write(text, surface):
    async def source(call):
        truth = Accumulator(request)
        events = [ResponseStarted(model=text)]
        events += [kind(text=piece) for kind in (ReasoningDelta, TextDelta) for piece in pieces(text)]
        for event in [*events, Finish(reason="stop")]:
            truth.add(event)
            call.put([event])
            await asyncio.sleep(0.2)
        return truth.completion()
    view = LiveView(surface, buffer=BufferPolicy(mode="realtime", realtime_chunks=1))
    view.finish(await apump(engine.start(source), view.show))

async def live(names):
    surfaces = (lambda: WidgetSurface(on_stop=None, unfolded=True), lambda: HandleSurface(alone=False, unfolded=True))
    await asyncio.gather(*(write(answers[name], make()) for make in surfaces for name in names))

def settled(names):
    for name in names:
        display(Completion(request=request, text=answers[name], reasoning=answers[name]))
"""


def parts(size: int) -> list[list[str]]:
    return [NAMES[at : at + size] for at in range(0, len(NAMES), size)]


LIVE: Final = parts(VIEWS // SURFACES)
SETTLED: Final = parts(VIEWS)
CELLS: Final = [SETUP, *(f"await live({names})" for names in LIVE), *(f"settled({names})" for names in SETTLED)]


@dataclass  # no slots: playwright keeps its wrappers on the object whose methods it calls
class Watch:
    """What the canary and the browser told. ``faults`` stays empty where nothing got through."""

    faults: list[str] = field(default_factory=list)
    drawn: Counter[str] = field(default_factory=Counter)

    def report(self, _source: object, kind: str, what: str) -> None:
        if kind == "drawn":
            self.drawn[what] += 1
        else:
            self.faults.append(f"{kind}: {what}")

    def address(self, kind: str, url: str) -> None:
        if not HERE.match(url):
            self.faults.append(f"{kind}: {url}")

    def dialog(self, dialog: Any) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()


@contextmanager
def watched_page(browser: Any) -> Iterator[tuple[Any, Watch]]:
    """A page that cannot leave this machine, and what was told about it."""
    watch = Watch()
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.expose_binding("report", watch.report)
    context.add_init_script(path=CANARY)
    context.on("request", lambda request: watch.address("request", request.url))
    context.on("dialog", watch.dialog)
    context.route(lambda url: not HERE.match(url), lambda route: route.abort())
    page = context.new_page()
    page.set_default_timeout(STEP_MS)
    page.on("websocket", lambda socket: watch.address("websocket", socket.url))
    context.on("page", lambda other: watch.faults.append(f"window: {other.url}"))
    yield page, watch
    context.close()


def run(page: Page, index: int) -> str:
    page.start(index)
    # Rarely: each look makes a large page lay itself out anew.
    page.wait_until(lambda: not page.running(index), timeout_s=120, every_s=0.5)
    return page.text(index)


def wait_until_rendered(page: Any, *controls: str) -> None:
    """Wait until the controls are typeset and drawn, and then for what may come late."""
    for control in controls:
        page.locator(control).first.wait_for(state="attached")
    page.wait_for_timeout(SETTLE_MS)


def named_in(text: str) -> set[str]:
    return set(re.findall(r"⟨([\w-]+)⟩", text))


@dataclass(frozen=True, slots=True)
class Shown:
    """The notebook after its run: where it is saved, what was told meanwhile, what is to be read."""

    path: Path
    watch: Watch
    texts: list[str]


@pytest.fixture(scope="module")
def shown(browser: Any, lab: Lab) -> Iterator[Shown]:
    """All answers written live and displayed settled, in one notebook in JupyterLab."""
    (lab.root / "hostile.json").write_text(json.dumps(ANSWERS), "utf-8")
    path = lab.root / "hostile.ipynb"
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in CELLS],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(notebook, path)
    with watched_page(browser) as (page, watch):
        opened = lab.open(page, path)
        texts = [run(opened, index) for index in range(len(CELLS))]
        wait_until_rendered(page, *IN_JUPYTER)
        opened.screenshot("hostile_corpus")
        opened.save()
        yield Shown(path, watch, texts)


def test_no_payload_runs_while_it_is_written_or_when_it_is_settled(shown: Shown) -> None:
    assert shown.watch.faults == []
    assert [named_in(text) for text in shown.texts[1:]] == [set(names) for names in LIVE + SETTLED]
    assert [name for name in NAMES if shown.watch.drawn[name] < PIECES] == []  # it was seen growing, and not only whole


def test_no_payload_runs_in_notebook_7_where_the_saved_notebook_is_trusted(
    shown: Shown, browser: Any, lab: Lab
) -> None:
    with watched_page(browser) as (page, watch):
        opened = lab.open(page, shown.path, "notebooks")
        wait_until_rendered(page, *IN_JUPYTER)
        opened.screenshot("hostile_notebook_7")
        assert watch.faults == []
        assert named_in(page.locator(".jp-Notebook").inner_text()) >= set(NAMES)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def export(notebook: Path, folder: Path, url: str) -> None:
    """Convert as a person does; what the page would load from the internet it takes from ``url``."""
    mathjax = f"{url}/mathjax/MathJax.js?config=TeX-AMS-MML_HTMLorMML-full"  # without "Safe": harder than the default
    command = [sys.executable, "-m", "nbconvert", "--to", "html", f"--output-dir={folder}", str(notebook)]
    command += [f"--HTMLExporter.mathjax_url={mathjax}"]
    subprocess.run(command, check=True, capture_output=True, timeout=120, env=clean_environment(folder / "home"))
    page = folder / f"{notebook.stem}.html"
    page.write_text(page.read_text("utf-8").replace("https://cdnjs.cloudflare.com", url), "utf-8")


def test_no_payload_runs_in_the_page_that_nbconvert_makes(shown: Shown, browser: Any, tmp_path: Path) -> None:
    (tmp_path / "mathjax").symlink_to(MATHJAX)
    with served(tmp_path) as url, watched_page(browser) as (page, watch):
        export(shown.path, tmp_path, url)
        page.goto(f"{url}/hostile.html")
        wait_until_rendered(page, ".MathJax_Display, .MathJax")
        page.screenshot(path=SCREENSHOTS / "hostile_exported.png")
        assert watch.faults == []
        assert named_in(page.locator("body").inner_text()) >= set(NAMES)
