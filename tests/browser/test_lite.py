"""JupyterLite: Python, the magics and the demo inside a web page, with the network closed but for the files of the page.

The page is the one that the documentation carries (``bash .ci/docs``), if that has this checkout's package in it; else it is
built here.
"""

from __future__ import annotations

import functools
import http.server
import json
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import nbformat
import pytest

from deepseek_magic.demo.server import DemoServer

from .conftest import CHROMIUM, CHROMIUM_FLAGS, Page
from .panel_page import Panel

ROOT: Final = Path(__file__).parents[2]
OF_SITE: Final = ROOT / "docs" / "_build" / "html" / "lite"
BUILD_S: Final = 600
PYTHON_S: Final = 300
"""Python starts with the first cell: ten seconds, and a minute where others use the machine."""
CELL_S: Final = 120
NOBODY_ELSE: Final = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
"""No name is known to this browser, whoever in it asks: page, worker or service worker."""
QUESTION: Final = "Show a table and code."
SAME_TEXT: Final = f"""
import deepseek_magic as ds
whole = await ds.aask({QUESTION!r}, think="off")
print("cut:", cut.outcome, cut.attempts, len(cut.seams), cut.text == whole.text)
print("asked:", ds.ask({QUESTION!r}, think="off").text == whole.text)
"""


def is_of_this_checkout(site: Path) -> bool:
    """Whether the package in ``site`` is the one beside these tests."""
    package = ROOT / "deepseek_magic"
    here = {p.relative_to(ROOT).as_posix(): p.read_bytes() for p in package.rglob("*.py")}
    for wheel in site.glob("static/pyodide/deepseek_magic-*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            there = {name: archive.read(name) for name in archive.namelist() if name.endswith(".py")}
        return there == here
    return False


class Files(http.server.SimpleHTTPRequestHandler):
    """The files of a page, with the types that browsers want, and a notebook that is not among them."""

    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".wasm": "application/wasm"}  # noqa: RUF012
    extensions_map |= {".mjs": "text/javascript"}
    more: dict[str, bytes] = {}  # noqa: RUF012

    def do_GET(self) -> None:
        found = self.more.get(self.path.partition("?")[0])
        if found is None:
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(found)))
        self.end_headers()
        self.wfile.write(found)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if is_of_this_checkout(OF_SITE):
        return OF_SITE
    built = tmp_path_factory.mktemp("lite") / "site"
    command = [sys.executable, str(ROOT / "docs" / "lite" / "build.py"), str(built)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S, check=False)
    assert done.returncode == 0, done.stderr
    return built


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Where the files are served."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


Open = Callable[[str], Page]


@pytest.fixture
def open_page(browser: Any, address: str) -> Iterator[Open]:
    """Open a notebook in a browser that knows nobody else; at the end, what it asked others for is nothing."""
    alone = browser.browser_type.launch(executable_path=str(CHROMIUM), args=[*CHROMIUM_FLAGS, NOBODY_ELSE])
    context = alone.new_context(viewport={"width": 1280, "height": 900})
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))

    def open_one(name: str) -> Page:
        page = context.new_page()
        page.set_default_timeout(CELL_S * 1000)
        page.goto(f"{address}/lab/index.html?path={name}")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        return Page(page, None, Path(name))  # type: ignore[arg-type]

    yield open_one
    alone.close()
    elsewhere = [url for url in asked if not re.match(r"http://127\.0\.0\.1:|data:|blob:", url)]
    assert elsewhere == []


