"""The hostile corpus on real screens: nothing of it runs, loads, or leaves an element that Markdown does not make.

Every payload is an answer of its own, so that none hides behind what another one opened; it is the reasoning and the
model's name as well. ``canary.js`` watches every change of the page, so what is there for one redraw only counts too.
Where a payload loads or calls, it would reach a server of the test's own, which must hear of nobody.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import jupyter_server_mathjax
import nbformat
import pytest
from nbformat.sign import NotebookNotary

from tests.hostile_server import HostileServer, Thief
from tests.text.hostile import PAYLOADS

from .conftest import SCREENSHOTS, STEP_MS, TOKEN, Lab, Page, clean_environment
from .panel_page import Panel

CANARY: Final = Path(__file__).with_name("canary.js")
ON_THIS_MACHINE: Final = re.compile(r"(?:https?|wss?)://127\.0\.0\.1:|data:|blob:|about:|file:")
SETTLE_MS: Final = 3_000
IN_JUPYTER: Final = ("mjx-container", ".jp-RenderedMermaid img")
EVIL: Final = r"(https:)?//evil\.example\b/?"
MATHJAX: Final = Path(jupyter_server_mathjax.__file__).parent / "static"
MATHJAX_HOST: Final = "https://cdnjs.cloudflare.com/ajax/libs/mathjax/2.7.7/"
MATHJAX_URL: Final = f"{MATHJAX_HOST}MathJax.js?config=TeX-AMS-MML_HTMLorMML-full"
"""Without "Safe", which nbconvert's own address has: harder than the default."""
LIBRARIES: Final = (
    "https://cdnjs.cloudflare.com/ajax/libs/require.js/2.1.10/require.min.js",
    "https://cdnjs.cloudflare.com/ajax/libs/mermaid/11.10.0/mermaid.esm.min.mjs",
    "https://cdnjs.cloudflare.com/ajax/libs/mermaid-layout-elk/0.1.9/mermaid-layout-elk.esm.min.mjs",
)
"""What nbconvert's template asks for beside MathJax; mermaid only where a notebook has a drawing."""
MERMAID: Final = """
const render = async (id, text) => {
  window.report("mermaid", text.trim());
  return {svg: "<svg xmlns='http://www.w3.org/2000/svg'></svg>"};
};
export default {initialize() {}, registerLayoutLoaders() {}, render};
"""

CONTROLS: Final = {"a-formula": "$e^{i\\pi} = -1$", "a-drawing": "```mermaid\ngraph TD; A-->B\n```"}
"""Without these nobody would notice that the page renders neither formulas nor drawings."""
NAMES: Final = [*PAYLOADS, *CONTROLS]
SAID_BY_A_SERVER: Final = [name for name in NAMES if name.startswith(("math", "svg", "image", "terminal"))]
"""What has room in the name of a model or a chat, and may be more than text there."""

VIEWS: Final = 40
"""JupyterLab folds the outputs of a cell from the fiftieth on, and does not render them."""
SURFACES: Final = 2
PIECES: Final = 6

SETUP: Final = f"""
import asyncio, json, pathlib
from IPython.display import display
from deepseek_magic.engine.home import engine
from deepseek_magic.engine.loop import apump
from deepseek_magic.notebook.view.handles import HandleSurface
from deepseek_magic.notebook.view.live import LiveView, Settlement
from deepseek_magic.notebook.view.settled import lasting
from deepseek_magic.notebook.view.widgets import WidgetSurface
from deepseek_magic.policy.buffering import BufferPolicy
from deepseek_magic.protocol.chat import Request
from deepseek_magic.protocol.completion import Accumulator
from deepseek_magic.protocol.events import Finish, ReasoningDelta, ResponseStarted, TextDelta

answers = json.loads(pathlib.Path("hostile.json").read_text("utf-8"))
request = Request.of("hostile")

def pieces(text):
    size = -(-len(text) // {PIECES})
    return [text[at : at + size] for at in range(0, len(text), size)]

def events(text):
    said = [kind(text=piece) for kind in (ReasoningDelta, TextDelta) for piece in pieces(text)]
    return [ResponseStarted(model=text), *said, Finish(reason="stop")]

async def write(text, surface):
    async def source(call):
        truth = Accumulator(request)
        for event in events(text):
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
        truth = Accumulator(request)
        for event in events(answers[name]):
            truth.add(event)
        for data, metadata in lasting(Settlement(completion=truth.completion())):
            display(data, metadata=metadata, raw=True)
"""


SAID: Final = f"""
%load_ext deepseek_magic
import deepseek_magic as ds
from deepseek_magic.protocol.chat import ChatMessage
from deepseek_magic.protocol.conversation import Conversation, Turn
from deepseek_magic.session.calls import session

url = pathlib.Path("hostile.url").read_text("utf-8")
def turns(names):
    for name in names:
        question, answer = (ChatMessage(role=role, content=answers[name]) for role in ("user", "assistant"))
        yield Turn(id=name, user=question, assistant=answer)

run = get_ipython().run_line_magic
for name in {SAID_BY_A_SERVER[:19]}:
    ds.ask(name, base_url=url)
for name in {SAID_BY_A_SERVER}:
    session().chats[answers[name]] = Conversation(name=answers[name], turns=tuple(turns([name])))
for name in {SAID_BY_A_SERVER[::8]}:
    get_ipython().run_cell(f"%deepseek --base-url {{url}} error {{name}}")
run("deepseek_log", "")
run("deepseek_models", f"--base-url {{url}}")
run("deepseek_doctor", f"--base-url {{url}}")
run("deepseek_chat", "")
"""

