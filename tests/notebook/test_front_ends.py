"""Front ends by what they send to a real kernel: VS Code, Colab, Kaggle, Notebook 6. Which view each of them gets."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from .conftest import LOAD, Kernel, Ran, kernel_in

VSCODE_CELL = "vscode-notebook-cell:/home/me/lesson.ipynb#W2sZmlsZQ%3D%3D"
AS_COLABS_SHELL = "s = get_ipython(); s.__class__ = type('Shell', (type(s),), {'__module__': 'google.colab._shell'})"
AS_ON_KAGGLE = "import sys, types; sys.modules['google.colab'] = types.ModuleType('google.colab')"


@pytest.fixture
def kernel(environment: dict[str, str]) -> Iterator[Kernel]:
    """A kernel that a Jupyter server has started."""
    with kernel_in({**environment, "JPY_SESSION_NAME": "/home/me/lesson.ipynb"}) as started:
        started.run(LOAD)
        yield started


def in_notebook_6(kernel: Kernel, source: str) -> Ran:
    """Run a cell as Notebook 6 does: it names neither the cell nor the user, and its messages have random ids."""
    content = {"code": source, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": True}
    message = kernel.client.session.msg("execute_request", {**content, "stop_on_error": True})
    message["header"] |= {"username": "username", "msg_id": uuid.uuid4().hex}
    kernel.client.shell_channel.send(message)
    return kernel.collect(message["header"]["msg_id"])


def drawn_by(ran: Ran) -> str:
    """The view of an answer."""
    if ran.of("comm_open"):
        return "widgets"
    return "handles" if ran.of("update_display_data") else "another"


@pytest.mark.parametrize("again", [False, True])
def test_vs_code_gets_display_updates_and_no_code_for_its_page(kernel: Kernel, again: bool) -> None:
    assert drawn_by(kernel.run("%%deepseek --think off\nhi", cell=VSCODE_CELL)) == "handles"
    opened = kernel.run("%deepseek_panel", cell=VSCODE_CELL).of("comm_open")
    if again:  # the old panel is closed, so its widgets would be swept out of JupyterLab's page
        opened += kernel.run("%deepseek_panel", cell=VSCODE_CELL).of("comm_open")
    assert opened
    assert not [content for content in opened if "Broom" in content["data"]["state"].get("_anywidget_id", "")]


def test_colab_is_known_by_its_shell(kernel: Kernel) -> None:
    kernel.run(AS_COLABS_SHELL)
    assert drawn_by(kernel.run("%%deepseek --think off\nhi")) == "handles"


def test_a_run_without_a_front_end_shows_the_lasting_answer_alone_on_colab_too(kernel: Kernel) -> None:
    kernel.run(AS_COLABS_SHELL)
    ran = kernel.run("%%deepseek --think off\nhi", cell=None)
    assert not ran.of("update_display_data")
    assert "<small>" in ran.of("display_data")[-1]["data"]["text/markdown"]


def test_colabs_library_alone_is_no_colab(kernel: Kernel) -> None:
    kernel.run(AS_ON_KAGGLE)
    expected = "widgets" if int(version("ipywidgets").partition(".")[0]) >= 8 else "handles"
    assert drawn_by(kernel.run("%%deepseek --think off\nhi")) == expected


def test_notebook_6_gets_display_updates_and_is_told_why_it_has_no_panel(kernel: Kernel) -> None:
    assert drawn_by(in_notebook_6(kernel, "%%deepseek --think off\nhi")) == "handles"
    (error,) = in_notebook_6(kernel, "%deepseek_panel").of("error")
    assert error["evalue"].startswith("Notebook 6 cannot draw the panel: its widgets are too old.")


def test_few_tests_need_a_newer_kernel_than_colabs_and_each_has_a_twin() -> None:
    sources = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    twins = re.findall(r"newer_only\(\s*\"[^\"]+\",\s*twin=\"(\w+)\"", sources)
    assert len(twins) == 13  # eight of them are about the gate's buttons
    assert all(f"def {twin}(" in sources for twin in twins)
