"""A real JupyterLab on an empty home, a real headless Chromium, and what a person does with them.

``open_notebook`` gives a ``Page``: cells are run with the keyboard and read from the screen.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import nbformat
import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.notebook import labextension
from tests.ports import free_port

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM: Final = Path(shutil.which("chromium") or "/usr/bin/chromium")
CHROMIUM_FLAGS: Final = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SCREENSHOTS: Final = Path(__file__).parent / "screenshots"
TOKEN: Final = "browser-test"
OLD_KERNEL: Final = "ipykernel-6"
START_S: Final = 60
STEP_MS: Final = 120_000
KERNEL_IS_IDLE: Final = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
"""In the page. JupyterLab's own indicator says idle before there is a kernel; a cell run then opens a dialog."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


def clean_environment(home: Path) -> dict[str, str]:
    """An environment in which nothing of this machine's user is found."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "VIRTUAL_ENV") if name in os.environ}
    places = {
        "HOME": home,
        "XDG_CONFIG_HOME": home / "config",
        "XDG_DATA_HOME": home / "data",
        "XDG_CACHE_HOME": home / "cache",
        "JUPYTER_CONFIG_DIR": home / "jupyter" / "config",
        "JUPYTER_DATA_DIR": home / "jupyter" / "data",
        "JUPYTER_RUNTIME_DIR": home / "jupyter" / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": home / "lab" / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": home / "lab" / "workspaces",
        "IPYTHONDIR": home / "ipython",
        "DEEPSEEK_MAGIC_HOME": home / "deepseek",
    }
    for place in places.values():
        place.mkdir(parents=True, exist_ok=True)
    return {**kept, **{name: str(place) for name, place in places.items()}, "PYTHONPATH": ""}


class Lab:
    """One JupyterLab server process."""

    def __init__(self, root: Path, home: Path, environment: dict[str, str]) -> None:
        self.root = root
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._disabled: dict[str, bool] = {}
        self.disable("@jupyterlab/apputils-extension:announcements")
        self._log = (home / "lab.log").open("w")
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={self.port}", "--ip=127.0.0.1"]
        command += [f"--ServerApp.root_dir={root}", f"--IdentityProvider.token={TOKEN}"]
        command += ["--LabApp.extension_manager=readonly", "--ServerApp.port_retries=0"]
        command += [f"--{app}.expose_app_in_browser=True" for app in ("LabApp", "JupyterNotebookApp")]
        # As an installed wheel would have it; a checkout that is installed in place may have an older copy, or none.
        command.append(f"--LabServerApp.extra_labextensions_path={labextension.folder()}")
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--allow-root")
        self._process = subprocess.Popen(command, env=environment, stdout=self._log, stderr=subprocess.STDOUT)
        self._wait()

    def _write_settings(self) -> None:
        """As a new user's, whatever the page before has changed, the theme above all."""
        settings = {
            "notebook-extension/tracker": {"windowingMode": "none"},
            "docmanager-extension/plugin": {"autosave": False},
            "apputils-extension/themes": {"adaptive-theme": False},
        }
        for name, values in settings.items():
            path = self.home / "lab" / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values), "utf-8")

    def disable(self, *extensions: str) -> None:
        """Let pages that are opened from now on do without these of JupyterLab's extensions."""
        self._disabled |= dict.fromkeys(extensions, True)
        self._write_page_config()

    def enable(self, *extensions: str) -> None:
        """And let them have these again."""
        self._disabled |= dict.fromkeys(extensions, False)
        self._write_page_config()

    def _write_page_config(self) -> None:
        config = self.home / "jupyter" / "config" / "labconfig" / "page_config.json"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(json.dumps({"disabledExtensions": self._disabled}), "utf-8")

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.url}/api?token={TOKEN}", timeout=2):
                    return
            except OSError:
                time.sleep(0.2)
        raise RuntimeError(f"JupyterLab did not start:\n{(self.home / 'lab.log').read_text()}")

    def open(self, page: Any, path: Path, where: str = "doc/tree") -> Page:
        """Open a notebook of this server and wait until it is connected to its kernel."""
        self._write_settings()
        page.goto(f"{self.url}/{where}/{path.relative_to(self.root).as_posix()}?token={TOKEN}")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        page.wait_for_function(KERNEL_IS_IDLE)
        return Page(page, self, path)

    def stop(self) -> None:
        """End the server and its kernels."""
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        self._log.close()