PANEL: Final = """
from deepseek_magic.notebook.panel import answers as transcript
transcript.SHOWN_TURNS = len(answers) + 2
session().chats["all"] = Conversation(name="all", turns=tuple(turns(answers)))
ds.panel(base_url=url, chat="all")
"""


def parts(size: int) -> list[list[str]]:
    return [NAMES[at : at + size] for at in range(0, len(NAMES), size)]


LIVE: Final = parts(VIEWS // SURFACES)
SETTLED: Final = parts(VIEWS)
CELLS: Final = [
    f"{SETUP}\nrest = iter({LIVE})",
    "await live(next(rest))",
    *(f"settled({names})" for names in SETTLED),
    SAID,
    PANEL,
]
"""The live cell is run again for each part: a page that keeps all of them is slow to lay out."""


@dataclass  # no slots: playwright keeps its wrappers on the object whose methods it calls
class Watch:
    """What the canary and the browser told. ``faults`` stays empty where nothing got through."""

    allowed: tuple[str, ...]
    """How every address begins that the page itself may ask for."""
    faults: list[str] = field(default_factory=list)
    drawn: Counter[str] = field(default_factory=Counter)
    asked: set[str] = field(default_factory=set)
    given_to_mermaid: Counter[str] = field(default_factory=Counter)

    def report(self, _source: object, kind: str, what: str) -> None:
        if kind == "drawn":
            self.drawn[what] += 1
        elif kind == "mermaid":
            self.given_to_mermaid[what] += 1
        else:
            self.faults.append(f"{kind}: {what}")

    def address(self, kind: str, url: str) -> None:
        self.asked.add(url)
        if not url.startswith((*self.allowed, "data:", "blob:", "about:")):
            self.faults.append(f"{kind}: {url}")

    def dialog(self, dialog: Any) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()


@contextmanager
def watched_page(browser: Any, *allowed: str) -> Iterator[tuple[Any, Watch]]:
    """A page that cannot leave this machine, and what was told about it."""
    watch = Watch(allowed)
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.expose_binding("report", watch.report)
    context.add_init_script(path=CANARY)
    context.on("request", lambda request: watch.address("request", request.url))
    context.on("dialog", watch.dialog)
    context.route(lambda url: not ON_THIS_MACHINE.match(url), lambda route: route.abort())
    page = context.new_page()
    page.set_default_timeout(STEP_MS)
    page.on("websocket", lambda socket: watch.address("websocket", socket.url.replace("ws", "http", 1)))
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


def rendered(page: Any) -> set[str]:
    """The names of the answers that are to be read as Markdown."""
    return named_in("\n".join(page.locator(".jp-RenderedMarkdown").all_inner_texts()))


@dataclass(frozen=True, slots=True)
class Shown:
    """The notebook after its run: where it is saved, what was told meanwhile, what is to be read."""

    path: Path
    watch: Watch
    texts: list[str]
    thief: Thief


@pytest.fixture(scope="module")
def thief() -> Iterator[Thief]:
    thief = Thief()
    yield thief
    thief.close()


@pytest.fixture(scope="module")
def answers(thief: Thief) -> dict[str, str]:
    """The texts by their names, each with its name in it, and with the thief's address in the place of evil.example."""

    def here(address: re.Match[str]) -> str:
        return f"{'http:' if address[1] else ''}//{thief.host}/"

    texts = {**PAYLOADS, **CONTROLS}
    return {name: f"⟨{name}⟩\n\n{re.sub(EVIL, here, text)}" for name, text in texts.items()}


@pytest.fixture(scope="module")
def shown(browser: Any, lab: Lab, answers: dict[str, str], thief: Thief) -> Iterator[Shown]:
    """All answers written live and displayed settled, in one notebook in JupyterLab, in tables, errors and a panel."""
    (lab.root / "hostile.json").write_text(json.dumps(answers), "utf-8")
    path = lab.root / "hostile.ipynb"
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in CELLS],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(notebook, path)
    lasting = range(2, len(CELLS))
    with HostileServer(answers) as server, watched_page(browser, lab.url) as (page, watch):
        (lab.root / "hostile.url").write_text(server.url, "utf-8")
        opened = lab.open(page, path)
        run(opened, 0)
        texts = [run(opened, 1) for _ in LIVE]
        for index in lasting:
            run(opened, index)
        wait_until_rendered(page, *IN_JUPYTER)
        texts += map(opened.text, lasting)
        opened.screenshot("hostile_corpus")
        use(Panel(opened, len(CELLS) - 1))
        opened.save()
        yield Shown(path, watch, texts, thief)


