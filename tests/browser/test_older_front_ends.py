"""JupyterLab 3.6 and Notebook 6.5 on Colab's versions of IPython, ipykernel and ipywidgets: an answer grows, settles, lasts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import nbformat
import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import LIKE_A_MODEL
from tests.ports import free_port

from .conftest import CHROMIUM, SCREENSHOTS, TOKEN, clean_environment

ROOT: Final = Path(__file__).parents[2]
START_S: Final = 60
CELLS: Final = ("%load_ext deepseek_magic", "%%deepseek --think off\nlong 6", "%deepseek_panel --think off")

READY: Final = {
    "lab": "window.jupyterlab?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
    "notebook": "window.Jupyter?.notebook?._fully_loaded && window.Jupyter.notebook.kernel?.is_connected()",
}
"""In the page: the kernel is there. What is drawn of it comes earlier, and a cell run then is lost."""

pytestmark = pytest.mark.skipif(
    sys.version_info[:2] > (3, 12), reason="what JupyterLab 3.6 needs has no wheel for this Python"
)


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with Colab's pins. The widgets' own code for JupyterLab is that of ipywidgets 7."""
    venv = tmp_path_factory.mktemp("older") / "venv"
    uv = str(Path(sys.executable).with_name("uv"))
    pins = [line for line in (ROOT / ".ci" / "colab.txt").read_text("utf-8").splitlines() if line[:1] not in ("", "#")]
    pins = [pin for pin in pins if not pin.startswith("jupyterlab_widgets")]
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, venv], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", str(venv / "bin" / "python")]
    subprocess.run(
        [*install, *pins, "jupyterlab_widgets==1.1.11", "jupyterlab==3.6.8", "--editable", str(ROOT)], check=True
    )
    return venv / "bin"


class Notebook:
    """One open notebook, in whichever front end: both have cells with an editor and an output."""

    def __init__(self, page: Any, path: Path, cell: str, prompt: str, output: str) -> None:
        self.page, self.path = page, path
        self._cell, self._prompt, self._output = cell, prompt, output

    def run(self, number: int) -> None:
        prompt = self.page.locator(f"{self._cell} {self._prompt}").nth(number)
        before = prompt.inner_text()
        for _ in range(5):  # a key that comes before the page has bound it is lost
            self.page.locator(f"{self._cell} .CodeMirror").nth(number).click()
            self.page.keyboard.press("Control+Enter")
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                if prompt.inner_text() != before:
                    return
                self.page.wait_for_timeout(50)
        raise AssertionError(f"the cell did not start; {self.shoot('older_late')}")

    def output(self, number: int) -> Any:
        return self.page.locator(self._cell).nth(number).locator(self._output).first

    def text(self, number: int) -> str:
        area = self.output(number)
        return str(area.inner_text()) if area.count() else ""

    def wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 90
        while not condition():
            assert time.monotonic() < deadline, self.shoot("older_late")
            self.page.wait_for_timeout(50)

    def shoot(self, name: str) -> str:
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")
        return f"it did not happen in time; see {name}.png"

    def saved(self, number: int) -> str:
        """The outputs of a cell in the file, saved by the keyboard."""
        before = self.path.stat().st_mtime_ns
        self.page.keyboard.press("Control+s")
        self.wait_until(lambda: self.path.stat().st_mtime_ns != before)
        return str(nbformat.read(self.path, 4).cells[number]["outputs"])


@contextmanager
def served(programs: Path, app: str, folder: Path, demo: DemoServer, browser: Any) -> Iterator[Notebook]:
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in CELLS],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    path, home, port = folder / "served" / "lesson.ipynb", folder / "home", free_port()
    path.parent.mkdir()
    home.mkdir()
    nbformat.write(notebook, path)
    environment = {**clean_environment(home), "DEEPSEEK_BASE_URL": demo.base_url, "DEEPSEEK_API_KEY": "sk-test-1234"}
    environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"
    options = ["--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root"]
    if app == "lab":
        options += [f"--ServerApp.root_dir={path.parent}", f"--IdentityProvider.token={TOKEN}"]
        options += ["--LabApp.expose_app_in_browser=True"]
        where, parts = "lab/tree", (".jp-Notebook .jp-CodeCell", ".jp-InputPrompt", ".jp-Cell-outputArea")
    else:
        options += [f"--notebook-dir={path.parent}", f"--NotebookApp.token={TOKEN}"]
        where, parts = "notebooks", ("#notebook .code_cell", ".input_prompt", ".output")
    log = (folder / "log").open("w")
    server = subprocess.Popen([programs / "jupyter", app, *options], env=environment, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + START_S
        while True:
            try:
                urllib.request.urlopen(f"{address}/api?token={TOKEN}", timeout=2).close()
                break
            except OSError:
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.2)
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.goto(f"{address}/{where}/lesson.ipynb?token={TOKEN}")
        opened = Notebook(page, path, *parts)
        page.wait_for_selector(f"{parts[0]} .CodeMirror")
        page.wait_for_function(READY[app], timeout=90_000)
        yield opened
        context.close()
    finally:
        server.terminate()
        server.wait(30)
        log.close()


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_an_answer_grows_settles_and_lasts(
    app: str, older: Path, tmp_path: Path, demo: DemoServer, browser: Any
) -> None:
    assert CHROMIUM.exists()
    demo.pace, demo.fault = LIKE_A_MODEL, None
    with served(older, app, tmp_path, demo, browser) as notebook:
        notebook.run(0)
        notebook.run(1)
        notebook.wait_until(lambda: "paragraph 1 " in notebook.text(1))
        before = len(notebook.text(1))
        notebook.wait_until(lambda: len(notebook.text(1)) > before)
        demo.pace = 0
        notebook.wait_until(lambda: "first token" in notebook.text(1))
        assert len(re.findall("paragraph 1 ", notebook.text(1))) == 1
        notebook.shoot(f"older_{app}")
        assert "paragraph 6 " in notebook.saved(1)
        notebook.run(2)
        if app == "notebook":
            notebook.wait_until(lambda: "Notebook 6 cannot draw the panel" in notebook.text(2))
            return
        panel = notebook.output(2)
        notebook.wait_until(lambda: panel.get_by_label("Prompt", exact=True).count() == 1)
        panel.get_by_label("Prompt", exact=True).fill("hi")
        panel.get_by_role("button", name="Send").click()
        notebook.wait_until(lambda: "first token" in panel.locator(".deepseek-magic-transcript").inner_text())
        notebook.shoot("older_panel")
        panel.get_by_label("Prompt", exact=True).press("Escape")
        notebook.page.keyboard.press("b")  # the notebook's again: a cell below
        notebook.wait_until(lambda: notebook.page.locator(".jp-Notebook .jp-CodeCell").count() == len(CELLS) + 1)