@contextlib.contextmanager
def lab_and_browser(demo: DemoServer) -> Iterator[tuple[Lab, Any]]:
    """A JupyterLab of its own whose kernels ask ``demo``, and a Chromium: for the commands beside the tests."""
    with tempfile.TemporaryDirectory(prefix="lab") as folder, playwright_api.sync_playwright() as playwright:
        root, home = Path(folder, "notebooks"), Path(folder, "home")
        root.mkdir()
        home.mkdir()
        settings = {"DEEPSEEK_BASE_URL": demo.base_url, "DEEPSEEK_API_KEY": "sk-test-1234"}
        lab = Lab(root, home, {**clean_environment(home), **settings})
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_FLAGS)
        try:
            yield lab, chromium
        finally:
            chromium.close()
            lab.stop()


class Page:
    """A notebook in the browser."""

    def __init__(self, page: Any, lab: Lab, path: Path) -> None:
        self.page = page
        self.path = path
        self._lab = lab

    def cell(self, index: int) -> Any:
        """The cell, as a locator."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(index)

    def output(self, index: int) -> Any:
        """The cell's output area, as a locator."""
        return self.cell(index).locator(".jp-Cell-outputArea").first

    def text(self, index: int) -> str:
        """What is to be read in the cell's output now."""
        area = self.output(index)
        return str(area.inner_text()) if area.count() else ""

    def prompt(self, index: int) -> str:
        """What stands beside the cell: its number, or a star."""
        return str(self.cell(index).locator(".jp-InputPrompt").first.inner_text())

    def start(self, index: int) -> None:
        """Run the cell with the keyboard, and do not wait for its end."""
        before = self.prompt(index)
        for _ in range(5):  # a key that comes before JupyterLab has bound it is lost
            self._no_dialog()
            self.cell(index).locator(".cm-content").first.click()
            self.page.keyboard.press("Control+Enter")
            deadline = time.monotonic() + 3
            while time.monotonic() < deadline:
                if self.prompt(index) != before:
                    return
                self.page.wait_for_timeout(20)
        raise AssertionError("the cell did not start")

    def _no_dialog(self) -> None:
        """What JupyterLab asks stands before the notebook: its words tell more than a click that finds no way."""
        for dialog in self.page.locator("dialog.jp-Dialog").all():
            self.screenshot("dialog")
            raise AssertionError(f"JupyterLab asks, see dialog.png: {dialog.inner_text()}")

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 30, every_s: float = 0.03) -> None:
        """Wait for something to become true on the screen."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                self.screenshot("late")
                raise AssertionError("it did not happen in time; see late.png")
            self.page.wait_for_timeout(every_s * 1000)

    def running(self, index: int) -> bool:
        """Whether the cell's prompt is a star."""
        return "*" in self.prompt(index)

    def run(self, index: int, timeout_s: float = 60) -> str:
        """Run the cell to its end; what is then to be read below it."""
        self.start(index)
        self.wait_until(lambda: not self.running(index), timeout_s)
        self.page.wait_for_timeout(150)
        return self.text(index)

    def watch(self, index: int, timeout_s: float = 60, every_s: float = 0.05) -> list[str]:
        """Run the cell; every different text that was to be read below it meanwhile."""
        self.start(index)
        seen: list[str] = []
        deadline = time.monotonic() + timeout_s
        while self.running(index):
            assert time.monotonic() < deadline, "the cell did not end in time"
            text = self.text(index)
            if not seen or text != seen[-1]:
                seen.append(text)
            self.page.wait_for_timeout(every_s * 1000)
        return [*seen, self.text(index)]

    def menu(self, *labels: str) -> None:
        """Choose an entry of the menu bar, such as "Run", "Run All Cells"."""
        first, *others = (re.compile(f"^{re.escape(label)}$") for label in labels)
        self.page.locator(".lm-MenuBar-itemLabel", has_text=first).click()
        for label in others:
            entry = self.page.locator(".lm-Menu-itemLabel", has_text=label)
            entry.hover()
        entry.click()

    def interrupt(self) -> None:
        """Interrupt the kernel with the tool bar's button."""
        self.page.locator('[data-jp-item-name="interrupt"]').first.click()

    def save(self) -> dict[str, Any]:
        """Save with the keyboard; the notebook as it is on disk afterwards, when the server has written all of it."""
        before = self.path.stat().st_mtime_ns
        self.page.keyboard.press("Control+s")
        self.wait_until(lambda: self.path.stat().st_mtime_ns != before)
        self.page.wait_for_timeout(200)
        saved: dict[str, Any] = {}

        def whole() -> bool:
            with contextlib.suppress(json.JSONDecodeError):
                saved.update(json.loads(self.path.read_text("utf-8")))
            return bool(saved)

        self.wait_until(whole)
        return saved

    def violations(self, where: str) -> list[str]:
        """What axe-core calls serious or critical inside the first element of this selector."""
        axe = pytest.importorskip(
            "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
        )
        options = {"resultTypes": ["violations"]}
        found = axe.Axe().run(self.page, context={"include": [[where]]}, options=options).response["violations"]
        return [
            f"{one['id']} ({one['impact']}): {node['html'][:200]}"
            for one in found
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]

    def screenshot(self, name: str) -> Path:
        """Save what is on the screen to ``tests/browser/screenshots`` (not committed)."""
        SCREENSHOTS.mkdir(exist_ok=True)
        target = SCREENSHOTS / f"{name}.png"
        self.page.screenshot(path=target)
        return target

    def dark(self) -> None:
        """Change to the dark theme."""
        self.menu("Settings", "Theme", "JupyterLab Dark")
        self.page.wait_for_timeout(800)