def use(panel: Panel) -> None:
    """Ask in the panel, be refused, and look at every section of it."""
    answer = panel.root.locator(".deepseek-magic-answer").last
    for asked, name in (("image-onerror", "⟨image-onerror⟩"), ("error script", "⟨script⟩")):
        panel.ask(asked)
        panel.reads(name, where=answer)
        panel.ready()
    for name in ("Failure lab", "History", "Metrics", "As a cell"):
        panel.tab(name)
    panel.shoot("hostile")


def test_no_payload_runs_while_it_is_written_or_when_it_is_settled(shown: Shown) -> None:
    assert shown.watch.faults == []
    assert shown.thief.visits == 0
    *answered, said, panel = shown.texts
    assert [named_in(text) for text in answered] == [set(names) for names in LIVE + SETTLED]
    assert "⟨svg-loads⟩" in said
    assert named_in(panel) == set(NAMES)
    assert [name for name in NAMES if shown.watch.drawn[name] < PIECES] == []  # it was seen growing, and not only whole


def test_no_payload_runs_in_notebook_7_where_the_saved_notebook_is_trusted(
    shown: Shown, browser: Any, lab: Lab
) -> None:
    with watched_page(browser, lab.url) as (page, watch):
        opened = lab.open(page, shown.path, "notebooks")
        wait_until_rendered(page, *IN_JUPYTER)
        opened.screenshot("hostile_notebook_7")
        assert watch.faults == []
        assert rendered(page) >= set(NAMES)
    assert shown.thief.visits == 0


def test_what_loads_or_runs_is_noticed(browser: Any, thief: Thief) -> None:
    with watched_page(browser) as (page, watch):
        before = thief.visits
        page.goto(f"data:text/html,<title>pwned</title><img src=http://{thief.host} onerror=alert(1)>")
        page.wait_for_timeout(500)
        assert {fault.split(": ")[0] for fault in watch.faults} == {"request", "ran"}
        assert thief.visits > before
    thief.visits = before


def open_without_kernel(page: Any, path: Path, lab: Lab) -> None:
    """Open a notebook that is trusted, and whose kernel this machine does not have."""
    notebook = nbformat.read(path, 4)
    notebook.metadata.kernelspec = {"name": "gone", "display_name": "gone", "language": "python"}
    path = path.with_stem("without_kernel")
    nbformat.write(notebook, path)
    notary = NotebookNotary(data_dir=str(lab.home / "jupyter" / "data"))
    notary.sign(nbformat.read(path, 4))
    notary.store.close()
    page.goto(f"{lab.url}/doc/tree/{path.name}?token={TOKEN}")
    page.get_by_role("button", name="No Kernel", exact=True).first.wait_for()


def test_no_payload_runs_in_the_trusted_notebook_that_is_opened_without_a_kernel(
    shown: Shown, browser: Any, lab: Lab
) -> None:
    with watched_page(browser, lab.url) as (page, watch):
        open_without_kernel(page, shown.path, lab)
        wait_until_rendered(page, *IN_JUPYTER)
        page.screenshot(path=SCREENSHOTS / "hostile_without_kernel.png")
        assert watch.faults == []
        assert rendered(page) >= set(NAMES)
    assert shown.thief.visits == 0


def library(route: Any) -> None:
    """What a page of nbconvert loads from the internet, from this machine: MathJax, and mermaid as one that only tells."""
    url = route.request.url
    headers = {"access-control-allow-origin": "*", "content-type": "text/javascript"}
    file = MATHJAX / urlsplit(url).path.removeprefix(urlsplit(MATHJAX_HOST).path)
    if not url.startswith(MATHJAX_HOST):
        route.fulfill(body=dict(zip(LIBRARIES, ("", MERMAID, "export default []"), strict=True))[url], headers=headers)
    elif file.is_file():
        route.fulfill(path=file, headers={"access-control-allow-origin": "*"})
    else:  # the Python package leaves out fonts
        route.fulfill(status=404)


def test_no_payload_runs_in_the_page_that_nbconvert_makes(shown: Shown, browser: Any, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nbconvert", "--to", "html", f"--output-dir={tmp_path}", str(shown.path)]
    command += [f"--HTMLExporter.mathjax_url={MATHJAX_URL}"]
    subprocess.run(command, check=True, capture_output=True, timeout=120, env=clean_environment(tmp_path / "home"))
    address = (tmp_path / "hostile.html").as_uri()
    with watched_page(browser, address, *LIBRARIES, MATHJAX_HOST) as (page, watch):
        page.route(re.compile("https://cdnjs"), library)
        page.goto(address)
        wait_until_rendered(page, ".MathJax_Display, .MathJax", ".jp-Mermaid img")
        page.screenshot(path=SCREENSHOTS / "hostile_exported.png")
        assert watch.faults == []
        assert {url for url in watch.asked if not url.startswith((MATHJAX_HOST, "data:"))} == {address, *LIBRARIES}
        assert list(watch.given_to_mermaid) == ["graph TD; A-->B"]
        assert rendered(page) >= set(NAMES)
    assert shown.thief.visits == 0
