"""What goes along with a prompt, as it is read in a real JupyterLab: the dry run before, the line below the answer after."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from deepseek_magic.demo.server import DemoServer

from .conftest import Page
from .panel_page import Panel

Open = Callable[..., Page]

SETUP = """\
%load_ext deepseek_magic
import pathlib
pathlib.Path("data.csv").write_text("day,sold\\n" + "".join(f"2026-01-{1 + n % 28:02d},{n * 7 % 90}\\n" for n in range(2000)))
token = "sk-test-1234" """
SHOWN = "sold = [3, 1, 4]\nprint('sold so far:', sum(sold))\nsold"
ASK = "%%deepseek --context 2 --file data.csv {}\nWhat could be wrong with the sum?"


def test_what_goes_along_is_listed_before_and_after(open_notebook: Open, demo: DemoServer) -> None:
    demo.pace, demo.fault = 0, None
    demo.requests.clear()
    page = open_notebook([SETUP, SHOWN, ASK.format("--dry-run"), ASK.format("")])
    page.run(0)
    page.run(1)
    before = page.run(2)
    assert re.search(
        r"Would be sent along: In\[\d+\], .*Out\[\d+\] \(\d+ B\), data\.csv \(499 B of 27\.8 kB\); about", before
    )
    assert demo.requests == []
    after = page.run(3)
    assert re.search(r"Sent along: In\[\d+\], .*Out\[\d+\] \(\d+ B\), data\.csv \(499 B of 27\.8 kB\); about", after)
    assert "What looks like a key or a password was left out: 1× in In[" in after
    assert "sk-test-1234" not in str(demo.requests[-1].body)
    page.cell(3).scroll_into_view_if_needed()
    page.screenshot("context")
    page.dark()
    page.screenshot("context_dark")


def test_files_are_picked_in_the_panel_and_go_along_with_one_question(
    open_notebook: Open, demo: DemoServer, tmp_path: Path
) -> None:
    demo.pace, demo.fault = 0, None
    demo.requests.clear()
    (tmp_path / "notes.txt").write_text("the river is long; sk-test-1234\n", "utf-8")
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    page = open_notebook(["%load_ext deepseek_magic\nimport deepseek_magic as ds\np = ds.panel(think='off')\np"])
    page.run(0)
    panel = Panel(page, 0)
    panel.ready()
    with page.page.expect_file_chooser() as chooser:
        panel.root.get_by_role("button", name="Attach files").click()
    chooser.value.set_files([tmp_path / "notes.txt", tmp_path / "photo.png"])
    panel.reads("notes.txt ×")
    assert page.violations(".deepseek-magic-panel") == []
    panel.shoot("attached")
    panel.ask("How long is it?")
    panel.reads("photo.png was not sent: it is a picture; --image shows it to the model.")
    assert demo.requests == []
    panel.button("photo.png ×").click()
    page.wait_until(lambda: "photo.png ×" not in str(panel.root.inner_text()))
    panel.button("Send").click()
    panel.reads("Sent along: notes.txt (", where=panel.transcript)
    first = demo.requests[-1].body["messages"][-1]["content"]
    assert [part["text"] for part in first] == [
        "File notes.txt:\n```txt\nthe river is long; ****\n```",
        "How long is it?",
    ]
    panel.shoot("attached_sent")
    page.dark()
    panel.shoot("attached_sent_dark")
    panel.ready()
    panel.ask("And how wide?")
    page.wait_until(lambda: len(demo.requests) == 2)
    assert demo.requests[-1].body["messages"][-1]["content"] == "And how wide?"