@pytest.fixture(scope="session")
def demo() -> Iterator[DemoServer]:
    """The DeepSeek that the kernels speak to."""
    with DemoServer() as server:
        yield server


@pytest.fixture(scope="session")
def lab_environment(demo: DemoServer) -> dict[str, str]:
    """What the kernels find in their environment, beside the empty home."""
    return {"DEEPSEEK_BASE_URL": demo.base_url, "DEEPSEEK_API_KEY": "sk-test-1234"}


@pytest.fixture(scope="session")
def start_lab(
    tmp_path_factory: pytest.TempPathFactory, lab_environment: dict[str, str]
) -> Iterator[Callable[[Path], Lab]]:
    """Start a JupyterLab on a folder; all of them are ended with the session."""
    labs: list[Lab] = []

    def start(root: Path) -> Lab:
        home = tmp_path_factory.mktemp("home")
        labs.append(Lab(root, home, {**clean_environment(home), **lab_environment}))
        return labs[-1]

    yield start
    for lab in labs:
        lab.stop()


@pytest.fixture(scope="session")
def lab(start_lab: Callable[[Path], Lab], tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The JupyterLab that tests share."""
    return start_lab(tmp_path_factory.mktemp("notebooks"))


def install_old_kernel(lab: Lab, folder: Path) -> str:
    """The name of a kernel of ``lab`` that runs on ipykernel 6: this environment with the one package exchanged, which lies in
    ``folder``, first on the kernel's path. What else that needs, later versions need too and is here. Raises
    CalledProcessError where it cannot be installed."""
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", f"--target={folder}"]
    subprocess.run([*install, "ipykernel>=6.29,<7", "nest-asyncio"], capture_output=True, text=True, check=True)
    place = lab.home / "jupyter" / "data" / "kernels" / OLD_KERNEL
    place.mkdir(parents=True)
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": OLD_KERNEL,
        "language": "python",
        "env": {"PYTHONPATH": str(folder)},
    }
    (place / "kernel.json").write_text(json.dumps(spec), "utf-8")
    return OLD_KERNEL


@pytest.fixture(scope="session")
def old_kernel(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a kernel that runs on ipykernel 6."""
    try:
        return install_old_kernel(lab, tmp_path_factory.mktemp("ipykernel_6"))
    except subprocess.CalledProcessError as error:
        missing = f"ipykernel 6 could not be installed: {error.stderr[-500:]}"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The headless browser that tests share."""
    if not CHROMIUM.exists():
        missing = f"{CHROMIUM} is not installed"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    with playwright_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_notebook(browser: Any, lab: Lab, request: pytest.FixtureRequest) -> Iterator[Callable[..., Page]]:
    """Open a notebook: ``open_notebook(["cell", ...])`` makes one, ``open_notebook(path=..., lab=...)`` takes one.

    ``kernel`` is the name of the kernel of one that is made; ``where="notebooks"`` opens it in Notebook 7.
    """
    contexts: list[Any] = []

    def open_one(
        cells: list[str] | None = None,
        *,
        path: Path | None = None,
        lab: Lab = lab,
        kernel: str = "python3",
        where: str = "doc/tree",
    ) -> Page:
        if path is None:
            name = re.sub(r"\W+", "_", request.node.name)[:60]
            path = lab.root / f"{name}_{len(contexts)}.ipynb"
            notebook = nbformat.v4.new_notebook(
                cells=[nbformat.v4.new_code_cell(source) for source in cells or []],
                metadata={"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}},
            )
            nbformat.write(notebook, path)
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(STEP_MS)
        return lab.open(page, path, where)

    yield open_one
    for context in contexts:
        context.close()
