"""What is left where something is missing: a kernel that ends in mid-answer, a front end that draws no widgets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest

from deepseek_magic.demo.server import DemoServer
from deepseek_magic.demo.wire.pace import LIKE_A_MODEL
from tests.notebook.conftest import HEARS_CLICKS

from .conftest import Lab, Page

LOAD = "%load_ext deepseek_magic"
LONG = "%%deepseek -o a --think off\nlong 40"
Open = Callable[..., Page]


@pytest.fixture(autouse=True)
def like_a_model(demo: DemoServer) -> Iterator[None]:
    demo.pace, demo.fault = LIKE_A_MODEL, None
    yield
    demo.fault = None


def test_a_restart_in_mid_answer_leaves_what_had_come_on_the_screen_and_in_the_file(
    open_notebook: Open, demo: DemoServer
) -> None:
    page = open_notebook([LOAD, LONG, "%%deepseek --think off\necho on"])
    page.run(0)
    page.start(1)
    page.wait_until(lambda: page.output(1).locator("pre[class*=kept]").count() > 0, timeout_s=60)
    assert not page.output(1).locator("pre[class*=kept]").is_visible()
    page.menu("Kernel", "Restart Kernel…")
    page.page.locator(".jp-Dialog .jp-mod-accept").click()
    page.wait_until(lambda: demo.requests[-1].ended == "client left", timeout_s=30)
    assert page.text(1).count("paragraph 1 ") == 1
    page.screenshot("restarted")
    saved = page.save()
    kept = [o["data"]["text/plain"] for o in saved["cells"][1]["outputs"] if "text/html" in o["data"]]
    assert len(kept) == 1
    assert "paragraph 1 " in "".join(kept[0])
    page.page.reload()
    page.page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    page.wait_until(lambda: "paragraph 1 " in page.text(1))
    assert page.text(1).count("paragraph 1 ") == 1
    page.screenshot("restarted_and_reloaded")


@pytest.fixture
def lab_without_widgets(start_lab: Callable[[Path], Lab], tmp_path: Path) -> Lab:
    lab = start_lab(tmp_path)
    lab.disable("@jupyter-widgets/jupyterlab-manager")
    return lab


@pytest.mark.skipif(not HEARS_CLICKS, reason="this kernel does not hear that a widget is closed while a cell runs")
def test_a_front_end_without_a_widget_manager_is_noticed_and_drawn_for_by_display_updates(
    open_notebook: Open, lab_without_widgets: Lab
) -> None:
    path = lab_without_widgets.root / "plain.ipynb"
    nbformat.write(
        nbformat.v4.new_notebook(
            cells=[
                nbformat.v4.new_code_cell(source) for source in (LOAD, LONG, "%%deepseek -b -o b --think off\nlong 4")
            ],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        ),
        path,
    )
    page = open_notebook(path=path, lab=lab_without_widgets)
    page.run(0)
    page.start(1)
    page.wait_until(lambda: "paragraph 2" in page.text(1))
    assert page.running(1)
    assert "VBox" not in page.text(1)
    page.screenshot("no_widget_manager")
    page.interrupt()
    page.wait_until(lambda: "stopped · " in page.text(1))
    page.run(2)
    page.wait_until(lambda: "paragraph 1" in page.text(2))
    assert "VBox" not in page.text(2)
    page.wait_until(lambda: "first token" in page.text(2))
    assert page.text(2).count("paragraph 4 ") == 1