def with_cells(site: Path, name: str, cells: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Serve a notebook with these cells beside those of the page."""
    spec = {"name": "python", "display_name": "Python (Pyodide)", "language": "python"}
    made = [nbformat.v4.new_code_cell(source) for source in cells]
    notebook = nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": spec})
    listed = json.loads((site / "api" / "contents" / "all.json").read_text("utf-8"))
    like = next(entry for entry in listed["content"] if entry["name"] == "01_first_steps.ipynb")
    listed["content"].append({**like, "name": name, "path": name})
    more = {f"/files/{name}": nbformat.writes(notebook).encode(), "/api/contents/all.json": json.dumps(listed).encode()}
    monkeypatch.setattr(Files, "more", more)
    return name


def test_the_tour_runs_in_a_page_with_the_network_closed(open_page: Open) -> None:
    tour = open_page("01_first_steps.ipynb")
    assert "page.localhost" in tour.run(0, PYTHON_S)
    seen = tour.watch(1, CELL_S)
    assert len(seen) > 5
    assert "first token" in seen[-1]
    assert "Stop" not in "".join(seen)  # it would not be heard
    assert "tokens in" in tour.run(2, CELL_S)
    assert tour.output(2).locator("table").count()
    tour.run(3, CELL_S)
    assert "complete - stop" in tour.run(5, CELL_S)
    tour.screenshot("lite_tour")


def test_a_cut_answer_is_joined_python_asks_and_a_server_that_lets_the_page_ask_answers(
    open_page: Open, site: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DemoServer(pace=0, allow_origins=(address,), fault="cut at=content after=20 times=1") as server:
        cells = [
            '%load_ext deepseek_magic\n%deepseek_demo --pace 0.1 --fault "cut at=content after=20 times=1"',
            f"%%deepseek -o cut --think off --no-history\n{QUESTION}",
            SAME_TEXT,
            f"%%deepseek -b -o behind --no-history\n{QUESTION}",
            "print('behind:', (await behind).outcome)",
            '%deepseek_demo --pace 0.1 --fault "stall at=content after=20"',
            f"%%deepseek -b -o held --no-history\n{QUESTION}",
            "print('held:', held.outcome, len(held.text) > 0)\n%deepseek_demo --pace 0.1",
            f"%%deepseek --base-url {server.base_url} --think off --no-history\n{QUESTION}",
            "%deepseek_resume --list",
            "%deepseek_resume abcdef",
            "%deepseek_panel",
        ]
        page = open_page(with_cells(site, "probe.ipynb", cells, monkeypatch))
        page.run(0, PYTHON_S)
        assert "joined 1×" in page.run(1, CELL_S)
        said = page.run(2, CELL_S)
        assert "cut: complete 2 1 True" in said
        assert "asked: True" in said
        page.run(3, CELL_S)
        assert "behind: complete" in page.run(4, CELL_S)
        page.run(5, CELL_S)
        page.run(6, CELL_S)
        page.wait_until(lambda: "Planet" in page.text(6), CELL_S)
        page.output(6).get_by_role("button", name="Stop").click()
        page.wait_until(lambda: "stopped" in page.text(6), CELL_S)
        assert "held: interrupted True" in page.run(7, CELL_S)
        # A browser throws away what it has not handed on when a body breaks: the answer may have to begin anew.
        assert re.search("joined 1×|asked again", page.run(8, CELL_S))
        assert [seen.ended for seen in server.requests if seen.method == "POST"] == ["fault", "done"]
        assert "No journal is kept here" in page.run(9, CELL_S)
        assert "No journal is kept here" in page.run(10, CELL_S)
    page.run(11, CELL_S)
    panel = Panel(page, 11)
    panel.ready()
    panel.ask(QUESTION)
    panel.reads("Jupiter", where=panel.transcript)
    panel.ready()
    panel.shoot("in_jupyterlite")


def test_a_lesson_on_tape_plays_in_a_page_with_no_demo_and_no_network(open_page: Open) -> None:
    lesson = open_page("08_a_lesson_on_tape.ipynb")
    assert "no key and no network" in lesson.run(0, PYTHON_S)
    assert "first token" in lesson.run(1, CELL_S)
    lesson.run(2, CELL_S)
    assert "Reasoning" in lesson.run(3, CELL_S)
    lesson.run(4, CELL_S)
    assert "joined 1×" in lesson.run(5, CELL_S)
    lesson.screenshot("lite_lesson")


@pytest.mark.parametrize("name", ["failure_lab.ipynb", "zh/failure_lab.ipynb"])
def test_every_notebook_that_the_pages_link_to_is_there(site: Path, name: str) -> None:
    linked = {
        found
        for page in ("docs/jupyterlite.md", "docs/locale/zh_CN/LC_MESSAGES/jupyterlite.po")
        for found in re.findall(r"lite/lab/index\.html\?path=([^\"\\]+)", (ROOT / page).read_text("utf-8"))
    }
    assert name in linked
    assert {path.relative_to(site / "files").as_posix() for path in (site / "files").rglob("*.ipynb")} == linked
